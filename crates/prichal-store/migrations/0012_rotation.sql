-- The local token that a channel had before: its SHA-256 in hex, and until when it is good as well.
ALTER TABLE channel ADD COLUMN previous_hash TEXT /*postgres COLLATE "C"*/;
ALTER TABLE channel ADD COLUMN previous_until BIGINT;
CREATE INDEX channel_previous ON channel (previous_hash) WHERE previous_hash IS NOT NULL;

-- The ids of the master keys that a node knows, with commas between; the first is the one it seals with.
ALTER TABLE node ADD COLUMN keys TEXT NOT NULL DEFAULT '';
