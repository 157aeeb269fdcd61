//! Walks: work of a request on many rows, done in batches so that other writes need not wait for all of it.
//!
//! The transaction of the request stores the walk, and each batch stores its progress. The request waits for the end.
//! If the request or the process ends earlier, the walk goes on by itself.

use prichal_core::{
    event::{Author, Origin},
    id::{IntegrationId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    walk::{self as store, Kind, Walk},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The author of a walk, and the time of its beginning.
#[derive(Serialize, Deserialize)]
pub struct WalkOrigin {
    user: Option<Uuid>,
    with: String,
    at: i64,
}

impl WalkOrigin {
    pub fn of(origin: &Origin) -> Self {
        Self {
            user: origin.author.user.map(|user| user.0),
            with: origin.author.with.clone(),
            at: origin.at.micros(),
        }
    }

    pub fn origin(self, workspace: WorkspaceId) -> Origin {
        Origin {
            workspace,
            author: Author {
                user: self.user.map(UserId),
                with: self.with,
            },
            at: Timestamp::from_micros(self.at),
        }
    }
}

/// Stores a walk, which goes on after the transaction.
pub fn begin(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: Kind,
    item: &str,
    detail: &impl Serialize,
) -> Result<()> {
    let detail = serde_json::to_string(detail).map_err(Error::internal)?;
    Ok(store::begin(tx, workspace, kind, item, &detail)?)
}

/// Reads the parameters of a walk.
pub fn detail<'a, T: Deserialize<'a>>(walk: &'a Walk) -> Result<T> {
    serde_json::from_str(&walk.detail).map_err(Error::internal)
}

/// The workspaces whose webhooks a batch has changed.
#[derive(Default)]
pub struct Told {
    pub workspaces: Vec<WorkspaceId>,
    /// True if the base URL of the webhooks has changed.
    pub are_moved: bool,
}

pub fn damaged() -> Error {
    Error::internal("a walk is damaged")
}

/// The integration of a walk.
pub fn integration(walk: &Walk) -> Result<IntegrationId> {
    let (id, _) = walk.item.split_once(':').ok_or_else(damaged)?;
    IntegrationId::parse(id).ok_or_else(damaged)
}
