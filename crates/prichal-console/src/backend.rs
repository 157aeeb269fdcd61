//! The server as the console needs it.

use std::{any::Any, net::IpAddr, sync::Arc};

use axum::{body::Body, http::Extensions};
use futures_util::{future::BoxFuture, stream::BoxStream};
use http::{Request, Response};
use jiff::tz::TimeZone;
use prichal_core::time::Timestamp;
use uuid::Uuid;

/// The server as the console knows it.
pub trait Backend: Send + Sync + 'static {
    /// The session with this cookie; `None` if there is none, or if it has ended.
    fn find_session<'a>(
        &'a self,
        secret: &'a str,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<Option<Session>, Unavailable>>;

    /// Begins a session.
    fn sign_in<'a>(
        &'a self,
        by: SignIn<'a>,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SignedIn, Refusal>>;

    /// Ends a session.
    fn sign_out<'a>(&'a self, session: &'a Session) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// The workspace with this name or id, if the session may enter it. Every session may enter those of its own list,
    /// an operator all of them.
    fn find_workspace<'a>(
        &'a self,
        session: &'a Session,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Workspace>, Unavailable>>;

    /// Calls the API with the rights of the session, in the workspace where there is one. Paths of some APIs name no
    /// workspace. Failures are answers of the API.
    ///
    /// The extensions are those of the browser's request: its id, its client and its payer.
    fn call<'a>(
        &'a self,
        session: &'a Session,
        workspace: Option<&'a Workspace>,
        extensions: &'a Extensions,
        request: Request<Body>,
    ) -> BoxFuture<'a, Response<Body>>;

    /// The changes of a workspace as long as the session lasts: at once the counters as they are, then at most one beat
    /// a second, and [`Beat::Silence`] every 15 seconds. It ends with [`Beat::End`], or when the server stops.
    fn pulse<'a>(
        &'a self,
        session: &'a Session,
        workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Beat>, Unavailable>>;

    /// The counters of a workspace as they are, for the session. `None` if no console follows the workspace.
    fn counters<'a>(
        &'a self,
        session: &'a Session,
        workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<Option<Counters>, Unavailable>>;

    /// The client of a request with these headers and extensions.
    fn client(&self, request: &http::request::Parts) -> Client;

    /// The address by which people reach the server, such as `https://hub.example.kz`.
    fn public_url(&self) -> String;

    /// True if sign-in with the company's OpenID provider is set up.
    fn has_oidc(&self) -> bool;

    /// Begins a sign-in with the company's OpenID provider. `None` if there is no provider.
    fn begin_at_provider(&self) -> BoxFuture<'_, Result<Option<AtProvider>, Unavailable>>;

    /// The time of the server.
    fn now(&self) -> Timestamp;
}

/// The topics whose changes are counted, in the order of the counters: those of `/api/v1/{ws}/stream`.
pub const TOPICS: [&str; 7] = [
    "events",
    "calls",
    "documents",
    "deliveries",
    "states",
    "runs",
    "alerts",
];

/// The number of changes of each topic of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The beginning of the count. Counts of different beginnings do not compare.
    pub epoch: i64,
    /// `None` for topics that the session may not read.
    pub counts: [Option<u64>; TOPICS.len()],
}

/// A message about the changes of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    Changed(Counters),
    /// There was no change for a while.
    Silence,
    /// The session has ended.
    End,
}

/// The sender of a request.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The address, behind trusted proxies the one that they vouch for.
    pub address: Option<IpAddr>,
    /// The name of the program, cut to a bound.
    pub user_agent: String,
}

/// The credentials of a sign-in.
#[derive(Clone, Copy)]
pub enum SignIn<'a> {
    /// The secret of a one-time link.
    Link(&'a str),
    /// A token of a workspace, or the administrator's.
    Token(&'a str),
    /// The answer of the company's OpenID provider.
    Provider {
        /// The value that [`AtProvider`] had for the browser.
        pending: &'a str,
        state: &'a str,
        code: &'a str,
        /// The name or id of the workspace that the person wants to enter; empty if that is not known.
        workspace: &'a str,
    },
}

/// A sign-in that goes on at the company's OpenID provider.
pub struct AtProvider {
    /// The page of the provider.
    pub url: String,
    /// The value by which the provider's answer is known, in the letters of base64url. The browser keeps it in a cookie.
    pub pending: String,
}

/// A session that has just begun.
pub struct SignedIn {
    /// The value of the cookie. It is shown nowhere else.
    pub secret: String,
    pub session: Session,
}

/// The rights of a session, as the console arranges its pages by them. The API decides what is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The administrator of the server.
    Operator,
    /// An administrator of a workspace.
    Admin,
    /// Sees and changes its own integrations.
    Integrator,
    /// Sees own calls, and documents by permission.
    Employee,
    /// Sees what an administrator sees, without secrets, and changes nothing.
    Viewer,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Operator,
        Self::Admin,
        Self::Integrator,
        Self::Employee,
        Self::Viewer,
    ];
}

/// A signed-in person or program.
#[derive(Clone, Debug)]
pub struct Session {
    pub id: Uuid,
    pub role: Role,
    /// The name of the user, the token or the operator.
    pub name: String,
    pub user: Option<Uuid>,
    /// The workspaces of the session. An operator's list is empty: all are open to it.
    pub workspaces: Vec<Workspace>,
    /// The rights of the session as the server keeps them. The console passes them back and looks at nothing in them.
    pub grant: Arc<dyn Any + Send + Sync>,
}

/// A workspace that a session may enter.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub id: Uuid,
    /// The name in paths.
    pub name: String,
    pub title: String,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// True if the workspace is a company with a BIN, which has documents.
    pub has_documents: bool,
}

/// The first segments below `/console` that are no workspaces.
pub(crate) const RESERVED: [&str; 7] = [
    "assets", "device", "language", "oidc", "server", "sign-in", "sign-out",
];

impl Workspace {
    /// The segment of the workspace in addresses: its name, or its id if a page has that name.
    pub(crate) fn segment(&self) -> String {
        if RESERVED.contains(&&*self.name) {
            return self.id.to_string();
        }
        crate::api::segment(&self.name)
    }
}

/// The refusal of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The link was used, has expired, or never was; or the token is not valid.
    Invalid,
    /// Too many wrong credentials came from the address, which may try again after so many seconds.
    Wait(u64),
    Unavailable,
}

impl From<Unavailable> for Refusal {
    fn from(Unavailable: Unavailable) -> Self {
        Self::Unavailable
    }
}

/// The server cannot answer now, for example because its store is away. The reason is in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server cannot answer now")]
pub struct Unavailable;
