//! Tickets for browsers, whose `EventSource` sends no headers, to open streams: `…/communications/live/ticket` and
//! `…/stream/ticket` below `/api/v1/{ws}`. Proxies and browser histories keep URLs, so a URL must not have a token. A
//! ticket is valid once and for a minute.

use std::time::Duration;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
    response::Response,
};
use prichal_core::{
    id::UserId,
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    live_ticket::{self, Ticket},
    token::session_hash,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller::{Member, WORKSPACE},
    stream::{self, TOPICS},
};
use crate::{
    app::App,
    dialect::openapi::schema::{parameters, takes},
    domain::stream::topic::Topics,
    error::{Error, Result},
    http::{answer::json_text, extract::bearer, page::Query},
    platform::{
        access::{self, Caller, SignedIn},
        vault::{fill_random, hex, sha256_hex},
    },
};

/// The lifetime of an unused ticket.
const TICKET_TTL: Duration = Duration::from_mins(1);
/// The maximum number of unused tickets of a token. A further ticket invalidates the oldest.
const MAX_TICKETS: i64 = 16;

/// A ticket, valid for one use.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct StreamTicket {
    /// For the query of the stream.
    ticket: String,
    /// The time from which it is not valid.
    #[schema(value_type = String, format = "date-time")]
    expires_at: Timestamp,
}

parameters! {
    /// The topics of a ticket.
    TicketTopics = &[TOPICS];
}

/// Issue a ticket for a browser, whose `EventSource` sends no token.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/live/ticket", tag = "telephony",
    security(("token" = [])), params(Member), responses((status = 200, body = StreamTicket)))]
pub(super) async fn issue_ticket(member: Member, credential: Credential) -> Result<Response> {
    user_of(&member)?;
    issue(&member, credential, None).await
}

/// Issue a ticket for a browser, whose `EventSource` sends no token. The ticket is for these topics only.
#[utoipa::path(post, path = "/api/v1/{ws}/stream/ticket", tag = "stream",
    security(("token" = [])), params(Member, TicketTopics), responses((status = 200, body = StreamTicket)))]
pub(super) async fn issue_stream_ticket(
    member: Member,
    credential: Credential,
    query: Query,
) -> Result<Response> {
    let topics = topics(&query)?.ok_or_else(|| Error::invalid(TOPICS.name, stream::NO_TOPICS))?;
    stream::sight_of(&member.app, member.workspace_id(), &member.caller, topics).await?;
    issue(&member, credential, Some(topics)).await
}

async fn issue(member: &Member, by: Credential, topics: Option<Topics>) -> Result<Response> {
    let Credential::Token(token) = by else {
        return Err(Error::Forbidden(
            "Only a token of the workspace can get a ticket",
        ));
    };
    let mut random = [0; 32];
    fill_random(&mut random);
    let issued = StreamTicket {
        ticket: hex(&random),
        expires_at: member.now + TICKET_TTL,
    };
    let ticket = Ticket {
        token,
        topics: topics.map(|topics| topics.to_string()),
    };
    let (workspace, end) = (member.workspace_id(), issued.expires_at);
    let hash = sha256_hex(issued.ticket.as_bytes());
    let write =
        move |tx: &mut Tx<'_>| live_ticket::insert(tx, workspace, &hash, &ticket, end, MAX_TICKETS);
    member.app.db.write(workspace, write).await?;
    let body = serde_json::to_string(&issued).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, body))
}

fn user_of(member: &Member) -> Result<UserId> {
    member.caller.user().ok_or(Error::Forbidden(
        "Only the token of a user can follow calls",
    ))
}

/// The topics in a query.
fn topics(query: &Query) -> Result<Option<Topics>> {
    query.read(TOPICS.name, stream::TOPIC_LIST, Topics::parse)
}

/// The credential of a stream, which ends with it.
pub(super) enum Credential {
    /// The key of a token of the workspace: its hash, or that of a session's token.
    Token(String),
    /// The admin token.
    Admin(SecretString),
}

impl Credential {
    /// The caller, as long as the credential is valid.
    pub(super) async fn caller(&self, app: &App) -> Result<Option<Caller>> {
        match self {
            Self::Token(hash) => access::by_hash(app, hash).await,
            Self::Admin(text) => access::by_token(app, text.expose_secret()).await,
        }
    }
}

impl FromRequestParts<App> for Credential {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        if let Some(SignedIn { caller, .. }) = parts.extensions.get() {
            let key = match caller {
                Caller::Token(token) => token.session.map(|id| session_hash(id, token.workspace)),
                _ => None,
            };
            return key.map(Self::Token).ok_or(Error::Forbidden(
                "A session follows a workspace that it has entered",
            ));
        }
        let token = bearer(&parts.headers).unwrap_or_default();
        Ok(if app.admin_token.accepts(token, app.clock.now()) {
            Self::Admin(token.into())
        } else {
            Self::Token(sha256_hex(token.as_bytes()))
        })
    }
}

const TICKET: Field = Field::new("ticket", Type::Text)
    .doc("A ticket in place of a token, for the `EventSource` of browsers.");

takes! {
    Follower: Path WORKSPACE, Query &[TICKET];
    StreamCaller: Path WORKSPACE, Query &[TOPICS, TICKET];
}

/// A user who follows their calls, authorized by a token or by its ticket.
pub(super) struct Follower {
    pub(super) member: Member,
    pub(super) user: UserId,
    pub(super) credential: Credential,
}

impl FromRequestParts<App> for Follower {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let (member, credential) = match authorized(parts, app).await? {
            (member, credential, None) => (member, credential),
            (member, credential, Some(ticket)) if ticket.topics.is_none() => (member, credential),
            _ => return Err(Error::Unauthenticated),
        };
        let user = user_of(&member)?;
        Ok(Self {
            member,
            user,
            credential,
        })
    }
}

/// The caller of a workspace's stream, authorized by a token or by a ticket.
pub(super) struct StreamCaller {
    pub(super) member: Member,
    pub(super) credential: Credential,
    pub(super) topics: Topics,
}

impl FromRequestParts<App> for StreamCaller {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let (member, credential, ticket) = authorized(parts, app).await?;
        let asked = topics(&Query::of(parts))?;
        let topics = match ticket {
            None => asked,
            Some(ticket) => {
                let granted = ticket.topics.as_deref().and_then(Topics::parse);
                let granted = granted.ok_or(Error::Unauthenticated)?;
                if asked.is_some_and(|asked| !granted.covers(asked)) {
                    return Err(Error::Forbidden("The ticket is for other topics"));
                }
                asked.or(Some(granted))
            }
        };
        let topics = topics.ok_or_else(|| Error::invalid(TOPICS.name, stream::NO_TOPICS))?;
        Ok(Self {
            member,
            credential,
            topics,
        })
    }
}

/// Authorizes the caller of a stream: by a ticket, which is used up, or as any other request.
async fn authorized(parts: &mut Parts, app: &App) -> Result<(Member, Credential, Option<Ticket>)> {
    let query = Query::of(parts);
    let ticket = query.text(TICKET.name);
    if let Some(ticket) = ticket.filter(|_| !parts.headers.contains_key(header::AUTHORIZATION)) {
        let hash = sha256_hex(ticket.as_bytes());
        let (member, ticket) = by_ticket(parts, app, hash).await?;
        let credential = Credential::Token(ticket.token.clone());
        return Ok((member, credential, Some(ticket)));
    }
    let credential = Credential::from_request_parts(parts, app).await?;
    Ok((
        Member::from_request_parts(parts, app).await?,
        credential,
        None,
    ))
}

/// Redeems a ticket for the workspace in the path.
async fn by_ticket(parts: &Parts, app: &App, hash: String) -> Result<(Member, Ticket)> {
    let ws = super::caller::segment(parts.uri.path());
    let workspace = access::find_workspace(app, ws).await?;
    let workspace = workspace.ok_or(Error::Unauthenticated)?;
    let (id, now) = (workspace.id, app.clock.now());
    let redeem = move |tx: &mut Tx<'_>| live_ticket::redeem(tx, id, &hash, now);
    let ticket = app.db.write(id, redeem).await?;
    let ticket = ticket.ok_or(Error::Unauthenticated)?;
    let caller = access::by_hash(app, &ticket.token).await?;
    let caller = caller.filter(|caller| caller.may_enter(id));
    let member = Member {
        app: app.clone(),
        workspace,
        caller: caller.ok_or(Error::Unauthenticated)?,
        now,
    };
    Ok((member, ticket))
}
