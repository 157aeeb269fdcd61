//! Work that a request begins on many rows: it is done in bites, so that no write of another waits for all of it.
//!
//! The transaction of the request keeps the work, and each bite how far it is. The request waits until it is done; when
//! it, or the process, ends before that, the work goes on by itself ([`crate::delivery::walk`]).

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

/// Who began the work, and when.
#[derive(Serialize, Deserialize)]
pub struct Begun {
    user: Option<Uuid>,
    with: String,
    at: i64,
}

impl Begun {
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

/// Keeps the work that a transaction leaves to others.
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

/// The rest that a work goes by.
pub fn detail<'a, T: Deserialize<'a>>(walk: &'a Walk) -> Result<T> {
    serde_json::from_str(&walk.detail).map_err(Error::internal)
}

/// The workspaces whose webhooks a bite has changed.
#[derive(Default)]
pub struct Told {
    pub workspaces: Vec<WorkspaceId>,
    /// True if the webhooks have another base URL.
    pub are_moved: bool,
}

pub fn damaged() -> Error {
    Error::internal("a walk is damaged")
}

/// The integration that a work is about.
pub fn integration(walk: &Walk) -> Result<IntegrationId> {
    let (id, _) = walk.item.split_once(':').ok_or_else(damaged)?;
    IntegrationId::parse(id).ok_or_else(damaged)
}
