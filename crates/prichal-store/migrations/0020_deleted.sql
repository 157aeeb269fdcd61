-- Tokens of channels count. Deleted channels, types and scripts keep no members any more, nor do those that were deleted
-- before. Values that a run stored while its channel was deleted go.
UPDATE usage SET records = records + CAST(coalesce((
  SELECT sum(n) FROM (
    SELECT workspace, octet_length(tokens) AS n FROM channel
    UNION ALL
    SELECT workspace, 2 - octet_length(members) AS n FROM channel WHERE deleted_at IS NOT NULL
    UNION ALL
    SELECT workspace, 2 - octet_length(members) AS n FROM resource WHERE deleted_at IS NOT NULL
    UNION ALL
    SELECT kv.workspace, -100 - octet_length(key) - octet_length(value) AS n FROM kv
    JOIN channel c ON c.workspace = kv.workspace AND c.id = kv.channel WHERE c.deleted_at IS NOT NULL
  ) kept WHERE kept.workspace = usage.workspace
), 0) AS BIGINT);
DELETE FROM kv WHERE (workspace, channel) IN (SELECT workspace, id FROM channel WHERE deleted_at IS NOT NULL);
UPDATE channel SET members = '{}' WHERE deleted_at IS NOT NULL;
UPDATE resource SET members = '{}' WHERE deleted_at IS NOT NULL;
-- By these they are found when they are to be forgotten.
CREATE INDEX channel_deleted ON channel (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX resource_deleted ON resource (deleted_at) WHERE deleted_at IS NOT NULL;
-- Attempts go with their workspace.
DELETE FROM attempt WHERE workspace IN (SELECT id FROM workspace WHERE deleted_at IS NOT NULL);
