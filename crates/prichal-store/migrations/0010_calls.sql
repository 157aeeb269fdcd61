-- Reused ids of exchanges. external_base: the id as the exchange sends it, if external_id has a number appended.
-- reuses: the number of later calls with the id of this call.
ALTER TABLE communication ADD COLUMN external_base TEXT /*postgres COLLATE "C"*/;
ALTER TABLE communication ADD COLUMN reuses BIGINT NOT NULL DEFAULT 0;
CREATE INDEX communication_base ON communication (workspace, integration, external_base, id) WHERE external_base IS NOT NULL;

-- The progress of computing phone keys with the current rules. rules: the version of the rules and the region. kind,
-- id: the last entity with new keys; kind is 'done' at the end.
CREATE TABLE phone_index (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  rules TEXT NOT NULL,
  kind TEXT NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL
);
