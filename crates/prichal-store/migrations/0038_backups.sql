-- Backups that somebody has reported. made_at: the time of the state that the backup has. Few are kept.
CREATE TABLE backup (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  made_at BIGINT NOT NULL,
  reported_at BIGINT NOT NULL,
  bytes BIGINT,
  note TEXT
);
