//! Callers: tokens and access keys, looked up once and cached for a second.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use axum::http::Extensions;
use prichal_core::{
    channel::Channel,
    entity::rights::Authority,
    event::{Author, ChangeType, EntityKind, EventType},
    id::{EntityId, IntegrationId, TokenId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Conn, LoggedEvent,
    integration::{self, Revocation},
    run::Lane,
    token::{self, Role, Token},
    workspace::{self, Workspace},
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    platform::{
        Platform,
        cache::Cache,
        guess, security,
        session::LiveSession,
        token_use::TokenUses,
        vault::{AccessKey, sha256_hex},
    },
};

/// The sender of a request, by valid credentials.
#[derive(Clone, Debug)]
pub enum Caller {
    /// The holder of the admin token: an administrator in every workspace.
    Admin,
    Token(Arc<Token>),
    Integration(Arc<AccessKey>),
    /// A channel, over its websocket. The websocket's code checks the rights of its roles.
    Channel(Arc<ChannelHandle>),
}

impl Caller {
    /// The workspace that the caller belongs to; `None` for the administrator, who belongs to all.
    pub fn workspace(&self) -> Option<WorkspaceId> {
        match self {
            Self::Admin => None,
            Self::Token(token) => Some(token.workspace),
            Self::Integration(key) => Some(key.workspace),
            Self::Channel(handle) => Some(handle.workspace),
        }
    }

    /// True if the caller belongs to this workspace.
    pub fn may_enter(&self, workspace: WorkspaceId) -> bool {
        self.workspace().is_none_or(|own| own == workspace)
    }

    pub fn is_admin(&self) -> bool {
        match self {
            Self::Admin => true,
            Self::Token(token) => token.role == Role::Admin,
            Self::Integration(_) | Self::Channel(_) => false,
        }
    }

    /// True if the caller reads everything in the workspace, except for secrets: an administrator or a viewer.
    pub fn reads_all(&self) -> bool {
        self.is_admin() || self.is_viewer()
    }

    /// True if the caller may change nothing.
    pub fn is_viewer(&self) -> bool {
        matches!(self, Self::Token(token) if token.role == Role::Viewer)
    }

    /// The rights under which the caller's changes are made.
    pub fn authority(&self) -> Authority {
        if self.is_admin() {
            Authority::Admin
        } else {
            Authority::Member
        }
    }

    /// The user behind the caller.
    pub fn user(&self) -> Option<UserId> {
        match self {
            Self::Token(token) => token.user,
            Self::Channel(handle) => handle.channel.user().map(UserId),
            Self::Admin | Self::Integration(_) => None,
        }
    }

    /// The user whose calls alone the caller sees; `None` if it sees all. Without a user, a member's token is that of a
    /// program of the workspace, and a member's session at the console that of an employee without calls.
    pub fn own_calls(&self) -> Option<UserId> {
        match self {
            Self::Token(token) if token.role == Role::Member => {
                let nobody = token.session.map(|_| UserId(Uuid::nil()));
                token.user.or(nobody)
            }
            Self::Admin | Self::Token(_) | Self::Integration(_) | Self::Channel(_) => None,
        }
    }

    /// The integrations that the caller acts for, and whose things alone it may see: that of an access key, those of an
    /// integrator's token. `None` for everybody else.
    pub fn integrations(&self) -> Option<&[IntegrationId]> {
        match self {
            Self::Integration(key) => Some(std::slice::from_ref(&key.integration)),
            Self::Token(token) if token.role == Role::Integrator => Some(&token.integrations),
            Self::Admin | Self::Token(_) | Self::Channel(_) => None,
        }
    }

    /// The integrations of an integrator's token, which sees no others. An access key sees all, without their secrets.
    pub fn only_sees(&self) -> Option<&[IntegrationId]> {
        self.integrations()
            .filter(|_| matches!(self, Self::Token(_)))
    }

    /// True if the caller acts for this integration.
    pub fn acts_for(&self, integration: IntegrationId) -> bool {
        let own = self.integrations();
        own.is_some_and(|own| own.contains(&integration))
    }

    /// The name of the credentials. Access keys change every twenty minutes, so theirs is the integration's.
    pub fn identity(&self) -> String {
        match self {
            Self::Admin => "admin".to_owned(),
            Self::Token(token) => token::identity(token.id),
            Self::Integration(key) => format!("integration:{}", key.integration),
            Self::Channel(handle) => format!("channel:{}", handle.channel.id),
        }
    }

    /// The id of the token, integration or channel behind the caller; nil for the administrator.
    pub fn credential(&self) -> Uuid {
        match self {
            Self::Admin => Uuid::nil(),
            Self::Token(token) => token.id.0,
            Self::Integration(key) => key.integration.0,
            Self::Channel(handle) => handle.channel.id,
        }
    }

    /// The author stamp of what the caller does.
    pub fn author(&self) -> Author {
        match self {
            Self::Integration(key) => Author::integration(&key.name),
            Self::Channel(handle) => handle.author(),
            Self::Admin | Self::Token(_) => Author::web_app(self.user()),
        }
    }
}

/// The person at the console whose rights a request has. It is among the extensions of a request, where only this server
/// can put it.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub caller: Caller,
    pub session: Uuid,
}

/// The caller of a request: the person who is signed in at the console, or else the holder of the bearer token.
pub async fn of_request(
    app: &Platform,
    extensions: &Extensions,
    bearer: Option<&str>,
) -> Result<Caller> {
    if let Some(person) = extensions.get::<SignedIn>() {
        security::set_actor(person);
        return Ok(person.caller.clone());
    }
    let token = bearer.ok_or(Error::Unauthenticated)?;
    by_token(app, token).await?.ok_or(Error::Unauthenticated)
}

/// Refuses a viewer's request that may write.
pub fn permit(caller: &Caller, only_reads: bool) -> Result<()> {
    if caller.is_viewer() && !only_reads {
        return Err(Error::Forbidden("A viewer may read, and change nothing"));
    }
    Ok(())
}

/// A permission that the token's user has for itself, or to act for a named employee.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Permitted {
    pub token: TokenId,
    pub employee: Option<Uuid>,
    pub permission: &'static str,
}

/// The credentials, permissions and workspaces that this node has looked up.
#[derive(Default)]
pub struct Access {
    tokens: Cache<String, Arc<Token>>,
    tokens_by_id: Cache<TokenId, Arc<Token>>,
    pub(super) sessions: Cache<String, Arc<LiveSession>>,
    pub(super) uses: TokenUses,
    permitted: Cache<Permitted, ()>,
    workspaces: Cache<String, Arc<Workspace>>,
    /// Access keys that were revoked before they expired.
    revoked: RwLock<HashSet<Revocation>>,
    /// Wakes streams, whose rights may have ended.
    changes: watch::Sender<()>,
}

impl Access {
    /// Forgets all tokens and sessions, after one was ended on this node.
    pub fn forget_tokens(&self) {
        self.tokens.clear();
        self.tokens_by_id.clear();
        self.sessions.clear();
        self.permitted.clear();
        self.changes.send_replace(());
    }

    /// Wakes after each change on this node that may end a right.
    pub fn listen(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Handles events committed on this node. The tokens of a deleted user end with the user, and a change of a user
    /// may end permissions.
    pub fn committed(&self, events: &[LoggedEvent]) {
        let of_users = events
            .iter()
            .filter(|event| matches!(event.entities().first(), Some((EntityKind::User, _))));
        let mut are_changed = false;
        for event in of_users {
            are_changed = true;
            if event.head.kind == EventType::Change(ChangeType::Delete) {
                self.tokens.clear();
                self.tokens_by_id.clear();
                self.sessions.clear();
            }
        }
        if are_changed {
            self.permitted.clear();
            self.changes.send_replace(());
        }
    }

    /// True if the permission was found to be granted less than a second ago.
    pub fn is_permitted(&self, what: &Permitted, now: Timestamp) -> bool {
        self.permitted.get(what, now).is_some()
    }

    /// Notes a permission that was found to be granted at `now`.
    pub fn note_permitted(&self, what: Permitted, now: Timestamp) {
        self.permitted.put(what, (), now);
    }

    /// Forgets all tokens and workspaces, after a workspace was deleted on this node.
    pub fn forget_all(&self) {
        self.workspaces.clear();
        self.forget_tokens();
    }

    pub fn revoke(&self, revocation: Revocation) {
        self.revoked
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(revocation);
    }

    fn is_revoked(&self, key: &AccessKey) -> bool {
        let AccessKey {
            workspace,
            integration,
            round,
            ..
        } = *key;
        self.revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&Revocation {
                workspace,
                integration,
                round,
            })
    }
}

/// The overlap of two reads of revocations, so that differing clocks hide none.
const REVOCATION_OVERLAP: Duration = Duration::from_secs(30);

/// Reads the access keys that other nodes have revoked since about `since`.
pub async fn learn_revocations(app: &Platform, since: Timestamp) -> Result<()> {
    for revocation in app
        .db
        .read(move |conn| integration::list_revoked(conn, since - REVOCATION_OVERLAP))
        .await?
    {
        app.access.revoke(revocation);
    }
    Ok(())
}

/// The caller with this bearer token.
pub async fn by_token(app: &Platform, text: &str) -> Result<Option<Caller>> {
    let now = app.clock.now();
    if app.admin_token.accepts(text, now) {
        security::set_actor(&Caller::Admin);
        return Ok(Some(Caller::Admin));
    }
    by_hash(app, &sha256_hex(text.as_bytes())).await
}

/// The caller with the bearer token of this hash.
pub async fn by_hash(app: &Platform, hash: &str) -> Result<Option<Caller>> {
    let now = app.clock.now();
    let hash = hash.to_owned();
    if let Some(token) = app.access.tokens.get(&hash, now) {
        return Ok(alive(token, now));
    }
    let wanted = hash.clone();
    let Some(token) = app
        .db
        .read(move |conn| token::find_by_hash(conn, &wanted))
        .await?
    else {
        return Ok(None);
    };
    let token = Arc::new(token);
    app.access.uses.note(&token, now);
    app.access.tokens.put(hash, token.clone(), now);
    Ok(alive(token, now))
}

/// The token with this id, if it is valid.
pub async fn find_token(
    app: &Platform,
    workspace: WorkspaceId,
    id: TokenId,
) -> Result<Option<Arc<Token>>> {
    let now = app.clock.now();
    let known = app.access.tokens_by_id.get(&id, now);
    if let Some(token) = known.filter(|token| token.workspace == workspace) {
        return Ok(Some(token).filter(|token| token.is_valid(now)));
    }
    let look = move |conn: &mut Conn| token::find(conn, workspace, id);
    let found = app.db.read(look).await?.map(Arc::new);
    if let Some(token) = &found {
        app.access.tokens_by_id.put(id, token.clone(), now);
    }
    Ok(found.filter(|token| token.is_valid(now)))
}

fn alive(token: Arc<Token>, now: Timestamp) -> Option<Caller> {
    let is_valid = token.is_valid(now);
    let caller = Caller::Token(token);
    // The refusal of an expired token names it.
    security::set_actor(&caller);
    if !is_valid {
        guess::mark_expired();
        return None;
    }
    Some(caller)
}

/// The integration with this access key.
pub fn by_access_key(app: &Platform, text: &str) -> Option<Caller> {
    let Some(key) = app.vault.verify(text, app.clock.now()) else {
        if let Some(expired) = app.vault.verify(text, Timestamp::default()) {
            guess::mark_expired();
            security::set_actor(&Caller::Integration(Arc::new(expired)));
        }
        return None;
    };
    let is_revoked = app.access.is_revoked(&key);
    let caller = Caller::Integration(Arc::new(key));
    security::set_actor(&caller);
    if is_revoked {
        guess::mark_expired();
        return None;
    }
    Some(caller)
}

/// A workspace by its name or id.
pub async fn find_workspace(app: &Platform, name_or_id: &str) -> Result<Option<Arc<Workspace>>> {
    let now = app.clock.now();
    if let Some(workspace) = app.access.workspaces.get(name_or_id, now) {
        return Ok(Some(workspace));
    }
    // Ids are kept in lower case; names are lower-case anyway.
    let wanted = name_or_id.to_ascii_lowercase();
    let Some(workspace) = app
        .db
        .read(move |conn| workspace::find(conn, &wanted))
        .await?
    else {
        return Ok(None);
    };
    let workspace = Arc::new(workspace);
    app.access
        .workspaces
        .put(name_or_id.to_owned(), workspace.clone(), now);
    Ok(Some(workspace))
}

/// A channel and its workspace.
#[derive(Clone, Debug)]
pub struct ChannelHandle {
    pub workspace: WorkspaceId,
    pub channel: Channel,
    /// The hash of the local token by which the channel was found.
    pub token_hash: String,
}

impl ChannelHandle {
    pub fn lane(&self) -> Lane {
        Lane {
            workspace: self.workspace,
            id: EntityId(self.channel.id),
        }
    }

    /// The local token by which the channel was found: the present one or the one before it. `None` if it was
    /// exchanged twice since.
    pub fn token(&self) -> Option<String> {
        let tokens = &self.channel.tokens;
        let mut known = [&tokens.local, &tokens.previous].into_iter();
        known
            .find(|token| sha256_hex(token.as_bytes()) == self.token_hash)
            .cloned()
    }

    /// The author stamp of changes made by the channel's scripts.
    pub fn author(&self) -> Author {
        Author {
            user: self.channel.user().map(UserId),
            with: format!("IntegrationPoint.{}", self.channel.code()),
        }
    }
}
