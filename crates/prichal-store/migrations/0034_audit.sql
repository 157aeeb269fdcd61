-- The audit log: who has done what. id: ordered by time. workspace: null for acts on the server itself. actor: the kind
-- of credentials. Paths, bodies and secrets are not here.
CREATE TABLE audit (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  workspace TEXT /*postgres COLLATE "C"*/,
  actor TEXT NOT NULL,
  actor_id TEXT /*postgres COLLATE "C"*/,
  actor_name TEXT,
  user_id TEXT /*postgres COLLATE "C"*/,
  action TEXT /*postgres COLLATE "C"*/ NOT NULL,
  object TEXT,
  object_id TEXT /*postgres COLLATE "C"*/,
  address TEXT,
  agent TEXT,
  request TEXT,
  result TEXT NOT NULL,
  status BIGINT
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX audit_of ON audit (workspace, id);
CREATE INDEX audit_by_actor ON audit (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_by_user ON audit (user_id, id) WHERE user_id IS NOT NULL;
CREATE INDEX audit_by_object ON audit (object_id, id) WHERE object_id IS NOT NULL;
