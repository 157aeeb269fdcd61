-- Earlier versions of scripts: the sources that a change has replaced. number: from 1 on, for each script.
CREATE TABLE script_version (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  script TEXT /*postgres COLLATE "C"*/ NOT NULL,
  number BIGINT NOT NULL,
  source TEXT NOT NULL,
  replaced_at BIGINT NOT NULL,
  PRIMARY KEY (workspace, script, number)
) /*sqlite WITHOUT ROWID*/;
