-- The deletion of a user revokes his tokens, also those of users who were deleted before it did.
UPDATE token SET deleted_at = (
  SELECT entity.deleted_at FROM entity
  WHERE entity.workspace = token.workspace AND entity.kind = 'user' AND entity.id = token.user_id
) WHERE deleted_at IS NULL AND user_id IS NOT NULL;
