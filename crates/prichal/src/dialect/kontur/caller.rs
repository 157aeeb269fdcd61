//! Who calls a path of a workspace. A handler that takes one of these is authorized; one that does
//! not cannot know the workspace.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{Method, request::Parts},
};
use prichal_core::{
    event::Origin,
    id::{IntegrationId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{usage::Kind, workspace::Workspace};

use crate::{
    app::App,
    error::{Error, Result},
    http::{extract::bearer, idempotency::Asking},
    platform::{
        Platform,
        access::{self, Caller},
        memory::Payer,
        quota, writes,
    },
};

/// Anybody who may enter the workspace in the path.
pub(super) struct Member {
    pub(super) app: App,
    pub(super) workspace: Arc<Workspace>,
    pub(super) caller: Caller,
    /// When the request was taken on: the time of all it does.
    pub(super) now: Timestamp,
}

impl Member {
    pub(super) fn workspace_id(&self) -> WorkspaceId {
        self.workspace.id
    }

    /// What the events of this request have in common.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            workspace: self.workspace.id,
            author: self.caller.author(),
            at: self.now,
        }
    }

    /// Whether the caller is an administrator of the workspace.
    pub(super) fn require_admin(&self) -> Result<()> {
        if self.caller.is_admin() {
            Ok(())
        } else {
            Err(Error::Forbidden(
                "An administrator of the workspace is required",
            ))
        }
    }

    /// Whether the caller may change this instance: an administrator, or the integration itself.
    pub(super) fn require_owner(&self, integration: IntegrationId) -> Result<()> {
        if self.caller.is_admin() || self.caller.integration() == Some(integration) {
            return Ok(());
        }
        Err(Error::Forbidden(
            "Only an administrator and the integration itself may change this",
        ))
    }
}

impl Asking for Member {
    fn app(&self) -> &Platform {
        &self.app
    }

    fn workspace_id(&self) -> WorkspaceId {
        self.workspace.id
    }

    fn identity(&self) -> String {
        self.caller.identity()
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

impl FromRequestParts<App> for Member {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let caller = caller(parts, app).await?;
        let ws = segment(parts.uri.path());
        let workspace = match access::find_workspace(app, ws).await? {
            Some(workspace) if caller.may_enter(workspace.id) => workspace,
            // A workspace that is not there looks like a foreign one, except to who may see all.
            None if matches!(caller, Caller::Admin) => {
                return Err(Error::NotFound(format!("Workspace {ws}")));
            }
            _ => {
                return Err(Error::Forbidden(
                    "The credentials are not for this workspace",
                ));
            }
        };
        Payer::name(&parts.extensions, Some(workspace.id), caller.credential());
        quota::admit(app, workspace.id, written(parts), 0).await?;
        // From here on, every log line of the request names it.
        tracing::Span::current().record("workspace", tracing::field::display(workspace.id));
        if !parts.method.is_safe() {
            writes::admit(app, workspace.id)?;
        }
        Ok(Self {
            app: app.clone(),
            workspace,
            caller,
            now: app.clock.now(),
        })
    }
}

/// Collections that keep order in a workspace, and its settings: never refused by a quota, but for a new integration.
/// Files have one of their own.
const SPARED: [&str; 4] = ["integrations", "private-integrations", "settings", "files"];

/// The kinds of bytes that a request adds to, whatever it says. A PATCH or a PUT may make less of the others: that is
/// seen when it is written.
fn written(parts: &Parts) -> &'static [Kind] {
    // Below the workspace's name.
    let mut below = parts.uri.path().split('/').skip(4);
    let collection = below.next().unwrap_or_default();
    let is_spared = SPARED.contains(&collection);
    let is_alone = below.next().is_none();
    match parts.method {
        Method::POST if collection == "files" => &[],
        Method::POST if is_spared && is_alone => &[Kind::Records],
        Method::POST if !is_spared => &[Kind::Entities, Kind::Events, Kind::Records],
        Method::PUT | Method::PATCH if !is_spared => &[Kind::Events],
        _ => &[],
    }
}

/// An administrator of the workspace in the path.
pub(super) struct Admin(pub(super) Member);

impl FromRequestParts<App> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let member = Member::from_request_parts(parts, app).await?;
        member.require_admin()?;
        Ok(Self(member))
    }
}

/// An access key goes before a token: connectors send both when they act for themselves.
async fn caller(parts: &Parts, app: &App) -> Result<Caller> {
    if let Some(key) = parts.headers.get("x-xcom-accesskey") {
        let key = key.to_str().unwrap_or_default();
        return access::by_access_key(app, key).ok_or(Error::Unauthenticated);
    }
    let token = bearer(&parts.headers).ok_or(Error::Unauthenticated)?;
    access::by_token(app, token)
        .await?
        .ok_or(Error::Unauthenticated)
}

/// `{ws}` of `/api/v1/{ws}/…`.
pub(super) fn segment(path: &str) -> &str {
    path.split('/').nth(3).unwrap_or_default()
}
