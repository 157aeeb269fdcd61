-- Indexes of the rows that name an event, by its number. The removal of old events asks for each of them.
CREATE INDEX deferred_event ON deferred (workspace, seq);
CREATE INDEX dead_letter_event ON dead_letter (workspace, seq);
CREATE INDEX resend_event_seq ON resend_event (workspace, seq);
