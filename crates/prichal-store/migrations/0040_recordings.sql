-- The call whose recording the file is. NULL: another file, or a recording from before this migration.
ALTER TABLE file ADD COLUMN communication TEXT /*postgres COLLATE "C"*/;
