//! What there is under `/admin/v1`, and who may call it.

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::{id::WorkspaceId, time::Timestamp};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{admin_token, error_response, quarantine, signature_policy, tokens, usage, workspaces};
use crate::{
    app::App,
    error::{Error, Result},
    http::{extract::bearer, idempotency::Asking},
    platform::{
        Platform,
        access::{self, Caller},
        memory::Payer,
    },
};

pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
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
        .routes(routes!(usage::get_usage))
        .routes(routes!(usage::put_quota))
        .routes(routes!(admin_token::rotate_admin_token))
        .routes(routes!(
            signature_policy::get_signature_policy,
            signature_policy::put_signature_policy
        ))
        .routes(routes!(quarantine::list_quarantine))
        .routes(routes!(quarantine::release_quarantined))
        .routes(routes!(quarantine::drop_quarantined))
}

pub fn words(error: &Error) -> axum::response::Response {
    error_response::words(error)
}

/// The administrator's request, as far as a first answer is concerned.
pub(super) struct Asked {
    pub(super) app: App,
    /// The workspace it is about; the zero id for what belongs to none.
    pub(super) workspace: WorkspaceId,
    pub(super) now: Timestamp,
}

impl Asking for Asked {
    fn app(&self) -> &Platform {
        &self.app
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.workspace
    }

    fn identity(&self) -> String {
        Caller::Admin.identity()
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

/// The holder of the admin token. A workspace token gets 403 here, everybody else 401.
pub struct Administrator;

impl FromRequestParts<App> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let token = bearer(&parts.headers).ok_or(Error::Unauthenticated)?;
        match access::by_token(app, token)
            .await?
            .ok_or(Error::Unauthenticated)?
        {
            Caller::Admin => {
                Payer::name(&parts.extensions, None, Caller::Admin.credential());
                Ok(Self)
            }
            Caller::Token(_) | Caller::Integration(_) | Caller::Channel(_) => {
                Err(Error::Forbidden("The admin token is required here"))
            }
        }
    }
}
