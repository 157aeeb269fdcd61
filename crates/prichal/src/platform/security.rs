//! The security log: who was let in and who was not, and what was done to that on which trust rests.
//!
//! A line has the target [`TARGET`], so that it can be told from all others; an operator may have them in a
//! file of their own as well (`--security-log`). It names ids, never a secret.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use prichal_core::id::{TokenId, UserId, WorkspaceId};

use crate::{
    error::Error,
    platform::{
        Platform,
        access::{Caller, token_identity},
    },
};

/// The target of every line of the security log.
pub const TARGET: &str = "prichal::security";

/// An event of the security log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request without good credentials.
    Unauthenticated,
    /// A request whose credentials do not allow what it wants.
    Forbidden,
    /// Too many failed attempts: what is tried now is refused.
    Throttled,
    /// An integration was given an access key.
    SignedIn,
    WorkspaceCreated,
    WorkspaceDeleted,
    TokenCreated,
    TokenRevoked,
    AdminTokenRotated,
    /// A master key takes the place of another.
    MasterKeyReplaced,
    /// The previous master key is not needed any more.
    MasterKeyRetired,
    /// A sealed value opens neither with a master key nor in its place.
    SealedValueLost,
    /// A channel was given another local token.
    ChannelTokenRotated,
    /// An integration was given another API key.
    ApiKeyRotated,
    /// Secrets of an instance were changed.
    SecretsChanged,
    /// An integration was installed: its access keys open the workspace.
    IntegrationInstalled,
    /// A document hook was made, deleted or given another address; or webhooks of an instance were changed, led
    /// elsewhere by a manifest, paused or resumed.
    HookChanged,
    /// A document hook was given another secret.
    HookSecretRotated,
    /// An integration's access keys ended before their time.
    AccessKeysRevoked,
    SignaturePolicyChanged,
    /// A user's permissions, a role, or what else grants rights.
    RightsChanged,
    DocumentDeleted,
    QuotaChanged,
    /// A quota is nearly or wholly used up.
    QuotaReached,
    /// Files that others could read were closed to them.
    FilesTightened,
    /// Work that ended the process again and again was set aside.
    Quarantined,
    /// Such work is tried again.
    QuarantineReleased,
    /// Such work is given up.
    QuarantineDropped,
    /// The settings of a workspace or of an instance were changed.
    SettingsChanged,
}

impl Event {
    pub const ALL: [Self; 29] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Throttled,
        Self::SignedIn,
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

    /// The event as lines and metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Throttled => "throttled",
            Self::SignedIn => "signed_in",
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
    /// True where it shows a credential of whatever kind.
    shows_credential: bool,
    /// True where its credential was good once.
    is_known: AtomicBool,
    /// True where it has to be counted as a guess.
    is_guess: AtomicBool,
    actor: Mutex<Option<Actor>>,
}

/// The one who does something, as lines name him.
#[derive(Clone, Debug)]
pub struct Actor {
    name: String,
    user: Option<String>,
    workspace: Option<String>,
}

impl Actor {
    pub fn of(caller: &Caller) -> Self {
        let (name, workspace) = match caller {
            Caller::Admin => ("admin".to_owned(), None),
            Caller::Token(token) => (token_identity(token.id), Some(token.workspace)),
            Caller::Integration(key) => (
                format!("integration:{}", key.integration),
                Some(key.workspace),
            ),
            Caller::Channel(handle) => (
                format!("channel:{}", handle.channel.id),
                Some(handle.workspace),
            ),
        };
        Self {
            name,
            user: caller.user().map(|user| user.to_string()),
            workspace: workspace.map(|workspace| workspace.to_string()),
        }
    }

    /// The holder of a workspace's token, who has asked for something that is done later.
    pub fn with_token(token: TokenId, user: Option<UserId>, workspace: WorkspaceId) -> Self {
        Self {
            name: token_identity(token),
            user: user.map(|user| user.to_string()),
            workspace: Some(workspace.to_string()),
        }
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
        }
    }

    /// Makes the request count as a guess.
    pub fn set_guessing(&self) {
        self.is_guess.store(true, Relaxed);
    }

    /// Makes the request count as none: its credential was good once.
    pub fn set_known(&self) {
        self.is_known.store(true, Relaxed);
    }

    /// True of a request that counts as a guess now; it counts once. One whose credential was refused does.
    pub fn takes_guess(&self, refused: bool) -> bool {
        if refused && self.shows_credential && !self.is_known.load(Relaxed) {
            self.set_guessing();
        }
        self.is_guess.swap(false, Relaxed)
    }

    fn actor(&self) -> Option<Actor> {
        let actor = self.actor.lock().unwrap_or_else(PoisonError::into_inner);
        actor.clone()
    }
}

tokio::task_local! {
    /// The request that this task answers.
    pub static REQUEST: Arc<Request>;
}

/// Does something in the name of an actor, from this address, as if a request had asked for it. Where the task
/// answers a request, it is that one's.
pub async fn by<T>(
    app: &Platform,
    address: Option<IpAddr>,
    actor: Option<Actor>,
    work: impl Future<Output = T>,
) -> T {
    if REQUEST.try_with(|_| ()).is_ok() {
        return work.await;
    }
    let request = Request {
        actor: Mutex::new(actor),
        ..Request::new(app.clone(), address, false)
    };
    REQUEST.scope(Arc::new(request), work).await
}

/// Makes work that goes on in a task of its own part of the request that is being answered.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let request = REQUEST.try_with(Arc::clone).ok();
    async move {
        match request {
            Some(request) => REQUEST.scope(request, work).await,
            None => work.await,
        }
    }
}

/// The address that the request of this task came from.
pub fn address() -> Option<IpAddr> {
    REQUEST.try_with(|request| request.address).ok().flatten()
}

/// Remembers who has sent the request of this task: lines that follow name him.
pub fn known(caller: &Caller) {
    let actor = Actor::of(caller);
    let _ = REQUEST.try_with(|request| {
        *request.actor.lock().unwrap_or_else(PoisonError::into_inner) = Some(actor);
    });
}

/// Writes a line of an error that refuses somebody something, if it is one.
pub fn refused(error: &Error, workspace: Option<WorkspaceId>) {
    match error {
        Error::Unauthenticated => record(Event::Unauthenticated, workspace, ""),
        Error::Throttled { .. } => record(Event::Throttled, workspace, ""),
        Error::Forbidden(why) => record(Event::Forbidden, workspace, why),
        Error::Refused(refusal) if refusal.status == "PERMISSION_ERROR" => {
            record(Event::Forbidden, workspace, "");
        }
        _ => {}
    }
}

/// Writes a line of what happened, in the workspace and to the object that it names, and counts it. Who did
/// it is known from the request that this task answers.
pub fn record(event: Event, workspace: Option<WorkspaceId>, object: &str) {
    let (address, actor) = REQUEST
        .try_with(|request| (request.address, request.actor()))
        .unwrap_or_default();
    let (name, outcome) = (event.name(), event.outcome());
    metrics::counter!("prichal_security_events_total", "event" => name).increment(1);
    let address = address.map(|address| address.to_string());
    let workspace = workspace.map(|workspace| workspace.to_string());
    let workspace = workspace.or_else(|| actor.as_ref()?.workspace.clone());
    let user = actor.as_ref().and_then(|actor| actor.user.as_deref());
    let actor = actor.as_ref().map(|actor| actor.name.as_str());
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
