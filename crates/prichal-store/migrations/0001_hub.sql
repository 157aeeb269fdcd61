-- Ids and other keys are compared byte by byte; the embedded comments select the collation for PostgreSQL. Times are
-- microseconds since 1970 unless a column's comment says otherwise. Flags are 0 or 1. Ids are lower-case UUIDs as
-- text. JSON is text and never filtered on.

-- Workspaces. A deleted workspace keeps its row, so that its id is never used again.
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

-- Workspace tokens, as SHA-256 in hex.
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

-- Integrations from manifests. A private integration belongs to its workspace, a public one is offered to all.
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

-- Instances of integrations in workspaces; an instance has the id of its integration. Uninstalling keeps the row.
-- secrets: a JSON array, encrypted with the master key. round: the number of the installation, so that access keys of
-- an earlier one stay invalid.
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

-- The workspaces that the secrets of public integrations identify, by the keyed hash of each secret.
CREATE TABLE instance_secret (
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT NOT NULL,
  hash TEXT /*postgres COLLATE "C"*/ NOT NULL,
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (integration, name, hash)
);

-- Revoked access keys: all keys of one installation. Kept until the keys would have expired.
CREATE TABLE revocation (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  round BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, round)
);
CREATE INDEX revocation_at ON revocation (at);

-- The log of each workspace, with the number of its last event. changed_at: whole seconds.
CREATE TABLE log (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  last BIGINT NOT NULL,
  changed_at BIGINT NOT NULL
);
CREATE INDEX log_changed ON log (changed_at);

-- Only tables of small rows are WITHOUT ROWID. In such a table SQLite uses an overflow page for every row that is
-- longer than a quarter of a page.

-- Events. body: the ObjectEvent as it is served. entities: 'company:<id>', two for a link.
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

-- The number of entities of each kind in a workspace, without deleted ones.
CREATE TABLE entity_count (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (workspace, kind)
);

-- Links between entities. Each link has two rows, one from either end.
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

-- Settings of the user interface for one user, for one group, or ('' and '') for the whole workspace.
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

-- First answers to POST requests with an Idempotency-Key.
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

-- Files by id. A temporary file expires. Binding gives its blob a second, permanent id, which the row of the
-- temporary file stores. A blob is kept as long as a row refers to it.
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

-- Webhooks of instances. cursor: every event up to this number is settled. owner and fence: the lease; the cursor
-- moves only under both. failures, failing_since and exhausted: the run of failures that disables a hook. next_tick:
-- the next call of a schedule hook.
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

-- Events of a webhook that wait for another attempt. attempts: the number of calls so far. lane: 'main' or 'replay'.
-- in_flight: the first call is still open, and the cursor has moved past the event.
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

-- Ranges of the log that are delivered again, beside the main lane.
CREATE TABLE replay (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  cursor BIGINT NOT NULL,
  last BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, webhook, id)
);

-- The outcome of each call. Kept for 30 days.
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

-- Living nodes. A node holds the leases of the webhooks that name it until this time.
CREATE TABLE node (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  until BIGINT NOT NULL
);
