-- The requests a second that a workspace may make, where they differ from the server's setting.
ALTER TABLE usage ADD COLUMN requests_quota BIGINT;
-- The days for which a workspace's history is kept, where they differ from the server's settings. kind: deliveries, runs
-- or audit. allowed: what the operator has set. own: what the workspace has set.
CREATE TABLE retention (
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  allowed BIGINT,
  own BIGINT,
  PRIMARY KEY (kind, workspace)
) /*sqlite WITHOUT ROWID*/;
