//! The owners of phone numbers: contacts and companies by the search keys of their numbers.

use std::collections::HashSet;

use prichal_core::{event::EntityKind, id::WorkspaceId};
use uuid::Uuid;

use crate::{
    Conn, Result, Tx,
    entity::{End, end_of},
    insert::Insert,
    value::params,
};

/// The largest number of contacts and companies found for one phone number.
const MAX_OWNERS: i64 = 200;

/// Sets the phones of an entity. Returns the phones that it did not have before.
pub fn put(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: EntityKind,
    id: Uuid,
    phones: &[String],
) -> Result<Vec<String>> {
    let known: Vec<String> = tx.conn()?.query(
        "SELECT phone FROM phone WHERE workspace = $1 AND kind = $2 AND id = $3",
        params![workspace, kind.name(), id],
        |row| row.get(0),
    )?;
    let (before, now): (HashSet<&String>, HashSet<&String>) =
        (known.iter().collect(), phones.iter().collect());
    for gone in known.iter().filter(|phone| !now.contains(phone)) {
        tx.run(
            "DELETE FROM phone WHERE workspace = $1 AND phone = $2 AND kind = $3 AND id = $4",
            params![workspace, gone, kind.name(), id],
        )?;
    }
    let fresh: Vec<String> = phones
        .iter()
        .filter(|phone| !before.contains(phone))
        .cloned()
        .collect();
    for phone in &fresh {
        tx.run(
            "INSERT INTO phone (workspace, phone, kind, id) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
            params![workspace, phone, kind.name(), id],
        )?;
    }
    Ok(fresh)
}

static PHONE: Insert = Insert::new("phone", &["workspace", "phone", "kind", "id"]);

/// Adds the phones of an entity that was inserted in this transaction.
pub fn put_first(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: EntityKind,
    id: Uuid,
    phones: &[String],
) {
    for phone in phones {
        let values = params![workspace, phone.clone(), kind.name(), id];
        tx.insert(&PHONE, values.to_vec());
    }
}

/// Lists the contacts and companies with a phone.
pub fn owners(conn: &mut Conn, workspace: WorkspaceId, phone: &str) -> Result<Vec<End>> {
    conn.query(
        "SELECT kind, id FROM phone WHERE workspace = $1 AND phone = $2 ORDER BY kind, id LIMIT $3",
        params![workspace, phone, MAX_OWNERS],
        |row| end_of(row, 0),
    )
}

/// The progress of computing a workspace's phone keys again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The version of the rules, and the region.
    pub rules: String,
    /// The kind and the id of the last entity with new keys.
    pub kind: String,
    pub id: Uuid,
}

/// The kind of a finished progress.
pub const DONE: &str = "done";

/// Finds the progress of a workspace and locks it until the end of the transaction.
pub fn progress(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<Option<Progress>> {
    let sql =
        "SELECT rules, kind, id FROM phone_index WHERE workspace = $1 /*postgres FOR UPDATE*/";
    tx.conn()?.query_one(sql, params![workspace], |row| {
        Ok(Progress {
            rules: row.get(0)?,
            kind: row.get(1)?,
            id: row.uuid(2)?,
        })
    })
}

pub fn set_progress(tx: &mut Tx<'_>, workspace: WorkspaceId, progress: &Progress) -> Result<()> {
    tx.run(
        "INSERT INTO phone_index (workspace, rules, kind, id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (workspace) DO UPDATE SET rules = excluded.rules, kind = excluded.kind, id = excluded.id",
        params![workspace, &progress.rules, &progress.kind, progress.id],
    )?;
    Ok(())
}

/// Lists the workspaces after `after` that have not finished with rules of this prefix, at most `limit`.
pub fn list_behind(
    conn: &mut Conn,
    rules: &str,
    after: Option<WorkspaceId>,
    limit: i64,
) -> Result<Vec<WorkspaceId>> {
    let after = after.map_or_else(Uuid::nil, |after| after.0);
    conn.query(
        "SELECT w.id FROM workspace w LEFT JOIN phone_index p ON p.workspace = w.id
         WHERE w.id > $1 AND (p.workspace IS NULL OR p.kind <> $2 OR p.rules NOT LIKE $3) ORDER BY w.id LIMIT $4",
        params![after, DONE, format!("{rules}%"), limit],
        |row| Ok(WorkspaceId(row.uuid(0)?)),
    )
}
