//! Who calls `/rest/v1`: the token says which workspace it is, since the path does not.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::{event::Origin, id::WorkspaceId, time::Timestamp};

use crate::{
    access::{self, Caller},
    app::App,
    channel::Docked,
    error::{Error, Result},
    face::{bearer, once::Asking},
    memory::Payer,
};

/// Somebody with a token of a workspace.
pub struct Tenant {
    pub(super) app: App,
    pub(super) workspace: WorkspaceId,
    pub(super) caller: Caller,
    /// When the request was taken on: the time of all it does.
    pub(super) now: Timestamp,
}

impl Tenant {
    pub(super) fn origin(&self) -> Origin {
        Origin {
            workspace: self.workspace,
            author: self.caller.author(),
            at: self.now,
        }
    }
}

impl Asking for Tenant {
    fn app(&self) -> &App {
        &self.app
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.workspace
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

/// Marks a request that came over a websocket, within the rights of its channel.
#[derive(Clone)]
pub(super) struct AsChannel(pub(super) Arc<Docked>);

impl FromRequestParts<App> for Tenant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        // Over a websocket it is the channel that asks.
        if let Some(AsChannel(docked)) = parts.extensions.get() {
            return Ok(Self {
                app: app.clone(),
                workspace: docked.workspace,
                caller: Caller::Channel(docked.clone()),
                now: app.clock.now(),
            });
        }
        let token = bearer(&parts.headers).ok_or(Error::Unauthenticated)?;
        let caller = access::by_token(app, token)
            .await?
            .ok_or(Error::Unauthenticated)?;
        let Caller::Token(token) = &caller else {
            return Err(Error::Forbidden(
                "The token of a workspace is required: it says which one is meant",
            ));
        };
        let workspace = token.workspace;
        Payer::name(&parts.extensions, Some(workspace), token.id.0);
        tracing::Span::current().record("workspace", tracing::field::display(workspace));
        Ok(Self {
            app: app.clone(),
            workspace,
            caller,
            now: app.clock.now(),
        })
    }
}

/// An administrator of the workspace. Channels hold tokens, so they are the administrators'.
pub(super) struct Admin(pub(super) Tenant);

impl FromRequestParts<App> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let tenant = Tenant::from_request_parts(parts, app).await?;
        if tenant.caller.is_admin() {
            Ok(Self(tenant))
        } else {
            Err(Error::Forbidden(
                "An administrator of the workspace is required",
            ))
        }
    }
}
