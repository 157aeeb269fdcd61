//! The security log: accepted and refused credentials, and changes to everything on which trust rests.
//!
//! A line has the target [`TARGET`], which distinguishes it from all others. Operators may also have these lines in a
//! file of their own (`--security-log`). Lines name ids, never a secret.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use axum::http::HeaderValue;
use futures_util::future::Either;
use prichal_core::id::{TokenId, UserId, WorkspaceId};
use prichal_store::{
    audit::{ActorKind, Rider},
    token,
};
use uuid::Uuid;

use crate::{
    error::{Code, Error},
    platform::{
        Platform,
        access::{Caller, SignedIn},
        audit::Act,
    },
};

/// The target of every line of the security log.
pub const TARGET: &str = "prichal::security";

/// An event of the security log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request without valid credentials.
    Unauthenticated,
    /// A request whose credentials do not allow what it wants.
    Forbidden,
    /// Too many failed attempts: further ones are refused for a while.
    Throttled,
    /// An integration was given an access key.
    SignedIn,
    /// A one-time link to sign in at the console was made.
    LoginLinkCreated,
    /// Somebody signed in at the console.
    SessionBegun,
    /// A session at the console was ended before its time.
    SessionEnded,
    WorkspaceCreated,
    WorkspaceDeleted,
    TokenCreated,
    TokenRevoked,
    AdminTokenRotated,
    /// A new master key seals from now on.
    MasterKeyReplaced,
    /// The previous master key is no longer needed.
    MasterKeyRetired,
    /// A sealed value cannot be opened: no master key fits, or it belongs to another row.
    SealedValueLost,
    /// A channel was given another local token.
    ChannelTokenRotated,
    /// An integration was given another API key.
    ApiKeyRotated,
    /// Secrets of an instance were changed.
    SecretsChanged,
    /// An integration was installed, so that its access keys open the workspace.
    IntegrationInstalled,
    /// A document hook was created, deleted or given another address. Or webhooks of an instance were changed,
    /// redirected by a manifest, paused or resumed.
    HookChanged,
    /// A document hook was given another secret.
    HookSecretRotated,
    /// An integration's access keys were revoked before they expired.
    AccessKeysRevoked,
    SignaturePolicyChanged,
    /// A user's permissions, a role or another source of rights was changed.
    RightsChanged,
    DocumentDeleted,
    QuotaChanged,
    /// A quota is nearly or wholly used up.
    QuotaReached,
    /// Rights of other users on files were removed.
    FilesTightened,
    /// Work that ended the process again and again was set aside.
    Quarantined,
    /// Quarantined work is tried again.
    QuarantineReleased,
    /// Quarantined work is given up.
    QuarantineDropped,
    /// The settings of a workspace or of an instance were changed.
    SettingsChanged,
}

impl Event {
    pub const ALL: [Self; 32] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Throttled,
        Self::SignedIn,
        Self::LoginLinkCreated,
        Self::SessionBegun,
        Self::SessionEnded,
        Self::WorkspaceCreated,
        Self::WorkspaceDeleted,
        Self::TokenCreated,
        Self::TokenRevoked,
        Self::AdminTokenRotated,
        Self::MasterKeyReplaced,
        Self::MasterKeyRetired,
        Self::SealedValueLost,
        Self::ChannelTokenRotated,
        Self::ApiKeyRotated,
        Self::SecretsChanged,
        Self::IntegrationInstalled,
        Self::HookChanged,
        Self::HookSecretRotated,
        Self::AccessKeysRevoked,
        Self::SignaturePolicyChanged,
        Self::RightsChanged,
        Self::DocumentDeleted,
        Self::QuotaChanged,
        Self::QuotaReached,
        Self::FilesTightened,
        Self::Quarantined,
        Self::QuarantineReleased,
        Self::QuarantineDropped,
        Self::SettingsChanged,
    ];

    /// The name of the event in lines and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Throttled => "throttled",
            Self::SignedIn => "signed_in",
            Self::LoginLinkCreated => "login_link_created",
            Self::SessionBegun => "session_begun",
            Self::SessionEnded => "session_ended",
            Self::WorkspaceCreated => "workspace_created",
            Self::WorkspaceDeleted => "workspace_deleted",
            Self::TokenCreated => "token_created",
            Self::TokenRevoked => "token_revoked",
            Self::AdminTokenRotated => "admin_token_rotated",
            Self::MasterKeyReplaced => "master_key_replaced",
            Self::MasterKeyRetired => "master_key_retired",
            Self::SealedValueLost => "sealed_value_lost",
            Self::ChannelTokenRotated => "channel_token_rotated",
            Self::ApiKeyRotated => "api_key_rotated",
            Self::SecretsChanged => "secrets_changed",
            Self::IntegrationInstalled => "integration_installed",
            Self::HookChanged => "hook_changed",
            Self::HookSecretRotated => "hook_secret_rotated",
            Self::AccessKeysRevoked => "access_keys_revoked",
            Self::SignaturePolicyChanged => "signature_policy_changed",
            Self::RightsChanged => "rights_changed",
            Self::DocumentDeleted => "document_deleted",
            Self::QuotaChanged => "quota_changed",
            Self::QuotaReached => "quota_reached",
            Self::FilesTightened => "files_tightened",
            Self::Quarantined => "quarantined",
            Self::QuarantineReleased => "quarantine_released",
            Self::QuarantineDropped => "quarantine_dropped",
            Self::SettingsChanged => "settings_changed",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::Unauthenticated | Self::Forbidden | Self::Throttled | Self::QuotaReached => {
                "refused"
            }
            Self::SealedValueLost | Self::Quarantined => "failed",
            _ => "done",
        }
    }
}

/// The request that is being answered.
pub struct Request {
    pub app: Platform,
    pub address: Option<IpAddr>,
    /// True if it carries credentials of any kind.
    shows_credential: bool,
    /// True if its credential was valid once.
    is_known: AtomicBool,
    /// True if it has to be counted as a guess.
    is_guess: AtomicBool,
    actor: Mutex<Option<Actor>>,
    /// The act of the request. None if the audit log does not record it.
    pub act: Option<Act>,
    /// The request of a browser for a page of the console, which calls the API for it.
    pub page: Option<Box<Page>>,
}

/// A request for a page, as records of the acts that it leads to name it.
#[derive(Clone, Debug)]
pub struct Page {
    pub agent: Option<HeaderValue>,
    pub request: Uuid,
}

/// The originator of an action.
#[derive(Clone, Debug)]
pub enum Actor {
    Caller(Caller),
    /// A person at the console.
    Person(SignedIn),
    /// The token behind an element of a bulk call.
    Token {
        id: TokenId,
        user: Option<UserId>,
        workspace: WorkspaceId,
    },
    /// The person of a sign-in that has not begun a session yet. It begins none if it is refused.
    SigningIn(Box<SigningIn>),
}

/// A person whose credentials are known, at a sign-in.
#[derive(Clone, Debug)]
pub struct SigningIn {
    /// The kind of the actor that the session would be.
    pub kind: ActorKind,
    /// The name of the credentials in the security log.
    pub identity: String,
    /// The name for people.
    pub name: Option<String>,
    pub user: Option<UserId>,
    pub workspace: Option<WorkspaceId>,
}

impl Actor {
    /// The name of the credentials.
    pub fn name(&self) -> String {
        match self {
            Self::Caller(caller) => caller.identity(),
            Self::Person(person) => match &person.caller {
                Caller::Admin => format!("session:{}", person.session),
                caller => caller.identity(),
            },
            Self::Token { id, .. } => token::identity(*id),
            Self::SigningIn(person) => person.identity.clone(),
        }
    }

    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Caller(caller) | Self::Person(SignedIn { caller, .. }) => caller.user(),
            Self::Token { user, .. } => *user,
            Self::SigningIn(person) => person.user,
        }
    }

    /// The workspace that the actor belongs to.
    pub fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Caller(caller) | Self::Person(SignedIn { caller, .. }) => caller.workspace(),
            Self::Token { workspace, .. } => Some(*workspace),
            Self::SigningIn(person) => person.workspace,
        }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self::Caller(caller.clone())
    }
}

impl From<SigningIn> for Actor {
    fn from(person: SigningIn) -> Self {
        Self::SigningIn(Box::new(person))
    }
}

impl From<&SignedIn> for Actor {
    fn from(person: &SignedIn) -> Self {
        Self::Person(person.clone())
    }
}

impl Request {
    pub fn new(app: Platform, address: Option<IpAddr>, shows_credential: bool) -> Self {
        Self {
            app,
            address,
            shows_credential,
            is_known: AtomicBool::new(false),
            is_guess: AtomicBool::new(false),
            actor: Mutex::default(),
            act: None,
            page: None,
        }
    }

    /// A part of this request, as a request that performs an act.
    #[must_use]
    pub fn part(&self, act: Act) -> Self {
        Self {
            actor: Mutex::new(self.actor()),
            ..Self::new(self.app.clone(), self.address, false).performing(Some(act))
        }
    }

    /// A part of this request that is no act, such as noting the use of its credential.
    fn aside(&self) -> Self {
        Self {
            actor: Mutex::new(self.actor()),
            ..Self::new(self.app.clone(), self.address, false)
        }
    }

    /// The same request, for the audit log.
    #[must_use]
    pub fn performing(self, act: Option<Act>) -> Self {
        Self { act, ..self }
    }

    /// Makes the request count as a guess.
    pub fn set_guessing(&self) {
        self.is_guess.store(true, Relaxed);
    }

    /// Exempts the request from counting: its credential was valid once.
    pub fn set_known(&self) {
        self.is_known.store(true, Relaxed);
    }

    /// Returns true if the request counts as a guess and was not counted before. A request whose credential was refused
    /// counts.
    pub fn takes_guess(&self, refused: bool) -> bool {
        if refused && self.shows_credential && !self.is_known.load(Relaxed) {
            self.set_guessing();
        }
        self.is_guess.swap(false, Relaxed)
    }

    /// The actor, once it is known.
    pub fn actor(&self) -> Option<Actor> {
        let actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        actor.clone()
    }
}

tokio::task_local! {
    /// The request that this task answers.
    pub static REQUEST: Arc<Request>;
}

/// Runs work in the name of an actor and an address, like the work of a request that performs an act. Within a
/// request, the request's own actor stays.
pub fn by<F: Future>(
    app: &Platform,
    address: Option<IpAddr>,
    actor: Option<Actor>,
    act: Option<Act>,
    work: F,
) -> impl Future<Output = F::Output> + use<F> {
    let own = || {
        Arc::new(Request {
            actor: Mutex::new(actor),
            ..Request::new(app.clone(), address, false).performing(act)
        })
    };
    let request = REQUEST.try_with(Arc::clone).unwrap_or_else(|_| own());
    REQUEST.scope(request, work)
}

/// Ties work that is spawned as a task to the request that is being answered.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    match REQUEST.try_with(Arc::clone) {
        Ok(request) => Either::Left(REQUEST.scope(request, work)),
        Err(_) => Either::Right(work),
    }
}

/// Does work whose writes are no part of the request's act.
pub async fn aside<F: Future>(work: F) -> F::Output {
    match REQUEST.try_with(|request| Arc::new(request.aside())) {
        Ok(aside) => REQUEST.scope(aside, work).await,
        Err(_) => work.await,
    }
}

/// The request for a page that this task answers.
pub fn page() -> Option<Page> {
    let found = REQUEST.try_with(|request| request.page.as_deref().cloned());
    found.ok().flatten()
}

/// The rider of this task's writes: its request, if the audit log records it.
pub fn rider() -> Option<Arc<dyn Rider>> {
    let found = REQUEST.try_with(|request| {
        let rider = || Arc::clone(request) as Arc<dyn Rider>;
        request.act.is_some().then(rider)
    });
    found.ok().flatten()
}

/// The address of the sender of this task's request.
pub fn address() -> Option<IpAddr> {
    REQUEST.try_with(|request| request.address).ok().flatten()
}

/// Sets the actor of this task's request, whom the following lines name.
pub fn set_actor(caller: impl Into<Actor>) {
    replace_actor(Some(caller.into()));
}

/// Sets the actor of this task's request, or none. Returns the one before.
pub fn replace_actor(actor: Option<Actor>) -> Option<Actor> {
    let replace = |request: &Arc<Request>| {
        let mut present = request.actor.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *present, actor)
    };
    REQUEST.try_with(replace).ok().flatten()
}

/// Writes a line if the error refuses access.
pub fn refused(error: &Error, workspace: Option<WorkspaceId>) {
    match error {
        Error::Unauthenticated => record(Event::Unauthenticated, workspace, ""),
        Error::Throttled { .. } => record(Event::Throttled, workspace, ""),
        Error::Forbidden(why) => record(Event::Forbidden, workspace, why),
        error if error.is(Code::NotPermitted) => {
            record(Event::Forbidden, workspace, "");
        }
        _ => {}
    }
}

/// Writes a line of an event, with the workspace and the object it concerns, and counts it. The actor is that of the
/// request of this task.
pub fn record(event: Event, workspace: Option<WorkspaceId>, object: &str) {
    let (address, actor) = REQUEST
        .try_with(|request| (request.address, request.actor()))
        .unwrap_or_default();
    let (name, outcome) = (event.name(), event.outcome());
    metrics::counter!("prichal_security_events_total", "event" => name).increment(1);
    let address = address.map(|address| address.to_string());
    let workspace = workspace.or_else(|| actor.as_ref()?.workspace());
    let workspace = workspace.map(|workspace| workspace.to_string());
    let user = actor.as_ref().and_then(Actor::user);
    let user = user.map(|user| user.to_string());
    let actor = actor.as_ref().map(Actor::name);
    let object = Some(object).filter(|object| !object.is_empty());
    tracing::info!(
        target: TARGET,
        event = name,
        outcome,
        workspace,
        actor,
        user,
        address,
        object,
        "security"
    );
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_event_has_a_name_of_its_own() {
        let names: HashSet<&str> = Event::ALL.iter().map(|event| event.name()).collect();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
