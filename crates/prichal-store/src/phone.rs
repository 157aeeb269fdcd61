//! Who has which phone: contacts and companies by the keys of their numbers.

use std::collections::HashSet;

use prichal_core::{event::EntityKind, id::WorkspaceId};
use uuid::Uuid;

use crate::{
    Conn, Result, Tx,
    entity::{End, end_of},
    insert::Insert,
    value::params,
};

/// How many contacts and companies one number leads to.
const MOST: i64 = 200;

/// Sets the phones of an entity. Returns those that it did not have before.
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

/// Notes the phones of an entity that was only now inserted.
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

/// The contacts and companies with a phone.
pub fn owners(conn: &mut Conn, workspace: WorkspaceId, phone: &str) -> Result<Vec<End>> {
    conn.query(
        "SELECT kind, id FROM phone WHERE workspace = $1 AND phone = $2 ORDER BY kind, id LIMIT $3",
        params![workspace, phone, MOST],
        |row| end_of(row, 0),
    )
}

/// The progress of a workspace whose numbers are keyed anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The rules and the region.
    pub rules: String,
    /// The kind and the id that were keyed last.
    pub kind: String,
    pub id: Uuid,
}

/// The kind of a progress that has come to its end.
pub const DONE: &str = "done";

/// The progress of a workspace, held until the end of the transaction.
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

/// The workspaces after `after` that are not through with rules of this beginning, at most `limit`.
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
