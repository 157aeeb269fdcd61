//! `/admin/v1/admin-token`.

use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::ExposeSecret as _;
use serde_json::json;
use utoipa::ToSchema;

use super::caller::Administrator;
use crate::{
    app::App,
    error::{Error, Result},
    http::{
        answer::json_text,
        body::{Raw, overlap},
    },
    platform::security::{self, Event},
};

/// A rotation of the admin token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body that `overlap` reads")]
struct Rotation {
    /// The seconds for which the previous token stays valid: 0 to 2592000, `--token-overlap` unless given.
    #[schema(rename = "overlapSeconds")]
    overlap_seconds: Option<u64>,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the text that is put together below")]
struct Rotated {
    /// The new token, shown only in this answer. The data directory has it as well.
    token: String,
    /// The end of the previous token.
    #[schema(rename = "previousUntil")]
    previous_until: String,
}

/// Exchange the admin token for a new one. The previous one stays valid for a while, but not beyond a restart. Each node
/// has an admin token of its own.
#[utoipa::path(post, path = "/admin/v1/admin-token/rotate", tag = "administration", request_body = Rotation,
    responses((status = 200, body = Rotated)))]
pub(super) async fn rotate_admin_token(
    State(app): State<App>,
    _: Administrator,
    Raw(body): Raw,
) -> Result<Response> {
    let overlap = overlap(&body, "overlapSeconds")?.unwrap_or(app.config.token_overlap);
    let now = app.clock.now();
    let at = app.clone();
    // Blocking, since it writes a file.
    let made = tokio::task::spawn_blocking(move || at.admin_token.rotate(overlap, now));
    let token = made.await.map_err(Error::internal)??;
    security::record(Event::AdminTokenRotated, None, "api");
    let body = json!({
        "token": token.expose_secret(),
        "previousUntil": (now + overlap).to_string(),
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}
