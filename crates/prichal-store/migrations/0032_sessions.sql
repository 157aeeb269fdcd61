-- Roles beyond the check of the column `role`: its value is then 'member', and this the role. integrations: the ids that an
-- integrator acts for, separated by commas. session: the session that the token stands for; its hash is then no SHA-256.
-- used_at: the last use, to the minute; used_from: the address of its sender.
ALTER TABLE token ADD COLUMN narrowed TEXT;
ALTER TABLE token ADD COLUMN integrations TEXT;
ALTER TABLE token ADD COLUMN session TEXT /*postgres COLLATE "C"*/;
ALTER TABLE token ADD COLUMN used_at BIGINT;
ALTER TABLE token ADD COLUMN used_from TEXT;
CREATE INDEX token_session ON token (session) WHERE session IS NOT NULL;

-- Sessions at the console. hash: the SHA-256 of the secret, in hex. workspace: NULL for the server's operator. began_with:
-- the token that the session ends with: token:<id>, or admin:<SHA-256> for an admin token, and then node is its node.
CREATE TABLE session (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  hash TEXT /*postgres COLLATE "C"*/ NOT NULL,
  workspace TEXT /*postgres COLLATE "C"*/,
  began_with TEXT /*postgres COLLATE "C"*/,
  node TEXT /*postgres COLLATE "C"*/,
  address TEXT,
  agent TEXT,
  created_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  ends_at BIGINT NOT NULL,
  ended_at BIGINT
);
CREATE UNIQUE INDEX session_hash ON session (hash);
CREATE INDEX session_began ON session (began_with) WHERE began_with IS NOT NULL;
CREATE INDEX session_end ON session (ends_at);

-- One-time links to sign in. hash: the SHA-256 of the secret, in hex. workspace: NULL for the server's operator. maker, node:
-- the token that made it, named as in session.began_with.
CREATE TABLE login_link (
  hash TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  workspace TEXT /*postgres COLLATE "C"*/,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  user_id TEXT /*postgres COLLATE "C"*/,
  integrations TEXT,
  maker TEXT /*postgres COLLATE "C"*/ NOT NULL,
  node TEXT /*postgres COLLATE "C"*/,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  used_at BIGINT
);
CREATE INDEX login_link_maker ON login_link (maker, expires_at);
CREATE INDEX login_link_end ON login_link (expires_at);
