-- brief: what anybody may know of the report, JSON; nothing in rows from before, where the report says it.
ALTER TABLE document_signature ADD COLUMN brief TEXT;
-- Signatures that another policy may judge otherwise.
CREATE INDEX document_signature_ended ON document_signature (company) WHERE verdict = 'INDETERMINATE' AND due_at IS NULL;
