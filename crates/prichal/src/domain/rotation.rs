//! Keys that are exchanged for others while the server runs.
//!
//! A master key takes the place of another in three steps, each of which a node decides for itself from what
//! all that are alive say of themselves: as long as one of them does not know the current key, the previous
//! one seals and signs. Once all know it, it seals. Once all seal with it, one node seals anew whatever was
//! sealed before, step by step. A crash costs nothing but the search: what was sealed anew is known by its
//! first bytes, and a value is replaced only if it is still the one that was read.

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
        security::{self, Event},
        vault::{Place, hex},
    },
};

/// The wait between two looks at the other nodes.
const OFTEN: Duration = Duration::from_secs(1);
/// The wait between two looks at the file of the admin token.
const SELDOM: Duration = Duration::from_secs(5);
/// The rows that one step looks at.
const STEP: i64 = 100;

/// The name of the text that only the right master key opens.
const SEALED: &str = "sealed";
/// The name of the id of the key that everything is sealed with.
const RESEALED: &str = "resealed";
/// The name of that id with the end of the access keys that were signed before, in microseconds since 1970.
const RETIRED: &str = "retired";
/// What belongs to no workspace is written by the writer of this one.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

fn place() -> Place {
    Place::new("hub.value", &[&ANY, &SEALED])
}

/// The ids of the keys that this node knows, as it tells the others.
pub fn announced(app: &Domain) -> String {
    let ids = app.vault.ids();
    let ids: Vec<String> = ids.iter().map(|id| hex(id)).collect();
    ids.join(",")
}

/// Refuses to go on with another master key than the one that the store's secrets are sealed with: webhooks
/// would go out unsigned.
pub async fn check_master_key(app: &Domain) -> anyhow::Result<()> {
    let vault = &app.vault;
    let sealed = STANDARD.encode(vault.seal(&place(), SEALED.as_bytes()));
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
    let opened = sealed.as_ref().and_then(|kept| vault.open(&place(), kept));
    anyhow::ensure!(
        opened.as_deref() == Some(SEALED.as_bytes()),
        "the master key is not the one that this store's secrets are sealed with; put the right one back, or beside the new one as the previous one"
    );
    // By whichever key: from then on all that is sealed has a place.
    if resealed.is_some() {
        vault.refuse_unbound();
    }
    // Until every node knows the current key. A text from before there were places was sealed with the only
    // key there was.
    let is_current = sealed.is_some_and(|sealed| vault.is_current(&sealed));
    vault.hold_back(!is_current);
    if let Some(end) = end_of(app, retired.as_deref()) {
        vault.retire_previous(end);
    }
    Ok(())
}

/// The end of the access keys of earlier master keys, where it is known for the current one.
fn end_of(app: &Domain, retired: Option<&str>) -> Option<Timestamp> {
    let (id, end) = retired?.split_once(' ')?;
    let is_ours = id == hex(&app.vault.id());
    let end = end.parse().ok().filter(|_| is_ours)?;
    Some(Timestamp::from_micros(end))
}

/// The same as it is kept, where everything has been sealed anew at this moment.
fn ending(app: &Domain) -> String {
    let end: Timestamp = app.clock.now() + app.config.access_key_ttl;
    format!("{} {}", hex(&app.vault.id()), end.micros())
}

fn is_finished(app: &Domain, resealed: Option<&str>) -> bool {
    resealed == Some(hex(&app.vault.id()).as_str())
}

/// Looks after the keys until `stop`.
pub async fn run(app: Domain, stop: CancellationToken) -> anyhow::Result<()> {
    let work = async {
        let (mut is_done, mut waits) = (false, false);
        loop {
            if !is_done {
                is_done = turn(&app, &mut waits).await.unwrap_or_else(|error| {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "cannot look after the master key"
                    );
                    false
                });
            }
            app.admin_token.reload();
            app.clock.sleep(if is_done { SELDOM } else { OFTEN }).await;
        }
    };
    stop.run_until_cancelled(work).await;
    Ok(())
}

/// A node and the keys that it knows.
struct Node {
    id: Uuid,
    /// The keys that it knows, first the one it seals with.
    keys: Vec<String>,
}

/// The next step with the current key, by the keys that the nodes know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Some node does not know it.
    Wait,
    /// All know it: it seals from now on.
    Seal,
    /// All seal with it: everything else is sealed anew, by this node or by another.
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

/// Does what is to be done now. True when nothing is left to do. `waits` remembers that it was said that
/// another node has to be waited for.
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
                tracing::info!(values = count, "sealed values were sealed anew");
            }
        }
    }
    Ok(false)
}

async fn nodes(app: &Domain) -> Result<Vec<Node>> {
    if app.db.engine() == Engine::Sqlite {
        // The file is this process's alone.
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

/// Makes the current key the one that seals, and the store refuse nodes that do not know it.
async fn begin(app: &Domain) -> Result<()> {
    let kept = app
        .db
        .read(|conn| Ok::<_, Error>(hub::find(conn, SEALED)?))
        .await?;
    let kept = kept.unwrap_or_default();
    let known = STANDARD.decode(&kept).unwrap_or_default();
    if !app.vault.is_current(&known) {
        let new = app.vault.seal_anew(&place(), SEALED.as_bytes());
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
        tracing::info!(
            "the new master key seals from now on; what the previous one has sealed is sealed anew"
        );
    }
    Ok(())
}

/// Lets the access keys of the previous master key end. The end is kept: neither a restart nor a previous key
/// that stays configured moves it.
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
        // A store that was sealed anew before the end was kept.
        let end = ending(&at);
        hub::put(tx, RETIRED, &end)?;
        Ok(end_of(&at, Some(&end)))
    };
    let from = app.db.write(ANY, write).await?;
    let from = from.ok_or_else(|| Error::internal("the end of a master key is damaged"))?;
    app.vault.retire_previous(from);
    security::record(Event::MasterKeyRetired, None, &hex(&app.vault.id()));
    tracing::info!(%from, "everything is sealed with the new master key: the previous one is not needed any more; access keys that it has signed are refused from then on");
    Ok(())
}

/// Seals anew what was not sealed with the current key, and says how much that was.
async fn reseal_all(app: &Domain) -> Result<usize> {
    let mut count = 0;
    for column in Column::ALL {
        let mut after: Option<Vec<String>> = None;
        loop {
            let prefix = beginning(app, column);
            let from = after.clone();
            let read = move |conn: &mut Conn| {
                Ok::<_, Error>(sealed::list(conn, column, &prefix, from.as_deref(), STEP)?)
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

/// Seals values anew, those of one workspace in one write.
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

/// A value as the current key seals it; none when no key opens it.
fn renewed(app: &Domain, column: Column, old: &Sealed) -> Option<Vec<u8>> {
    let row: Vec<&dyn std::fmt::Display> = old.row.iter().map(|part| part as _).collect();
    let place = Place::new(column.name(), &row);
    let sealed = if column.is_text() {
        STANDARD.decode(&old.value).unwrap_or_default()
    } else {
        old.value.clone()
    };
    let Some(text) = app.vault.open(&place, &sealed) else {
        // A first answer's row is named by what its sender chose.
        let object = old.row.get(1).filter(|_| !column.is_text());
        let object = format!("{}:{}", column.name(), object.map_or("", String::as_str));
        security::record(Event::SealedValueLost, old.workspace().ok(), &object);
        return None;
    };
    let new = app.vault.seal_anew(&place, &text);
    Some(if column.is_text() {
        STANDARD.encode(new).into_bytes()
    } else {
        new
    })
}

/// Keeps the hashes of an instance's secrets by the current key.
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
