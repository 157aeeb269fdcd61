-- Alerts of a workspace. source: the key of the thing, unique by kind among open alerts. since: the time from which the
-- condition held. begun_at: NULL while a condition waits for the end of the silence after the alert before; it is no
-- alert yet. clear_since: the condition is clear since then, and the alert is not over yet. body: the source and the
-- details, as JSON. forget_at: the time at which a row of the past is deleted.
CREATE TABLE alert (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT NOT NULL,
  source TEXT /*postgres COLLATE "C"*/ NOT NULL,
  since BIGINT NOT NULL,
  begun_at BIGINT,
  clear_since BIGINT,
  over_at BIGINT,
  message TEXT NOT NULL,
  body TEXT NOT NULL,
  acknowledged_at BIGINT,
  acknowledged_by TEXT /*postgres COLLATE "C"*/,
  forget_at BIGINT,
  PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX alert_open ON alert (workspace, source, kind) WHERE over_at IS NULL;
CREATE INDEX alert_current ON alert (workspace, id) WHERE over_at IS NULL;
CREATE INDEX alert_begun ON alert (workspace, source, kind, begun_at);
CREATE INDEX alert_ended ON alert (forget_at) WHERE forget_at IS NOT NULL;

-- The settings of a workspace's alerts that differ from the defaults, as JSON.
CREATE TABLE alert_setting (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  body TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- Possible causes of alerts: webhooks that fail, sources and scripts that failed lately. They change with failures, and
-- not with successes.
CREATE INDEX webhook_failing ON webhook (failing_since, workspace, integration, id) WHERE failing_since IS NOT NULL;
CREATE INDEX delivery_last_failed ON delivery_last (failed_at, workspace, integration, webhook) WHERE failed_at IS NOT NULL;
CREATE INDEX run_unsuccessful ON run (id, workspace, code, kind) WHERE status IN ('failed', 'deferred');
