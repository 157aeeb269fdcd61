-- Durable work that was under way when a process died, and how often. counted: the process whose death was counted
-- last, so that none counts twice. held_at: since when it is not tried any more. parent, item, seq: the row it
-- is, of an integration's webhook the integration, and of an event its number in its log.
CREATE TABLE quarantine (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT NOT NULL,
  parent TEXT /*postgres COLLATE "C"*/ NOT NULL,
  item TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  deaths BIGINT NOT NULL,
  counted TEXT /*postgres COLLATE "C"*/ NOT NULL,
  first_at BIGINT NOT NULL,
  last_at BIGINT NOT NULL,
  held_at BIGINT
);
CREATE UNIQUE INDEX quarantine_item ON quarantine (item, kind, workspace, parent, seq);
-- Whose turn it is among workspaces whose elements wait.
CREATE INDEX bulk_turn ON bulk (workspace, id) WHERE completed_on IS NULL;
-- The channel's type, out of its members, so that those of a type can be counted.
ALTER TABLE channel ADD COLUMN type TEXT /*postgres COLLATE "C"*/;
UPDATE channel SET type = /*sqlite json_extract(members, '$.type')*/ /*postgres members::json ->> 'type'*/;
CREATE INDEX channel_type ON channel (workspace, type) WHERE deleted_at IS NULL;
