-- The outcomes of calls. A failed call has a row of its own; the calls that succeeded, and were written together, share
-- one. id: the first id of the row's calls, which have consecutive ids. failed: 0 for successes, 1 for calls that are
-- repeated, 2 for the last ones. types, entities, statuses: bits of what the calls are about and were answered with.
-- bytes: the size of heads and details. Calls from before this table are in attempt.
CREATE TABLE delivery (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  failed BIGINT NOT NULL,
  first_seq BIGINT NOT NULL,
  last_seq BIGINT NOT NULL,
  types BIGINT NOT NULL,
  entities BIGINT NOT NULL,
  statuses BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  heads BYTEA NOT NULL,
  details BYTEA NOT NULL,
  PRIMARY KEY (workspace, integration, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX delivery_newest ON delivery (workspace, id, bytes);
CREATE INDEX delivery_failed ON delivery (workspace, id) WHERE failed > 0;
CREATE INDEX delivery_failed_of ON delivery (workspace, integration, id) WHERE failed > 0;
