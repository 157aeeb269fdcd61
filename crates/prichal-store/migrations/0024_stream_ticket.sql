-- The topics of a workspace's stream that a ticket is for. NULL: the stream of a user's calls.
ALTER TABLE live_ticket ADD COLUMN topics TEXT;
