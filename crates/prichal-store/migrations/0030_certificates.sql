-- The last certificate of each holder that was seen. holder: `signer/<user>` or `receiver/<host>:<port>`. seen_at: the
-- time at which it was last seen, give or take a day.
CREATE TABLE certificate (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  holder TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT NOT NULL,
  ends_at BIGINT NOT NULL,
  seen_at BIGINT NOT NULL,
  PRIMARY KEY (workspace, holder)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX certificate_end ON certificate (ends_at);
