//! The attempts of earlier versions, which had a row each. They are only read, until they expire.

use std::fmt::Write as _;

use prichal_core::{
    id::{EventId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};

use super::{Attempt, AttemptFilter, Exchange, STATUSES, first_id};
use crate::{
    Conn, Result, Tx, usage,
    value::{Value, params},
};

/// Lists attempts of an instance, newest first.
pub(super) fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    integration: IntegrationId,
    filter: &AttemptFilter,
    limit: i64,
) -> Result<Vec<Attempt>> {
    let AttemptFilter {
        webhook,
        event,
        status,
        before,
        since,
    } = filter;
    let mut values = params![workspace, integration, limit].to_vec();
    let mut conditions = String::new();
    // A condition is written only when it is asked for, so that the engine can use its indexes.
    let mut only = |condition: &str, value: Value<'static>| {
        values.push(value);
        let _ = write!(conditions, " AND {condition} ${}", values.len());
    };
    if let Some(before) = before {
        only("id <", (*before).into());
    }
    if let Some(since) = since {
        only("id >=", first_id(*since).into());
    }
    if let Some(event) = event {
        only("event =", (*event).into());
        // Ids are ordered by time, and no attempt for an event is older than the event.
        only(
            "id >=",
            format!("{}-0000-0000-0000-000000000000", &event.to_string()[..13]).into(),
        );
    }
    if let Some(webhook) = webhook {
        only("webhook =", (*webhook).into());
    }
    if let Some(status) = status {
        only("status =", status.clone().into());
        if status != STATUSES[0] {
            // Failed attempts have a partial index. The engine does not see from an equality that the index applies.
            conditions.push_str(" AND status <> 'delivered'");
        }
    }
    conn.query(
        &format!(
            "SELECT id, webhook, event, seq, attempt, status, http_status, duration_ms, error, answer, started_at FROM attempt
             WHERE workspace = $1 AND integration = $2{conditions} ORDER BY id DESC LIMIT $3"
        ),
        &values,
        |row| {
            let status: String = row.get(5)?;
            Ok(Attempt {
                id: row.uuid(0)?,
                webhook: WebhookId(row.uuid(1)?),
                event: EventId(row.uuid(2)?),
                seq: row.get(3)?,
                about: None,
                attempt: row.get(4)?,
                status: STATUSES.into_iter().find(|known| *known == status).unwrap_or(STATUSES[1]),
                http_status: row.get(6)?,
                duration_ms: row.get(7)?,
                error: row.get(8)?,
                answer: row.get(9)?,
                started_at: row.time(10)?,
                is_replay: false,
                exchange: Exchange::default(),
            })
        },
    )
}

/// Lists the owners of attempts older than `before`, at most `limit`: instances, channels that send, and in each
/// workspace the hooks marked by the integration ids `targets`.
pub fn with_attempts_before(
    conn: &mut Conn,
    before: Timestamp,
    limit: i64,
    targets: &[IntegrationId],
) -> Result<Vec<(WorkspaceId, IntegrationId)>> {
    let of_targets = targets.iter().map(|target| {
        format!(
            "UNION ALL SELECT id, '{target}' FROM workspace w WHERE EXISTS (
               SELECT 1 FROM attempt a WHERE a.workspace = w.id AND a.integration = '{target}' AND a.id < $1)"
        )
    });
    let sql = format!(
        "SELECT workspace, integration FROM instance i WHERE EXISTS (
           SELECT 1 FROM attempt a WHERE a.workspace = i.workspace AND a.integration = i.integration AND a.id < $1)
         UNION ALL SELECT workspace, id FROM channel c WHERE EXISTS (
           SELECT 1 FROM attempt a WHERE a.workspace = c.workspace AND a.integration = c.id AND a.id < $1)
         {} LIMIT $2",
        of_targets.collect::<String>()
    );
    conn.query(&sql, params![first_id(before), limit], |row| {
        Ok((WorkspaceId(row.uuid(0)?), IntegrationId(row.uuid(1)?)))
    })
}

/// Deletes attempts of an instance older than `before`, at most `limit`. Returns their number.
pub fn forget(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    before: Timestamp,
    limit: i64,
) -> Result<u64> {
    usage::remove(
        tx,
        &usage::ATTEMPTS,
        "workspace = $1 AND integration = $2 AND id IN (
           SELECT id FROM attempt WHERE workspace = $1 AND integration = $2 AND id < $3 ORDER BY id LIMIT $4)",
        params![workspace, integration, first_id(before), limit],
    )
}
