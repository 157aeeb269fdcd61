//! The caller of a path under `/admin/v1`. A handler that takes an [`Administrator`] is authorized.

use axum::{extract::FromRequestParts, http::request::Parts};
use prichal_core::{id::WorkspaceId, time::Timestamp};

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

/// The holder of the admin token. A workspace's token is refused with 403, all else with 401.
pub(super) struct Administrator;

impl FromRequestParts<App> for Administrator {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        match access::of_request(app, &parts.extensions, bearer(&parts.headers)).await? {
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

/// The administrator's request as the log of first answers knows it.
pub(super) struct Requester {
    pub(super) app: App,
    /// The workspace that the request changes; the nil id if it changes none.
    pub(super) workspace: WorkspaceId,
    pub(super) now: Timestamp,
}

impl Asking for Requester {
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
