//! The settings of workspaces, cached for a second, since every write of an entity reads them.

use std::sync::Arc;

use prichal_core::{id::WorkspaceId, schema::Object};
use prichal_store::setting;

use crate::{
    error::Result,
    platform::{Platform, cache::Cache},
};

#[derive(Default)]
pub struct Settings(Cache<WorkspaceId, Arc<Object>>);

impl Settings {
    /// Forgets a workspace's settings, after they were changed on this node.
    pub fn forget(&self, workspace: WorkspaceId) {
        self.0.forget(&workspace);
    }
}

/// The settings of a workspace; empty if there are none.
pub async fn of(app: &Platform, workspace: WorkspaceId) -> Result<Arc<Object>> {
    let now = app.clock.now();
    if let Some(settings) = app.settings.0.get(&workspace, now) {
        return Ok(settings);
    }
    let text = app
        .db
        .read(move |conn| setting::find(conn, workspace))
        .await?;
    let settings = text
        .and_then(|text| serde_json::from_str::<Object>(&text).ok())
        .unwrap_or_default();
    let settings = Arc::new(settings);
    app.settings.0.put(workspace, settings.clone(), now);
    Ok(settings)
}
