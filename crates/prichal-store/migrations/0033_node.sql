-- The version of the program that a node runs, and the time of its start.
ALTER TABLE node ADD COLUMN version TEXT NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN started_at BIGINT NOT NULL DEFAULT 0;
