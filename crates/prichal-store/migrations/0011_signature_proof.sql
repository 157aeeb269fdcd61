-- What verdicts on signatures rest on and the signatures do not bring themselves: revocation lists, responses,
-- certificates, each once however many signatures need it. They are as long-lived as the signatures.
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
