-- Evidence for the verdicts on signatures that is not embedded in the signatures: revocation lists, OCSP responses
-- and certificates. Each is stored once for all signatures, and kept as long as they are.
CREATE TABLE proof (
  sha256 TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  kind TEXT NOT NULL,
  body BYTEA NOT NULL
);
CREATE TABLE signature_proof (
  document TEXT /*postgres COLLATE "C"*/ NOT NULL,
  signature TEXT /*postgres COLLATE "C"*/ NOT NULL,
  proof TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (document, signature, proof)
);
