//! The events of failed calls that still have to be delivered.

use std::collections::{HashMap, HashSet};

use prichal_core::id::{IntegrationId, WebhookId, WorkspaceId};

use super::resend::Target;
use crate::{
    Conn, Result,
    value::{Value, params},
};

/// The number of events that one statement looks for.
const LOOKED_FOR_AT_ONCE: usize = 64;

/// Returns those of the events that were neither delivered nor dismissed: they are dead letters, wait for another attempt,
/// or the webhook has not passed them. A dead letter lasts as long as its call in the log.
pub(super) fn of(
    conn: &mut Conn,
    workspace: WorkspaceId,
    events: Vec<Target>,
) -> Result<Vec<Target>> {
    let mut by_webhook: HashMap<(IntegrationId, WebhookId), Vec<i64>> = HashMap::new();
    for event in &events {
        let of = by_webhook.entry((event.integration, event.webhook));
        of.or_default().push(event.seq);
    }
    let mut left = HashSet::new();
    for ((integration, webhook), seqs) in by_webhook {
        let key = params![workspace, integration, webhook];
        let cursor =
            "SELECT cursor FROM webhook WHERE workspace = $1 AND integration = $2 AND id = $3";
        let cursor: Option<i64> = conn.query_one(cursor, key, |row| row.get(0))?;
        let mut add = |seq| {
            left.insert(Target {
                integration,
                webhook,
                seq,
            });
        };
        for some in seqs.chunks(LOOKED_FOR_AT_ONCE) {
            some.iter()
                .filter(|seq| cursor.is_some_and(|cursor| **seq > cursor))
                .for_each(|seq| add(*seq));
            let marks: Vec<String> = (4..4 + some.len()).map(|n| format!("${n}")).collect();
            let which = format!(
                "workspace = $1 AND integration = $2 AND webhook = $3 AND seq IN ({})",
                marks.join(", ")
            );
            let sql = format!(
                "SELECT seq FROM dead_letter WHERE {which}
                 UNION SELECT seq FROM deferred WHERE {which} AND lane IN ('main', 'replay')"
            );
            let mut values = key.to_vec();
            values.extend(some.iter().map(|seq| Value::from(*seq)));
            let waiting = conn.query(&sql, &values, |row| row.get(0))?;
            waiting.into_iter().for_each(&mut add);
        }
    }
    Ok(events
        .into_iter()
        .filter(|event| left.contains(event))
        .collect())
}
