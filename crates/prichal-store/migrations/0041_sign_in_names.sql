-- The names by which a sign-in with the company's provider finds a user: 'login:' with the login, and 'email:' with the
-- address in lower case. Deleted users have none.
CREATE TABLE sign_in_name (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT /*postgres COLLATE "C"*/ NOT NULL,
  user_id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, name, user_id)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX sign_in_name_of ON sign_in_name (workspace, user_id);

-- PostgreSQL has no text with a NUL, so users with one are left out until they are changed.
INSERT INTO sign_in_name (workspace, name, user_id)
SELECT workspace, 'login:' || login, id FROM (
  SELECT workspace, id, /*sqlite json_extract(members, '$.login')*/ /*postgres members::json ->> 'login'*/ AS login
  FROM entity WHERE kind = 'user' AND deleted_at IS NULL AND members NOT LIKE '%\u0000%'
) known WHERE octet_length(login) BETWEEN 1 AND 320;
INSERT INTO sign_in_name (workspace, name, user_id)
SELECT workspace, 'email:' || lower(email /*postgres COLLATE "C"*/), id FROM (
  SELECT workspace, id, /*sqlite json_extract(members, '$.email')*/ /*postgres members::json ->> 'email'*/ AS email
  FROM entity WHERE kind = 'user' AND deleted_at IS NULL AND members NOT LIKE '%\u0000%'
) known WHERE octet_length(email) BETWEEN 1 AND 320;
