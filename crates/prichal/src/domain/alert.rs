//! Alerts: the beginning and the end of each, in the transaction that finds them (`docs/contracts/prichal.md §6.5`).

use std::time::Duration;

use prichal_core::{
    alert::{
        Alert, Kind, Source, SourceKind,
        condition::{Finding, Open, Step, step},
        settings::{AlertSettings, Kept},
        shortened,
    },
    event::{Author, Origin},
    id::{WorkspaceId, generate},
    integration::Webhook,
    schema::Object,
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    alert::{self, Condition},
    delivery_stats, mail, resource, run,
    webhook::Key,
};

use super::channel::{request, script_of};
use crate::{error::Result, platform::vault::Vault};

/// The maximum number of alerts of a workspace, those of the past included.
const MAX_ALERTS: i64 = 10_000;

/// The finding about a thing.
#[derive(Clone, Debug)]
pub struct Observed {
    pub kind: Kind,
    /// The key of the thing, unique among those of the kind.
    pub key: String,
    pub source: Source,
    pub finding: Finding,
    /// The time from which it is so.
    pub since: Timestamp,
    pub message: String,
    pub details: Object,
}

/// The settings of a workspace's alerts.
pub fn settings(conn: &mut Conn, workspace: WorkspaceId) -> Result<AlertSettings> {
    Ok(kept_settings(conn, workspace)?.settings())
}

/// The settings that a workspace has set.
pub fn kept_settings(conn: &mut Conn, workspace: WorkspaceId) -> Result<Kept> {
    let text = alert::find_settings(conn, workspace)?;
    Ok(text.map(|text| Kept::from_text(&text)).unwrap_or_default())
}

/// True if a finding changes anything. Most do not, and so need no write.
pub fn is_due(
    conn: &mut Conn,
    settings: &AlertSettings,
    workspace: WorkspaceId,
    observed: &Observed,
    open: Option<&Condition>,
    now: Timestamp,
) -> Result<bool> {
    let step = next_step(conn, settings, workspace, observed, open, now)?;
    Ok(step != Step::Nothing)
}

fn next_step(
    conn: &mut Conn,
    settings: &AlertSettings,
    workspace: WorkspaceId,
    observed: &Observed,
    open: Option<&Condition>,
    now: Timestamp,
) -> Result<Step> {
    let (kind, mut finding) = (observed.kind, observed.finding);
    let mut timing = settings.timing(kind);
    if !settings.watches(kind, observed.source.id) {
        // An alert that nobody wants any more is over at once.
        finding = Finding::Clear;
        timing.recovery = Duration::ZERO;
    }
    if open.is_none() && finding != Finding::Holds {
        return Ok(Step::Nothing);
    }
    let last = alert::last_begun(conn, workspace, kind, &observed.key)?;
    let open = open.map(|condition| condition.open);
    Ok(step(open, last, finding, timing, now))
}

/// Begins or ends the alert about a thing, as far as a finding asks for it.
pub fn observe(
    vault: &Vault,
    tx: &mut Tx<'_>,
    settings: &AlertSettings,
    workspace: WorkspaceId,
    observed: &Observed,
    now: Timestamp,
) -> Result<()> {
    let (kind, key) = (observed.kind, &observed.key);
    let found = alert::find_open(tx, workspace, kind, key)?;
    let step = next_step(
        tx.conn()?,
        settings,
        workspace,
        observed,
        found.as_ref(),
        now,
    )?;
    let fresh = |begun_at: Option<Timestamp>| Condition {
        workspace,
        id: generate(now),
        kind,
        key: key.clone(),
        source: observed.source.clone(),
        message: shortened(&observed.message),
        details: observed.details.clone(),
        since: observed.since,
        open: Open {
            begun_at,
            clear_since: None,
        },
    };
    match (step, found) {
        (Step::Wait, _) => add(tx, &fresh(None)).map(drop),
        (Step::Begin, found) => {
            let mut begun = fresh(Some(now));
            if let Some(waiting) = found {
                alert::delete(tx, &waiting)?;
                // It is told as it was found.
                begun.message = waiting.message;
                begun.details = waiting.details;
                begun.since = waiting.since;
            }
            if add(tx, &begun)? {
                tell(vault, tx, settings, &begun, now)?;
            }
            Ok(())
        }
        (Step::Forget, Some(waiting)) => Ok(alert::delete(tx, &waiting)?),
        (Step::SetClear(since), Some(begun)) => Ok(alert::set_clear(tx, &begun, since)?),
        (Step::End, Some(begun)) => {
            alert::end(tx, &begun, now, now + settings.keep)?;
            tell(vault, tx, settings, &begun, now)
        }
        (Step::Nothing | Step::Forget | Step::SetClear(_) | Step::End, _) => Ok(()),
    }
}

/// Adds a condition, unless another node has done it or the workspace has too many.
fn add(tx: &mut Tx<'_>, condition: &Condition) -> Result<bool> {
    let workspace = condition.workspace;
    if !alert::make_room(tx, workspace, MAX_ALERTS)? {
        tracing::warn!(%workspace, "workspace {workspace} has {MAX_ALERTS} open alerts; no other begins");
        return Ok(false);
    }
    Ok(alert::insert(tx, condition)?)
}

/// Tells that an alert has begun or is over, within the transaction that has written it: everything that is to be sent
/// about it is queued here, so that it is sent exactly if the alert is kept.
fn tell(
    vault: &Vault,
    tx: &mut Tx<'_>,
    settings: &AlertSettings,
    condition: &Condition,
    now: Timestamp,
) -> Result<()> {
    let Some(alert) = alert::find(tx.conn()?, condition.workspace, condition.id)? else {
        return Ok(());
    };
    let origin = Origin {
        workspace: condition.workspace,
        author: Author::system(),
        at: now,
    };
    tx.append(alert.event(&origin));
    if !settings.mail.recipients.is_empty() {
        let is_over = alert.over_at.is_some();
        mail::notice(tx, condition.workspace, alert.id, is_over, now)?;
    }
    run_script(vault, tx, settings, &alert, &origin)
}

/// Starts the script of the settings with an alert. One about the script itself does not start it, since that would go
/// round in a circle.
fn run_script(
    vault: &Vault,
    tx: &mut Tx<'_>,
    settings: &AlertSettings,
    alert: &Alert,
    origin: &Origin,
) -> Result<()> {
    let Some(code) = &settings.script else {
        return Ok(());
    };
    let workspace = origin.workspace;
    let kind = resource::Kind::Script;
    let Some(row) = resource::find_by_code(tx.conn()?, workspace, kind, code)? else {
        tracing::warn!(%workspace, "workspace {workspace} has no script `{code}` for its alerts");
        return Ok(());
    };
    if alert.source.kind == SourceKind::Script && alert.source.id == Some(row.id.0) {
        return Ok(());
    }
    let script = script_of(&row)?;
    let run = request::start(vault, workspace, &script, vec![alert.model()], origin.at)?;
    // Without an owner, it is claimed by the next node that looks for runs.
    run::insert(tx, &run, None);
    Ok(())
}

/// A webhook, as alerts name it.
pub fn webhook_source(key: Key, integration: &str) -> Source {
    Source {
        integration: Some(key.integration.0),
        ..Source::new(SourceKind::Webhook, Some(key.id.0)).named(integration)
    }
}

/// The key of a webhook or of the subscription to documents.
pub fn hook_key(key: Key) -> String {
    format!("{}/{}", key.integration, key.id)
}

/// Begins the alert about a webhook that was switched off.
pub fn switched_off(
    vault: &Vault,
    tx: &mut Tx<'_>,
    key: Key,
    hook: &Webhook,
    integration: &str,
    origin: &Origin,
) -> Result<()> {
    let what = format!("The webhook `{}` of {integration}", hook.relative_url);
    let mut details = Object::new();
    let message = if origin.author == Author::system() {
        let figures = delivery_stats::find(tx.conn()?, key, origin.at)?;
        let mut why = String::new();
        if let Some(last) = figures.last_failure {
            let error = last.error.lines().next().unwrap_or_default();
            why = format!(": {error}");
            details.insert("error".to_owned(), error.into());
            details.extend(
                last.http_status
                    .map(|status| ("httpStatus".to_owned(), status.into())),
            );
        }
        format!("{what} was switched off, because its calls failed{why}")
    } else {
        let by = &origin.author.with;
        details.insert("switchedOffBy".to_owned(), by.as_str().into());
        format!("{what} was switched off by {by}")
    };
    let observed = Observed {
        kind: Kind::SwitchedOff,
        key: hook_key(key),
        source: webhook_source(key, integration),
        finding: Finding::Holds,
        since: origin.at,
        message,
        details,
    };
    let settings = settings(tx.conn()?, key.workspace)?;
    observe(vault, tx, &settings, key.workspace, &observed, origin.at)
}

/// Begins the alert about a subscription to documents that was paused.
pub fn paused(vault: &Vault, tx: &mut Tx<'_>, key: Key, now: Timestamp) -> Result<()> {
    let observed = Observed {
        kind: Kind::Paused,
        key: hook_key(key),
        source: Source::new(SourceKind::DocumentHook, Some(key.id.0)),
        finding: Finding::Holds,
        since: now,
        message: "The subscription to documents was paused, because its calls have failed for days"
            .to_owned(),
        details: Object::new(),
    };
    let settings = settings(tx.conn()?, key.workspace)?;
    observe(vault, tx, &settings, key.workspace, &observed, now)
}
