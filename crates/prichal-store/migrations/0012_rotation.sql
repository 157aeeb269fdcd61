-- The previous local token of a channel: its SHA-256 in hex, and the time until which it is valid.
ALTER TABLE channel ADD COLUMN previous_hash TEXT /*postgres COLLATE "C"*/;
ALTER TABLE channel ADD COLUMN previous_until BIGINT;
CREATE INDEX channel_previous ON channel (previous_hash) WHERE previous_hash IS NOT NULL;

-- The ids of the master keys that a node has, separated by commas. The node seals with the first one.
ALTER TABLE node ADD COLUMN keys TEXT NOT NULL DEFAULT '';
