//! New manifests, applied to the instances of their integration.

use prichal_core::{
    event::{Author, Origin},
    id::{EventId, WorkspaceId},
};
use prichal_store::{
    Tx,
    integration::{self, Integration},
    job::{self as store, Job},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::job::{self, ChangedWebhooks, JobOrigin},
    error::Result,
    platform::vault::Vault,
};

/// The number of instances in a batch. It is small, because each instance is read with its secrets, settings and
/// webhooks.
const BATCH: i64 = 20;

/// The bytes of instances after which a batch ends early.
const MAX_BATCH_BYTES: usize = 1 << 20;

/// The previous manifest.
#[derive(Serialize, Deserialize)]
struct Before {
    begun: JobOrigin,
    base_url: String,
    version: String,
}

/// Begins a job that applies the new manifest to the instances. `before` is the integration with its previous manifest.
pub fn begin(tx: &mut Tx<'_>, before: &Integration, origin: &Origin) -> Result<()> {
    let detail = Before {
        begun: JobOrigin::of(origin),
        base_url: before.base_url.clone(),
        version: before.version.clone(),
    };
    // Each manifest has its own job, so an instance that is two manifests behind gets an event for each.
    let item = format!("{}:{}", before.id, EventId::generate(origin.at));
    let kind = store::Kind::ApplyManifest;
    job::begin(tx, origin.workspace, kind, &item, &detail)
}

/// Applies a manifest to a batch of instances, and returns their workspaces.
pub fn run_batch(vault: &Vault, tx: &mut Tx<'_>, job: &Job) -> Result<ChangedWebhooks> {
    let id = job::integration(job)?;
    let before: Before = job::detail(job)?;
    let origin = before.begun.origin(job.workspace);
    let Some(now) = integration::find(tx.conn()?, job.workspace, id)? else {
        return Ok(ChangedWebhooks::default());
    };
    let base_url_changed = before.base_url != now.base_url;
    let was = Integration {
        base_url: before.base_url,
        version: before.version,
        ..now
    };
    let installed = integration::list_installed(tx.conn()?, id, &job.last, BATCH)?;
    let (mut workspaces, mut bytes) = (Vec::new(), 0);
    for workspace in installed {
        bytes += super::apply_manifest(vault, tx, &was, &seen_from(workspace, &origin))?;
        workspaces.push(workspace);
        if bytes >= MAX_BATCH_BYTES {
            break;
        }
    }
    Ok(ChangedWebhooks {
        workspaces,
        base_url_changed,
    })
}

/// The origin of a change of an integration, as a workspace sees it. In other workspaces the system is the author.
fn seen_from(workspace: WorkspaceId, origin: &Origin) -> Origin {
    if workspace == origin.workspace {
        return origin.clone();
    }
    Origin {
        workspace,
        author: Author::system(),
        at: origin.at,
    }
}
