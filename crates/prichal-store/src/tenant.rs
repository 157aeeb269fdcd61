//! The workspace that a task reads for. Its reads take turns with those of others ([`crate::Db::read`]).

use std::cell::Cell;

use prichal_core::id::WorkspaceId;

tokio::task_local! {
    static TENANT: Cell<Option<WorkspaceId>>;
}

/// Runs `work`, which reads for a workspace; for the server itself where there is none, until [`name`] names one.
pub async fn scope<T>(workspace: Option<WorkspaceId>, work: impl Future<Output = T>) -> T {
    TENANT.scope(Cell::new(workspace), work).await
}

/// Names the workspace that this task reads for from here on. Outside of a [`scope`] it is the server itself.
pub fn name(workspace: WorkspaceId) {
    let _ = TENANT.try_with(|tenant| tenant.set(Some(workspace)));
}

/// The workspace that this task reads for; none where it is the server itself.
pub fn current() -> Option<WorkspaceId> {
    TENANT.try_with(Cell::get).ok().flatten()
}
