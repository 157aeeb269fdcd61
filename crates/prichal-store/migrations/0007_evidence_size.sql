-- The size of the body in bytes. The index gives the total without reading the bodies.
ALTER TABLE evidence ADD COLUMN size BIGINT NOT NULL DEFAULT 0;
UPDATE evidence SET size = length(body);
CREATE INDEX evidence_fetched ON evidence (fetched_at, url, size);
