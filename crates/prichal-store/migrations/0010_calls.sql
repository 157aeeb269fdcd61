-- Calls whose id the exchange had used before. external_base: the id as the exchange sends it, where external_id
-- has a number behind it. reuses: how many later calls have got this call's id.
ALTER TABLE communication ADD COLUMN external_base TEXT /*postgres COLLATE "C"*/;
ALTER TABLE communication ADD COLUMN reuses BIGINT NOT NULL DEFAULT 0;
CREATE INDEX communication_base ON communication (workspace, integration, external_base, id) WHERE external_base IS NOT NULL;

-- How far the keys of phones follow the rules of today. rules: the rules and the region. kind, id: the last that
-- was keyed anew; done when kind is 'done'.
CREATE TABLE phone_index (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  rules TEXT NOT NULL,
  kind TEXT NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL
);
