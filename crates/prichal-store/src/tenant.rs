//! The workspace that a task reads for. Its reads take turns with those of other workspaces ([`crate::Db::read`]).

use std::cell::Cell;

use prichal_core::id::WorkspaceId;

tokio::task_local! {
    static TENANT: Cell<Option<WorkspaceId>>;
}

/// Runs `work` as a task of a workspace. Without a workspace its reads count as the server's, until [`name`] sets
/// one.
///
/// This is no async function, whose future would hold `work` twice, before and after its first poll.
pub fn scope<F: Future>(
    workspace: Option<WorkspaceId>,
    work: F,
) -> impl Future<Output = F::Output> {
    TENANT.scope(Cell::new(workspace), work)
}

/// Sets the workspace of the current task, which must run inside a [`scope`].
pub fn name(workspace: WorkspaceId) {
    let _ = TENANT.try_with(|tenant| tenant.set(Some(workspace)));
}

/// Returns the workspace of the current task. None for a task of the server itself.
pub fn current() -> Option<WorkspaceId> {
    TENANT.try_with(Cell::get).ok().flatten()
}
