-- Entities of the service collections beside the channels: scripts, and types of channels. members: the
-- entity without its id and its times. A deleted one keeps its row.
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

-- Runs: hooks that were taken in, messages to be sent, scripts that were started. It is the queue of what
-- waits (due_at is set) and the record of what has been. lane: what runs take turns with, the channel or,
-- for one that was started by hand, its script. owner: the node that has it in memory. request: what it is
-- about, sealed; gone once it has worked.
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

-- What the scripts of a channel keep.
CREATE TABLE kv (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  channel TEXT /*postgres COLLATE "C"*/ NOT NULL,
  key TEXT /*postgres COLLATE "C"*/ NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (workspace, channel, key)
) /*sqlite WITHOUT ROWID*/;

-- Websockets that are open, and where. Those of nodes that are gone count for nothing.
CREATE TABLE socket (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  channel TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  node TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, channel, id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX socket_node ON socket (node);
