//! Work that a request begins on many rows: it is kept until it is done, and goes on in bites, each a write of its own.

use prichal_core::id::WorkspaceId;

use crate::{Conn, Error, Result, Row, Tx, value::params};

/// The most rows that one bite changes.
pub const BITE: i64 = 100;

/// The kinds of such work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Channels of a type take over what the type fixes. The item is the type's name.
    Type,
    /// Instances of an integration take over its new manifest. The item is the integration, and
    /// which manifest.
    Manifest,
    /// The rows of a workspace that was deleted go.
    Workspace,
    /// The values go that the scripts of a channel have kept. The item is the channel.
    Kept,
    /// The events go that wait for another try at a webhook that was removed. The item is the webhook, behind its integration.
    Waiting,
    /// The events that wait for another try at a webhook are due. The item is the webhook, behind its integration.
    Due,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Type,
        Self::Manifest,
        Self::Workspace,
        Self::Kept,
        Self::Waiting,
        Self::Due,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Manifest => "manifest",
            Self::Workspace => "workspace",
            Self::Kept => "kept",
            Self::Waiting => "waiting",
            Self::Due => "due",
        }
    }
}

/// Work that has been begun. One that is begun again begins from the first row.
#[derive(Clone, Debug)]
pub struct Walk {
    pub workspace: WorkspaceId,
    pub kind: Kind,
    pub item: String,
    /// The rest that it goes by: JSON.
    pub detail: String,
    /// The last row that is done; empty at the beginning.
    pub last: String,
}

const COLUMNS: &str = "workspace, kind, item, detail, last";

pub fn begin(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    item: &str,
    detail: &str,
) -> Result<()> {
    let sql = format!(
        "INSERT INTO walk ({COLUMNS}) VALUES ($1, $2, $3, $4, '')
         ON CONFLICT (workspace, kind, item) DO UPDATE SET detail = excluded.detail, last = excluded.last"
    );
    tx.run(&sql, params![workspace, kind.name(), item, detail])
}

/// Work as it stands now, held until the end of the transaction. Nothing when it is done.
pub fn find_for_update(tx: &mut Tx<'_>, walk: &Walk) -> Result<Option<Walk>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM walk WHERE workspace = $1 AND kind = $2 AND item = $3 /*postgres FOR UPDATE*/"
    );
    let key = params![walk.workspace, walk.kind.name(), &walk.item];
    tx.conn()?.query_one(&sql, key, read)
}

/// Lists the walks behind `after`, or from the first one, in the order of their keys.
pub fn list(conn: &mut Conn, after: Option<&Walk>, limit: i64) -> Result<Vec<Walk>> {
    let order = "ORDER BY workspace, kind, item LIMIT $1";
    let Some(after) = after else {
        let sql = format!("SELECT {COLUMNS} FROM walk {order}");
        return conn.query(&sql, params![limit], read);
    };
    let sql =
        format!("SELECT {COLUMNS} FROM walk WHERE (workspace, kind, item) > ($2, $3, $4) {order}");
    let values = params![limit, after.workspace, after.kind.name(), &after.item];
    conn.query(&sql, values, read)
}

/// Work of one kind for a workspace that is not done yet.
pub fn list_of(
    conn: &mut Conn,
    workspace: WorkspaceId,
    kind: Kind,
    limit: i64,
) -> Result<Vec<Walk>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM walk WHERE workspace = $1 AND kind = $2 ORDER BY item LIMIT $3"
    );
    conn.query(&sql, params![workspace, kind.name(), limit], read)
}

/// Stores the mark up to which a walk is done. `None` completes the walk and deletes its row.
pub fn advance(tx: &mut Tx<'_>, walk: &Walk, last: Option<&str>) -> Result<()> {
    let (kind, item) = (walk.kind.name(), &walk.item);
    let this = "WHERE workspace = $1 AND kind = $2 AND item = $3";
    if let Some(last) = last {
        let sql = format!("UPDATE walk SET last = $4 {this}");
        return tx.run(&sql, params![walk.workspace, kind, item, last]);
    }
    let sql = format!("DELETE FROM walk {this}");
    tx.run(&sql, params![walk.workspace, kind, item])
}

fn read(row: &Row<'_>) -> Result<Walk> {
    let name: String = row.get(1)?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    Ok(Walk {
        workspace: WorkspaceId(row.uuid(0)?),
        kind: kind.ok_or_else(|| Error::corrupt("a walk's kind is damaged"))?,
        item: row.get(2)?,
        detail: row.get(3)?,
        last: row.get(4)?,
    })
}
