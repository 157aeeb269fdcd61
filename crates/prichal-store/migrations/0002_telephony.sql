-- Calls. call: the evidence, JSON, which everything else follows from; the columns besides are there
-- to be found by. external_id: without the integration's name before it. phone: the key of the
-- client's number. merged_into: the record that this one turned out to be. auto_links: what was
-- linked because of the phone, cut_links: what a user has taken away again; both 'contact:<id> …'.
CREATE TABLE communication (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration_name TEXT NOT NULL,
  external_id TEXT /*postgres COLLATE "C"*/,
  call TEXT NOT NULL,
  first_seen BIGINT NOT NULL,
  user_group TEXT /*postgres COLLATE "C"*/,
  auto_links TEXT NOT NULL,
  cut_links TEXT NOT NULL,
  begun_at BIGINT NOT NULL,
  direction TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('active', 'sealed')),
  phone TEXT /*postgres COLLATE "C"*/,
  line TEXT NOT NULL,
  answered BIGINT NOT NULL,
  missed BIGINT NOT NULL,
  wait_ms BIGINT,
  talk_ms BIGINT NOT NULL,
  hold_ms BIGINT NOT NULL,
  responsible TEXT /*postgres COLLATE "C"*/,
  due_at BIGINT,
  merged_into TEXT /*postgres COLLATE "C"*/,
  created_at BIGINT NOT NULL,
  created_by TEXT /*postgres COLLATE "C"*/,
  created_with TEXT NOT NULL,
  updated_at BIGINT NOT NULL,
  updated_by TEXT /*postgres COLLATE "C"*/,
  updated_with TEXT NOT NULL,
  deleted_at BIGINT,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX communication_begun ON communication (workspace, begun_at, id);
CREATE INDEX communication_phone ON communication (workspace, phone, begun_at) WHERE phone IS NOT NULL;
CREATE INDEX communication_active ON communication (workspace, id) WHERE status = 'active';
CREATE INDEX communication_due ON communication (due_at) WHERE due_at IS NOT NULL;
-- Last: as long as PostgreSQL has no statistics of the table, it takes the newest of the indexes that it
-- holds to be equally good, and this one is asked most.
CREATE UNIQUE INDEX communication_external ON communication (workspace, integration, external_id) WHERE external_id IS NOT NULL;

-- Who has, or had, a part in a call.
CREATE TABLE communication_user (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  user_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  communication TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, user_id, communication)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX communication_users ON communication_user (workspace, communication);

-- The phones of contacts and companies that are not deleted, by their key.
CREATE TABLE phone (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  phone TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, phone, kind, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX phone_entity ON phone (workspace, kind, id);

-- What the server knows of itself, such as a text sealed with the master key: another key cannot open it.
CREATE TABLE hub (
  name TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  value TEXT NOT NULL
);
