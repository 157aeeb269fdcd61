-- The values of a webhook's secret headers and its signing keys, sealed. None if it has neither.
ALTER TABLE webhook ADD COLUMN secrets BYTEA;
