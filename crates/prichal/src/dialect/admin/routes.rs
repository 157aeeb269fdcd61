//! The routes under `/admin/v1`.

use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    admin_token, audit, backups, nodes, quarantine, retention, sessions, signature_policy, tokens,
    usage, workspaces,
};
use crate::app::App;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(audit::list_audit))
        .routes(routes!(
            workspaces::create_workspace,
            workspaces::list_workspaces
        ))
        .routes(routes!(
            workspaces::get_workspace,
            workspaces::delete_workspace
        ))
        .routes(routes!(tokens::create_token, tokens::list_tokens))
        .routes(routes!(tokens::delete_token))
        .routes(routes!(sessions::create_login_link))
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(sessions::end_session))
        .routes(routes!(usage::get_usage))
        .routes(routes!(
            retention::get_allowed_retention,
            retention::put_allowed_retention
        ))
        .routes(routes!(usage::put_quota))
        .routes(routes!(admin_token::rotate_admin_token))
        .routes(routes!(
            signature_policy::get_signature_policy,
            signature_policy::put_signature_policy
        ))
        .routes(routes!(backups::report_backup, backups::list_backups))
        .routes(routes!(nodes::list_nodes))
        .routes(routes!(quarantine::list_quarantine))
        .routes(routes!(quarantine::release_quarantined))
        .routes(routes!(quarantine::drop_quarantined))
}
