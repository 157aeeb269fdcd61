-- Work that a request has begun on many rows and that goes on in bites. item: its subject; detail: the rest that it
-- goes by, JSON; last: the last row that is done.
CREATE TABLE walk (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT NOT NULL,
  item TEXT /*postgres COLLATE "C"*/ NOT NULL,
  detail TEXT NOT NULL,
  last TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, kind, item)
);
-- The channels of a type in the order of their ids.
CREATE INDEX channel_of_type ON channel (workspace, type, id) WHERE deleted_at IS NULL;
