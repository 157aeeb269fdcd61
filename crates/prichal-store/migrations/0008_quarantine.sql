-- Durable work that was in progress when a process died, with the number of deaths. counted: the process whose death
-- was counted last, so that no death counts twice. held_at: the time since which the item is not tried any more.
-- parent, item, seq: the key of the item. parent is the integration of a webhook, and seq the number of an event in
-- its log.
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
-- Finds the workspaces with waiting elements, which take turns.
CREATE INDEX bulk_turn ON bulk (workspace, id) WHERE completed_on IS NULL;
-- The channel's type, a copy from its members, so that the channels of a type can be counted.
ALTER TABLE channel ADD COLUMN type TEXT /*postgres COLLATE "C"*/;
UPDATE channel SET type = /*sqlite json_extract(members, '$.type')*/ /*postgres members::json ->> 'type'*/;
CREATE INDEX channel_type ON channel (workspace, type) WHERE deleted_at IS NULL;
