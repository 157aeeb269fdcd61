-- Single-use tickets with which a browser follows a user's calls. hash: the SHA-256 of the ticket, in hex. token: the
-- SHA-256 of the token that the ticket was issued for.
CREATE TABLE live_ticket (
  hash TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  token TEXT /*postgres COLLATE "C"*/ NOT NULL,
  expires_at BIGINT NOT NULL
);
CREATE INDEX live_ticket_token ON live_ticket (token, expires_at);
CREATE INDEX live_ticket_end ON live_ticket (expires_at);
