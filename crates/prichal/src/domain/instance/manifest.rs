//! New manifests, applied to the instances of their integration.

use prichal_core::{
    event::{Author, Origin},
    id::{EventId, WorkspaceId},
};
use prichal_store::{
    Tx,
    integration::{self, Integration},
    walk::{self as store, Walk},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::walk::{self, Told, WalkOrigin},
    error::Result,
    platform::vault::Vault,
};

/// The instances of one batch. Each is read with its secrets, settings and webhooks.
const BATCH: i64 = 20;

/// The previous manifest.
#[derive(Serialize, Deserialize)]
struct Before {
    begun: WalkOrigin,
    base_url: String,
    version: String,
}

/// Queues a walk over the instances. `before` is the integration with its previous manifest.
pub fn begin(tx: &mut Tx<'_>, before: &Integration, origin: &Origin) -> Result<()> {
    let detail = Before {
        begun: WalkOrigin::of(origin),
        base_url: before.base_url.clone(),
        version: before.version.clone(),
    };
    // Each manifest has its own walk, so an instance that is two manifests behind is told of both.
    let item = format!("{}:{}", before.id, EventId::generate(origin.at));
    let kind = store::Kind::Manifest;
    walk::begin(tx, origin.workspace, kind, &item, &detail)
}

/// Applies a manifest to some instances, and returns their workspaces.
pub fn bite(vault: &Vault, tx: &mut Tx<'_>, walk: &Walk) -> Result<Told> {
    let id = walk::integration(walk)?;
    let before: Before = walk::detail(walk)?;
    let origin = before.begun.origin(walk.workspace);
    let Some(now) = integration::find(tx.conn()?, walk.workspace, id)? else {
        return Ok(Told::default());
    };
    let are_moved = before.base_url != now.base_url;
    let was = Integration {
        base_url: before.base_url,
        version: before.version,
        ..now
    };
    let installed = integration::list_installed(tx.conn()?, id, &walk.last, BATCH)?;
    for workspace in &installed {
        super::apply_manifest(vault, tx, &was, &seen_from(*workspace, &origin))?;
    }
    Ok(Told {
        workspaces: installed,
        are_moved,
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
