//! Statistics of calls.

use prichal_core::id::WorkspaceId;

use super::Filter;
use crate::{Conn, Result, value::Value};

/// Statistics of a group of calls.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// The id of a user, a phone line, or the number of the day or hour since 1970.
    pub group: Option<String>,
    /// The number of calls that are over. All other members but `active` are about these.
    pub count: i64,
    /// The number of calls in progress.
    pub active: i64,
    pub inbound: i64,
    pub outbound: i64,
    pub internal: i64,
    pub answered: i64,
    pub missed: i64,
    pub talk_ms: i64,
    pub hold_ms: i64,
    /// The sum over the `waits` calls whose waiting time is known.
    pub wait_ms: i64,
    pub waits: i64,
}

/// The criterion by which calls are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupBy {
    User,
    Day,
    Hour,
    Line,
}

/// The condition for a call that is over. What is known of one in progress is not final.
const IS_OVER: &str = "status = 'sealed'";

/// Computes the statistics of a period, for at most `limit` groups.
pub fn totals(
    conn: &mut Conn,
    workspace: WorkspaceId,
    period: &Filter,
    by: GroupBy,
    limit: i64,
) -> Result<Vec<Totals>> {
    let group = match by {
        GroupBy::User => "responsible",
        GroupBy::Line => "line",
        GroupBy::Day => "CAST(begun_at / 86400000000 AS TEXT)",
        GroupBy::Hour => "CAST(begun_at / 3600000000 AS TEXT)",
    };
    let (condition, values) = period.condition();
    let mut all = vec![Value::from(workspace)];
    all.extend(values);
    let sum = |what: &str| {
        format!("CAST(coalesce(sum(CASE WHEN {IS_OVER} THEN {what} ELSE 0 END), 0) AS BIGINT)")
    };
    let count = |what: &str| sum(&format!("CASE WHEN {what} THEN 1 ELSE 0 END"));
    let sql = format!(
        "SELECT {group}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, CAST(sum(CASE WHEN {IS_OVER} THEN 0 ELSE 1 END) AS BIGINT)
         FROM communication c
         WHERE {condition} GROUP BY 1 ORDER BY 1 LIMIT ${}",
        sum("1"),
        count("direction = 'inbound'"),
        count("direction = 'outbound'"),
        count("direction = 'internal'"),
        count("answered = 1"),
        count("missed = 1"),
        sum("talk_ms"),
        sum("hold_ms"),
        sum("coalesce(wait_ms, 0)"),
        count("wait_ms IS NOT NULL"),
        all.len() + 1
    );
    all.push(limit.into());
    conn.query(&sql, &all, |row| {
        Ok(Totals {
            group: row.get(0)?,
            count: row.get(1)?,
            inbound: row.get(2)?,
            outbound: row.get(3)?,
            internal: row.get(4)?,
            answered: row.get(5)?,
            missed: row.get(6)?,
            talk_ms: row.get(7)?,
            hold_ms: row.get(8)?,
            wait_ms: row.get(9)?,
            waits: row.get(10)?,
            active: row.get(11)?,
        })
    })
}
