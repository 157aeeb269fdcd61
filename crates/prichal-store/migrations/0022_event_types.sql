-- A workspace's own event types. definition: all members of the model but the name. revision: new at each change, so
-- that what was compiled of an earlier definition is known to be old.
CREATE TABLE event_type (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT /*postgres COLLATE "C"*/ NOT NULL,
  revision TEXT /*postgres COLLATE "C"*/ NOT NULL,
  definition TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT /*postgres COLLATE "C"*/,
  created_with TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT /*postgres COLLATE "C"*/,
  updated_with TEXT NOT NULL,
  PRIMARY KEY (workspace, name)
);
