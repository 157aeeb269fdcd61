//! Quotas of workspaces: models of entities, contents of files, events, runs of scripts, and the records of all else
//! that is kept.
//!
//! The store counts in the transactions that write. A request that would add to what is used up is refused by
//! a count that is at most a second old: that a quota is overshot by what comes in within a second costs
//! less than a read in every write would. What deletes is never refused, nor is a change that makes an entity smaller
//! ([`growing`]): only for events there has to be room.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prichal_core::id::WorkspaceId;
use prichal_store::{
    Conn, Tx,
    usage::{self, Bytes, Kind, Usage},
};
use serde_json::{Map, Value};

use crate::{
    config::Quotas,
    error::{Error, Refusal, Result},
    platform::{
        Platform,
        cache::Cache,
        security::{self, Event},
    },
};

/// From which share on, in percent, a quota is said to be nearly used up.
const NEARLY: i64 = 80;
/// The most workspaces that the metrics name at once.
const NAMED: i64 = 100;

/// The bytes that a form may have around its file.
const FORM: u64 = 4096;

/// The word for a refusal by a quota.
pub const EXCEEDED: &str = "quotaExceeded";

/// Quotas as this node knows them.
#[derive(Default)]
pub struct Counts {
    usage: Cache<WorkspaceId, Arc<Usage>>,
    /// Bytes of files that are coming in and not counted by the store yet.
    coming: Mutex<HashMap<WorkspaceId, i64>>,
    /// Quotas that are nearly used up, and were said to be.
    nearly_full: Mutex<BTreeSet<(WorkspaceId, Kind)>>,
}

impl Counts {
    /// Forgets what is known of a workspace: its quotas were changed here.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.usage.forget(&workspace);
    }

    fn coming(&self) -> MutexGuard<'_, HashMap<WorkspaceId, i64>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is coming in, counted among what its workspace uses until this is dropped: uploads that go on at
/// the same time cannot all fit into the same room.
pub struct Incoming {
    app: Platform,
    workspace: WorkspaceId,
    bytes: i64,
}

impl Incoming {
    /// Makes room for a file of which the client says how long it is, if it does.
    pub async fn expect(
        app: &Platform,
        workspace: WorkspaceId,
        declared: Option<u64>,
    ) -> Result<Self> {
        // The form around the file is no part of it.
        let bytes = declared.unwrap_or(0).saturating_sub(FORM);
        let mut incoming = Self {
            app: app.clone(),
            workspace,
            bytes: 0,
        };
        incoming.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        admit(app, workspace, &[Kind::Files, Kind::Records], 0).await?;
        Ok(incoming)
    }

    /// The file has come, and has so many bytes.
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
        // The next one asks the store, which has counted it now.
        self.app.quotas.forget(self.workspace);
        self.set(0);
    }
}

/// The bytes of a kind that a workspace may take up; none is no limit.
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

/// Refuses to add so many bytes of a kind, or anything of a kind of which there is too much already.
pub async fn admit(
    app: &Platform,
    workspace: WorkspaceId,
    kinds: &[Kind],
    more: i64,
) -> Result<()> {
    let usage = usage_of(app, workspace).await?;
    for kind in kinds {
        let coming = app.quotas.coming().get(&workspace).copied();
        let coming = coming.filter(|_| *kind == Kind::Files).unwrap_or(0);
        let used = usage.used.get(*kind);
        let Some(allowed) = allowed(&app.config.quotas, &usage, *kind) else {
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
        status: EXCEEDED,
        message: format!("The quota of {name} is used up: {detail}"),
        constraints: Map::from_iter([(name.to_owned(), Value::String(detail))]),
        with_lists: true,
    })
}

/// The room that a write has which changes what is there.
struct Room {
    workspace: WorkspaceId,
    /// The kinds that are counted, how much of each is used, and how much may be.
    kinds: Vec<(Kind, i64, i64)>,
}

impl Room {
    /// Refuses to make more of something than there is room for.
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

/// Makes a write refuse itself when it leaves more of some kinds than it has found and than there may be. What makes
/// less of them goes through, whatever is used up.
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

/// Reports the quotas that are nearly used up: once each in the log, and in the metrics.
pub async fn watch(app: &Platform) -> Result<()> {
    let quotas = app.config.quotas.all();
    let read = move |conn: &mut Conn| usage::list_nearly_full(conn, quotas, NEARLY, NAMED);
    let found = app.db.read(read).await?;
    let mut full = BTreeSet::new();
    for (workspace, usage) in &found {
        for kind in Kind::ALL {
            let (used, allowed) = (
                usage.used.get(kind),
                allowed(&app.config.quotas, usage, kind),
            );
            let Some(allowed) = allowed.filter(|allowed| used >= allowed / 100 * NEARLY) else {
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
        tracing::warn!(%workspace, quota = kind.name(), "a quota is used up to {NEARLY} %");
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
