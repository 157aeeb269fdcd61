//! The quarantine: durable work that was in progress when its process died. Each death is counted, and work with too
//! many deaths is held back. Statements that look for work exclude it with [`not_held`].

use std::fmt::Write as _;

use prichal_core::{
    id::{WorkspaceId, generate},
    time::Timestamp,
};
use uuid::Uuid;

use crate::{Conn, Result, Row, Tx, usage, value::params};

/// The number of process deaths after which an item is held.
pub const MAX_DEATHS: i64 = 3;
/// The largest number of items loaded into memory.
const MAX_LOADED: i64 = 100_000;

/// The kinds of durable work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A run of a channel or a script, including the sending of a message.
    Run,
    /// An event for a webhook, on any lane.
    Delivery,
    /// A scheduled call.
    Tick,
    /// An element of a bulk call.
    Bulk,
    /// A repeated check of a signature.
    Recheck,
    /// The time-out of a phone call without an end.
    Call,
    /// A step of retention, which belongs to no workspace.
    Retention,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Run,
        Self::Delivery,
        Self::Tick,
        Self::Bulk,
        Self::Recheck,
        Self::Call,
        Self::Retention,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Delivery => "delivery",
            Self::Tick => "tick",
            Self::Bulk => "bulk",
            Self::Recheck => "recheck",
            Self::Call => "call",
            Self::Retention => "retention",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One piece of durable work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    pub kind: Kind,
    pub workspace: WorkspaceId,
    /// The integration of a webhook; zero for other kinds.
    pub parent: Uuid,
    /// The run, webhook, element, signature or call; zero for a step of retention.
    pub id: Uuid,
    /// The number of the event in its log, or of the retention step; zero for other kinds.
    pub seq: i64,
}

/// An item that was in progress when its process died, read from the journal of that process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interrupted {
    pub item: Item,
    /// True if no other durable work was in progress at that time.
    pub was_alone: bool,
}

/// The error that a tenant sees on held work.
pub const HELD: &str = "it is held and will not be tried again: the server died each time that it was in progress; the server's operator may release it";

/// An item with counted process deaths. It is in quarantine from `held_at` on.
#[derive(Clone, Debug)]
pub struct Suspect {
    pub id: Uuid,
    pub item: Item,
    pub deaths: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    pub held_at: Option<Timestamp>,
}

/// Returns the SQL condition that a row of `table` is not a held item of this kind.
pub(crate) fn not_held(kind: Kind, table: &str) -> String {
    let [workspace, parent, id, seq] = match kind {
        Kind::Delivery => ["workspace", "integration", "webhook", "seq"],
        Kind::Tick => ["workspace", "integration", "id", ""],
        Kind::Recheck => ["company", "", "id", ""],
        Kind::Run | Kind::Bulk | Kind::Call | Kind::Retention => ["workspace", "", "id", ""],
    };
    let column = |name: &str, none: &str| match name {
        "" => none.to_owned(),
        name => format!("{table}.{name}"),
    };
    let (workspace, id) = (column(workspace, ""), column(id, ""));
    let parent = column(parent, "'00000000-0000-0000-0000-000000000000'");
    let (kind, seq) = (kind.name(), column(seq, "0"));
    format!(
        "NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.item = {id} AND q.kind = '{kind}' AND q.workspace = {workspace}
           AND q.parent = {parent} AND q.seq = {seq} AND q.held_at IS NOT NULL)"
    )
}

const COLUMNS: &str = "id, workspace, kind, parent, item, seq, deaths, first_at, last_at, held_at";

impl Suspect {
    /// True if the death that was just counted has put the item into quarantine.
    pub fn is_held_now(&self) -> bool {
        self.held_at == Some(self.last_at)
    }
}

/// Counts the death of `process` for an item. From death number [`MAX_DEATHS`] on, the item is held if it was alone
/// when the process died. Returns the item, or `None` if this death was counted before.
pub fn count_death(
    tx: &mut Tx<'_>,
    interrupted: Interrupted,
    process: Uuid,
    now: Timestamp,
) -> Result<Option<Suspect>> {
    let sql = format!(
        "INSERT INTO quarantine (id, workspace, kind, parent, item, seq, deaths, counted, first_at, last_at)
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $8)
         ON CONFLICT (item, kind, workspace, parent, seq) DO UPDATE SET deaths = quarantine.deaths + 1, counted = excluded.counted,
           last_at = excluded.last_at,
           held_at = CASE WHEN quarantine.deaths + 1 >= $9 AND $10 = 1 THEN coalesce(quarantine.held_at, excluded.last_at)
             ELSE quarantine.held_at END
         WHERE quarantine.counted <> excluded.counted
         RETURNING {COLUMNS}"
    );
    let Item {
        kind,
        workspace,
        parent,
        id,
        seq,
    } = interrupted.item;
    let values = params![
        generate(now),
        workspace,
        kind.name(),
        parent,
        id,
        seq,
        process,
        now,
        MAX_DEATHS,
        interrupted.was_alone
    ];
    Ok(tx.change(&sql, values, read)?.pop())
}

/// Lists suspects and held items, at most [`MAX_LOADED`].
pub fn all(conn: &mut Conn) -> Result<Vec<Suspect>> {
    let sql = format!("SELECT {COLUMNS} FROM quarantine ORDER BY id LIMIT $1");
    conn.query(&sql, params![MAX_LOADED], read)
}

/// Deletes the count of a suspect that has ended without the death of its process.
pub fn clear(tx: &mut Tx<'_>, item: Item) -> Result<()> {
    tx.run(
        "DELETE FROM quarantine WHERE item = $1 AND kind = $2 AND workspace = $3 AND parent = $4 AND seq = $5 AND held_at IS NULL",
        params![item.id, item.kind.name(), item.workspace, item.parent, item.seq],
    )?;
    Ok(())
}

/// Criteria of a list of held items.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    pub workspace: Option<WorkspaceId>,
    pub kind: Option<Kind>,
    /// Only items that came into the quarantine before this one.
    pub before: Option<Uuid>,
}

/// Lists held items, newest first.
pub fn list(conn: &mut Conn, filter: Filter, limit: i64) -> Result<Vec<Suspect>> {
    let mut sql = format!("SELECT {COLUMNS} FROM quarantine WHERE held_at IS NOT NULL");
    let mut values = params![limit].to_vec();
    let conditions = [
        ("workspace =", filter.workspace.map(Into::into)),
        ("kind =", filter.kind.map(|kind| kind.name().into())),
        ("id <", filter.before.map(Into::into)),
    ];
    for (condition, value) in conditions {
        if let Some(value) = value {
            values.push(value);
            let _ = write!(sql, " AND {condition} ${}", values.len());
        }
    }
    sql.push_str(" ORDER BY id DESC LIMIT $1");
    conn.query(&sql, &values, read)
}

/// True if an item is held.
pub fn is_held(conn: &mut Conn, item: Item) -> Result<bool> {
    let sql = "SELECT deaths FROM quarantine WHERE item = $1 AND kind = $2 AND workspace = $3 AND parent = $4 AND seq = $5 AND held_at IS NOT NULL";
    let Item {
        kind,
        workspace,
        parent,
        id,
        seq,
    } = item;
    let values = params![id, kind.name(), workspace, parent, seq];
    let found = conn.query_one(sql, values, |row| row.get::<i64>(0))?;
    Ok(found.is_some())
}

/// Counts held items.
pub fn count_held(conn: &mut Conn) -> Result<i64> {
    let sql = "SELECT count(*) FROM quarantine WHERE held_at IS NOT NULL";
    Ok(conn.query_one(sql, &[], |row| row.get(0))?.unwrap_or(0))
}

/// Releases a held item, so that it is tried again. Returns `None` if no held item has this id.
pub fn release(tx: &mut Tx<'_>, id: Uuid) -> Result<Option<Suspect>> {
    let sql =
        format!("DELETE FROM quarantine WHERE id = $1 AND held_at IS NOT NULL RETURNING {COLUMNS}");
    Ok(tx.change(&sql, params![id], read)?.pop())
}

/// Cancels the work of an item permanently. `status` and `errors` are the result of an element of a bulk call.
pub fn give_up(
    tx: &mut Tx<'_>,
    item: Item,
    now: Timestamp,
    status: &str,
    errors: &str,
) -> Result<()> {
    let at = params![item.workspace, item.id];
    match item.kind {
        Kind::Run => tx.run(
            "UPDATE run SET status = 'failed', due_at = NULL, owner = NULL, error = 'cancelled by an administrator'
             WHERE workspace = $1 AND id = $2 AND due_at IS NOT NULL",
            at,
        ),
        Kind::Delivery => {
            let gone = tx.execute(
                "DELETE FROM deferred WHERE workspace = $1 AND webhook = $2 AND integration = $3 AND seq = $4",
                params![item.workspace, item.id, item.parent, item.seq],
            )?;
            usage::add_bare(tx, item.workspace, -i64::try_from(gone).unwrap_or(0));
            Ok(())
        }
        Kind::Tick => tx.run(
            "UPDATE webhook SET next_tick = NULL WHERE workspace = $1 AND id = $2 AND integration = $3",
            params![item.workspace, item.id, item.parent],
        ),
        Kind::Bulk => usage::change(tx, &usage::ELEMENTS, "workspace = $1 AND id = $2", at, |tx| {
            tx.run(
                "UPDATE bulk SET status = $3, errors = $4, completed_on = $5, owner = NULL
                 WHERE workspace = $1 AND id = $2 AND completed_on IS NULL",
                params![item.workspace, item.id, status, errors, now.secs()],
            )
        }),
        Kind::Recheck => tx.run(
            "UPDATE document_signature SET due_at = NULL WHERE company = $1 AND id = $2",
            at,
        ),
        Kind::Call => tx.run(
            "UPDATE communication SET due_at = NULL WHERE workspace = $1 AND id = $2",
            at,
        ),
        Kind::Retention => Ok(()),
    }
}

/// Deletes at most `limit` suspects without a death since `before`. Their items have ended without a further try.
pub fn forget(tx: &mut Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM quarantine WHERE id IN (
           SELECT id FROM quarantine WHERE held_at IS NULL AND last_at < $1 LIMIT $2)",
        params![before, limit],
    )
}

fn read(row: &Row<'_>) -> Result<Suspect> {
    let kind: String = row.get(2)?;
    let kind = Kind::from_name(&kind)
        .ok_or_else(|| crate::Error::corrupt("an item in quarantine has an unknown kind"))?;
    Ok(Suspect {
        id: row.uuid(0)?,
        item: Item {
            kind,
            workspace: WorkspaceId(row.uuid(1)?),
            parent: row.uuid(3)?,
            id: row.uuid(4)?,
            seq: row.get(5)?,
        },
        deaths: row.get(6)?,
        first_at: row.time(7)?,
        last_at: row.time(8)?,
        held_at: row.get::<Option<i64>>(9)?.map(Timestamp::from_micros),
    })
}
