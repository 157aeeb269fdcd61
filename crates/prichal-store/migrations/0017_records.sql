-- The bytes of what is kept of a workspace beside entities, files, events and runs: of each row its texts, and 100 for
-- the rest of it.
ALTER TABLE usage ADD COLUMN records BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN records_quota BIGINT;
INSERT INTO usage (workspace, entities, files, events, runs, records)
SELECT workspace, 0, 0, 0, 0, CAST(sum(n) AS BIGINT) FROM (
  SELECT workspace, 100 + octet_length(key) + octet_length(value) AS n FROM kv
  UNION ALL
  SELECT workspace, 100 + octet_length(members) AS n FROM channel
  UNION ALL
  SELECT workspace, 100 + octet_length(members) AS n FROM resource
  UNION ALL
  SELECT workspace, 100 AS n FROM link
  UNION ALL
  SELECT workspace, 100 + octet_length(key) + octet_length(value) AS n FROM ui_setting
  UNION ALL
  SELECT workspace, 100 + octet_length(path) + octet_length(key) + octet_length(answer) AS n FROM idempotency
  UNION ALL
  SELECT workspace, 100 + octet_length(name) + octet_length(content_type) AS n FROM file
  UNION ALL
  SELECT workspace, 100 + octet_length(name) AS n FROM document_blob
  UNION ALL
  SELECT workspace, 100 + coalesce(octet_length(error), 0) + coalesce(octet_length(answer), 0) AS n FROM attempt
  UNION ALL
  SELECT workspace, 100 AS n FROM replay
  UNION ALL
  SELECT workspace, 100 + octet_length(name) + octet_length(version) + octet_length(base_url) + coalesce(octet_length(title), 0) AS n FROM integration
  UNION ALL
  SELECT workspace, 100 + octet_length(features) + octet_length(settings) + coalesce(octet_length(secrets), 0) AS n FROM instance
  UNION ALL
  SELECT workspace, 100 + octet_length(definition) AS n FROM webhook
  UNION ALL
  SELECT workspace, 100 + octet_length(call) + octet_length(auto_links) + octet_length(cut_links) AS n FROM communication
  UNION ALL
  SELECT sender AS workspace, 100 + octet_length(body) AS n FROM document
  UNION ALL
  SELECT workspace, 100 AS n FROM document_link
  UNION ALL
  SELECT company AS workspace, 100 + octet_length(report) AS n FROM document_signature
  UNION ALL
  SELECT workspace, 100 + octet_length(caller) + octet_length(data) + coalesce(octet_length(result), 0) AS n FROM bulk
) kept WHERE 1 = 1 GROUP BY workspace
ON CONFLICT (workspace) DO UPDATE SET records = excluded.records;
