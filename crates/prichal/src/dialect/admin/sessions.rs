//! `/admin/v1/login-links` and `/admin/v1/sessions`: signing in at the console.

use axum::{Json as Answer, extract::State, http::StatusCode};
use prichal_core::{
    id::{generate, parse_any},
    schema::{self, object},
};

use super::{caller::Administrator, workspaces::find};
use crate::{
    app::App,
    dialect::sign_in::{ANY_LINK, LoginLink, NewAnyLoginLink, SessionList, holder, workspace_of},
    error::{Error, Result},
    http::{body::Raw, extract::Path, page::Page},
    platform::{
        access::Caller,
        reading::parse_json_strictly,
        session::{self, Holder},
    },
};

/// Make a link to sign in at the console. It is valid for ten minutes and for one use.
#[utoipa::path(post, operation_id = "create_any_login_link", path = "/admin/v1/login-links", tag = "administration", request_body = NewAnyLoginLink,
    responses((status = 201, body = LoginLink)))]
pub(super) async fn create_login_link(
    State(app): State<App>,
    _: Administrator,
    Raw(body): Raw,
) -> Result<(StatusCode, Answer<LoginLink>)> {
    let now = app.clock.now();
    let body = parse_json_strictly(&body)?;
    let given = schema::read_strictly(ANY_LINK, object(&body)?, &mut || generate(now))?;
    let wanted = match workspace_of(&given) {
        Some(name) => holder(&given, find(&app, name).await?.id)?,
        None if given.is_empty() => Holder::operator(),
        None => {
            let why = "Only a link to a workspace has these members.";
            return Err(Error::invalid("workspace", why));
        }
    };
    let link = session::create_link(&app, &Caller::Admin, wanted).await?;
    Ok((StatusCode::CREATED, Answer(link.into())))
}

/// List the sessions at the console, of operators and of all workspaces.
#[utoipa::path(get, operation_id = "list_all_sessions", path = "/admin/v1/sessions", tag = "administration", params(Page),
    responses((status = 200, body = SessionList)))]
pub(super) async fn list_sessions(
    State(app): State<App>,
    _: Administrator,
    page: Page,
) -> Result<Answer<SessionList>> {
    let found = session::list(&app, None, (page.offset, page.limit)).await?;
    Ok(Answer(SessionList::new(found)))
}

/// End a session at the console.
#[utoipa::path(delete, operation_id = "end_any_session", path = "/admin/v1/sessions/{id}", tag = "administration",
    params(("id" = Uuid, Path, description = "The id of the session")), responses((status = 204)))]
pub(super) async fn end_session(
    State(app): State<App>,
    _: Administrator,
    Path(id): Path<String>,
) -> Result<StatusCode> {
    let unknown = || Error::NotFound(format!("Session {id}"));
    let session = parse_any(&id).ok_or_else(unknown)?;
    if session::end(&app, None, session).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(unknown())
    }
}
