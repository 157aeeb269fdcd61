-- The beginning of each log from which events were removed. removed: the number up to which they were. first_at: no event
-- after that number is older.
CREATE TABLE log_start (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  removed BIGINT NOT NULL,
  first_at BIGINT NOT NULL
) /*sqlite WITHOUT ROWID*/;

-- The events before the beginning of their log that stay until nothing names them any more: deferred events, dead letters,
-- events of resends.
CREATE TABLE kept_event (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (workspace, seq)
) /*sqlite WITHOUT ROWID*/;
