//! `/api/v1/{ws}/communications/live/ticket`: tickets for browsers, whose `EventSource` sends no headers, to open the
//! stream of live calls. Proxies and browser histories keep URLs, so a URL must not have a token. A ticket is valid
//! once and for a minute.

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
use prichal_store::{Tx, live_ticket};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::{Member, WORKSPACE};
use crate::{
    app::App,
    dialect::openapi::schema::takes,
    error::{Error, Result},
    http::{answer::json_text, extract::bearer, page::Query},
    platform::{
        access,
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
struct LiveTicket {
    /// For the query of `/api/v1/{ws}/communications/live`.
    ticket: String,
    /// The time from which it is not valid.
    #[schema(value_type = String, format = "date-time")]
    expires_at: Timestamp,
}

/// Issue a ticket for a browser, whose `EventSource` sends no token.
#[utoipa::path(post, path = "/api/v1/{ws}/communications/live/ticket", tag = "telephony",
    security(("token" = [])), params(Member), responses((status = 200, body = LiveTicket)))]
pub(super) async fn issue_ticket(member: Member, Bearer(token): Bearer) -> Result<Response> {
    user_of(&member)?;
    let mut random = [0; 32];
    fill_random(&mut random);
    let issued = LiveTicket {
        ticket: hex(&random),
        expires_at: member.now + TICKET_TTL,
    };
    let (workspace, end) = (member.workspace_id(), issued.expires_at);
    let (hash, token) = (sha256_hex(issued.ticket.as_bytes()), token);
    let write =
        move |tx: &mut Tx<'_>| live_ticket::insert(tx, workspace, &hash, &token, end, MAX_TICKETS);
    member.app.db.write(workspace, write).await?;
    let body = serde_json::to_string(&issued).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, body))
}

fn user_of(member: &Member) -> Result<UserId> {
    member.caller.user().ok_or(Error::Forbidden(
        "Only the token of a user can follow calls",
    ))
}

/// The hash of the bearer token of a request.
pub(super) struct Bearer(String);

impl FromRequestParts<App> for Bearer {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self> {
        let token = bearer(&parts.headers).unwrap_or_default();
        Ok(Self(sha256_hex(token.as_bytes())))
    }
}

const TICKET: Field = Field::new("ticket", Type::Text)
    .doc("A ticket in place of a token, for the `EventSource` of browsers.");

takes! {
    Follower: Path WORKSPACE, Query &[TICKET];
}

/// A user who follows their calls, authorized by a token or by its ticket.
pub(super) struct Follower {
    pub(super) member: Member,
    pub(super) user: UserId,
    /// The hash of the token. The stream ends when the token does.
    pub(super) token: String,
}

impl FromRequestParts<App> for Follower {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self> {
        let query = Query::of(parts);
        let (member, token) = match query.text(TICKET.name) {
            Some(ticket) if !parts.headers.contains_key(header::AUTHORIZATION) => {
                let hash = sha256_hex(ticket.as_bytes());
                by_ticket(parts, app, hash).await?
            }
            _ => {
                let Bearer(token) = Bearer::from_request_parts(parts, app).await?;
                (Member::from_request_parts(parts, app).await?, token)
            }
        };
        let user = user_of(&member)?;
        Ok(Self {
            member,
            user,
            token,
        })
    }
}

/// Redeems a ticket for the workspace in the path.
async fn by_ticket(parts: &Parts, app: &App, hash: String) -> Result<(Member, String)> {
    let ws = super::caller::segment(parts.uri.path());
    let workspace = access::find_workspace(app, ws).await?;
    let workspace = workspace.ok_or(Error::Unauthenticated)?;
    let (id, now) = (workspace.id, app.clock.now());
    let redeem = move |tx: &mut Tx<'_>| live_ticket::redeem(tx, id, &hash, now);
    let token = app.db.write(id, redeem).await?;
    let token = token.ok_or(Error::Unauthenticated)?;
    let caller = access::by_hash(app, &token).await?;
    let caller = caller.filter(|caller| caller.may_enter(id));
    let member = Member {
        app: app.clone(),
        workspace,
        caller: caller.ok_or(Error::Unauthenticated)?,
        now,
    };
    Ok((member, token))
}
