-- The number of documents and signatures that use a blob. NULL for blobs from before this column, which are kept.
ALTER TABLE document_blob ADD COLUMN uses BIGINT;
UPDATE document_blob SET uses = 0 WHERE expires_at IS NOT NULL;
