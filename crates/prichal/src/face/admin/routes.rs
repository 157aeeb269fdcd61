//! What there is under `/admin/v1`, and who may call it.

use axum::{extract::FromRequestParts, http::request::Parts};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{tokens, words, workspaces};
use crate::{
    access::{self, Caller},
    app::App,
    error::{Error, Result},
    face::bearer,
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
}

pub fn words(error: &Error) -> axum::response::Response {
    words::words(error)
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
            Caller::Admin => Ok(Self),
            Caller::Token(_) | Caller::Integration(_) => {
                Err(Error::Forbidden("The admin token is required here"))
            }
        }
    }
}
