//! The visitor of a page, and its place. A handler that takes a [`Visit`] has a session and a workspace that it may enter.

use std::{collections::HashMap, ops::Deref};

use axum::extract::{FromRequestParts, Path};
use http::{Extensions, request::Parts};

use crate::{
    answer::Fault,
    backend::{Role, Session, Workspace},
    form,
    language::Language,
    page::Section,
    pages::live,
    state::Console,
};

/// A signed-in session and its request.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(crate) console: Console,
    pub(crate) session: Session,
    pub(crate) language: Language,
    /// The token of the session's forms.
    pub(crate) form_token: String,
    /// The path and query of the request.
    pub(crate) here: String,
    /// Extensions of the request, for calls of the API.
    pub(crate) extensions: Extensions,
}

impl Visitor {
    pub(crate) async fn of(parts: &mut Parts, console: &Console) -> Result<Self, Fault> {
        let here = parts
            .uri
            .path_and_query()
            .map_or_else(String::new, ToString::to_string);
        let client = console.client(parts);
        let Some(secret) = form::cookie(&parts.headers, console.cookie_name()) else {
            return Err(Fault::SignedOut { here });
        };
        let session = console.find_session(secret, &client).await?;
        let Some(session) = session else {
            return Err(Fault::SignedOut { here });
        };
        Ok(Self {
            console: console.clone(),
            session,
            language: Language::of(&parts.headers),
            form_token: form::token(secret),
            here,
            extensions: parts.extensions.clone(),
        })
    }
}

/// True for a request of htmx.
pub(crate) fn is_part(parts: &Parts) -> bool {
    parts.headers.contains_key("hx-request")
}

impl Visitor {
    /// True for an administrator of the workspace. The API decides; pages show no buttons that it would refuse.
    pub(crate) fn may_administer(&self) -> bool {
        matches!(self.session.role, Role::Operator | Role::Admin)
    }

    /// True for somebody who may change webhooks and read secrets of an integration that it sees.
    pub(crate) fn may_integrate(&self) -> bool {
        self.may_administer() || self.session.role == Role::Integrator
    }

    /// True if the menu shows a section to the session. Links lead to such sections alone.
    pub(crate) fn has(&self, section: Section) -> bool {
        section.is_shown_to(self.session.role)
    }

    /// True unless the session only looks: then pages show no buttons that the API would refuse.
    pub(crate) fn may_change(&self) -> bool {
        self.session.role != Role::Viewer
    }
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Fault> {
        Self::of(parts, console).await
    }
}

/// A visitor of a workspace.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(crate) visitor: Visitor,
    pub(crate) workspace: Workspace,
    /// The changes of the workspace that the page knows, as `/console/{ws}/live` takes them.
    pub(crate) mark: String,
}

impl Deref for Visit {
    type Target = Visitor;

    fn deref(&self) -> &Visitor {
        &self.visitor
    }
}

impl Visit {
    /// The visit of a request below `/console/{ws}`.
    pub(crate) async fn of(parts: &mut Parts, console: &Console) -> Result<Self, Fault> {
        let visitor = Visitor::of(parts, console).await?;
        let named = Path::<HashMap<String, String>>::from_request_parts(parts, &()).await;
        let Path(named) = named.map_err(|_| Fault::NotFound)?;
        let name = named.get("ws").ok_or(Fault::NotFound)?;
        let found = console.find_workspace(&visitor.session, name).await?;
        let workspace = found.ok_or(Fault::NotFound)?;
        // The page reads later than this, so it misses no change.
        let counters = console.counters(&visitor.session, &workspace).await?;
        let mark = live::mark(counters);
        Ok(Self {
            visitor,
            workspace,
            mark,
        })
    }

    /// The address of a page of the workspace, such as `/console/acme/deliveries`.
    pub(crate) fn page(&self, below: &str) -> String {
        format!("/console/{}/{below}", self.workspace.segment())
    }
}

impl FromRequestParts<Console> for Visit {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Fault> {
        Self::of(parts, console).await
    }
}
