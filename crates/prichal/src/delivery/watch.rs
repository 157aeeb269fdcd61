//! The watch: looks for what alerts are about, and begins and ends them (`docs/contracts/prichal.md §6.5`).
//!
//! It reads the states that deliveries and runs write anyway, so they cost nothing more. Only what has failed or lags is
//! looked at, and what has an open alert. Several nodes may find the same; the store lets one of them begin it.

mod certificates;
mod disk;
mod findings;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use prichal_core::{
    alert::{Kind, SourceKind},
    id::{EntityId, IntegrationId, WebhookId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    alert::{self, Condition},
    delivery_stats,
    document_hook::INTEGRATION,
    run, tenant,
    usage::{self, Usage},
    webhook::{self, Key},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::findings::Watch;
use super::{Delivery, Dispatch};
use crate::{
    domain::alert::{is_due, observe, settings},
    error::{Error, Result},
    platform::quota,
};

/// The interval between two looks.
const INTERVAL: Duration = Duration::from_secs(20);
/// The interval between two looks at all certificates.
const CERTIFICATE_INTERVAL: Duration = Duration::from_hours(1);
/// The interval after which the certificates of receivers are noted again, if they are still shown.
const SEEN_INTERVAL: Duration = Duration::from_hours(24);
/// The shortest time of failures that settings can ask for.
const MIN_FAILING: Duration = Duration::from_mins(1);
/// The time within which whatever waits for another attempt has failed last: the longest wait between two attempts,
/// and an hour.
const FAILED_WITHIN: Duration = Duration::from_hours(25);
/// The maximum number of things of a read.
const MAX_PER_READ: i64 = 500;
/// The maximum number of failed runs that are looked at, the last ones.
const MAX_FAILED_RUNS: i64 = 20_000;
/// The maximum number of things that one transaction looks at.
const MAX_TOGETHER: usize = 32;
/// The smallest used part of a quota that settings can ask for, in percent, and the maximum number of workspaces with
/// one that are looked at.
const MIN_QUOTA_PERCENT: i64 = 50;
const MAX_QUOTAS: i64 = 1000;

/// Watches until `stop`.
pub async fn run(app: Delivery, stop: CancellationToken) -> anyhow::Result<()> {
    let watching = async {
        let mut busy = HashSet::new();
        let mut rounds = Rounds::new(app.clock.now());
        loop {
            let began = app.clock.now();
            let now_busy: HashSet<Key> = app.dispatch.busy().into_iter().collect();
            // A webhook that works for a moment does not lag.
            let lagging = now_busy.intersection(&busy).copied().collect();
            if let Err(error) = look(&app, lagging, &mut rounds).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for alerts; trying again"
                );
            }
            busy = now_busy;
            app.clock.sleep_until(began + INTERVAL).await;
        }
    };
    // It may be interrupted anywhere: the next look finds the same.
    stop.run_until_cancelled(watching).await;
    Ok(())
}

/// A thing that alerts may be about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// A webhook, or the subscription to documents.
    Hook(IntegrationId, WebhookId),
    Channel(EntityId),
    /// A script, by its code.
    Script(String),
    Quota(usage::Kind),
    /// A certificate, by its holder.
    Certificate(String),
    /// The disk of a node with its data directory.
    Disk(Uuid),
}

/// The beginning of the keys of certificates.
const CERTIFICATE: &str = "certificate/";

impl Subject {
    /// The thing of an open condition. `None` for one that is not found here.
    fn of(condition: &Condition) -> Option<Self> {
        let source = &condition.source;
        let id = source.id;
        if condition.kind == Kind::Certificate {
            let holder = condition.key.strip_prefix(CERTIFICATE)?;
            return Some(Self::Certificate(holder.to_owned()));
        }
        Some(match source.kind {
            SourceKind::Webhook => Self::Hook(IntegrationId(source.integration?), WebhookId(id?)),
            SourceKind::DocumentHook => Self::Hook(INTEGRATION, WebhookId(id?)),
            SourceKind::Channel => Self::Channel(EntityId(id?)),
            SourceKind::Script => Self::Script(source.name.clone()?),
            SourceKind::Quota => {
                let mut kinds = usage::Kind::ALL.into_iter();
                Self::Quota(kinds.find(|kind| Some(kind.name()) == source.name.as_deref())?)
            }
            SourceKind::Server => Self::Disk(id?),
            SourceKind::Signer | SourceKind::Receiver => return None,
        })
    }
}

type Subjects = BTreeMap<WorkspaceId, BTreeSet<Subject>>;

/// The times of what is looked at less often.
struct Rounds {
    certificates: Timestamp,
    /// The time at which the certificates of receivers count as new.
    seen: Timestamp,
}

impl Rounds {
    fn new(now: Timestamp) -> Self {
        Self {
            certificates: now,
            seen: now + SEEN_INTERVAL,
        }
    }
}

/// Looks once at everything that may begin or end.
async fn look(app: &Delivery, lagging: HashSet<Key>, rounds: &mut Rounds) -> Result<()> {
    let now = app.clock.now();
    let mut subjects = Subjects::new();
    let operator = certificates::operator(app).await?;
    certificates::keep_seen(app, now).await?;
    if now >= rounds.seen {
        app.outgoing.seen.forget();
        rounds.seen = now + SEEN_INTERVAL;
    }
    let mut add = |workspace, subject| {
        subjects.entry(workspace).or_default().insert(subject);
    };
    for key in lagging.iter().copied().chain(failing(app, now).await?) {
        add(key.workspace, Subject::Hook(key.integration, key.id));
    }
    for key in failed(app, now).await? {
        // A channel's figures have its id in both places.
        let subject = if key.integration.0 == key.id.0 {
            Subject::Channel(EntityId(key.id.0))
        } else {
            Subject::Hook(key.integration, key.id)
        };
        add(key.workspace, subject);
    }
    for (workspace, code) in failed_scripts(app, now).await? {
        add(workspace, Subject::Script(code));
    }
    for (workspace, kind) in quotas(app).await? {
        add(workspace, Subject::Quota(kind));
    }
    if let Some(workspace) = operator {
        add(workspace, Subject::Disk(app.node));
    }
    if now >= rounds.certificates {
        for (workspace, holder) in certificates::ending(app, operator, now).await? {
            add(workspace, Subject::Certificate(holder));
        }
        rounds.certificates = now + CERTIFICATE_INTERVAL;
    }
    for (workspace, subject) in open(app).await? {
        add(workspace, subject);
    }
    disk::measure(app);
    for (workspace, subjects) in subjects {
        let subjects: Vec<Subject> = subjects.into_iter().collect();
        for some in subjects.chunks(MAX_TOGETHER) {
            let work = settle(app, workspace, some.to_vec(), lagging.clone());
            if let Err(error) = tenant::scope(Some(workspace), work).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    %workspace,
                    "workspace {workspace}: cannot look for alerts; trying again"
                );
            }
        }
    }
    // Runs that an alert has started have no owner yet.
    app.channels.queue.request_poll();
    Ok(())
}

/// Reads pages of keys with what they are ordered by, each after the last one of the page before.
async fn all_keys<T: Copy + Send + 'static>(
    app: &Delivery,
    first: T,
    page: impl Fn(&mut Conn, (T, Key)) -> prichal_store::Result<Vec<(T, Key)>> + Copy + Send + 'static,
) -> Result<Vec<Key>> {
    let mut all = Vec::new();
    let none = Key {
        workspace: WorkspaceId(Uuid::nil()),
        integration: IntegrationId(Uuid::nil()),
        id: WebhookId(Uuid::nil()),
    };
    let mut after = (first, none);
    loop {
        let read = move |conn: &mut Conn| Ok::<_, Error>(page(conn, after)?);
        let found = app.db.read(read).await?;
        let is_last = is_short(found.len());
        after = found.last().copied().unwrap_or(after);
        all.extend(found.into_iter().map(|(_, key)| key));
        if is_last {
            return Ok(all);
        }
    }
}

/// True for the last page.
fn is_short(found: usize) -> bool {
    i64::try_from(found).is_ok_and(|found| found < MAX_PER_READ)
}

/// The webhooks that fail.
async fn failing(app: &Delivery, now: Timestamp) -> Result<Vec<Key>> {
    let before = now - MIN_FAILING;
    all_keys(app, Timestamp::from_micros(i64::MIN), move |conn, after| {
        webhook::list_failing(conn, before, after, MAX_PER_READ)
    })
    .await
}

/// The sources that have failed lately.
async fn failed(app: &Delivery, now: Timestamp) -> Result<Vec<Key>> {
    all_keys(app, now - FAILED_WITHIN, |conn, after| {
        delivery_stats::list_failed(conn, after, MAX_PER_READ)
    })
    .await
}

/// The scripts of which runs have failed lately.
async fn failed_scripts(app: &Delivery, now: Timestamp) -> Result<Vec<(WorkspaceId, String)>> {
    let since = now - FAILED_WITHIN;
    let read = move |conn: &mut Conn| run::list_failed_scripts(conn, since, MAX_FAILED_RUNS);
    Ok(app.db.read(read).await?)
}

/// The quotas that may be nearly used up.
async fn quotas(app: &Delivery) -> Result<Vec<(WorkspaceId, usage::Kind)>> {
    let server = app.config.quotas.all();
    let read = move |conn: &mut Conn| {
        let found = usage::list_nearly_full(conn, server, MIN_QUOTA_PERCENT, MAX_QUOTAS)?;
        Ok::<_, Error>(found)
    };
    let found = app.db.read(read).await?;
    let mut all = Vec::new();
    for (workspace, used) in &found {
        let nearly = usage::Kind::ALL.into_iter().filter(|kind| {
            used_percent(app, used, *kind).is_some_and(|used| used >= MIN_QUOTA_PERCENT)
        });
        all.extend(nearly.map(|kind| (*workspace, kind)));
    }
    Ok(all)
}

/// The used part of a quota in percent. `None` without a quota.
fn used_percent(app: &Delivery, used: &Usage, kind: usage::Kind) -> Option<i64> {
    let allowed = quota::allowed(&app.config.quotas, used, kind)?;
    Some(
        i64::try_from(i128::from(used.used.get(kind)) * 100 / i128::from(allowed))
            .unwrap_or(i64::MAX),
    )
}

/// The things with open alerts.
async fn open(app: &Delivery) -> Result<Vec<(WorkspaceId, Subject)>> {
    let (mut all, mut after) = (Vec::new(), (WorkspaceId(Uuid::nil()), Uuid::nil()));
    loop {
        let read =
            move |conn: &mut Conn| Ok::<_, Error>(alert::list_open(conn, after, MAX_PER_READ)?);
        let found = app.db.read(read).await?;
        let subjects = found.iter();
        all.extend(subjects.filter_map(|one| Some((one.workspace, Subject::of(one)?))));
        match found.last() {
            Some(last) if !is_short(found.len()) => after = (last.workspace, last.id),
            _ => return Ok(all),
        }
    }
}

/// Looks at some things of a workspace, and writes what begins or ends.
async fn settle(
    app: &Delivery,
    workspace: WorkspaceId,
    subjects: Vec<Subject>,
    lagging: HashSet<Key>,
) -> Result<()> {
    let now = app.clock.now();
    let watch = Watch {
        app: app.clone(),
        workspace,
        lagging,
        now,
    };
    let read = move |conn: &mut Conn| {
        let settings = settings(conn, workspace)?;
        let mut due = Vec::new();
        for subject in &subjects {
            // Read before the findings: an alert that begins meanwhile must not meet a finding from before.
            let open = alert::list_open_about(conn, workspace, &watch.key(subject))?;
            let (_, observed) = watch.observe(conn, subject, &settings)?;
            for one in observed {
                let open = open.iter().find(|open| open.kind == one.kind);
                if is_due(conn, &settings, workspace, &one, open, now)? {
                    due.push(one);
                }
            }
        }
        Ok::<_, Error>((settings, due))
    };
    let (settings, due) = app.db.read(read).await?;
    if due.is_empty() {
        return Ok(());
    }
    let of = app.clone();
    let write = move |tx: &mut Tx<'_>| {
        let mut due = due.iter();
        due.try_for_each(|one| observe(&of.vault, tx, &settings, workspace, one, now))
    };
    app.db.write(workspace, write).await
}

impl Dispatch {
    /// The webhooks of this node that have not come to the end of the log.
    fn busy(&self) -> Vec<Key> {
        let state = self.lock();
        state
            .logs
            .values()
            .flat_map(super::log::Log::busy)
            .collect()
    }
}
