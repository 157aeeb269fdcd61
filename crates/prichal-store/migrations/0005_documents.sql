-- Blobs of documents. kind: an original, a signature, the signed zip of a document's originals, or an archive for
-- download. blob: the contents, which several rows of a workspace may share. An unused blob has an expiry time.
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

-- Documents, one row for all parties. body: the document with its route, as JSON. zip: the signed document_blob of
-- the sender.
CREATE TABLE document (
  id TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  sender TEXT /*postgres COLLATE "C"*/ NOT NULL,
  body TEXT NOT NULL,
  zip TEXT /*postgres COLLATE "C"*/
);

-- The documents that each company sees, for searching. direction: 'Inbox', 'Outbox' or 'Internal'. date: the
-- document's own date in seconds since 1970.
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

-- The number of documents that a company sees in each status, by the day of their date in days since 1970. The row of
-- day -1 is the total.
CREATE TABLE document_count (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  direction TEXT /*postgres COLLATE "C"*/ NOT NULL,
  status TEXT /*postgres COLLATE "C"*/ NOT NULL,
  day BIGINT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (workspace, direction, status, day)
) /*sqlite WITHOUT ROWID*/;

-- The log events on changes of a document's status. at: whole seconds.
CREATE TABLE document_event (
  workspace TEXT /*postgres COLLATE "C"*/ NOT NULL,
  at BIGINT NOT NULL,
  seq BIGINT NOT NULL,
  document TEXT /*postgres COLLATE "C"*/ NOT NULL,
  PRIMARY KEY (workspace, seq)
) /*sqlite WITHOUT ROWID*/;
CREATE INDEX document_event_at ON document_event (workspace, at, seq);
CREATE INDEX document_event_document ON document_event (workspace, document, seq);

-- Temporary download links. A link to content to be signed is a ticket for one document and one employee of one
-- company. blob: a document_blob of blob_workspace. signature: the document_blob that was submitted with the ticket.
-- live: no newer ticket has replaced it.
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

-- Signatures of documents. company and bin: those of the signer. blob: a document_blob of that company. report: the
-- outcome of the check, as JSON. due_at: the time of the next check, if the last one was incomplete.
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

-- Downloaded revocation lists, OCSP responses and certificates, by address.
CREATE TABLE evidence (
  url TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  kind TEXT NOT NULL,
  body BYTEA NOT NULL,
  fetched_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL
);

-- The validation policies of workspaces: policy, anchors and switches, as JSON.
CREATE TABLE signature_policy (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  body TEXT NOT NULL,
  updated_at BIGINT NOT NULL
);

-- Elements of bulk calls. path: the call's path without the common prefix. caller: the caller as JSON. owner: the
-- node that processes the element. Times are whole seconds.
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

-- The addresses at which companies receive their documents' statuses. secrets: up to two, sealed with the master key.
-- paused_at: the time since which deliveries are paused because all of them failed. The cursor and the deferred
-- events are those of the webhook with the same id, of the integration with the zero id.
CREATE TABLE document_hook (
  workspace TEXT /*postgres COLLATE "C"*/ PRIMARY KEY,
  id TEXT /*postgres COLLATE "C"*/ NOT NULL,
  url TEXT NOT NULL,
  secrets BYTEA NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  paused_at BIGINT
);
