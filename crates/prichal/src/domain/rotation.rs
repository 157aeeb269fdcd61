//! Rotation of keys while the server runs.
//!
//! A new master key takes over in three steps. Each node decides on them by itself, from the keys that all live nodes
//! announce. While a node does not know the new key, the previous one seals and signs. Once all nodes know the new
//! key, it seals. Once all seal with it, one node reseals the older values in batches. After a crash only the search
//! is repeated: a resealed value is recognized by its first bytes, and a value is replaced only if it has not changed
//! since it was read.

use std::time::Duration;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    id::{IntegrationId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn, Engine, Tx, hub, integration,
    sealed::{self, Column, Sealed},
    webhook,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::{Domain, instance},
    error::{Error, Result},
    platform::{
        audit,
        security::{self, Event},
        session,
        vault::{CellRef, hex},
    },
};

/// The interval between reads of the other nodes' keys.
const NODE_POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The interval between reads of the admin token's file.
const TOKEN_FILE_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The maximum number of rows of a batch.
const BATCH: i64 = 100;

/// The name of a stored text that is sealed with the master key. A wrong master key does not open it.
const SEALED: &str = "sealed";
/// The name of the stored id of the key that all values are sealed with.
const RESEALED: &str = "resealed";
/// The name of the same id with the end of the access keys that earlier keys have signed, in microseconds since 1970.
const RETIRED: &str = "retired";
/// The workspace whose writer writes rows that belong to no workspace.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

fn cell() -> CellRef {
    CellRef::new("hub.value", &[&ANY, &SEALED])
}

/// The ids of the keys that this node knows, as it announces them.
pub fn announced(app: &Domain) -> String {
    let ids = app.vault.ids();
    let ids: Vec<String> = ids.iter().map(|id| hex(id)).collect();
    ids.join(",")
}

/// Refuses a master key that the store's secrets are not sealed with. With it, webhooks would go out unsigned.
pub async fn check_master_key(app: &Domain) -> anyhow::Result<()> {
    let vault = &app.vault;
    let sealed = STANDARD.encode(vault.seal(&cell(), SEALED.as_bytes()));
    let found = app
        .db
        .write(ANY, move |tx| {
            let kept = hub::find_or_put(tx, SEALED, &sealed)?;
            let conn = tx.conn()?;
            let (resealed, retired) = (hub::find(conn, RESEALED)?, hub::find(conn, RETIRED)?);
            Ok::<_, Error>((kept, resealed, retired))
        })
        .await;
    let (kept, resealed, retired) =
        found.context("cannot read which master key the store belongs to")?;
    let sealed = kept.and_then(|kept| STANDARD.decode(kept).ok());
    let opened = sealed.as_ref().and_then(|kept| vault.open(&cell(), kept));
    anyhow::ensure!(
        opened.as_deref() == Some(SEALED.as_bytes()),
        "the secrets of this store are not sealed with this `master-key`; set the right key back, or set it as `previous-master-key` beside the new one"
    );
    // The id of a key is stored, so all values are sealed for their cells.
    if resealed.is_some() {
        vault.refuse_unbound();
    }
    // The previous key seals until the text is sealed with the current one, which is done once all nodes know it. A
    // text that is bound to no cell is older than rotations, and was sealed with the only key.
    let is_current = sealed.is_some_and(|sealed| vault.is_current(&sealed));
    vault.hold_back(!is_current);
    if let Some(end) = end_of(app, retired.as_deref()) {
        vault.retire_previous(end);
    }
    Ok(())
}

/// The end of the access keys of earlier master keys, if it is stored for the current key.
fn end_of(app: &Domain, retired: Option<&str>) -> Option<Timestamp> {
    let (id, end) = retired?.split_once(' ')?;
    let is_ours = id == hex(&app.vault.id());
    let end = end.parse().ok().filter(|_| is_ours)?;
    Some(Timestamp::from_micros(end))
}

/// The end as it is stored when all values have just been resealed.
fn ending(app: &Domain) -> String {
    let end: Timestamp = app.clock.now() + app.config.access_key_ttl;
    format!("{} {}", hex(&app.vault.id()), end.micros())
}

fn is_finished(app: &Domain, resealed: Option<&str>) -> bool {
    resealed == Some(hex(&app.vault.id()).as_str())
}

/// Rotates the keys until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        let (mut is_done, mut waits) = (false, false);
        let mut known_token = None;
        loop {
            if !is_done {
                is_done = turn(&app, &mut waits).await.unwrap_or_else(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot rotate the master key"
                    );
                    false
                });
            }
            if app.admin_token.reload() {
                audit::note(&app, "server.reload_admin_token", None, None);
            }
            end_sessions(&app, &mut known_token).await;
            app.clock
                .sleep(if is_done {
                    TOKEN_FILE_POLL_INTERVAL
                } else {
                    NODE_POLL_INTERVAL
                })
                .await;
        }
    };
    stop.run_until_cancelled(work).await;
    Ok(())
}

/// Ends the sessions of an earlier admin token, if the present one is not the known one.
async fn end_sessions(app: &Domain, known: &mut Option<String>) {
    let present = Some(app.admin_token.fingerprint());
    if *known == present {
        return;
    }
    match session::end_of_earlier_admin(app).await {
        Ok(()) => *known = present,
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot end the sessions of an earlier admin token; trying again"
        ),
    }
}

/// A node and the keys that it knows.
struct Node {
    id: Uuid,
    /// The keys that it knows, first the one it seals with.
    keys: Vec<String>,
}

/// The next step of the rotation, by the keys that the nodes know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Some node does not know the current key.
    Wait,
    /// All nodes know the current key, so it seals from now on.
    Seal,
    /// All nodes seal with it. The other values are resealed, by this node or by another.
    Reseal { here: bool },
}

fn stage(nodes: &[Node], this: Uuid, key: &str) -> Stage {
    let first = nodes.iter().map(|node| node.id).min();
    let knows = |node: &Node| node.keys.iter().any(|known| known == key);
    let seals = |node: &Node| node.keys.first().is_some_and(|first| first == key);
    if !nodes.iter().any(|node| node.id == this) || !nodes.iter().all(knows) {
        Stage::Wait
    } else if !nodes.iter().all(seals) {
        Stage::Seal
    } else {
        Stage::Reseal {
            here: first == Some(this),
        }
    }
}

/// Performs the next step. True if the rotation is complete. `waits` is set once the wait for another node was logged.
async fn turn(app: &Domain, waits: &mut bool) -> Result<bool> {
    let resealed = app
        .db
        .read(|conn| Ok::<_, Error>(hub::find(conn, RESEALED)?))
        .await?;
    if !app.vault.is_held_back() && is_finished(app, resealed.as_deref()) {
        retire(app).await?;
        return Ok(true);
    }
    let nodes = nodes(app).await?;
    match stage(&nodes, app.node, &hex(&app.vault.id())) {
        Stage::Wait => {
            if nodes.len() > 1 && !std::mem::replace(waits, true) {
                tracing::info!("another node does not know the new master key yet");
            }
        }
        Stage::Seal => begin(app).await?,
        Stage::Reseal { here: false } => {}
        Stage::Reseal { here: true } => {
            begin(app).await?;
            let count = reseal_all(app).await?;
            let (id, end) = (hex(&app.vault.id()), ending(app));
            let write = move |tx: &mut Tx<'_>| {
                hub::put(tx, RETIRED, &end)?;
                Ok::<_, Error>(hub::put(tx, RESEALED, &id)?)
            };
            app.db.write(ANY, write).await?;
            if count > 0 {
                tracing::info!(
                    values = count,
                    "{count} values were resealed with the new master key"
                );
            }
        }
    }
    Ok(false)
}

async fn nodes(app: &Domain) -> Result<Vec<Node>> {
    if app.db.engine() == Engine::Sqlite {
        // An SQLite file belongs to this process alone.
        let keys = announced(app).split(',').map(str::to_owned).collect();
        return Ok(vec![Node { id: app.node, keys }]);
    }
    let now = app.clock.now();
    let found = app
        .db
        .read(move |conn| Ok::<_, Error>(webhook::list_nodes(conn, now)?))
        .await?;
    let node = |(id, keys): (Uuid, String)| Node {
        id,
        keys: keys.split(',').map(str::to_owned).collect(),
    };
    Ok(found.into_iter().map(node).collect())
}

/// Makes the current key the sealing one. From then on the store refuses nodes that do not know it.
async fn begin(app: &Domain) -> Result<()> {
    let kept = app
        .db
        .read(|conn| Ok::<_, Error>(hub::find(conn, SEALED)?))
        .await?;
    let kept = kept.unwrap_or_default();
    let known = STANDARD.decode(&kept).unwrap_or_default();
    if !app.vault.is_current(&known) {
        let new = app.vault.seal_anew(&cell(), SEALED.as_bytes());
        let new = STANDARD.encode(new);
        app.db
            .write(ANY, move |tx| {
                Ok::<_, Error>(hub::replace(tx, SEALED, &kept, &new)?)
            })
            .await?;
    }
    if app.vault.is_held_back() {
        app.vault.hold_back(false);
        security::record(Event::MasterKeyReplaced, None, &hex(&app.vault.id()));
        audit::note(app, "server.replace_master_key", None, None);
        tracing::info!(
            "the new master key seals from now on; values of the previous one are resealed"
        );
    }
    Ok(())
}

/// Sets the end of the access keys of the previous master key. It is stored, so that neither a restart nor a previous
/// key that stays configured moves it.
async fn retire(app: &Domain) -> Result<()> {
    if !app.vault.has_previous() {
        return Ok(());
    }
    let at = app.clone();
    let write = move |tx: &mut Tx<'_>| {
        let kept = hub::find(tx.conn()?, RETIRED)?;
        if let Some(end) = end_of(&at, kept.as_deref()) {
            return Ok::<_, Error>(Some(end));
        }
        // The store was resealed by a version that did not store the end.
        let end = ending(&at);
        hub::put(tx, RETIRED, &end)?;
        Ok(end_of(&at, Some(&end)))
    };
    let from = app.db.write(ANY, write).await?;
    let from = from.ok_or_else(|| Error::internal("the end of a master key is damaged"))?;
    app.vault.retire_previous(from);
    security::record(Event::MasterKeyRetired, None, &hex(&app.vault.id()));
    audit::note(app, "server.retire_master_key", None, None);
    tracing::info!(%from, "all values are sealed with the new master key: the previous one is not needed any more; access keys that it has signed are refused from {from} on");
    Ok(())
}

/// Reseals all values that are not sealed with the current key, and returns their number.
async fn reseal_all(app: &Domain) -> Result<usize> {
    let mut count = 0;
    for column in Column::ALL {
        let mut after: Option<Vec<String>> = None;
        loop {
            let prefix = beginning(app, column);
            let from = after.clone();
            let read = move |conn: &mut Conn| {
                Ok::<_, Error>(sealed::list(conn, column, &prefix, from.as_deref(), BATCH)?)
            };
            let stretch = app.db.read(read).await?;
            count += reseal(app, column, stretch.stale).await?;
            after = stretch.last;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(count)
}

/// The first bytes of a column's values that are sealed with the current key.
fn beginning(app: &Domain, column: Column) -> Vec<u8> {
    let prefix = app.vault.prefix();
    if column.is_text() {
        // Six bytes are eight characters.
        STANDARD.encode(prefix).into_bytes()
    } else {
        prefix.to_vec()
    }
}

/// Reseals values, those of one workspace in one write.
async fn reseal(app: &Domain, column: Column, mut stale: Vec<Sealed>) -> Result<usize> {
    let mut count = 0;
    while let Some(first) = stale.first() {
        let workspace = first.workspace()?;
        let others = stale
            .iter()
            .position(|other| other.row.first() != first.row.first());
        let rest = stale.split_off(others.unwrap_or(stale.len()));
        let renewed: Vec<(Sealed, Vec<u8>)> = std::mem::replace(&mut stale, rest)
            .into_iter()
            .filter_map(|old| Some((old.clone(), renewed(app, column, &old)?)))
            .collect();
        count += renewed.len();
        let at = app.clone();
        let write = move |tx: &mut Tx<'_>| {
            for (old, new) in &renewed {
                if sealed::replace(tx, column, old, new)? && column == Column::InstanceSecrets {
                    rehash(&at, tx, workspace, old)?;
                }
            }
            Ok::<_, Error>(())
        };
        app.db.write(workspace, write).await?;
    }
    Ok(count)
}

/// A value sealed with the current key. `None` if no key opens it.
fn renewed(app: &Domain, column: Column, old: &Sealed) -> Option<Vec<u8>> {
    let row: Vec<&dyn std::fmt::Display> = old.row.iter().map(|part| part as _).collect();
    let cell = CellRef::new(column.name(), &row);
    let sealed = if column.is_text() {
        STANDARD.decode(&old.value).unwrap_or_default()
    } else {
        old.value.clone()
    };
    let Some(text) = app.vault.open(&cell, &sealed) else {
        // The key of an idempotent answer's row contains a value of its sender.
        let object = old.row.get(1).filter(|_| !column.is_text());
        let object = format!("{}:{}", column.name(), object.map_or("", String::as_str));
        security::record(Event::SealedValueLost, old.workspace().ok(), &object);
        return None;
    };
    let new = app.vault.seal_anew(&cell, &text);
    Some(if column.is_text() {
        STANDARD.encode(new).into_bytes()
    } else {
        new
    })
}

/// Stores the hashes of an instance's secrets under the current key.
fn rehash(app: &Domain, tx: &mut Tx<'_>, workspace: WorkspaceId, row: &Sealed) -> Result<()> {
    let id = row.row.get(1).and_then(|id| IntegrationId::parse(id));
    let Some(id) = id else { return Ok(()) };
    let Some(row) = integration::find_instance(tx.conn()?, workspace, id)? else {
        return Ok(());
    };
    instance::rehash(&app.vault, tx, &row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_seals_when_all_know_it_and_is_the_only_one_when_all_seal_with_it() {
        let node = |id: u128, keys: &[&str]| Node {
            id: Uuid::from_u128(id),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
        };
        let one = Uuid::from_u128(1);
        let at = |nodes: &[Node]| stage(nodes, one, "new");
        let (new, both, old): (&[&str], &[&str], &[&str]) =
            (&["new", "old"], &["old", "new"], &["old"]);
        assert_eq!(at(&[]), Stage::Wait, "it does not live itself");
        assert_eq!(at(&[node(2, new)]), Stage::Wait);
        assert_eq!(at(&[node(1, both)]), Stage::Seal);
        assert_eq!(at(&[node(1, both), node(2, old)]), Stage::Wait);
        assert_eq!(at(&[node(1, both), node(2, &[""])]), Stage::Wait);
        assert_eq!(at(&[node(1, new), node(2, both)]), Stage::Seal);
        assert_eq!(
            at(&[node(1, new), node(2, new)]),
            Stage::Reseal { here: true }
        );
        assert_eq!(
            at(&[node(0, new), node(1, new)]),
            Stage::Reseal { here: false }
        );
    }
}
