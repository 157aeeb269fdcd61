-- The delivery log of SQLite in a rowid table. Without rowids a search for a key reads whole rows of the pages on its
-- way, with all the pages that their long columns continue on: eleven for each row that a page of the log looks at.
/*sqlite DROP INDEX delivery_newest;
DROP INDEX delivery_failed;
DROP INDEX delivery_failed_of;
ALTER TABLE delivery RENAME TO delivery_before;
CREATE TABLE delivery (
  workspace TEXT NOT NULL,
  integration TEXT NOT NULL,
  id TEXT NOT NULL,
  webhook TEXT NOT NULL,
  failed BIGINT NOT NULL,
  first_seq BIGINT NOT NULL,
  last_seq BIGINT NOT NULL,
  types BIGINT NOT NULL,
  entities BIGINT NOT NULL,
  statuses BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  heads BYTEA NOT NULL,
  details BYTEA NOT NULL,
  PRIMARY KEY (workspace, integration, id)
);
CREATE INDEX delivery_newest ON delivery (workspace, id, bytes);
CREATE INDEX delivery_failed ON delivery (workspace, id) WHERE failed > 0;
CREATE INDEX delivery_failed_of ON delivery (workspace, integration, id) WHERE failed > 0;
INSERT INTO delivery SELECT * FROM delivery_before;
-- To drop a filled table keeps a copy of its pages in memory.
DELETE FROM delivery_before;
DROP TABLE delivery_before;
*/
