//! Sessions at the console, and the one-time links that begin them.
//!
//! A session is a row with the hash of its secret, which the browser has in a cookie. It is no bearer token: in a
//! workspace it acts by a token of its own, which nobody can send. The operator gets such a token in each workspace that
//! he enters.

mod link;

use std::{net::IpAddr, sync::Arc, time::Duration};

use prichal_core::{
    entity::Employee,
    event::EntityKind,
    id::{EntityId, IntegrationId, TokenId, UserId, WorkspaceId, generate},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    audit::ActorKind,
    entity, integration,
    session::{self, Bounds, Moment, Session},
    token::{self, Role, Token},
    workspace,
};
use uuid::Uuid;

pub use link::{NewLink, begin_by_link, create_link};

use crate::{
    error::{Error, Result},
    platform::{
        Platform,
        access::{self, Caller, SignedIn},
        cache::Weigh,
        guess,
        security::{self, Event, SigningIn},
        vault::{random_token, sha256_hex},
    },
};

/// The time after its last use at which a session ends.
const IDLE_TIMEOUT: Duration = Duration::from_hours(12);
/// The time after its beginning at which a session ends, whatever it is used for.
pub const MAX_LIFETIME: Duration = Duration::from_hours(7 * 24);
/// The minimum time between two noted uses of a session.
const SEEN_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum numbers of sessions. A further one ends the one that was seen least recently, first of its own holder.
const MAX_SESSIONS: Bounds = Bounds {
    all: 1000,
    of_holder: 50,
};
/// The maximum number of characters of a browser's name.
const MAX_AGENT: usize = 256;
/// The maximum number of integrations of an integrator.
pub const MAX_INTEGRATIONS: usize = 100;

/// The name of the operator among sessions. No other session has it.
const OPERATOR: &str = "operator";

/// The workspace whose writer handles sessions of operators.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

/// The holder of a session, or of a token.
#[derive(Clone, Debug)]
pub struct Holder {
    /// `None` for the server's operator.
    pub workspace: Option<WorkspaceId>,
    /// A name for people.
    pub name: String,
    pub role: Role,
    pub user: Option<UserId>,
    /// The integrations of an integrator; empty for other roles.
    pub integrations: Vec<IntegrationId>,
}

impl Holder {
    /// The server's operator.
    pub fn operator() -> Self {
        Self {
            workspace: None,
            name: OPERATOR.to_owned(),
            role: Role::Admin,
            user: None,
            integrations: Vec::new(),
        }
    }

    /// The holder as the actor of a sign-in.
    fn signing_in(&self, identity: String) -> SigningIn {
        let (kind, name) = match self.workspace {
            None => (ActorKind::Operator, None),
            Some(_) => (ActorKind::Session, Some(name_of_other(self))),
        };
        SigningIn {
            kind,
            identity,
            name,
            user: self.user,
            workspace: self.workspace,
        }
    }
}

/// True for a token by which an operator's session acts in a workspace.
pub fn is_of_operator(token: &Token) -> bool {
    token.session.is_some() && token.name == OPERATOR
}

/// The name of a session of somebody else. One that reads like the operator's is followed by the role.
fn name_of_other(holder: &Holder) -> String {
    let letters = holder.name.chars().filter(|c| c.is_alphanumeric());
    if letters.collect::<String>().to_lowercase() == OPERATOR {
        format!("{} ({})", holder.name, holder.role.name())
    } else {
        holder.name.clone()
    }
}

/// A session that is not over.
#[derive(Clone, Debug)]
pub struct LiveSession {
    pub session: Session,
    /// The person's rights in the session's workspace; [`Caller::Admin`] for the operator.
    pub caller: Caller,
    /// The name for people.
    pub name: String,
}

impl Weigh for LiveSession {}

impl LiveSession {
    /// The person as a request carries them. For an operator this is for paths of the server's administration.
    pub fn signed_in(&self) -> SignedIn {
        self.acting_as(self.caller.clone())
    }

    fn acting_as(&self, caller: Caller) -> SignedIn {
        SignedIn {
            caller,
            session: self.session.id,
        }
    }

    fn is_live(&self, now: Timestamp) -> bool {
        let Session {
            ended_at,
            ends_at,
            seen_at,
            ..
        } = self.session;
        let is_valid = match &self.caller {
            Caller::Token(token) => token.is_valid(now),
            _ => true,
        };
        ended_at.is_none() && now < ends_at && now < seen_at + IDLE_TIMEOUT && is_valid
    }
}

/// The end of a session's tokens: that of the session, if it is not used again.
fn tokens_end(seen_at: Timestamp, ends_at: Timestamp) -> Timestamp {
    (seen_at + IDLE_TIMEOUT).min(ends_at)
}

/// The moment at which sessions are looked at.
fn moment(now: Timestamp) -> Moment {
    Moment::new(now, IDLE_TIMEOUT)
}

/// The browser that begins a session.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    pub address: Option<IpAddr>,
    pub agent: Option<String>,
}

/// A new session, with the secret for the browser's cookie.
pub struct Begun {
    pub secret: String,
    pub live: Arc<LiveSession>,
}

/// Refuses a user and integrations that the workspace does not have. The user stays until the end of the transaction.
pub fn check_holder(tx: &mut Tx<'_>, holder: &Holder) -> Result<()> {
    let Some(workspace) = holder.workspace else {
        return Ok(());
    };
    if let Some(user) = holder.user {
        let (kind, id) = (EntityKind::User, EntityId(user.0));
        let user = entity::find_for_update(tx, workspace, kind, id)?;
        if user.is_none_or(|user| user.deleted_at.is_some()) {
            let why = "The userId is not a user of this workspace.";
            return Err(Error::invalid("userId", why));
        }
    }
    for (n, id) in holder.integrations.iter().enumerate() {
        if integration::find_instance(tx.conn()?, workspace, *id)?.is_none() {
            let why = format!("The integration {id} was never installed in this workspace.");
            return Err(Error::invalid(format!("integrations[{n}]"), why));
        }
    }
    Ok(())
}

/// The name of a caller's token, with which sessions end, and for an admin token its node.
fn began_with(app: &Platform, caller: &Caller) -> (String, Option<Uuid>) {
    match caller {
        Caller::Admin => (present_admin(app), Some(app.node)),
        caller => (caller.identity(), None),
    }
}

/// The name of the present admin token of this node.
fn present_admin(app: &Platform) -> String {
    format!("admin:{}", app.admin_token.fingerprint())
}

// ---- Beginning ------------------------------------------------------------------------------------

/// Begins a session with the rights of a token, which it ends with. `None` if the token is not valid.
pub async fn begin_by_token(
    app: &Platform,
    text: &str,
    browser: &Browser,
) -> Result<Option<Begun>> {
    let Some(caller) = access::by_token(app, text).await? else {
        guess::mark_guess();
        return Ok(None);
    };
    let latest = app.clock.now() + MAX_LIFETIME;
    let began = began_with(app, &caller);
    let (holder, ends_at) = match &caller {
        Caller::Token(token) => {
            let holder = Holder {
                workspace: Some(token.workspace),
                name: token.name.clone(),
                role: token.role,
                user: token.user,
                integrations: token.integrations.clone(),
            };
            (holder, token.expires_at.unwrap_or(latest).min(latest))
        }
        Caller::Admin => (Holder::operator(), latest),
        Caller::Integration(_) | Caller::Channel(_) => return Ok(None),
    };
    // The token may be revoked at the same time.
    let parent = match &caller {
        Caller::Token(token) => Some((token.workspace, token.id)),
        _ => None,
    };
    begin(app, holder, Some(began), ends_at, browser, move |tx| {
        Ok(match parent {
            Some((workspace, id)) => token::find_for_update(tx, workspace, id)?.is_some(),
            None => true,
        })
    })
    .await
}

/// Begins a session for a person whom the company's provider has confirmed. `None` if the user is gone.
pub async fn begin_by_provider(
    app: &Platform,
    holder: Holder,
    browser: &Browser,
) -> Result<Option<Begun>> {
    let ends_at = app.clock.now() + MAX_LIFETIME;
    let identity = format!("provider:{}", holder.name);
    security::set_actor(holder.signing_in(identity.clone()));
    let began = Some((identity, None));
    begin(app, holder, began, ends_at, browser, |_| Ok(true)).await
}

/// Begins a session for a holder, unless `admits` refuses it in the transaction or the user is gone.
async fn begin(
    app: &Platform,
    mut holder: Holder,
    began: Option<(String, Option<Uuid>)>,
    ends_at: Timestamp,
    browser: &Browser,
    mut admits: impl FnMut(&mut Tx<'_>) -> Result<bool> + Send + 'static,
) -> Result<Option<Begun>> {
    let now = app.clock.now();
    if holder.workspace.is_some() {
        holder.name = name_of_other(&holder);
    }
    let secret = random_token();
    let hash = sha256_hex(secret.as_bytes());
    let (began_with, node) = began.unzip();
    let agent = browser.agent.as_ref();
    let session = Session {
        id: generate(now),
        workspace: holder.workspace,
        began_with,
        node: node.flatten(),
        address: browser.address.map(|address| address.to_string()),
        agent: agent.map(|agent| agent.chars().take(MAX_AGENT).collect()),
        created_at: now,
        seen_at: now,
        ends_at,
        ended_at: None,
    };
    let (workspace, id) = (holder.workspace, session.id);
    let token = workspace.map(|workspace| session_token(&session, workspace, &holder, now));
    let live = LiveSession {
        session: session.clone(),
        caller: token
            .clone()
            .map_or(Caller::Admin, |token| Caller::Token(Arc::new(token))),
        name: holder.name.clone(),
    };
    let at = moment(now);
    let write = move |tx: &mut Tx<'_>| {
        if !admits(tx)? {
            return Ok(None);
        }
        if let Some(workspace) = workspace
            && workspace::find(tx.conn()?, &workspace.to_string())?.is_none()
        {
            return Ok(None);
        }
        match check_holder(tx, &holder) {
            Err(Error::Invalid(_)) => return Ok(None),
            checked => checked?,
        }
        let has_ended_others =
            session::insert(tx, &session, token.as_ref(), &hash, at, MAX_SESSIONS)?;
        if let Some(token) = &token {
            token::insert_of_session(tx, token, id)?;
        }
        Ok::<_, Error>(Some(has_ended_others))
    };
    let live = Arc::new(live);
    // The actor of the record in the audit log, which this write takes along. A session that does not begin is no actor.
    let before = security::replace_actor(Some((&live.signed_in()).into()));
    let has_ended_others = match app.db.write(workspace.unwrap_or(ANY), write).await {
        Ok(Some(has_ended_others)) => has_ended_others,
        other => {
            security::replace_actor(before);
            return other.map(|_| None);
        }
    };
    if has_ended_others {
        app.access.forget_tokens();
    }
    security::record(Event::SessionBegun, workspace, &object(id));
    Ok(Some(Begun { secret, live }))
}

/// The token by which a session acts in a workspace.
fn session_token(
    session: &Session,
    workspace: WorkspaceId,
    holder: &Holder,
    now: Timestamp,
) -> Token {
    Token {
        id: TokenId::generate(now),
        workspace,
        name: holder.name.clone(),
        role: holder.role,
        user: holder.user,
        integrations: holder.integrations.clone(),
        session: Some(session.id),
        expires_at: Some(tokens_end(session.seen_at, session.ends_at)),
        created_at: now,
        used_at: None,
        used_from: None,
    }
}

/// The name of a session in the security log.
fn object(id: Uuid) -> String {
    format!("session:{id}")
}

// ---- Use ------------------------------------------------------------------------------------------

/// The session with this secret, if it is not over. Notes its use.
pub async fn find(app: &Platform, secret: &str) -> Result<Option<Arc<LiveSession>>> {
    let now = app.clock.now();
    let hash = sha256_hex(secret.as_bytes());
    let live = if let Some(live) = app.access.sessions.get(&hash, now) {
        live
    } else {
        let wanted = hash.clone();
        let find = move |conn: &mut Conn| session::find_by_hash(conn, &wanted);
        let Some(found) = app.db.read(find).await? else {
            guess::mark_guess();
            return Ok(None);
        };
        let load = move |conn: &mut Conn| with_rights(conn, found);
        let Some(live) = app.db.read(load).await?.filter(|live| live.is_live(now)) else {
            return Ok(None);
        };
        let live = touch(app, live, now).await;
        app.access.sessions.put(hash, live.clone(), now);
        live
    };
    if !live.is_live(now) {
        return Ok(None);
    }
    security::set_actor(&live.signed_in());
    Ok(Some(live))
}

/// A session with its rights. `None` if its token is gone.
fn with_rights(conn: &mut Conn, session: Session) -> Result<Option<LiveSession>> {
    let Some(workspace) = session.workspace else {
        let name = Holder::operator().name;
        let caller = Caller::Admin;
        return Ok(Some(LiveSession {
            session,
            caller,
            name,
        }));
    };
    let key = token::session_hash(session.id, workspace);
    let Some(token) = token::find_by_hash(conn, &key)? else {
        return Ok(None);
    };
    let name = match token.user {
        Some(user) => user_name(conn, workspace, user)?,
        None => None,
    };
    Ok(Some(LiveSession {
        session,
        name: name.unwrap_or_else(|| token.name.clone()),
        caller: Caller::Token(Arc::new(token)),
    }))
}

/// The rights of a session, if it is not over. This is no use of it.
pub async fn rights(app: &Platform, id: Uuid) -> Result<Option<Caller>> {
    let read = move |conn: &mut Conn| match session::find(conn, id)? {
        Some(found) => with_rights(conn, found),
        None => Ok(None),
    };
    let live = app.db.read(read).await?;
    let live = live.filter(|live| live.is_live(app.clock.now()));
    Ok(live.map(|live| live.caller))
}

/// The name of a user, if there is one.
fn user_name(conn: &mut Conn, workspace: WorkspaceId, user: UserId) -> Result<Option<String>> {
    let found = entity::find(conn, workspace, EntityKind::User, EntityId(user.0))?;
    let facts = found.and_then(|found| Employee::read(&found.members));
    let name = facts.and_then(|facts| facts.name);
    Ok(name.filter(|name| !name.is_empty()))
}

/// Notes the use of a session, if none was noted in the last minute. If that fails, the session may end sooner.
async fn touch(app: &Platform, live: LiveSession, now: Timestamp) -> Arc<LiveSession> {
    let Session {
        id,
        workspace,
        seen_at,
        ends_at,
        ..
    } = live.session;
    let before = now - SEEN_INTERVAL;
    if seen_at > before {
        return Arc::new(live);
    }
    let until = tokens_end(now, ends_at);
    let write = move |tx: &mut Tx<'_>| session::touch(tx, id, now, before, until);
    let written = app.db.write_deferred(workspace.unwrap_or(ANY), write);
    let written = security::aside(written).await;
    if let Err(error) = written {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot note the use of a session"
        );
        return Arc::new(live);
    }
    let caller = match live.caller {
        Caller::Token(token) => Caller::Token(Arc::new(Token {
            expires_at: Some(until),
            ..Arc::unwrap_or_clone(token)
        })),
        other => other,
    };
    let session = Session {
        seen_at: now,
        ..live.session
    };
    Arc::new(LiveSession {
        session,
        caller,
        name: live.name,
    })
}

/// The person of a session in a workspace. An operator becomes an administrator there. Refuses a workspace that the
/// session is not for.
pub async fn enter(app: &Platform, live: &LiveSession, workspace: WorkspaceId) -> Result<SignedIn> {
    let refused = || Error::Forbidden("The session is not for this workspace");
    if !live.caller.may_enter(workspace) {
        return Err(refused());
    }
    if !matches!(live.caller, Caller::Admin) {
        return Ok(live.signed_in());
    }
    let session = live.session.clone();
    let key = token::session_hash(session.id, workspace);
    if let Some(caller) = access::by_hash(app, &key).await? {
        return Ok(live.acting_as(caller));
    }
    let now = app.clock.now();
    let holder = Holder {
        workspace: Some(workspace),
        ..Holder::operator()
    };
    let write = move |tx: &mut Tx<'_>| {
        let is_live =
            session::find(tx.conn()?, session.id)?.is_some_and(|found| found.ended_at.is_none());
        if !is_live || workspace::find(tx.conn()?, &workspace.to_string())?.is_none() {
            return Ok(false);
        }
        let token = session_token(&session, workspace, &holder, now);
        token::insert_of_session(tx, &token, session.id)?;
        Ok::<_, Error>(true)
    };
    if !app.db.write(workspace, write).await? {
        return Err(refused());
    }
    let caller = access::by_hash(app, &key).await?;
    Ok(live.acting_as(caller.ok_or_else(refused)?))
}

// ---- End ------------------------------------------------------------------------------------------

/// Lists a page of the sessions that are not over, with their total number: those of a workspace, or all.
pub async fn list(
    app: &Platform,
    workspace: Option<WorkspaceId>,
    page: (i64, i64),
) -> Result<(i64, Vec<(Session, Option<Token>)>)> {
    let at = moment(app.clock.now());
    let read = move |conn: &mut Conn| {
        let (count, found) = session::list(conn, workspace, at, page)?;
        let with_token = found.into_iter().map(|session| {
            let key = session
                .workspace
                .map(|own| token::session_hash(session.id, own));
            let token = key.map(|key| token::find_by_hash(conn, &key)).transpose()?;
            Ok::<_, Error>((session, token.flatten()))
        });
        Ok::<_, Error>((count, with_token.collect::<Result<_>>()?))
    };
    app.db.read(read).await
}

/// Ends a session: one of a workspace, or any. Returns false if there is none.
pub async fn end(app: &Platform, workspace: Option<WorkspaceId>, id: Uuid) -> Result<bool> {
    let now = app.clock.now();
    let write = move |tx: &mut Tx<'_>| {
        let found = session::find(tx.conn()?, id)?;
        let is_meant = |found: &Session| workspace.is_none() || found.workspace == workspace;
        let Some(found) = found.filter(is_meant) else {
            return Ok(None);
        };
        Ok::<_, Error>(Some((session::end(tx, id, now)?, found.workspace)))
    };
    let Some((is_ended, of)) = app.db.write(workspace.unwrap_or(ANY), write).await? else {
        return Ok(false);
    };
    app.access.forget_tokens();
    if is_ended {
        security::record(Event::SessionEnded, of, &object(id));
    }
    Ok(true)
}

/// Ends the sessions that began with an earlier admin token of this node.
pub async fn end_of_earlier_admin(app: &Platform) -> Result<()> {
    let (node, present, now) = (app.node, present_admin(app), app.clock.now());
    let write = move |tx: &mut Tx<'_>| session::end_of_earlier_admin(tx, node, &present, now);
    if app.db.write(ANY, write).await? > 0 {
        app.access.forget_tokens();
        security::record(Event::SessionEnded, None, "admin_token");
    }
    Ok(())
}
