-- The look-up of an own event by its id, which its publisher may have chosen. The ids of other events tell their time,
-- so that the log is read from there on, and events cost no row more.
CREATE INDEX event_custom ON event (workspace, id) WHERE type = 'custom';

-- The dead letters of one webhook.
CREATE INDEX dead_letter_of ON dead_letter (workspace, integration, webhook, id);

-- Dead letters, deferred events and the errors of bulk calls count as records.
INSERT INTO usage (workspace, entities, files, events, runs, records)
SELECT workspace, 0, 0, 0, 0, CAST(sum(n) AS BIGINT) FROM (
  SELECT workspace, 100 + octet_length(entities) + coalesce(octet_length(error), 0) AS n FROM dead_letter
  UNION ALL
  SELECT workspace, 100 AS n FROM deferred
  UNION ALL
  SELECT workspace, octet_length(errors) AS n FROM bulk WHERE errors IS NOT NULL
) kept WHERE 1 = 1 GROUP BY workspace
ON CONFLICT (workspace) DO UPDATE SET records = usage.records + excluded.records;
