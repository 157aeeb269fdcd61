-- Ids and other keys are compared byte by byte: the comments give PostgreSQL the words for it.
-- Times are microseconds since 1970 unless a column says otherwise; flags are 0 or 1; ids are
-- lower-case UUID text; JSON is text that nobody filters on.

-- One row a workspace. A deleted one keeps its row, so that its id is never used again.
CREATE TABLE workspace (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  name TEXT NOT NULL,
  title TEXT,
  bin TEXT,
  company_name TEXT,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT
);
CREATE UNIQUE INDEX workspace_name ON workspace (name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX workspace_bin ON workspace (bin) WHERE deleted_at IS NULL AND bin IS NOT NULL;

-- Workspace tokens: only the SHA-256 of each, in hex.
CREATE TABLE token (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL CHECK (role IN ('admin', 'member')),
  user_id TEXT /*postgres COLLATE "C"*/,
  hash TEXT /*postgres COLLATE "C"*/ NOT NULL,
  expires_at BIGINT,
  created_at BIGINT NOT NULL,
  deleted_at BIGINT,
  PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX token_hash ON token (hash);

-- Manifests. A private integration belongs to its workspace alone, a public one is offered to all.
CREATE TABLE integration (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('private', 'public')),
  name TEXT NOT NULL,
  version TEXT NOT NULL,
  base_url TEXT NOT NULL,
  title TEXT,
  api_key_hash TEXT /*postgres COLLATE "C"*/,
  created_at BIGINT NOT NULL,
  created_by TEXT /*postgres COLLATE "C"*/,
  created_with TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT /*postgres COLLATE "C"*/,
  updated_with TEXT NOT NULL
);
CREATE UNIQUE INDEX integration_private_name ON integration (workspace, lower(name)) WHERE kind = 'private';
CREATE UNIQUE INDEX integration_public_name ON integration (lower(name)) WHERE kind = 'public';
CREATE UNIQUE INDEX integration_api_key ON integration (api_key_hash) WHERE api_key_hash IS NOT NULL;

-- An integration in a workspace; its id is the integration's. Uninstalling keeps the row.
-- secrets: a JSON array, encrypted with the master key. round: counts installs, so that a key of an
-- earlier one stays dead.
CREATE TABLE instance (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  installed BIGINT NOT NULL,
  round BIGINT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('notConfigured', 'active', 'paused', 'hasErrors', 'failed')),
  features TEXT NOT NULL,
  settings TEXT NOT NULL,
  secrets BYTEA,
  created_at BIGINT NOT NULL,
  created_by TEXT /*postgres COLLATE "C"*/,
  created_with TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT /*postgres COLLATE "C"*/,
  updated_with TEXT NOT NULL,
  PRIMARY KEY (workspace, integration)
);
CREATE INDEX instance_integration ON instance (integration);

-- What a public integration's secrets identify: the keyed hash of each value, and whose it is.
CREATE TABLE instance_secret (
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT NOT NULL,
  hash TEXT /*postgres COLLATE "C"*/ NOT NULL,
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (integration, name, hash)
);

-- Access keys that died before their time: all of one install. Kept until the keys would be over.
CREATE TABLE revocation (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  round BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, round)
);
CREATE INDEX revocation_at ON revocation (at);

-- The log of each workspace: the number of its last event. changed_at: whole seconds.
CREATE TABLE log (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  last BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX log_changed ON log (changed_at);

-- Only tables of small rows are WITHOUT ROWID: SQLite gives a row of such a table a page of its own as
-- soon as it is longer than a quarter of one.

-- The events. body: the ObjectEvent as it is served. entities: 'company:<id>', two for a link.
CREATE TABLE event (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  type TEXT NOT NULL,
  change TEXT,
  entities TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (workspace, seq)
);

-- Entities of the ten collections. members: the model without id, updateInfo and links.
CREATE TABLE entity (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  members TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT /*postgres COLLATE "C"*/,
  created_with TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT /*postgres COLLATE "C"*/,
  updated_with TEXT NOT NULL,
  deleted_at BIGINT,
  PRIMARY KEY (workspace, kind, id)
);

-- How many entities that are not deleted a workspace has of a kind.
CREATE TABLE entity_count (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (workspace, kind)
);

-- Links between entities, each twice: once from either end.
CREATE TABLE link (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  other_kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  other_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, kind, id, other_kind, other_id)
) /*sqlite WITHOUT ROWID*/;

-- The settings of a workspace, a JSON object.
CREATE TABLE setting (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  body TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- Settings of the user interface: for one user, one group or ('' and '') the whole workspace.
CREATE TABLE ui_setting (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  key TEXT /*postgres COLLATE "C"*/ NOT NULL,
  user_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  group_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  value TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  created_by TEXT /*postgres COLLATE "C"*/,
  created_with TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT /*postgres COLLATE "C"*/,
  updated_with TEXT NOT NULL,
  PRIMARY KEY (workspace, key, user_id, group_id)
);

-- The first answer to a POST that carried an Idempotency-Key.
CREATE TABLE idempotency (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  path TEXT /*postgres COLLATE "C"*/ NOT NULL,
  key TEXT /*postgres COLLATE "C"*/ NOT NULL,
  request_hash TEXT /*postgres COLLATE "C"*/ NOT NULL,
  status BIGINT NOT NULL,
  answer TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (workspace, path, key)
);
CREATE INDEX idempotency_at ON idempotency (at);

-- Files by the id they are asked for. A temporary one has a time at which it ends; binding gives its
-- blob a second, permanent id, which the temporary row remembers. Blobs are kept as long as a row
-- names them.
CREATE TABLE file (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  blob TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT NOT NULL,
  content_type TEXT NOT NULL,
  size BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  bound_to TEXT /*postgres COLLATE "C"*/,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX file_blob ON file (workspace, blob);
CREATE INDEX file_ended ON file (expires_at) WHERE expires_at IS NOT NULL AND bound_to IS NULL;
CREATE INDEX file_bound ON file (expires_at) WHERE bound_to IS NOT NULL;

-- Webhooks of installed instances. cursor: every event up to this number is settled. owner and
-- fence: the lease; who moves the cursor must name both. The streak is what switches a hook off.
-- next_tick: when a schedule hook is due.
CREATE TABLE webhook (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  definition TEXT NOT NULL,
  position BIGINT NOT NULL,
  live BIGINT NOT NULL,
  cursor BIGINT NOT NULL,
  owner TEXT /*postgres COLLATE "C"*/,
  fence BIGINT NOT NULL,
  failures BIGINT NOT NULL,
  failing_since BIGINT,
  exhausted BIGINT NOT NULL,
  next_tick BIGINT,
  PRIMARY KEY (workspace, integration, id)
);
CREATE INDEX webhook_owner ON webhook (owner) WHERE live = 1;
CREATE INDEX webhook_tick ON webhook (next_tick) WHERE next_tick IS NOT NULL;

-- Events of a webhook that wait for another try. attempts: calls made so far. lane: 'main' or
-- 'replay'. in_flight: the first call has not ended yet, but the cursor has gone past it.
CREATE TABLE deferred (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  lane TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  in_flight BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, webhook, lane, seq)
);
CREATE INDEX deferred_due ON deferred (due_at);

-- Stretches of the log that are sent again, beside the main line.
CREATE TABLE replay (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  cursor BIGINT NOT NULL,
  last BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, webhook, id)
);

-- What each call came to. Kept 30 days.
CREATE TABLE attempt (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  event TEXT /*postgres COLLATE "C"*/ NOT NULL,
  seq BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('delivered', 'deferred', 'exhausted')),
  http_status BIGINT,
  duration_ms BIGINT NOT NULL,
  error TEXT,
  answer TEXT,
  started_at BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX attempt_failed ON attempt (workspace, integration, id) WHERE status <> 'delivered';

-- Nodes that are alive. A node holds the leases of the webhooks that name it until this time.
CREATE TABLE node (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  until BIGINT NOT NULL
);
