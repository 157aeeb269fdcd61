//! Document hooks: the address at which a company receives its documents' statuses. The progress of the deliveries is
//! a row of [`crate::webhook`] with the same id, of [`INTEGRATION`].

use prichal_core::{
    id::{IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{
    Conn, Result, Row, Tx,
    delivery::Lane,
    quarantine::{Kind, not_held},
    value::{Value, params},
    webhook::{Key, Lease},
};

/// The integration id of a webhook that is a company's document hook. No integration has the zero id.
pub const INTEGRATION: IntegrationId = IntegrationId(Uuid::nil());

#[derive(Clone, Debug)]
pub struct DocumentHook {
    pub workspace: WorkspaceId,
    pub id: WebhookId,
    pub url: String,
    /// Sealed.
    pub secrets: Vec<u8>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The time since which deliveries are paused, because every call had failed for long.
    pub paused_at: Option<Timestamp>,
}

impl DocumentHook {
    /// The key of the webhook that holds the progress of the deliveries.
    pub fn key(&self) -> Key {
        Key {
            workspace: self.workspace,
            integration: INTEGRATION,
            id: self.id,
        }
    }
}

/// Adds a workspace's hook. Returns false if the workspace has one.
pub fn insert(tx: &mut Tx<'_>, hook: &DocumentHook) -> Result<bool> {
    let added = tx.execute(
        "INSERT INTO document_hook (workspace, id, url, secrets, created_at, updated_at, paused_at)
         VALUES ($1, $2, $3, $4, $5, $6, NULL) ON CONFLICT DO NOTHING",
        &[
            hook.workspace.into(),
            hook.id.into(),
            Value::from(&hook.url),
            Value::from(hook.secrets.as_slice()),
            hook.created_at.into(),
            hook.updated_at.into(),
        ],
    )?;
    Ok(added == 1)
}

/// Updates a workspace's hook.
pub fn update(tx: &mut Tx<'_>, hook: &DocumentHook) -> Result<()> {
    tx.run(
        "UPDATE document_hook SET url = $2, secrets = $3, updated_at = $4, paused_at = $5 WHERE workspace = $1",
        &[
            hook.workspace.into(),
            Value::from(&hook.url),
            Value::from(hook.secrets.as_slice()),
            hook.updated_at.into(),
            hook.paused_at.into(),
        ],
    )?;
    Ok(())
}

/// Pauses a hook.
pub fn set_paused(tx: &mut Tx<'_>, key: Key, at: Timestamp) -> Result<()> {
    tx.run(
        "UPDATE document_hook SET paused_at = $3 WHERE workspace = $1 AND id = $2",
        params![key.workspace, key.id, at],
    )?;
    Ok(())
}

const COLUMNS: &str =
    "h.workspace, h.id, h.url, h.secrets, h.created_at, h.updated_at, h.paused_at";

pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<Option<DocumentHook>> {
    let sql = format!("SELECT {COLUMNS} FROM document_hook h WHERE workspace = $1");
    conn.query_one(&sql, params![workspace], read)
}

/// Finds a workspace's hook and locks it until the end of the transaction.
pub fn find_for_update(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<Option<DocumentHook>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM document_hook h WHERE workspace = $1 /*postgres FOR UPDATE*/"
    );
    tx.conn()?.query_one(&sql, params![workspace], read)
}

/// Deletes a workspace's hook, if there is one.
pub fn delete(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
    tx.run(
        "DELETE FROM document_hook WHERE workspace = $1",
        params![workspace],
    )?;
    Ok(())
}

/// The next step for an event of a document.
#[derive(Clone, Debug)]
pub enum Turn {
    /// Call this hook.
    Call(DocumentHook),
    /// Wait until this time for an earlier event of the same document that is deferred.
    Wait(Timestamp),
    /// Drop the event, because the lease on the hook is lost.
    Lost,
}

/// Decides the next step for an event. It is read before each call, so that a change of the hook on any node takes
/// effect with the next call, and so that a document's events keep their order. On each lane, no event is sent while
/// an earlier one of its document is in the deferred queue.
pub fn turn(conn: &mut Conn, lease: &Lease, lane: Lane, seq: i64, document: Uuid) -> Result<Turn> {
    let Lease { key, owner, fence } = lease;
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook w JOIN document_hook h ON h.workspace = w.workspace AND h.id = w.id
         WHERE w.workspace = $1 AND w.integration = $2 AND w.id = $3 AND w.owner = $4 AND w.fence = $5 AND w.live = 1"
    );
    let values = params![key.workspace, key.integration, key.id, *owner, *fence];
    let Some(hook) = conn.query_one(&sql, values, read)? else {
        return Ok(Turn::Lost);
    };
    // An event in quarantine is skipped until an administrator releases it.
    let earlier = format!(
        "SELECT max(d.due_at) FROM document_event e
         JOIN deferred d ON d.workspace = e.workspace AND d.integration = $2 AND d.webhook = $3 AND d.lane = $4 AND d.seq = e.seq
         WHERE e.workspace = $1 AND e.document = $5 AND e.seq < $6 AND {}",
        not_held(Kind::Delivery, "d")
    );
    let earlier = conn.query_one(
        &earlier,
        params![
            key.workspace,
            key.integration,
            key.id,
            lane.name(),
            document,
            seq
        ],
        |row| row.get::<Option<i64>>(0),
    )?;
    Ok(match earlier.flatten() {
        Some(due_at) => Turn::Wait(Timestamp::from_micros(due_at)),
        None => Turn::Call(hook),
    })
}

fn read(row: &Row<'_>) -> Result<DocumentHook> {
    Ok(DocumentHook {
        workspace: WorkspaceId(row.uuid(0)?),
        id: WebhookId(row.uuid(1)?),
        url: row.get(2)?,
        secrets: row.get(3)?,
        created_at: row.time(4)?,
        updated_at: row.time(5)?,
        paused_at: row.get::<Option<i64>>(6)?.map(Timestamp::from_micros),
    })
}
