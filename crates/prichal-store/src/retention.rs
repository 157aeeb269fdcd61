//! The time for which the history of a workspace is kept, if it differs from the server's settings.

use prichal_core::id::WorkspaceId;

use crate::{
    Conn, Result, Row, Tx,
    value::{Value, params},
};

/// The number of kinds of history.
pub const KINDS: usize = 4;

/// A kind of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The delivery log, dead letters and resends.
    Deliveries,
    /// The runs of scripts.
    Runs,
    /// The audit log.
    Audit,
    /// The events of the log.
    Events,
}

impl Kind {
    pub const ALL: [Self; KINDS] = [Self::Deliveries, Self::Runs, Self::Audit, Self::Events];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries",
            Self::Runs => "runs",
            Self::Audit => "audit",
            Self::Events => "events",
        }
    }
}

/// The days for which a kind of history is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// The operator's number. None if the server's setting holds.
    pub allowed: Option<i64>,
    /// The workspace's own number, which may only be shorter.
    pub own: Option<i64>,
}

impl Days {
    /// The number that holds, in a unit of which a day has `unit`. `server` is the server's setting in that unit.
    pub fn effective(self, server: i64, unit: i64) -> i64 {
        let days = |days: i64| days.saturating_mul(unit);
        let allowed = self.allowed.map_or(server, days);
        self.own.map_or(allowed, |own| days(own).min(allowed))
    }
}

/// The days of a workspace, in the order of [`Kind::ALL`].
pub type AllDays = [Days; KINDS];

/// Finds the days of a workspace.
pub fn find(conn: &mut Conn, workspace: WorkspaceId) -> Result<AllDays> {
    let sql = "SELECT kind, allowed, own FROM retention WHERE workspace = $1";
    let rows = conn.query(sql, params![workspace], |row| {
        Ok((row.get::<String>(0)?, days(row, 1)?))
    })?;
    let of = |kind: Kind| rows.iter().find(|(name, _)| name == kind.name());
    Ok(Kind::ALL.map(|kind| of(kind).map_or_else(Days::default, |(_, days)| *days)))
}

/// Sets the days of a workspace.
pub fn set(tx: &mut Tx<'_>, workspace: WorkspaceId, all: AllDays) -> Result<()> {
    for (kind, Days { allowed, own }) in Kind::ALL.iter().zip(all) {
        tx.run(
            "INSERT INTO retention (kind, workspace, allowed, own) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kind, workspace) DO UPDATE SET allowed = excluded.allowed, own = excluded.own",
            params![kind.name(), workspace, allowed, own],
        )?;
    }
    Ok(())
}

/// Finds the days of a workspace, and locks them until the end of the transaction.
pub fn find_for_update(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<AllDays> {
    tx.lock_name(&format!("retention {workspace}"))?;
    find(tx.conn()?, workspace)
}

/// Lists the workspaces behind `after` that have days of their own for a kind, at most `limit`.
pub fn list(
    conn: &mut Conn,
    kind: Kind,
    after: WorkspaceId,
    limit: i64,
) -> Result<Vec<(WorkspaceId, Days)>> {
    let sql = "SELECT workspace, allowed, own FROM retention WHERE kind = $1 AND workspace > $2
               AND (allowed IS NOT NULL OR own IS NOT NULL) ORDER BY workspace LIMIT $3";
    conn.query(sql, params![kind.name(), after, limit], |row| {
        Ok((WorkspaceId(row.uuid(0)?), days(row, 1)?))
    })
}

/// The condition that a workspace, which is the SQL expression `of`, has no days of its own for a kind.
pub(crate) fn none_of(kind: Kind, of: &str) -> String {
    let kind = kind.name();
    format!(
        "NOT EXISTS (SELECT 1 FROM retention WHERE retention.kind = '{kind}' AND retention.workspace = {of}
           AND (retention.allowed IS NOT NULL OR retention.own IS NOT NULL))"
    )
}

/// The condition that a row, whose workspace is the SQL expression `of`, is of this workspace; or, without one, of a
/// workspace that has no days of its own for deliveries.
pub(crate) fn own_or_none(
    workspace: Option<WorkspaceId>,
    of: &str,
    values: &mut Vec<Value<'static>>,
) -> String {
    let Some(workspace) = workspace else {
        return none_of(Kind::Deliveries, of);
    };
    values.push(workspace.into());
    format!("{of} = ${}", values.len())
}

fn days(row: &Row<'_>, first: usize) -> Result<Days> {
    Ok(Days {
        allowed: row.get(first)?,
        own: row.get(first + 1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_time_holds() {
        for (allowed, own, expected) in [
            (None, None, 720),
            (Some(60), None, 1440),
            (None, Some(7), 168),
            (None, Some(60), 720),
            (Some(3), Some(7), 72),
            (Some(60), Some(40), 960),
        ] {
            let days = Days { allowed, own };
            assert_eq!(days.effective(720, 24), expected, "{days:?}");
        }
    }
}
