-- The ids of published events, which make repetitions known. digest: SHA-256 in hex of the content, as it was sent.
-- version: the version of the event type that the event has got.
CREATE TABLE published_event (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  digest TEXT /*postgres COLLATE "C"*/ NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (workspace, id)
) /*sqlite WITHOUT ROWID*/;
