//! Where companies want to be told of their documents' statuses. How far each was told is its webhook's
//! business.

use prichal_core::{
    id::{WebhookId, WorkspaceId},
    time::Timestamp,
};

use crate::{
    Conn, Result, Tx,
    value::{Value, params},
};

#[derive(Clone, Debug)]
pub struct DocumentHook {
    pub workspace: WorkspaceId,
    pub id: WebhookId,
    pub url: String,
    /// Sealed.
    pub secrets: Vec<u8>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Writes a workspace's hook, new or changed.
pub fn put(tx: &mut Tx<'_>, hook: &DocumentHook) -> Result<()> {
    tx.execute(
        "INSERT INTO document_hook (workspace, id, url, secrets, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (workspace) DO UPDATE SET url = excluded.url, secrets = excluded.secrets, updated_at = excluded.updated_at",
        &[
            hook.workspace.into(),
            hook.id.into(),
            Value::from(&hook.url),
            Value::from(hook.secrets.as_slice()),
            hook.created_at.into(),
            hook.updated_at.into(),
        ],
    )?;
    Ok(())
}

pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<DocumentHook>> {
    conn.query_one(
        "SELECT id, url, secrets, created_at, updated_at FROM document_hook WHERE workspace = $1",
        params![workspace],
        |row| {
            Ok(DocumentHook {
                workspace,
                id: WebhookId(row.uuid(0)?),
                url: row.get(1)?,
                secrets: row.get(2)?,
                created_at: row.time(3)?,
                updated_at: row.time(4)?,
            })
        },
    )
}

/// Removes a workspace's hook. False when there was none.
pub fn delete(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<bool> {
    let gone = tx.execute(
        "DELETE FROM document_hook WHERE workspace = $1",
        params![workspace],
    )?;
    Ok(gone == 1)
}
