-- Mails to the people of a workspace. due_at: the next attempt, or the end of the lease of the node that makes it. NULL:
-- there is none. answer: the last answer of the SMTP server, or the reason why there was none. left_out: the number of
-- mails that a mail of the kind `rest` stands for; its text is made when it is sent.
CREATE TABLE mail (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT NOT NULL,
  recipient TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT NOT NULL,
  status TEXT NOT NULL,
  attempts BIGINT NOT NULL,
  due_at BIGINT,
  created_at BIGINT NOT NULL,
  finished_at BIGINT,
  answer TEXT,
  left_out BIGINT NOT NULL,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX mail_due ON mail (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX mail_age ON mail (created_at);
CREATE INDEX mail_counted ON mail (workspace, created_at);

-- The daily digests of workspaces that have one. last_at: the end of the period that the last one told about.
CREATE TABLE mail_digest (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  last_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL
);
CREATE INDEX mail_digest_due ON mail_digest (due_at);

-- Alerts that have begun or are over, and were not mailed yet.
CREATE TABLE mail_notice (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  alert TEXT NOT NULL,
  is_over BIGINT NOT NULL,
  written_at BIGINT NOT NULL,
  PRIMARY KEY (workspace, id)
);
