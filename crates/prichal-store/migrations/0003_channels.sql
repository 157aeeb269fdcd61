-- Channels. members: the entity without its id, tokens and times. tokens: sealed with the master key. token_hash: the
-- SHA-256 of the local token, in hex. A deleted channel keeps its row.
CREATE TABLE channel (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  code TEXT /*postgres COLLATE "C"*/ NOT NULL,
  token_hash TEXT /*postgres COLLATE "C"*/ NOT NULL,
  tokens BYTEA NOT NULL,
  members TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX channel_code ON channel (workspace, code) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX channel_token ON channel (token_hash) WHERE deleted_at IS NULL;
