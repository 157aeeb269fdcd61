-- Events that were given up, until they are delivered on request, dismissed or expired. id: the last call.
CREATE TABLE dead_letter (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  event TEXT NOT NULL,
  type TEXT NOT NULL,
  change TEXT,
  entities TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  http_status BIGINT,
  error TEXT,
  PRIMARY KEY (workspace, integration, webhook, seq)
);
CREATE INDEX dead_letter_newest ON dead_letter (workspace, id);

-- Requests to send selected events again. filter: the selection, as JSON. selected: the events found so far.
CREATE TABLE resend (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  filter TEXT NOT NULL,
  rate BIGINT NOT NULL,
  selected BIGINT NOT NULL,
  cancelled BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (workspace, id)
);

-- The selected events that have not been started. The replay with the id of the resend starts them.
CREATE TABLE resend_event (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  resend TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (workspace, resend, integration, webhook, seq)
) /*sqlite WITHOUT ROWID*/;

-- The events a second of a replay of selected events.
ALTER TABLE replay ADD COLUMN rate BIGINT;
