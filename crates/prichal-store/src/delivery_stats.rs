//! Figures about the calls of each delivery source: counts by quarter of an hour, and the last calls.

use std::collections::BTreeMap;

use prichal_core::{
    delivery_stats::{Counts, Failure, SHOWN_QUARTERS, Tally, quarter},
    id::{EntityId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};

use crate::{Conn, Result, Tx, value::params, webhook::Key};

/// The key of a channel's figures.
pub fn key_of_channel(workspace: WorkspaceId, channel: EntityId) -> Key {
    Key {
        workspace,
        integration: IntegrationId(channel.0),
        id: WebhookId(channel.0),
    }
}

/// Adds calls to the figures of a source.
pub fn add(tx: &mut Tx<'_>, key: Key, calls: &Tally) -> Result<()> {
    let Key {
        workspace,
        integration,
        id,
    } = key;
    for (quarter, counts) in calls.quarters() {
        let Counts {
            delivered,
            failed,
            total_ms,
            max_ms,
        } = counts;
        tx.run(
            "INSERT INTO delivery_quarter AS q (workspace, integration, webhook, quarter, delivered, failed, total_ms, max_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (workspace, integration, webhook, quarter) DO UPDATE SET delivered = q.delivered + excluded.delivered,
               failed = q.failed + excluded.failed, total_ms = q.total_ms + excluded.total_ms,
               max_ms = CASE WHEN q.max_ms > excluded.max_ms THEN q.max_ms ELSE excluded.max_ms END",
            params![workspace, integration, id, quarter, delivered, failed, total_ms, max_ms],
        )?;
    }
    let failure = calls.last_failure();
    let failed_at = failure.map(|failure| failure.at);
    let failing_since = failed_at.filter(|_| calls.ends_with_failure());
    let error = failure.map(|failure| failure.error.as_str());
    let http_status = failure.and_then(|failure| failure.http_status);
    tx.run(
        "INSERT INTO delivery_last AS l (workspace, integration, webhook, succeeded_at, failed_at, failing_since, error, http_status)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (workspace, integration, webhook) DO UPDATE SET succeeded_at = coalesce(excluded.succeeded_at, l.succeeded_at),
           failing_since = CASE WHEN excluded.failing_since IS NULL THEN NULL
             WHEN excluded.succeeded_at IS NULL THEN coalesce(l.failing_since, excluded.failing_since)
             ELSE excluded.failing_since END,
           error = CASE WHEN excluded.failed_at IS NULL THEN l.error ELSE excluded.error END,
           http_status = CASE WHEN excluded.failed_at IS NULL THEN l.http_status ELSE excluded.http_status END,
           failed_at = coalesce(excluded.failed_at, l.failed_at)",
        params![
            workspace,
            integration,
            id,
            calls.last_success(),
            failed_at,
            failing_since,
            error,
            http_status
        ],
    )
}

/// The figures of a source.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The counts by quarter of an hour, of the day up to now.
    pub quarters: BTreeMap<i64, Counts>,
    pub last_success: Option<Timestamp>,
    pub last_failure: Option<Failure>,
    /// The time of the first failure after the last success.
    pub failing_since: Option<Timestamp>,
}

impl Stats {
    /// Adds later calls, which are not written yet.
    pub fn merge(&mut self, later: &Tally) {
        for (quarter, counts) in later.quarters() {
            self.quarters.entry(quarter).or_default().merge(counts);
        }
        self.last_success = self.last_success.max(later.last_success());
        if let Some(failure) = later.last_failure() {
            self.last_failure = Some(failure.clone());
        }
        if later.ends_with_failure() {
            let at = later.last_failure().map(|failure| failure.at);
            let before = self.failing_since;
            self.failing_since = before.filter(|_| later.last_success().is_none()).or(at);
        } else if later.last_success().is_some() {
            self.failing_since = None;
        }
    }
}

/// Finds the figures of a source for the day up to `now`.
pub fn find(conn: &mut Conn, key: Key, now: Timestamp) -> Result<Stats> {
    let Key {
        workspace,
        integration,
        id,
    } = key;
    let last = quarter(now);
    let quarters = conn.query(
        "SELECT quarter, delivered, failed, total_ms, max_ms FROM delivery_quarter
         WHERE workspace = $1 AND integration = $2 AND webhook = $3 AND quarter > $4 AND quarter <= $5",
        params![workspace, integration, id, last - SHOWN_QUARTERS, last],
        |row| {
            let counts = Counts {
                delivered: row.get(1)?,
                failed: row.get(2)?,
                total_ms: row.get(3)?,
                max_ms: row.get(4)?,
            };
            Ok((row.get::<i64>(0)?, counts))
        },
    )?;
    Ok(Stats {
        quarters: quarters.into_iter().collect(),
        ..find_last(conn, key)?
    })
}

/// Finds the last calls of a source, without its quarters.
pub fn find_last(conn: &mut Conn, key: Key) -> Result<Stats> {
    let Key {
        workspace,
        integration,
        id,
    } = key;
    let found = conn.query_one(
        "SELECT succeeded_at, failed_at, failing_since, error, http_status FROM delivery_last
         WHERE workspace = $1 AND integration = $2 AND webhook = $3",
        params![workspace, integration, id],
        |row| {
            let time = |column| {
                let micros = row.get::<Option<i64>>(column)?;
                Ok::<_, crate::Error>(micros.map(Timestamp::from_micros))
            };
            let error: Option<String> = row.get(3)?;
            let http_status = row.get(4)?;
            let last_failure = time(1)?.map(|at| Failure {
                at,
                error: error.unwrap_or_default(),
                http_status,
            });
            Ok((time(0)?, last_failure, time(2)?))
        },
    )?;
    let (last_success, last_failure, failing_since) = found.unwrap_or_default();
    Ok(Stats {
        quarters: BTreeMap::new(),
        last_success,
        last_failure,
        failing_since,
    })
}

/// Lists sources whose last failure was at or after a time, the earliest first, after one of them. The time is that of
/// the failure.
pub fn list_failed(
    conn: &mut Conn,
    after: (Timestamp, Key),
    limit: i64,
) -> Result<Vec<(Timestamp, Key)>> {
    let (since, key) = after;
    conn.query(
        "SELECT workspace, integration, webhook, failed_at FROM delivery_last
         WHERE failed_at IS NOT NULL AND (failed_at, workspace, integration, webhook) > ($1, $2, $3, $4)
         ORDER BY failed_at, workspace, integration, webhook LIMIT $5",
        params![since, key.workspace, key.integration, key.id, limit],
        |row| {
            let key = Key {
                workspace: WorkspaceId(row.uuid(0)?),
                integration: IntegrationId(row.uuid(1)?),
                id: WebhookId(row.uuid(2)?),
            };
            Ok((row.time(3)?, key))
        },
    )
}

/// Counts the failed calls of all sources of a workspace from the quarter of `from` on. Counts are kept for a day.
pub fn count_failed(conn: &mut Conn, workspace: WorkspaceId, from: Timestamp) -> Result<i64> {
    let sql = "SELECT CAST(coalesce(sum(failed), 0) AS BIGINT) FROM delivery_quarter WHERE workspace = $1 AND quarter >= $2";
    let found = conn.query_one(sql, params![workspace, quarter(from)], |row| row.get(0))?;
    Ok(found.unwrap_or(0))
}

/// Deletes the figures of a source.
pub fn delete(tx: &mut Tx<'_>, key: Key) -> Result<()> {
    for table in ["delivery_quarter", "delivery_last"] {
        let sql = format!(
            "DELETE FROM {table} WHERE workspace = $1 AND integration = $2 AND webhook = $3"
        );
        tx.run(&sql, params![key.workspace, key.integration, key.id])?;
    }
    Ok(())
}

/// Deletes quarters that are not shown any more at `now`, at most `limit`. Returns their number.
pub fn forget(tx: &mut Tx<'_>, now: Timestamp, limit: i64) -> Result<u64> {
    tx.execute(
        "DELETE FROM delivery_quarter WHERE (workspace, integration, webhook, quarter) IN (
           SELECT workspace, integration, webhook, quarter FROM delivery_quarter WHERE quarter <= $1 LIMIT $2)",
        params![quarter(now) - SHOWN_QUARTERS, limit],
    )
}
