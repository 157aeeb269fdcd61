//! The workspace that a task reads for. Its reads take turns with those of other workspaces ([`crate::Db::read`]).

use std::cell::Cell;

use prichal_core::id::WorkspaceId;

tokio::task_local! {
    static TENANT: Cell<Option<WorkspaceId>>;
}

/// Runs `work` as a task of a workspace. Without a workspace its reads count as the server's, until [`name`] sets
/// one.
pub async fn scope<T>(workspace: Option<WorkspaceId>, work: impl Future<Output = T>) -> T {
    TENANT.scope(Cell::new(workspace), work).await
}

/// Sets the workspace of the current task, which must run inside a [`scope`].
pub fn name(workspace: WorkspaceId) {
    let _ = TENANT.try_with(|tenant| tenant.set(Some(workspace)));
}

/// Returns the workspace of the current task. None for a task of the server itself.
pub fn current() -> Option<WorkspaceId> {
    TENANT.try_with(Cell::get).ok().flatten()
}
