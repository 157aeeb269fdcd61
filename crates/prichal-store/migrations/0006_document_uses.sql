-- How many documents and signatures a blob is kept for. None: it was there before that was counted, and stays.
ALTER TABLE document_blob ADD COLUMN uses BIGINT;
UPDATE document_blob SET uses = 0 WHERE expires_at IS NOT NULL;
