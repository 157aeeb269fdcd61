//! A new manifest, carried into the instances of its integration.

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
    domain::walk::{self, Begun, Told},
    error::Result,
    platform::vault::Vault,
};

/// The most instances of one bite: each is read with its secrets, settings and webhooks.
const BITE: i64 = 20;

/// The manifest that there was before.
#[derive(Serialize, Deserialize)]
struct Before {
    begun: Begun,
    base_url: String,
    version: String,
}

/// Leaves the instances to a walk. `before` is what the integration was.
pub fn begin(tx: &mut Tx<'_>, before: &Integration, origin: &Origin) -> Result<()> {
    let detail = Before {
        begun: Begun::of(origin),
        base_url: before.base_url.clone(),
        version: before.version.clone(),
    };
    // Each manifest has a walk of its own: an instance that is behind by two hears of both.
    let item = format!("{}:{}", before.id, EventId::generate(origin.at));
    let kind = store::Kind::Manifest;
    walk::begin(tx, origin.workspace, kind, &item, &detail)
}

/// Carries a manifest into some instances, and names their workspaces.
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
    let installed = integration::list_installed(tx.conn()?, id, &walk.last, BITE)?;
    for workspace in &installed {
        super::apply_manifest(vault, tx, &was, &seen_from(*workspace, &origin))?;
    }
    Ok(Told {
        workspaces: installed,
        are_moved,
    })
}

/// How a change of an integration looks from a workspace: in others than its own it was the system's.
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
