-- Missed calls by time, and the answered calls to a number, by which they count as called back.
CREATE INDEX communication_missed ON communication (workspace, begun_at, id) WHERE missed = 1 AND deleted_at IS NULL;
CREATE INDEX communication_call_back ON communication (workspace, phone, begun_at)
  WHERE direction = 'outbound' AND answered = 1 AND deleted_at IS NULL;
