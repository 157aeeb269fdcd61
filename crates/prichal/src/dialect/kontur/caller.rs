//! The caller of a path of a workspace. A handler that takes one of these extractors is authorized; any other handler
//! cannot know the workspace.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{Method, request::Parts},
};
use prichal_core::{
    event::Origin,
    id::{IntegrationId, WorkspaceId},
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::{usage::Kind, workspace::Workspace};

use crate::{
    app::App,
    dialect::{admit, openapi::schema::takes},
    error::{Error, Result},
    http::{extract::bearer, idempotency::Asking},
    platform::{
        Platform,
        access::{self, Caller},
    },
};

/// The parameter of every path of a workspace.
pub(super) const WORKSPACE: &[Field] = &[Field::new("ws", Type::Text)
    .required()
    .doc("The name of the workspace, or its id.")
    .example("my-workspace")];

takes! {
    Member: Path WORKSPACE;
    Admin: Path WORKSPACE;
    Observer: Path WORKSPACE;
}

/// A caller with access to the workspace in the path.
pub(super) struct Member {
    pub(super) app: App,
    pub(super) workspace: Arc<Workspace>,
    pub(super) caller: Caller,
    /// The time of the request, and of everything that it changes.
    pub(super) now: Timestamp,
}

impl Member {
    pub(super) fn workspace_id(&self) -> WorkspaceId {
        self.workspace.id
    }

    /// The common part of the events of this request.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            workspace: self.workspace.id,
            author: self.caller.author(),
            at: self.now,
        }
    }

    /// Refuses callers who are not administrators of the workspace. A viewer is admitted, whose requests only read.
    pub(super) fn require_admin(&self) -> Result<()> {
        if self.caller.reads_all() {
            Ok(())
        } else {
            Err(Error::Forbidden(
                "An administrator of the workspace is required",
            ))
        }
    }

    /// Refuses callers who may not change this instance: all but administrators and the integration itself.
    pub(super) fn require_owner(&self, integration: IntegrationId) -> Result<()> {
        if self.caller.is_admin() || self.caller.acts_for(integration) {
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
        access::permit(&caller, parts.method.is_safe())?;
        let ws = segment(parts.uri.path());
        let workspace = match access::find_workspace(app, ws).await? {
            Some(workspace) if caller.may_enter(workspace.id) => workspace,
            // Only the administrator of the server learns that a workspace does not exist.
            None if matches!(caller, Caller::Admin) => {
                return Err(Error::NotFound(format!("Workspace {ws}")));
            }
            _ => {
                return Err(Error::Forbidden(
                    "The credentials are not for this workspace",
                ));
            }
        };
        admit(parts, app, workspace.id, &caller, written(parts)).await?;
        Ok(Self {
            app: app.clone(),
            workspace,
            caller,
            now: app.clock.now(),
        })
    }
}

/// Collections that are exempt from the quotas of entities and events, so that a workspace can be administered when
/// these are exhausted. Quotas refuse only what adds to them: a new integration, its installation and setup, and larger
/// instances.
const WITHOUT_QUOTA: [&str; 9] = [
    "login-links",
    "sessions",
    "integrations",
    "private-integrations",
    "settings",
    "files",
    "stream",
    "mails",
    "retention",
];

/// The kinds of bytes that a request always adds. A PATCH or a PUT may reduce others, which is known only when it is
/// written.
fn written(parts: &Parts) -> &'static [Kind] {
    // Below the workspace's name.
    let mut below = parts.uri.path().split('/').skip(4);
    let collection = below.next().unwrap_or_default();
    let is_exempt = WITHOUT_QUOTA.contains(&collection);
    let action = below.last();
    match parts.method {
        // Files have a quota of their own; the POSTs below `webhooks` only read.
        Method::POST if matches!(collection, "files" | "login-links" | "webhooks") => &[],
        Method::POST if is_exempt => match action {
            None => &[Kind::Records],
            Some("setup") => &[Kind::Events, Kind::Records],
            // The write checks if the records grow.
            Some("install" | "resume") => &[Kind::Events],
            Some(_) => &[],
        },
        Method::PUT if action == Some("manifest") => &[Kind::Events],
        Method::POST if collection == "events" => &[Kind::Events],
        Method::POST | Method::PUT if collection == "event-types" => &[Kind::Records],
        Method::POST => &[Kind::Entities, Kind::Events, Kind::Records],
        Method::PUT | Method::PATCH if !is_exempt => &[Kind::Events],
        _ => &[],
    }
}

/// An administrator of the workspace in the path, or for a request that only reads a viewer.
pub(super) struct Admin(pub(super) Member);

impl FromRequestParts<App> for Admin {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let member = Member::from_request_parts(parts, app).await?;
        member.require_admin()?;
        Ok(Self(member))
    }
}

/// A caller who may see the sources of calls: an administrator or a viewer, or an integrator, who sees those of its
/// integrations.
pub(super) struct Observer(pub(super) Member);

impl Observer {
    /// The integrations whose sources alone the caller sees.
    pub(super) fn only_sees(&self) -> Option<Vec<IntegrationId>> {
        self.0.caller.only_sees().map(<[_]>::to_vec)
    }
}

impl FromRequestParts<App> for Observer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let member = Member::from_request_parts(parts, app).await?;
        if member.caller.only_sees().is_none() {
            member.require_admin()?;
        }
        Ok(Self(member))
    }
}

/// The caller by the credentials of a request. An access key takes precedence over a token: connectors that act for
/// themselves send both.
async fn caller(parts: &Parts, app: &App) -> Result<Caller> {
    if let Some(key) = parts.headers.get("x-xcom-accesskey") {
        let key = key.to_str().unwrap_or_default();
        return access::by_access_key(app, key).ok_or(Error::Unauthenticated);
    }
    access::of_request(app, &parts.extensions, bearer(&parts.headers)).await
}

/// `{ws}` of `/api/v1/{ws}/…`.
pub(super) fn segment(path: &str) -> &str {
    path.split('/').nth(3).unwrap_or_default()
}
