//! Channels: their incoming requests, their outgoing messages, and the scripts that process both
//! (`docs/contracts/era.md §7, §8, §9, §10`).
//!
//! * [`queue`] holds the waiting runs: accepted hooks, messages to send, and scripts that were started. The store
//!   has all of them, and memory only the next ones.
//! * [`request`] is the request or message that a run processes, as its script sees it.
//! * [`host`] answers a script. The script's changes are written together with the end of its run, or not at all.
//! * [`run`] performs one run and stores its outcome.
//! * [`retype`] updates channels after their type has changed.
//! * [`send`] posts a message to the outside system.
//! * [`sockets`] holds the open websockets of this node.
//! * [`trial`] runs a script without effect.

pub mod host;
pub mod queue;
pub mod request;
pub mod retype;
pub mod run;
pub mod send;
pub mod sockets;
pub mod trial;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicUsize},
};

use prichal_core::{
    channel::{Channel, Tokens},
    channel_type::ChannelType,
    id::{EntityId, WorkspaceId},
    patch::PatchErrors,
    schema::Fault,
    script::Script,
};
use prichal_store::{
    channel::{self, Channel as Row},
    resource::{self, Kind},
    run::Lane,
    sealed::Column,
    usage,
};

use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{
        access::ChannelHandle,
        cache::{Cache, Weigh},
        quota,
        vault::{CellRef, Vault, fill_random, hex, sha256_hex},
    },
};

/// The texts of the exceptions that scripts get for errors with details.
#[derive(Clone, Copy)]
pub struct Wording {
    pub faults: fn(&[Fault]) -> String,
    pub refused_operations: fn(&PatchErrors) -> String,
}

/// Refuses to begin a run while a quota is used up of anything that a script may add.
pub async fn admit_run(app: &Domain, workspace: WorkspaceId) -> Result<()> {
    let kinds = [
        usage::Kind::Entities,
        usage::Kind::Events,
        usage::Kind::Runs,
        usage::Kind::Records,
    ];
    quota::admit(app, workspace, &kinds, 0).await
}

/// The state of channels on this node.
pub struct Channels {
    wording: Wording,
    by_token: Cache<String, Option<Arc<ChannelHandle>>>,
    by_id: Cache<Lane, Option<Arc<ChannelHandle>>>,
    scripts: Cache<(WorkspaceId, String), Option<Arc<Loaded>>>,
    turns: Mutex<HashMap<Lane, Arc<tokio::sync::Mutex<()>>>>,
    /// The number of run records that the writer has not committed yet.
    unwritten: AtomicUsize,
    pub queue: queue::Queue,
    pub sockets: sockets::Sockets,
}

impl Channels {
    pub fn new(wording: Wording) -> Self {
        Self {
            wording,
            by_token: Cache::default(),
            by_id: Cache::default(),
            scripts: Cache::default(),
            turns: Mutex::default(),
            unwritten: AtomicUsize::default(),
            queue: queue::Queue::default(),
            sockets: sockets::Sockets::default(),
        }
    }

    /// The text of the exception that a script gets for an error.
    pub fn thrown(&self, workspace: WorkspaceId, error: &Error) -> String {
        match error {
            Error::Invalid(faults) => (self.wording.faults)(faults),
            Error::PatchRefused(errors) => {
                format!("{error}. {}", (self.wording.refused_operations)(errors))
            }
            Error::Unavailable(_) | Error::Internal(_) => {
                tracing::error!(
                    error = error as &dyn std::error::Error,
                    %workspace,
                    "cannot answer a script of workspace {workspace}"
                );
                error.to_string()
            }
            other => other.to_string(),
        }
    }

    /// The lock on a channel's stored values.
    fn turn(&self, lane: Lane) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() > 1024 {
            // A lock that only the map owns is neither held nor awaited.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        }
        turns.entry(lane).or_default().clone()
    }

    /// Empties the cache after a channel was changed on this node.
    pub fn forget_channels(&self) {
        self.by_token.clear();
        self.by_id.clear();
    }

    /// Empties the cache after a script was changed on this node.
    pub fn forget_scripts(&self) {
        self.scripts.clear();
    }
}

/// A script, with a key that identifies its source text.
#[derive(Debug)]
pub struct Loaded {
    pub script: Script,
    pub key: String,
}

impl Weigh for Loaded {
    fn bytes(&self) -> usize {
        self.script.members.bytes()
    }
}

/// A new local token: 16 random bytes in hex.
pub fn new_token() -> String {
    let mut random = [0; 16];
    fill_random(&mut random);
    hex(&random)
}

/// The cell that a channel's tokens are sealed for.
fn cell(workspace: WorkspaceId, id: EntityId) -> CellRef {
    CellRef::new(Column::ChannelTokens.name(), &[&workspace, &id])
}

/// Reads a stored channel, with its tokens decrypted.
pub fn open(vault: &Vault, row: &Row) -> Result<Channel> {
    let tokens = vault
        .open(&cell(row.workspace, row.id), &row.tokens)
        .ok_or_else(|| Error::internal("a channel's tokens were sealed with another master key"))?;
    let tokens: Tokens = serde_json::from_slice(&tokens).map_err(Error::internal)?;
    Ok(Channel {
        tokens,
        ..closed(row)?
    })
}

/// Reads a stored channel without its tokens.
pub fn closed(row: &Row) -> Result<Channel> {
    Ok(Channel {
        id: row.id.0,
        tokens: Tokens::default(),
        members: serde_json::from_str(&row.members).map_err(Error::internal)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Makes the row of a channel, with its tokens sealed.
pub fn close(vault: &Vault, workspace: WorkspaceId, channel: &Channel) -> Result<Row> {
    let tokens = serde_json::to_vec(&channel.tokens).map_err(Error::internal)?;
    Ok(Row {
        workspace,
        id: EntityId(channel.id),
        code: channel.code().to_owned(),
        kind: channel.text("type").to_owned(),
        token_hash: sha256_hex(channel.tokens.local.as_bytes()),
        tokens: vault.seal(&cell(workspace, EntityId(channel.id)), &tokens),
        members: serde_json::to_string(&channel.members).map_err(Error::internal)?,
        created_at: channel.created_at,
        updated_at: channel.updated_at,
        deleted_at: None,
    })
}

/// Reads a stored script.
pub fn script_of(row: &resource::Resource) -> Result<Script> {
    Ok(Script {
        id: row.id.0,
        members: serde_json::from_str(&row.members).map_err(Error::internal)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// Reads a stored type of channels.
pub fn type_of(row: &resource::Resource) -> Result<ChannelType> {
    Ok(ChannelType {
        id: row.id.0,
        members: serde_json::from_str(&row.members).map_err(Error::internal)?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}

/// The channel with this local token.
pub async fn by_token(app: &Domain, token: &str) -> Result<Option<Arc<ChannelHandle>>> {
    let (now, hash) = (app.clock.now(), sha256_hex(token.as_bytes()));
    if let Some(known) = app.channels.by_token.get(&hash, now) {
        return Ok(known);
    }
    let wanted = hash.clone();
    let row = app
        .db
        .read(move |conn| channel::find_anywhere(conn, &wanted, now))
        .await?;
    let found = row.map(|row| handle(app, &row, hash.clone())).transpose()?;
    app.channels.by_token.put(hash, found.clone(), now);
    Ok(found)
}

/// A channel that is not deleted.
pub async fn by_id(app: &Domain, lane: Lane) -> Result<Option<Arc<ChannelHandle>>> {
    let now = app.clock.now();
    if let Some(known) = app.channels.by_id.get(&lane, now) {
        return Ok(known);
    }
    let found = by_id_uncached(app, lane).await?;
    app.channels.by_id.put(lane, found.clone(), now);
    Ok(found)
}

/// Reads the channel from the store, without the cache.
pub async fn by_id_uncached(app: &Domain, lane: Lane) -> Result<Option<Arc<ChannelHandle>>> {
    let row = app
        .db
        .read(move |conn| channel::find(conn, lane.workspace, lane.id))
        .await?;
    let row = row.filter(|row| row.deleted_at.is_none());
    row.map(|row| handle(app, &row, row.token_hash.clone()))
        .transpose()
}

fn handle(app: &Domain, row: &Row, token_hash: String) -> Result<Arc<ChannelHandle>> {
    Ok(Arc::new(ChannelHandle {
        token_hash,
        workspace: row.workspace,
        channel: open(&app.vault, row)?,
    }))
}

/// The script with this code.
pub async fn script(
    app: &Domain,
    workspace: WorkspaceId,
    code: &str,
) -> Result<Option<Arc<Loaded>>> {
    let (now, key) = (app.clock.now(), (workspace, code.to_owned()));
    if let Some(known) = app.channels.scripts.get(&key, now) {
        return Ok(known);
    }
    let wanted = code.to_owned();
    let row = app
        .db
        .read(move |conn| resource::find_by_code(conn, workspace, Kind::Script, &wanted))
        .await?;
    let found = match row {
        None => None,
        Some(row) => {
            let script = script_of(&row)?;
            // The key is the hash of the text, so equal texts share their bytecode.
            let key = sha256_hex(script.source().as_bytes());
            Some(Arc::new(Loaded { script, key }))
        }
    };
    app.channels.scripts.put(key, found.clone(), now);
    Ok(found)
}
