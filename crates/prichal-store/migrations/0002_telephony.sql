-- Phone calls. call: the evidence as JSON, from which all other columns are derived for searching. external_id: the
-- exchange's id without the integration's name. phone: the search key of the client's number. merged_into: the call
-- that this one was merged into. auto_links: links added because of the phone, cut_links: links removed by a user;
-- both as 'contact:<id> …'.
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
-- The most used index is created last. Without statistics, PostgreSQL chooses the newest of the indexes that it
-- considers equally good.
CREATE UNIQUE INDEX communication_external ON communication (workspace, integration, external_id) WHERE external_id IS NOT NULL;

-- Present and former users of a call.
CREATE TABLE communication_user (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  user_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  communication TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, user_id, communication)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX communication_users ON communication_user (workspace, communication);

-- Phones of contacts and companies that are not deleted, by search key.
CREATE TABLE phone (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  phone TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, phone, kind, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX phone_entity ON phone (workspace, kind, id);

-- Values of the server itself, such as a text sealed with the master key, which no other key can open.
CREATE TABLE hub (
  name TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  value TEXT NOT NULL
);
