//! Quotas of workspaces: models of entities, contents of files, events, runs of scripts, and the records of
//! everything else that is stored. And the requests that they make in a second.
//!
//! The store counts in the transactions that write. A request that would exceed a quota is refused by a count that is
//! at most a second old. A quota may be exceeded by the writes of that second, which costs less than a read in every
//! write. Deletions are never refused, nor are changes that make an entity smaller ([`growing`]); only their events
//! need room.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use foldhash::HashMap;
use prichal_core::id::WorkspaceId;
use prichal_store::{
    Conn, Tx,
    usage::{self, Bytes, Kind, Usage},
};
use serde_json::{Map, Value};

use crate::{
    config::Quotas,
    error::{Code, Error, RateLimit, Refusal, Result},
    platform::{
        Platform,
        access::Caller,
        cache::Cache,
        request_rate::RequestRates,
        security::{self, Event},
    },
};

/// The percentage of a quota from which it is reported as nearly used up.
const WARNING_PERCENT: i64 = 80;
/// The maximum number of workspaces that the metrics name.
const MAX_NAMED: i64 = 100;

/// The bytes allowed for the form around a file.
const FORM_BYTES: u64 = 4096;

/// The quotas and usage that this node has read.
#[derive(Default)]
pub struct Counts {
    usage: Cache<WorkspaceId, Arc<Usage>>,
    /// The requests of workspaces in the present second.
    rates: RequestRates,
    /// The bytes of uploads in progress, which the store does not count yet.
    coming: Mutex<HashMap<WorkspaceId, i64>>,
    /// The quotas that were reported as nearly used up.
    nearly_full: Mutex<BTreeSet<(WorkspaceId, Kind)>>,
}

impl Counts {
    /// Forgets the quotas of a workspace, after they were changed on this node.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.usage.forget(&workspace);
    }

    fn coming(&self) -> MutexGuard<'_, HashMap<WorkspaceId, i64>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload in progress. Until it is dropped its bytes count as used, so that concurrent uploads cannot use the same
/// free bytes.
pub struct Incoming {
    app: Platform,
    workspace: WorkspaceId,
    bytes: i64,
}

impl Incoming {
    /// Reserves room for a file of the declared length, if there is one.
    pub async fn expect(
        app: &Platform,
        workspace: WorkspaceId,
        declared: Option<u64>,
    ) -> Result<Self> {
        // The form around the file is not part of it.
        let bytes = declared.unwrap_or(0).saturating_sub(FORM_BYTES);
        let mut incoming = Self {
            app: app.clone(),
            workspace,
            bytes: 0,
        };
        incoming.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        admit(app, workspace, &[Kind::Files, Kind::Records], 0).await?;
        Ok(incoming)
    }

    /// Replaces the reservation by the file's real size.
    pub async fn settle(&mut self, bytes: i64) -> Result<()> {
        self.set(bytes);
        admit(&self.app, self.workspace, &[Kind::Files], 0).await
    }

    fn set(&mut self, bytes: i64) {
        let mut coming = self.app.quotas.coming();
        let all = coming.entry(self.workspace).or_default();
        *all = all.saturating_sub(self.bytes).saturating_add(bytes);
        if *all == 0 {
            coming.remove(&self.workspace);
        }
        self.bytes = bytes;
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // The next upload asks the store, which has counted this one by then.
        self.app.quotas.forget(self.workspace);
        self.set(0);
    }
}

/// The quota of a workspace in bytes of a kind; `None` means no limit.
pub fn allowed(server: &Quotas, usage: &Usage, kind: Kind) -> Option<i64> {
    let quota = usage.quota(kind).unwrap_or_else(|| server.get(kind));
    (quota > 0).then_some(quota)
}

async fn usage_of(app: &Platform, workspace: WorkspaceId) -> Result<Arc<Usage>> {
    let now = app.clock.now();
    if let Some(known) = app.quotas.usage.get(&workspace, now) {
        return Ok(known);
    }
    let read = move |conn: &mut Conn| usage::find(conn, workspace);
    let found = Arc::new(app.db.read(read).await?);
    app.quotas.usage.put(workspace, found.clone(), now);
    Ok(found)
}

/// The requests that a workspace may make in a second; `None` means no limit.
pub fn requests(server: &Quotas, usage: &Usage) -> Option<i64> {
    let server = i64::try_from(server.requests).unwrap_or(i64::MAX);
    let most = usage.requests.unwrap_or(server);
    (most > 0).then_some(most)
}

/// Admits a request that adds `kinds` of bytes: within the workspace's requests of a second, and within its quotas. The
/// operator is not counted.
pub async fn admit_request(
    app: &Platform,
    workspace: WorkspaceId,
    caller: &Caller,
    kinds: &[Kind],
) -> Result<()> {
    let usage = usage_of(app, workspace).await?;
    if let Some(most) = requests(&app.config.quotas, &usage)
        && !matches!(caller, Caller::Admin)
        && !app.quotas.rates.take(workspace, most, app.clock.now())
    {
        let limit = RateLimit::WorkspaceRequests(most);
        return Err(Error::TooMany { seconds: 1, limit });
    }
    check(app, workspace, &usage, kinds, 0)
}

/// Refuses to add `bytes` of a kind beyond the quota, or anything once the quota is exceeded.
pub async fn admit(
    app: &Platform,
    workspace: WorkspaceId,
    kinds: &[Kind],
    more: i64,
) -> Result<()> {
    let usage = usage_of(app, workspace).await?;
    check(app, workspace, &usage, kinds, more)
}

fn check(
    app: &Platform,
    workspace: WorkspaceId,
    usage: &Usage,
    kinds: &[Kind],
    more: i64,
) -> Result<()> {
    for kind in kinds {
        let coming = match kind {
            Kind::Files => app.quotas.coming().get(&workspace).copied().unwrap_or(0),
            _ => 0,
        };
        let used = usage.used.get(*kind);
        let Some(allowed) = allowed(&app.config.quotas, usage, *kind) else {
            continue;
        };
        let more = more.saturating_add(coming);
        if used >= allowed || used.saturating_add(more) > allowed {
            let name = kind.name();
            security::record(Event::QuotaReached, Some(workspace), name);
            return Err(exceeded(name, used, allowed));
        }
    }
    Ok(())
}

fn exceeded(name: &str, used: i64, allowed: i64) -> Error {
    let detail = format!("{used} of {allowed} bytes are used");
    Error::Refused(Refusal {
        code: Code::QuotaExceeded,
        message: format!("The quota of {name} is used up: {detail}"),
        constraints: Map::from_iter([(name.to_owned(), Value::String(detail))]),
        quota: Some(Box::new((used, allowed))),
        with_lists: true,
    })
}

/// The room for a write that changes stored entities.
struct Room {
    workspace: WorkspaceId,
    /// Each counted kind with its used and allowed bytes.
    kinds: Vec<(Kind, i64, i64)>,
}

impl Room {
    /// Refuses a growth beyond the room.
    fn check(&self, before: &Bytes, after: &Bytes) -> Result<()> {
        for (kind, used, allowed) in &self.kinds {
            let grown = after.get(*kind) - before.get(*kind);
            if grown > 0 && used.saturating_add(grown) > *allowed {
                security::record(Event::QuotaReached, Some(self.workspace), kind.name());
                return Err(exceeded(kind.name(), *used, *allowed));
            }
        }
        Ok(())
    }
}

/// Runs a write and rolls it back with an error if it grows a kind beyond its quota. A write that makes less of them
/// goes through, however full the quota is.
pub async fn growing<T>(
    app: &Platform,
    workspace: WorkspaceId,
    kinds: &[Kind],
    mut work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> Result<impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static> {
    let usage = usage_of(app, workspace).await?;
    let limited = |kind: &Kind| {
        let allowed = allowed(&app.config.quotas, &usage, *kind)?;
        Some((*kind, usage.used.get(*kind), allowed))
    };
    let room = Room {
        workspace,
        kinds: kinds.iter().filter_map(limited).collect(),
    };
    Ok(move |tx: &mut Tx<'_>| {
        let before = tx.used(workspace);
        let done = work(tx)?;
        room.check(&before, &tx.used(workspace))?;
        Ok(done)
    })
}

/// Reports nearly used up quotas: in the metrics, and once each in the log.
pub async fn watch(app: &Platform) -> Result<()> {
    let quotas = app.config.quotas.all();
    let read =
        move |conn: &mut Conn| usage::list_nearly_full(conn, quotas, WARNING_PERCENT, MAX_NAMED);
    let found = app.db.read(read).await?;
    let mut full = BTreeSet::new();
    for (workspace, usage) in &found {
        for kind in Kind::ALL {
            let (used, allowed) = (
                usage.used.get(kind),
                allowed(&app.config.quotas, usage, kind),
            );
            let Some(allowed) = allowed.filter(|allowed| used >= allowed / 100 * WARNING_PERCENT)
            else {
                continue;
            };
            full.insert((*workspace, kind));
            gauge(*workspace, kind, used, allowed);
        }
    }
    let mut said = app
        .quotas
        .nearly_full
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    for (workspace, kind) in full.difference(&said) {
        tracing::warn!(%workspace, quota = kind.name(), "workspace {workspace} has used {WARNING_PERCENT} % of its quota of {}", kind.name());
    }
    for (workspace, kind) in said.difference(&full) {
        gauge(*workspace, *kind, 0, 1);
    }
    *said = full;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn gauge(workspace: WorkspaceId, kind: Kind, used: i64, allowed: i64) {
    let labels = [
        ("workspace", workspace.to_string()),
        ("quota", kind.name().to_owned()),
    ];
    metrics::gauge!("prichal_quota_used_ratio", &labels).set(used as f64 / allowed as f64);
}
