//! The caller of `/rest/v1`, a hook or a websocket. The path names no workspace, so the token does.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{HeaderValue, Method, request::Parts},
};
use prichal_core::{event::Origin, id::WorkspaceId, time::Timestamp};
use prichal_store::{tenant, usage::Kind};

use crate::{
    app::App,
    domain::channel,
    error::{Error, Result},
    http::{extract::bearer, idempotency::Asking, sender},
    platform::{
        Platform,
        access::{self, Caller, ChannelHandle},
        audit,
        memory::Payer,
        quota, security, writes,
    },
};

/// The collections with the verb LOOKUP.
const COLLECTIONS: [&str; 3] = [
    "/rest/v1/service/integration_points",
    "/rest/v1/service/integration_point_types",
    "/rest/v1/service/svcscripts",
];

/// The path before the token of a hook.
pub(super) const HOOK_PATH: &str = "/hook/";
/// The path before the token of a websocket.
const SOCKET_PATH: &str = "/ws/token/v1/";

/// The holder of a token of a workspace.
pub struct Tenant {
    pub(super) app: App,
    pub(super) workspace: WorkspaceId,
    pub(super) caller: Caller,
    /// True for a request that looks ids up, by the verb LOOKUP or by a header.
    pub(super) is_lookup: bool,
    /// The time of the request, and of all that it writes.
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
    fn app(&self) -> &Platform {
        &self.app
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.workspace
    }

    fn identity(&self) -> String {
        self.caller.identity()
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

/// The mark of a request that came over a websocket: it has the rights of that channel.
#[derive(Clone)]
pub(super) struct AsChannel(pub(super) Arc<ChannelHandle>);

impl FromRequestParts<App> for Tenant {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        if let Some(AsChannel(handle)) = parts.extensions.get() {
            tenant::name(handle.workspace);
            let caller = Caller::Channel(handle.clone());
            return Self::admit(app, handle.workspace, caller, parts).await;
        }
        let caller = access::of_request(app, &parts.extensions, bearer(&parts.headers)).await?;
        let Caller::Token(token) = &caller else {
            return Err(Error::Forbidden(
                "A workspace's token is required, because the path names no workspace",
            ));
        };
        access::permit(&caller, parts.method.is_safe() || is_lookup(parts))?;
        let workspace = token.workspace;
        Payer::name(&parts.extensions, Some(workspace), token.id.0);
        tracing::Span::current().record("workspace", tracing::field::display(workspace));
        Self::admit(app, workspace, caller, parts).await
    }
}

impl Tenant {
    /// Refuses a write beyond the workspace's rate, and a request that adds to a kind of record whose quota is used
    /// up.
    async fn admit(
        app: &App,
        workspace: WorkspaceId,
        caller: Caller,
        parts: &Parts,
    ) -> Result<Self> {
        let is_lookup = is_lookup(parts);
        if is_lookup {
            audit::set_reading();
        }
        if !is_lookup && !parts.method.is_safe() {
            writes::admit(app, workspace)?;
        }
        let is_order = parts.uri.path().ends_with("/rotate_token");
        let kinds: &[Kind] = match parts.method {
            Method::POST if !is_lookup && !is_order => {
                &[Kind::Entities, Kind::Events, Kind::Runs, Kind::Records]
            }
            // A change may make a record smaller, so its quota is checked in the transaction.
            Method::PUT | Method::PATCH => &[Kind::Events],
            _ => &[],
        };
        quota::admit_request(app, workspace, &caller, kinds).await?;
        Ok(Self {
            app: app.clone(),
            workspace,
            caller,
            is_lookup,
            now: app.clock.now(),
        })
    }
}

/// An administrator of the workspace, because channels hold tokens, or for a request that only reads a viewer; or a
/// channel, over a websocket, whose roles open the path. Such a channel cannot change entities that grant rights.
pub(super) struct Admin(pub(super) Tenant);

impl FromRequestParts<App> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let tenant = Tenant::from_request_parts(parts, app).await?;
        if tenant.caller.reads_all() || matches!(tenant.caller, Caller::Channel(_)) {
            Ok(Self(tenant))
        } else {
            Err(Error::Forbidden(
                "An administrator of the workspace is required",
            ))
        }
    }
}

/// True for the verb LOOKUP, and for a POST to a collection with the header `X-HTTP-Method-Override: LOOKUP`.
fn is_lookup(parts: &Parts) -> bool {
    let says = |verb: &HeaderValue| verb.as_bytes().eq_ignore_ascii_case(b"LOOKUP");
    let verb = parts.headers.get("x-http-method-override");
    let is_meant = parts.method == Method::POST && verb.is_some_and(says);
    let path = parts.extensions.get::<MatchedPath>();
    let is_made = |path: &MatchedPath| COLLECTIONS.contains(&path.as_str());
    parts.method.as_str() == "LOOKUP" || (is_meant && path.is_some_and(is_made))
}

/// Authenticates a request of an outside system by the channel's token in its path or in its `Authorization` header.
/// Refuses a sender whose address the channel does not admit.
pub(super) async fn channel_of(app: &App, parts: &Parts) -> Result<Arc<ChannelHandle>> {
    let path = parts.uri.path();
    let in_path = path
        .strip_prefix(HOOK_PATH)
        .or_else(|| path.strip_prefix(SOCKET_PATH));
    let token = match in_path {
        Some(rest) => rest.split('/').next(),
        None => bearer(&parts.headers),
    };
    let token = token.ok_or(Error::Unauthenticated)?;
    let handle = channel::by_token(app, token).await?;
    let handle = handle.ok_or(Error::Unauthenticated)?;
    Payer::name(&parts.extensions, Some(handle.workspace), handle.channel.id);
    tracing::Span::current().record("workspace", tracing::field::display(handle.workspace));
    let caller = Caller::Channel(handle.clone());
    security::set_actor(&caller);
    quota::admit_request(app, handle.workspace, &caller, &[]).await?;
    if !sender(app, &parts.headers, &parts.extensions)
        .is_some_and(|sender| handle.channel.admits(sender))
    {
        return Err(Error::Forbidden("The channel does not admit this sender"));
    }
    Ok(handle)
}
