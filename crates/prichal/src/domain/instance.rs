//! Integration instances: installing, changing and removing an integration in a workspace.
//!
//! Every change goes through [`save`], which writes the row, the webhooks that differ and the event, so
//! none of the three can be forgotten.

pub mod manifest;

use std::{collections::HashSet, time::Duration};

use prichal_core::{
    entity,
    event::{EntityKind, NewEvent, Origin},
    health::{self, Effect},
    id::{EventId, IntegrationId, WorkspaceId},
    integration::{
        Features, Instance as Model, Kind, SIGNING_SECRET, Secret, Setting, Status, Trigger,
        Webhook as Hook,
    },
    time::Timestamp,
    update_info::UpdateInfo,
};
use prichal_store::{
    Conn, Tx,
    integration::{self, Instance as Row, Integration, Revocation},
    sealed::Column,
    webhook::{self, Key, Webhook},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        Domain, alert,
        webhook::{Secrets, definition},
    },
    error::{Code, Error, Result},
    platform::{
        outgoing::signature::SigningKey,
        vault::{CellRef, Vault},
    },
};

/// A stored instance, with the model that its row and its webhooks make.
#[derive(Clone, Debug)]
pub struct Installed {
    pub row: Row,
    pub model: Model,
}

impl Installed {
    pub fn id(&self) -> IntegrationId {
        self.row.integration.id
    }
}

/// A setting in the form in which it is stored.
#[derive(Serialize, Deserialize)]
struct KeptSetting {
    id: String,
    value: String,
}

/// A secret in the form in which it is sealed.
#[derive(Serialize, Deserialize)]
struct KeptSecret {
    id: String,
    value: String,
    values: Vec<String>,
}

/// Opens the secrets of a row, and adds the webhooks.
pub fn load(vault: &Vault, conn: &mut Conn, row: Row) -> Result<Installed> {
    let hooks = webhook::list(conn, row.workspace, row.integration.id)?;
    let webhooks = hooks
        .iter()
        .filter_map(|hook| definition(vault, hook).transpose())
        .collect::<Result<_>>()?;
    let settings: Vec<KeptSetting> =
        serde_json::from_str(&row.settings).map_err(Error::internal)?;
    let features = serde_json::from_str(&row.features).map_err(Error::internal)?;
    let settings = settings
        .into_iter()
        .map(|KeptSetting { id, value }| Setting { id, value });
    let model = Model {
        base_url: base_url(&row.integration),
        features: Features::from_json(&features),
        status: row.status,
        secrets: open(vault, &row)?,
        settings: settings.collect(),
        webhooks,
    };
    Ok(Installed { row, model })
}

pub fn find(
    vault: &Vault,
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> Result<Option<Installed>> {
    let row = integration::find_instance(conn, workspace, id)?;
    row.map(|row| load(vault, conn, row)).transpose()
}

/// Finds an instance, and locks its row until the end of the transaction.
pub fn find_for_update(
    vault: &Vault,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: IntegrationId,
) -> Result<Option<Installed>> {
    let row = integration::find_instance_for_update(tx, workspace, id)?;
    row.map(|row| load(vault, tx.conn()?, row)).transpose()
}

/// The keys that sign the calls of an instance: every value of its signing secret.
pub fn signing_keys(app: &Domain, row: &Row) -> Vec<SigningKey> {
    let secrets = open(&app.vault, row).unwrap_or_else(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, workspace = %row.workspace, integration.id = %row.integration.id, "cannot open the secrets of integration {}; its calls go out unsigned", row.integration.id);
        Vec::new()
    });
    let signing = secrets
        .into_iter()
        .find(|secret| secret.id == SIGNING_SECRET);
    let values = signing.map(|secret| secret.values).unwrap_or_default();
    values
        .iter()
        .filter_map(|value| SigningKey::parse(value).ok())
        .collect()
}

/// Writes a changed instance, with its webhooks and its event. An unchanged one is not written.
pub fn save(
    vault: &Vault,
    tx: &mut Tx<'_>,
    found: Installed,
    after: Model,
    origin: &Origin,
) -> Result<Installed> {
    let Installed { row, model: before } = found;
    if before == after {
        return Ok(Installed { row, model: before });
    }
    check_size(&before, &after)?;
    let secrets_changed = before.secrets != after.secrets;
    if secrets_changed && row.integration.kind == Kind::Public {
        claim_secrets(vault, tx, &row, &after.secrets)?;
    }
    let row = Row {
        status: after.status,
        features: after.features.to_json().to_string(),
        settings: settings_text(&after.settings)?,
        secrets: if secrets_changed {
            Some(seal(vault, &row, &after.secrets)?)
        } else {
            row.secrets
        },
        update_info: row.update_info.changed(origin),
        ..row
    };
    integration::put_instance(tx, &row)?;
    if before.webhooks != after.webhooks || before.status != after.status {
        save_hooks(vault, tx, &row, &after, origin.at)?;
    }
    append(tx, row.integration.id, &before, &after, origin);
    if before.webhooks != after.webhooks {
        tell_switched(vault, tx, &row, &before, &after, origin)?;
    }
    Ok(Installed { row, model: after })
}

/// Refuses a model that grows beyond [`entity::MAX_TEXT`] bytes. One that was longer before may become smaller.
pub fn check_size(before: &Model, after: &Model) -> Result<()> {
    let size = after.size();
    if size <= entity::MAX_TEXT || size <= before.size() {
        return Ok(());
    }
    let message = format!("The instance is longer than {} bytes.", entity::MAX_TEXT);
    Err(Error::refused(Code::InvalidValue, message))
}

/// Installs an integration. One that is installed already stays as it is.
pub fn install(
    vault: &Vault,
    tx: &mut Tx<'_>,
    integration: Integration,
    origin: &Origin,
) -> Result<Installed> {
    let id = integration.id;
    let status = integration.kind.installed();
    let Some(found) = find_for_update(vault, tx, origin.workspace, id)? else {
        let model = Model::new(base_url(&integration), status);
        let row = Row {
            workspace: origin.workspace,
            integration,
            installed: true,
            round: 1,
            status,
            features: model.features.to_json().to_string(),
            settings: settings_text(&[])?,
            secrets: None,
            update_info: UpdateInfo::created(origin),
        };
        integration::put_instance(tx, &row)?;
        let event = EventId::generate(origin.at);
        let new = model.snapshot(id.0);
        tx.append(NewEvent::create(event, origin, entity(id), new));
        return Ok(Installed { row, model });
    };
    if found.row.installed {
        return Ok(found);
    }
    let row = Row {
        installed: true,
        round: found.row.round + 1,
        update_info: found.row.update_info.clone().changed(origin),
        ..found.row
    };
    integration::put_instance(tx, &row)?;
    let after = Model {
        status,
        ..found.model.clone()
    };
    let found = Installed { row, ..found };
    save(vault, tx, found, after, origin)
}

/// Uninstalls an instance. Its settings and secrets stay for the next install, its webhooks do not. Returns the
/// revocation of the access keys of this install.
pub fn uninstall(
    vault: &Vault,
    tx: &mut Tx<'_>,
    found: Installed,
    origin: &Origin,
) -> Result<Revocation> {
    let revocation = Revocation {
        workspace: found.row.workspace,
        integration: found.id(),
        round: found.row.round,
    };
    integration::revoke(tx, revocation, origin.at)?;
    let row = Row {
        installed: false,
        update_info: found.row.update_info.clone().changed(origin),
        ..found.row
    };
    integration::put_instance(tx, &row)?;
    let after = Model {
        status: Status::NotConfigured,
        webhooks: Vec::new(),
        ..found.model.clone()
    };
    let found = Installed { row, ..found };
    save(vault, tx, found, after, origin)?;
    Ok(revocation)
}

/// Changes the status of an instance, if `change` says so.
pub fn set_status(
    vault: &Vault,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    integration: IntegrationId,
    change: impl Fn(Status) -> Status,
    origin: &Origin,
) -> Result<()> {
    // This is called after every success that ends a streak of failures, so the webhooks are read only if needed.
    let Some(row) = integration::find_instance_for_update(tx, workspace, integration)? else {
        return Ok(());
    };
    let status = change(row.status);
    if !row.installed || status == row.status {
        return Ok(());
    }
    let found = load(vault, tx.conn()?, row)?;
    let after = Model {
        status,
        ..found.model.clone()
    };
    save(vault, tx, found, after, origin)?;
    Ok(())
}

/// Disables a webhook that has failed too often. Its instance shows `failed`.
pub fn switch_off(vault: &Vault, tx: &mut Tx<'_>, key: Key, origin: &Origin) -> Result<()> {
    let Some(found) = find_for_update(vault, tx, key.workspace, key.integration)? else {
        return Ok(());
    };
    let mut after = found.model.clone();
    for hook in after.webhooks.iter_mut().filter(|hook| hook.id == key.id) {
        hook.disabled = true;
    }
    after.status = health::after_failure(after.status, Effect::SwitchOff);
    save(vault, tx, found, after, origin)?;
    Ok(())
}

/// The age of a manifest from which a new instance has never seen the one before. It is well above the time between
/// the arrival of a request and its commit.
const MANIFEST_AGE: Duration = Duration::from_mins(1);

/// Applies a new manifest to an instance: another base URL changes the model, another version makes `setup/upgrade`
/// due. An instance that was made later is left alone. Returns the size of the instance.
fn apply_manifest(
    vault: &Vault,
    tx: &mut Tx<'_>,
    integration: &Integration,
    origin: &Origin,
) -> Result<usize> {
    let found = find_for_update(vault, tx, origin.workspace, integration.id)?;
    let is_older = |found: &Installed| found.row.update_info.created_at <= origin.at + MANIFEST_AGE;
    let Some(found) = found.filter(is_older) else {
        return Ok(0);
    };
    let before = Model {
        base_url: base_url(integration),
        ..found.model.clone()
    };
    if before != found.model {
        let row = Row {
            update_info: found.row.update_info.clone().changed(origin),
            ..found.row.clone()
        };
        integration::put_instance(tx, &row)?;
        append(tx, found.id(), &before, &found.model, origin);
    }
    if integration.version != found.row.integration.version {
        for hook in webhook::list(tx.conn()?, origin.workspace, integration.id)? {
            if kept_definition(&hook).is_some_and(|hook| is_upgrade(&hook)) {
                let due = Webhook {
                    next_tick: Some(origin.at),
                    ..hook
                };
                webhook::update(tx, &due, false)?;
            }
        }
    }
    Ok(found.model.size())
}

/// Refuses secrets of a public integration that another workspace uses already: they identify the workspace of a
/// caller.
pub fn check_secrets(vault: &Vault, conn: &mut Conn, row: &Row, secrets: &[Secret]) -> Result<()> {
    if row.integration.kind != Kind::Public {
        return Ok(());
    }
    for (name, value) in identifying(secrets) {
        for hash in vault.secret_hashes(value) {
            let owner = integration::find_by_secret(conn, row.integration.id, name, &hash)?;
            if owner.is_some_and(|owner| owner != row.workspace) {
                return Err(secret_taken(name));
            }
        }
    }
    Ok(())
}

fn claim_secrets(vault: &Vault, tx: &mut Tx<'_>, row: &Row, secrets: &[Secret]) -> Result<()> {
    check_secrets(vault, tx.conn()?, row, secrets)?;
    let kept = |value: &str| vault.secret_hashes(value).swap_remove(0);
    put_hashes(tx, row, &hashes(secrets, kept))
}

fn put_hashes(tx: &mut Tx<'_>, row: &Row, hashes: &[(String, String)]) -> Result<()> {
    match integration::put_secret_hashes(tx, row.workspace, row.integration.id, hashes)? {
        Some(name) => Err(secret_taken(&name)),
        None => Ok(()),
    }
}

/// Stores the hashes of an instance's secrets under the current master key.
pub fn rehash(vault: &Vault, tx: &mut Tx<'_>, row: &Row) -> Result<()> {
    if row.integration.kind != Kind::Public {
        return Ok(());
    }
    let secrets = open(vault, row)?;
    put_hashes(
        tx,
        row,
        &hashes(&secrets, |value| vault.current_hash(value)),
    )
}

fn secret_taken(name: &str) -> Error {
    Error::violated(
        Code::Conflict,
        "A secret must differ from those of other workspaces",
        "secrets",
        format!("The value of '{name}' is taken."),
    )
}

/// The accepted values of the secrets that identify callers. The signing secret does not.
fn identifying(secrets: &[Secret]) -> impl Iterator<Item = (&str, &str)> {
    let identifying = secrets.iter().filter(|secret| secret.id != SIGNING_SECRET);
    identifying.flat_map(|secret| {
        let values = secret.values.iter();
        values.map(|value| (secret.id.as_str(), value.as_str()))
    })
}

/// The number of new values among a public integration's secrets.
pub fn new_values(found: &Installed, after: &Model) -> usize {
    if found.row.integration.kind != Kind::Public {
        return 0;
    }
    let known: HashSet<_> = identifying(&found.model.secrets).collect();
    let new = identifying(&after.secrets).filter(|value| !known.contains(value));
    new.count()
}

/// The hashes of these values, by which callers are looked up.
fn hashes(secrets: &[Secret], hash: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let mut hashes: Vec<(String, String)> = identifying(secrets)
        .map(|(name, value)| (name.to_owned(), hash(value)))
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

/// Begins the alerts about webhooks that a change has switched off. Others are found over by the watch.
fn tell_switched(
    vault: &Vault,
    tx: &mut Tx<'_>,
    row: &Row,
    before: &Model,
    after: &Model,
    origin: &Origin,
) -> Result<()> {
    let was_called = |id| {
        before
            .webhooks
            .iter()
            .any(|hook| hook.id == id && !hook.disabled)
    };
    let off = after
        .webhooks
        .iter()
        .filter(|hook| hook.disabled && was_called(hook.id));
    for hook in off {
        let key = Key {
            workspace: row.workspace,
            integration: row.integration.id,
            id: hook.id,
        };
        alert::switched_off(vault, tx, key, hook, &row.integration.name, origin)?;
    }
    Ok(())
}

/// Updates the rows of the webhooks from the model.
fn save_hooks(
    vault: &Vault,
    tx: &mut Tx<'_>,
    row: &Row,
    after: &Model,
    now: Timestamp,
) -> Result<()> {
    let (workspace, integration) = (row.workspace, row.integration.id);
    let known = webhook::list(tx.conn()?, workspace, integration)?;
    for gone in known
        .iter()
        .filter(|row| after.webhooks.iter().all(|hook| hook.id != row.key.id))
    {
        webhook::delete(tx, gone.key)?;
    }
    for (hook, position) in after.webhooks.iter().zip(0..) {
        let live = !hook.disabled && after.status.is_running();
        let text = hook.kept().to_string();
        match known.iter().find(|row| row.key.id == hook.id) {
            None => {
                let key = Key {
                    workspace,
                    integration,
                    id: hook.id,
                };
                let next_tick = first_tick(hook, now);
                let secrets = Secrets::default().after(&hook.settings);
                let row = Webhook {
                    secrets: secrets.seal(vault, key)?,
                    ..new_row(key, text, position, live, next_tick)
                };
                webhook::insert(tx, &row)?;
            }
            Some(row) => {
                let known = Secrets::open(vault, row)?;
                let secrets = known.after(&hook.settings);
                let is_same = row.definition == text && row.position == position;
                if is_same && row.live == live && secrets == known {
                    continue;
                }
                let change = Change::of(row, hook, live, now);
                let row = Webhook {
                    secrets: if secrets == known {
                        row.secrets.clone()
                    } else {
                        secrets.seal(vault, row.key)?
                    },
                    definition: text,
                    position,
                    live,
                    next_tick: change.next_tick,
                    ..row.clone()
                };
                webhook::update(tx, &row, change.revived)?;
            }
        }
    }
    Ok(())
}

/// The effect of a new definition on an existing webhook.
struct Change {
    /// True if the webhook starts again at the end of the log.
    revived: bool,
    next_tick: Option<Timestamp>,
}

impl Change {
    fn of(row: &Webhook, hook: &Hook, live: bool, now: Timestamp) -> Self {
        let period = |hook: &Hook| match hook.trigger {
            Trigger::Schedule(period) => Some(period),
            Trigger::EntityEvent(_) => None,
        };
        let old = kept_definition(row).as_ref().and_then(period);
        let new = period(hook);
        let revived = live && (!row.live || old.is_some() != new.is_some());
        let next_tick = if revived || old != new {
            first_tick(hook, now)
        } else {
            row.next_tick
        };
        Self { revived, next_tick }
    }
}

/// The first tick of a schedule, one period from now.
fn first_tick(hook: &Hook, now: Timestamp) -> Option<Timestamp> {
    match hook.trigger {
        Trigger::Schedule(period) => Some(now + period),
        Trigger::EntityEvent(_) => None,
    }
}

fn new_row(
    key: Key,
    definition: String,
    position: i64,
    live: bool,
    next_tick: Option<Timestamp>,
) -> Webhook {
    Webhook {
        key,
        definition,
        position,
        live,
        next_tick,
        cursor: 0,
        owner: None,
        fence: 0,
        streak: health::Streak::default(),
        secrets: None,
    }
}

fn append(tx: &mut Tx<'_>, id: IntegrationId, before: &Model, after: &Model, origin: &Origin) {
    let event = EventId::generate(origin.at);
    let (old, new) = (before.snapshot(id.0), after.snapshot(id.0));
    tx.append(NewEvent::patch(event, origin, entity(id), old, new));
}

fn entity(id: IntegrationId) -> prichal_core::event::Entity {
    (EntityKind::Integration, id.0)
}

/// The definition of a webhook without the values of secret headers.
fn kept_definition(row: &Webhook) -> Option<Hook> {
    serde_json::from_str(&row.definition)
        .ok()
        .and_then(|json| Hook::from_kept(&json))
}

/// True for the standard webhook that is called about new versions (`docs/contracts/kontur.md §9`).
fn is_upgrade(hook: &Hook) -> bool {
    let path = hook
        .relative_url
        .split(['?', '#'])
        .next()
        .unwrap_or_default();
    let path = path.trim_end_matches('/');
    matches!(hook.trigger, Trigger::Schedule(_))
        && (path == "setup/upgrade" || path.ends_with("/setup/upgrade"))
}

fn base_url(integration: &Integration) -> Option<String> {
    let url = &integration.base_url;
    (!url.is_empty()).then(|| url.clone())
}

fn settings_text(settings: &[Setting]) -> Result<String> {
    let kept: Vec<KeptSetting> = settings
        .iter()
        .cloned()
        .map(|Setting { id, value }| KeptSetting { id, value })
        .collect();
    serde_json::to_string(&kept).map_err(Error::internal)
}

/// The cell that an instance's secrets are sealed for.
fn cell(row: &Row) -> CellRef {
    let column = Column::InstanceSecrets.name();
    CellRef::new(column, &[&row.workspace, &row.integration.id])
}

fn seal(vault: &Vault, row: &Row, secrets: &[Secret]) -> Result<Vec<u8>> {
    let kept: Vec<KeptSecret> = secrets
        .iter()
        .cloned()
        .map(|Secret { id, value, values }| KeptSecret { id, value, values })
        .collect();
    let text = serde_json::to_vec(&kept).map_err(Error::internal)?;
    Ok(vault.seal(&cell(row), &text))
}

fn open(vault: &Vault, row: &Row) -> Result<Vec<Secret>> {
    let Some(sealed) = &row.secrets else {
        return Ok(Vec::new());
    };
    let text = vault.open(&cell(row), sealed).ok_or_else(|| {
        Error::internal("the secrets of an instance were sealed with another master key")
    })?;
    let kept: Vec<KeptSecret> = serde_json::from_slice(&text).map_err(Error::internal)?;
    Ok(kept
        .into_iter()
        .map(|KeptSecret { id, value, values }| Secret { id, value, values })
        .collect())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
