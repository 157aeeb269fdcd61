-- What was uploaded for documents, and what was made of it. kind: an original, a signature, the zip of a
-- document's originals that is signed, or an archive to be downloaded. blob: the contents, which several
-- rows of a workspace may share. What nobody uses has a time at which it ends.
CREATE TABLE document_blob (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('content', 'signature', 'zip', 'archive')),
  blob TEXT /*postgres COLLATE "C"*/ NOT NULL,
  name TEXT NOT NULL,
  size BIGINT NOT NULL,
  sha256 TEXT /*postgres COLLATE "C"*/ NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX document_blob_contents ON document_blob (workspace, blob);
CREATE INDEX document_blob_same ON document_blob (workspace, sha256);
CREATE INDEX document_blob_ended ON document_blob (expires_at) WHERE expires_at IS NOT NULL;

-- Documents, each once for all its parties. body: the document with its route, JSON. zip: the document_blob
-- of the sender that is signed.
CREATE TABLE document (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  sender TEXT /*postgres COLLATE "C"*/ NOT NULL,
  body TEXT NOT NULL,
  zip TEXT /*postgres COLLATE "C"*/
);

-- What each company sees of a document, to be found by. direction: 'Inbox', 'Outbox', or 'Internal'.
-- date: the document's own, seconds since 1970.
CREATE TABLE document_view (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  direction TEXT /*postgres COLLATE "C"*/ NOT NULL,
  date BIGINT NOT NULL,
  document TEXT /*postgres COLLATE "C"*/ NOT NULL,
  status TEXT /*postgres COLLATE "C"*/ NOT NULL,
  author TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, direction, date, document)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX document_view_status ON document_view (workspace, direction, status, date, document);

-- How many documents a company sees in each status, by the day of their date, in days since 1970; and in
-- the row of day -1 altogether.
CREATE TABLE document_count (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  direction TEXT /*postgres COLLATE "C"*/ NOT NULL,
  status TEXT /*postgres COLLATE "C"*/ NOT NULL,
  day BIGINT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (workspace, direction, status, day)
) /*sqlite WITHOUT ROWID*/;

-- Where the log of a company says that a document's status has changed. at: whole seconds.
CREATE TABLE document_event (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  at BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  document TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, seq)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX document_event_at ON document_event (workspace, at, seq);
CREATE INDEX document_event_document ON document_event (workspace, document, seq);

-- Links under which something can be downloaded for a while. A link to content that is to be signed is a
-- ticket: for one document and one employee of one company. blob: a document_blob of blob_workspace.
-- signature: the document_blob that the ticket was used with. live: no newer ticket has replaced it.
CREATE TABLE document_link (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  document TEXT /*postgres COLLATE "C"*/ NOT NULL,
  blob_workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  blob TEXT /*postgres COLLATE "C"*/ NOT NULL,
  dispose_on BIGINT NOT NULL,
  ticket TEXT /*postgres COLLATE "C"*/,
  employee TEXT /*postgres COLLATE "C"*/,
  signature TEXT /*postgres COLLATE "C"*/,
  live BIGINT NOT NULL,
  PRIMARY KEY (workspace, id)
);
CREATE UNIQUE INDEX document_link_ticket ON document_link (workspace, ticket) WHERE ticket IS NOT NULL;
CREATE INDEX document_link_signer ON document_link (workspace, document, employee) WHERE live = 1;
CREATE INDEX document_link_ended ON document_link (dispose_on);

-- Signatures of documents. company and bin: the signer's. blob: a document_blob of that company. report:
-- what the check came to, JSON. due_at: when what could not be checked is checked again.
CREATE TABLE document_signature (
  document TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  company TEXT /*postgres COLLATE "C"*/ NOT NULL,
  bin TEXT NOT NULL,
  employee TEXT /*postgres COLLATE "C"*/ NOT NULL,
  iin TEXT,
  blob TEXT /*postgres COLLATE "C"*/ NOT NULL,
  attached BIGINT NOT NULL,
  signed_on BIGINT NOT NULL,
  verdict TEXT NOT NULL,
  report TEXT NOT NULL,
  checks BIGINT NOT NULL,
  due_at BIGINT,
  PRIMARY KEY (document, id)
);
CREATE INDEX document_signature_due ON document_signature (due_at) WHERE due_at IS NOT NULL;

-- Revocation lists, responses and certificates that were fetched, by their address.
CREATE TABLE evidence (
  url TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  kind TEXT NOT NULL,
  body BYTEA NOT NULL,
  fetched_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- What signatures of a workspace are checked with: policy, anchors, switches, JSON.
CREATE TABLE signature_policy (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  body TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- Elements of bulk calls. path: the call's, without what it has in common with the others. caller: who
-- asked, JSON. owner: the node that works at it. times: whole seconds.
CREATE TABLE bulk (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  path TEXT NOT NULL,
  caller TEXT NOT NULL,
  data TEXT NOT NULL,
  status TEXT NOT NULL,
  result TEXT,
  errors TEXT,
  tries BIGINT NOT NULL,
  created_on BIGINT NOT NULL,
  completed_on BIGINT,
  owner TEXT /*postgres COLLATE "C"*/,
  PRIMARY KEY (workspace, id)
);
CREATE INDEX bulk_waiting ON bulk (id) WHERE completed_on IS NULL;
CREATE INDEX bulk_completed ON bulk (completed_on) WHERE completed_on IS NOT NULL;

-- Where a company wants to be told of its documents' statuses. secrets: up to two, sealed with the master
-- key. paused_at: since when it is paused, because everything failed. Its cursor and its deferred events
-- are those of the webhook with the same id, of the integration whose id is zero.
CREATE TABLE document_hook (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  url TEXT NOT NULL,
  secrets BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  paused_at BIGINT
);
