-- Figures about the calls of each delivery source: a webhook, the subscription to documents, or a channel, whose id is
-- both `integration` and `webhook`. They are added up by whoever makes the calls, at most once a minute for a webhook
-- that works.

-- By quarter of an hour, counted from 1970. Kept for a day.
CREATE TABLE delivery_quarter (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  quarter BIGINT NOT NULL,
  delivered BIGINT NOT NULL,
  failed BIGINT NOT NULL,
  total_ms BIGINT NOT NULL,
  max_ms BIGINT NOT NULL,
  PRIMARY KEY (workspace, integration, webhook, quarter)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX delivery_quarter_age ON delivery_quarter (quarter);

-- The last calls. failing_since: the first failure after the last success.
CREATE TABLE delivery_last (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  integration TEXT /*postgres COLLATE "C"*/ NOT NULL,
  webhook TEXT /*postgres COLLATE "C"*/ NOT NULL,
  succeeded_at BIGINT,
  failed_at BIGINT,
  failing_since BIGINT,
  error TEXT,
  http_status BIGINT,
  PRIMARY KEY (workspace, integration, webhook)
) /*sqlite WITHOUT ROWID*/;
