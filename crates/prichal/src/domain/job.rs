//! Background jobs: work of a request on many rows, done in batches so that other writes need not wait for all of it.
//!
//! The transaction of the request stores the job, and each batch stores its progress. The request waits for the end of
//! the job. If the request or the process ends earlier, the server completes the job later.

use prichal_core::{
    event::{Author, Origin},
    id::{IntegrationId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    job::{self as store, Job, Kind},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};

/// The author and the start time of a job.
#[derive(Serialize, Deserialize)]
pub struct JobOrigin {
    user: Option<Uuid>,
    with: String,
    at: i64,
}

impl JobOrigin {
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

/// Stores a job in the transaction of its request. The job runs after the commit.
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

/// Reads the parameters of a job.
pub fn detail<'a, T: Deserialize<'a>>(job: &'a Job) -> Result<T> {
    serde_json::from_str(&job.detail).map_err(Error::internal)
}

/// The workspaces whose webhooks a batch has changed.
#[derive(Default)]
pub struct ChangedWebhooks {
    pub workspaces: Vec<WorkspaceId>,
    /// True if the base URL of the webhooks has changed.
    pub base_url_changed: bool,
}

pub fn damaged() -> Error {
    Error::internal("a background job is damaged")
}

/// The integration of a job of the kind [`Kind::ApplyManifest`].
pub fn integration(job: &Job) -> Result<IntegrationId> {
    let (id, _) = job.item.split_once(':').ok_or_else(damaged)?;
    IntegrationId::parse(id).ok_or_else(damaged)
}
