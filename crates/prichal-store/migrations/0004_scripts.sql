-- Entities of the service collections other than channels: scripts and channel types. members: the entity without its
-- id and times. A deleted entity keeps its row.
CREATE TABLE resource (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT /*postgres COLLATE "C"*/ NOT NULL CHECK (kind IN ('script', 'channel_type')),
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  code TEXT /*postgres COLLATE "C"*/ NOT NULL,
  members TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  deleted_at BIGINT,
  PRIMARY KEY (workspace, kind, id)
);
CREATE UNIQUE INDEX resource_code ON resource (workspace, kind, code) WHERE deleted_at IS NULL;

-- Runs: accepted hooks, messages to send, and started scripts. The table is the queue of waiting runs (due_at is set)
-- and the record of completed ones. lane: the queue in which the run takes its turn: its channel, or its script if it
-- was started by hand. owner: the node that has it in memory. request: its input, sealed; deleted after success.
CREATE TABLE run (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  lane TEXT /*postgres COLLATE "C"*/ NOT NULL,
  channel TEXT /*postgres COLLATE "C"*/,
  kind TEXT NOT NULL CHECK (kind IN ('hook', 'send', 'start', 'socket')),
  code TEXT /*postgres COLLATE "C"*/ NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('queued', 'deferred', 'finished', 'failed')),
  attempts BIGINT NOT NULL,
  due_at BIGINT,
  owner TEXT /*postgres COLLATE "C"*/,
  request BYTEA,
  started_at BIGINT,
  duration_ms BIGINT,
  log TEXT NOT NULL,
  result TEXT,
  error TEXT,
  PRIMARY KEY (workspace, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX run_code ON run (workspace, code, id);
CREATE INDEX run_waiting ON run (workspace, lane, due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX run_failed ON run (workspace, id) WHERE status = 'failed';

-- Key-value storage of channels' scripts.
CREATE TABLE kv (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  channel TEXT /*postgres COLLATE "C"*/ NOT NULL,
  key TEXT /*postgres COLLATE "C"*/ NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (workspace, channel, key)
) /*sqlite WITHOUT ROWID*/;

-- Open websockets and their nodes. Rows of dead nodes are ignored.
CREATE TABLE socket (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  channel TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  node TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, channel, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX socket_node ON socket (node);
