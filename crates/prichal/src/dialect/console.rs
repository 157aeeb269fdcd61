//! `/console`: the server's side of the console. The console finds sessions and calls the API here, in this process and
//! with the rights of the session.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Extensions, Request, Response, header, request::Parts},
    middleware::{Next, from_fn, from_fn_with_state},
};
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use prichal_console::{
    AtProvider, Backend, Beat, Client, Counters, Refusal, Role, Session, SignIn, SignedIn,
    Unavailable, Workspace,
};
use prichal_core::{custom_field::time_zone, id::WorkspaceId, time::Timestamp};
use prichal_store::{token, workspace};
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{audit, refuse};
use crate::{
    app::App,
    domain::stream::{
        pulse,
        topic::{Topic, Topics},
    },
    error::{Code, Error, Result},
    http::{Peer, answer::hold, body::metered, sender},
    platform::{
        access::{self, Caller},
        guess,
        memory::Payer,
        session::{self, Begun, Browser, LiveSession},
        settings,
    },
};

/// The maximum number of characters of a browser's name.
const MAX_AGENT: usize = 256;

/// The API as the console calls it.
struct Server {
    app: App,
    /// Every path of the API, without the layers that number, log and complete requests from outside.
    api: Router,
}

/// The pages of the console, over the routes of the API.
pub(super) fn router(app: App, api: Router) -> Router {
    let server = Server {
        app: app.clone(),
        api: api.layer(from_fn(audit::recorded)),
    };
    prichal_console::router(Arc::new(server)).layer(from_fn_with_state(app, account))
}

/// Holds memory for the body of a request and of its answer, as for those of the API.
async fn account(State(app): State<App>, request: Request<Body>, next: Next) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let payer = Payer::of(&parts.extensions);
    let is_safe = parts.method.is_safe();
    let (path, headers) = (parts.uri.path().to_owned(), parts.headers.clone());
    let body = match &payer {
        Some(payer) if !is_safe => metered(body, payer.clone()),
        _ => body,
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    match hold(payer, response, is_safe).await {
        Ok(held) => held,
        Err(busy) => refuse(&app, &path, &headers, busy),
    }
}

/// Logs a failure, which the console shows as such. A limit that is reached is no failure.
fn unavailable(error: &Error) -> Unavailable {
    if error.is(Code::LimitReached) {
        tracing::debug!("the console is refused: {error}");
        return Unavailable;
    }
    tracing::error!(
        error = error as &dyn std::error::Error,
        "the console cannot be served"
    );
    Unavailable
}

impl Server {
    async fn find(&self, secret: &str) -> Result<Option<Session>> {
        let Some(live) = session::find(&self.app, secret).await? else {
            guess::count_refusal(Arc::new(Error::Unauthenticated));
            return Ok(None);
        };
        self.session(&live).await
    }

    async fn begin(&self, by: SignIn<'_>, client: &Client) -> Result<Option<SignedIn>> {
        let agent = Some(client.user_agent.clone()).filter(|agent| !agent.is_empty());
        let browser = Browser {
            address: client.address,
            agent,
        };
        let begun = match by {
            SignIn::Link(secret) => session::begin_by_link(&self.app, secret, &browser).await?,
            SignIn::Token(text) => session::begin_by_token(&self.app, text, &browser).await?,
            SignIn::Provider {
                pending,
                state,
                code,
                workspace,
            } => {
                let Some(oidc) = &self.app.oidc else {
                    return Ok(None);
                };
                let person = oidc.finish(&self.app, pending, state, code).await?;
                let holder = match person {
                    Some(person) => oidc.holder(&self.app, &person, workspace).await?,
                    None => None,
                };
                match holder {
                    Some(holder) => session::begin_by_provider(&self.app, holder, &browser).await?,
                    None => None,
                }
            }
        };
        let Some(Begun { secret, live }) = begun else {
            return Ok(None);
        };
        let session = self.session(&live).await?;
        Ok(session.map(|session| SignedIn { secret, session }))
    }

    /// A session as the console knows it. `None` if its workspace is gone.
    async fn session(&self, live: &Arc<LiveSession>) -> Result<Option<Session>> {
        let (role, user) = match &live.caller {
            Caller::Token(token) => (role(token.role), token.user.map(|user| user.0)),
            _ => (Role::Operator, None),
        };
        let workspaces = match live.session.workspace {
            None => Vec::new(),
            Some(id) => match access::find_workspace(&self.app, &id.to_string()).await? {
                Some(found) => vec![self.workspace(&found).await?],
                None => return Ok(None),
            },
        };
        Ok(Some(Session {
            id: live.session.id,
            role,
            name: live.name.clone(),
            user,
            workspaces,
            grant: live.clone(),
        }))
    }

    async fn workspace(&self, found: &workspace::Workspace) -> Result<Workspace> {
        let settings = settings::of(&self.app, found.id).await?;
        Ok(Workspace {
            id: found.id.0,
            name: found.name.clone(),
            title: found.title.clone().unwrap_or_else(|| found.name.clone()),
            zone: time_zone(&settings),
            has_documents: found.bin.is_some(),
        })
    }

    async fn enter(&self, session: &Session, name: &str) -> Result<Option<Workspace>> {
        let found = access::find_workspace(&self.app, name).await?;
        match (live(session), found) {
            (Some(live), Some(found)) if live.caller.may_enter(found.id) => {
                Ok(Some(self.workspace(&found).await?))
            }
            _ => Ok(None),
        }
    }

    /// The person who calls a path. The administration is the operator's, also in a workspace.
    async fn person(
        &self,
        session: &Session,
        workspace: Option<&Workspace>,
        path: &str,
    ) -> Result<access::SignedIn> {
        let live = live(session).ok_or(Error::Unauthenticated)?;
        match workspace {
            Some(workspace) if !path.starts_with("/admin/") => {
                session::enter(&self.app, live, WorkspaceId(workspace.id)).await
            }
            _ => Ok(live.signed_in()),
        }
    }
}

/// The session behind one of the console, which was found at the beginning of the request.
fn live(session: &Session) -> Option<&LiveSession> {
    session.grant.downcast_ref()
}

fn role(role: token::Role) -> Role {
    match role {
        token::Role::Admin => Role::Admin,
        token::Role::Member => Role::Employee,
        token::Role::Viewer => Role::Viewer,
        token::Role::Integrator => Role::Integrator,
    }
}

/// Counters as the console knows them: those of topics that the session may read.
fn counters(now: pulse::Counters, topics: Topics) -> Counters {
    let mut counts = now.counts.map(Some);
    for topic in Topic::ALL.into_iter().filter(|topic| !topics.has(*topic)) {
        counts[topic as usize] = None;
    }
    Counters {
        epoch: now.epoch,
        counts,
    }
}

/// An open console: the session and what it follows. `None` after the end.
type Following = Option<(App, Uuid, pulse::Follower)>;

/// The topics that a session may read now. `None` if it is over.
async fn topics_now(app: &App, session: Uuid, workspace: WorkspaceId) -> Result<Option<Topics>> {
    let Some(caller) = session::rights(app, session).await? else {
        return Ok(None);
    };
    let topics = pulse::topics_of(&app.domain, workspace, &caller).await?;
    Ok(Some(topics))
}

/// The next beat of an open console, as long as its session lasts.
async fn follow(following: Following) -> Option<(Beat, Following)> {
    let (app, session, mut follower) = following?;
    let beat = follower.next().await?;
    let topics = match topics_now(&app, session, follower.workspace()).await {
        Ok(Some(topics)) => topics,
        Ok(None) => return Some((Beat::End, None)),
        // The rights are not known now, so nothing is told. The browser comes back.
        Err(error) => {
            unavailable(&error);
            return None;
        }
    };
    let beat = match beat {
        // A right may have been lost since the follower was told of it.
        pulse::Beat::Changed(now) => Beat::Changed(counters(now, topics)),
        pulse::Beat::Silence => Beat::Silence,
    };
    follower.set_topics(topics);
    Some((beat, Some((app, session, follower))))
}

impl Backend for Server {
    fn find_session<'a>(
        &'a self,
        secret: &'a str,
        _: &'a Client,
    ) -> BoxFuture<'a, Result<Option<Session>, Unavailable>> {
        Box::pin(async move { self.find(secret).await.map_err(|error| unavailable(&error)) })
    }

    fn sign_in<'a>(
        &'a self,
        by: SignIn<'a>,
        client: &'a Client,
    ) -> BoxFuture<'a, Result<SignedIn, Refusal>> {
        Box::pin(async move {
            if let Some(begun) = self
                .begin(by, client)
                .await
                .map_err(|error| unavailable(&error))?
            {
                return Ok(begun);
            }
            let refused = guess::count_refusal(Arc::new(Error::Unauthenticated));
            Err(match *refused {
                Error::Throttled { after } => Refusal::Wait(after),
                _ => Refusal::Invalid,
            })
        })
    }

    fn sign_out<'a>(&'a self, session: &'a Session) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            let workspace = live(session).and_then(|live| live.session.workspace);
            let ended = session::end(&self.app, workspace, session.id).await;
            ended.map(drop).map_err(|error| unavailable(&error))
        })
    }

    fn find_workspace<'a>(
        &'a self,
        session: &'a Session,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Workspace>, Unavailable>> {
        Box::pin(async move {
            self.enter(session, name)
                .await
                .map_err(|error| unavailable(&error))
        })
    }

    fn call<'a>(
        &'a self,
        session: &'a Session,
        workspace: Option<&'a Workspace>,
        extensions: &'a Extensions,
        mut request: Request<Body>,
    ) -> BoxFuture<'a, Response<Body>> {
        Box::pin(async move {
            match self.person(session, workspace, request.uri().path()).await {
                Ok(person) => request.extensions_mut().insert(person),
                Err(error) => {
                    return refuse(&self.app, request.uri().path(), request.headers(), error);
                }
            };
            // The rights are the session's alone.
            request.headers_mut().remove(header::AUTHORIZATION);
            request.headers_mut().remove("x-xcom-accesskey");
            let to = request.extensions_mut();
            if let Some(payer) = extensions.get::<Payer>() {
                to.insert(payer.clone());
            }
            if let Some(peer) = extensions.get::<Peer>() {
                to.insert(*peer);
            }
            match self.api.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        })
    }

    fn pulse<'a>(
        &'a self,
        session: &'a Session,
        workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Beat>, Unavailable>> {
        Box::pin(async move {
            let app = self.app.clone();
            let workspace = WorkspaceId(workspace.id);
            let start = async {
                let live = live(session).ok_or(Error::Unauthenticated)?;
                let topics = pulse::topics_of(&app.domain, workspace, &live.caller).await?;
                pulse::Follower::start(app.domain.clone(), workspace, session.id, topics).await
            };
            let follower = start.await.map_err(|error| unavailable(&error))?;
            let following = Some((app, session.id, follower));
            Ok(stream::unfold(following, follow).boxed())
        })
    }

    fn counters<'a>(
        &'a self,
        session: &'a Session,
        workspace: &'a Workspace,
    ) -> BoxFuture<'a, Result<Option<Counters>, Unavailable>> {
        Box::pin(async move {
            let workspace = WorkspaceId(workspace.id);
            let now = self.app.streams.pulses.now(workspace);
            let (Some(live), Some(now)) = (live(session), now) else {
                return Ok(None);
            };
            let topics = pulse::topics_of(&self.app.domain, workspace, &live.caller).await;
            let topics = topics.map_err(|error| unavailable(&error))?;
            Ok(Some(counters(now, topics)))
        })
    }

    fn client(&self, request: &Parts) -> Client {
        let agent = request.headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Client {
            address: sender(&self.app, &request.headers, &request.extensions),
            user_agent: agent.unwrap_or_default().chars().take(MAX_AGENT).collect(),
        }
    }

    fn has_oidc(&self) -> bool {
        self.app.oidc.is_some()
    }

    fn begin_at_provider(&self) -> BoxFuture<'_, Result<Option<AtProvider>, Unavailable>> {
        Box::pin(async move {
            let Some(oidc) = &self.app.oidc else {
                return Ok(None);
            };
            let begun = oidc.begin(&self.app).await;
            let (url, pending) = begun.map_err(|error| unavailable(&error))?;
            Ok(Some(AtProvider { url, pending }))
        })
    }

    fn public_url(&self) -> String {
        self.app.config.public_url()
    }

    fn now(&self) -> Timestamp {
        self.app.clock.now()
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::stream::topic;

    #[test]
    fn topics_have_one_order() {
        assert_eq!(prichal_console::TOPICS, topic::NAMES);
    }
}
