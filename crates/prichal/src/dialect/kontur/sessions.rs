//! `/api/v1/{ws}/login-links` and `/api/v1/{ws}/sessions`: signing in at the console of a workspace.

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    id::{generate, parse_any},
    schema::{self, object},
};

use super::caller::Admin;
use crate::{
    dialect::sign_in::{LINK, LoginLink, NewLoginLink, SessionList, holder},
    error::{Error, Result},
    http::{answer::json_text, body::Json, extract::Path, page::Page},
    platform::session,
};

/// Make a link to sign in to the workspace's console. It is valid for ten minutes and for one use.
#[utoipa::path(post, path = "/api/v1/{ws}/login-links", tag = "sessions", params(Admin), request_body = NewLoginLink,
    responses((status = 201, body = LoginLink)))]
pub(super) async fn create_login_link(Admin(member): Admin, Json(body): Json) -> Result<Response> {
    let given = schema::read(LINK, object(&body)?, &mut || generate(member.now))?;
    let wanted = holder(&given, member.workspace_id())?;
    let link = session::create_link(&member.app, &member.caller, wanted).await?;
    let text = serde_json::to_string(&LoginLink::from(link)).map_err(Error::internal)?;
    Ok(json_text(StatusCode::CREATED, text))
}

/// List the sessions at the workspace's console.
#[utoipa::path(get, path = "/api/v1/{ws}/sessions", tag = "sessions", params(Admin, Page),
    responses((status = 200, body = SessionList)))]
pub(super) async fn list_sessions(Admin(member): Admin, page: Page) -> Result<Response> {
    let of = Some(member.workspace_id());
    let found = session::list(&member.app, of, (page.offset, page.limit)).await?;
    let text = serde_json::to_string(&SessionList::new(found)).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

/// End a session at the workspace's console.
#[utoipa::path(delete, path = "/api/v1/{ws}/sessions/{id}", tag = "sessions",
    params(Admin, ("id" = Uuid, Path, description = "The id of the session")), responses((status = 204)))]
pub(super) async fn end_session(
    Admin(member): Admin,
    Path((_ws, id)): Path<(String, String)>,
) -> Result<StatusCode> {
    let unknown = || Error::NotFound(format!("Session {id}"));
    let session = parse_any(&id).ok_or_else(unknown)?;
    if session::end(&member.app, Some(member.workspace_id()), session).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}
