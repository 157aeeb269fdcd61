-- The storage usage of each workspace in bytes: models of entities, contents of files, log events, and script runs.
-- The quotas are set only where they differ from the server's settings.
CREATE TABLE usage (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  entities BIGINT NOT NULL,
  files BIGINT NOT NULL,
  events BIGINT NOT NULL,
  runs BIGINT NOT NULL,
  entities_quota BIGINT,
  files_quota BIGINT,
  events_quota BIGINT,
  runs_quota BIGINT
);
INSERT INTO usage (workspace, entities, files, events, runs)
SELECT w.id, coalesce(e.n, 0), coalesce(f.n, 0), coalesce(l.n, 0), coalesce(r.n, 0)
FROM workspace w
LEFT JOIN (SELECT workspace, CAST(sum(octet_length(members)) AS BIGINT) AS n FROM entity GROUP BY workspace) e ON e.workspace = w.id
LEFT JOIN (SELECT workspace, CAST(sum(size) AS BIGINT) AS n FROM (
    SELECT workspace, blob, max(size) AS size FROM (
      SELECT workspace, blob, size FROM file UNION ALL SELECT workspace, blob, size FROM document_blob) a
    GROUP BY workspace, blob) b
  GROUP BY workspace) f ON f.workspace = w.id
LEFT JOIN (SELECT workspace, CAST(sum(octet_length(body)) AS BIGINT) AS n FROM event GROUP BY workspace) l ON l.workspace = w.id
LEFT JOIN (SELECT workspace, CAST(sum(coalesce(octet_length(request), 0) + octet_length(log) + coalesce(octet_length(result), 0)
    + coalesce(octet_length(error), 0)) AS BIGINT) AS n FROM run GROUP BY workspace) r ON r.workspace = w.id;
