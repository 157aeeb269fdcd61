//! `/admin/v1/admin-token`.

use axum::extract::State;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Administrator;
use crate::{
    app::App,
    dialect::openapi::schema::{body, described},
    error::{Error, Result},
    http::{
        body::{Raw, overlap, overlap_field},
        idempotency::JsonAnswer,
    },
    platform::{
        security::{self, Event},
        session,
    },
};

/// The member of a rotation.
const OVERLAP: &str = "overlapSeconds";

described! {
    /// A rotation of the admin token.
    AdminTokenRotation = body(&[overlap_field(OVERLAP)]);
}

/// The new admin token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RotatedAdminToken)]
struct Rotated {
    /// The new token, shown only in this answer. The data directory has it as well.
    token: String,
    /// The end of the previous token.
    #[schema(format = DateTime)]
    previous_until: String,
}

/// Exchange the admin token for a new one. The previous one stays valid for a while, but not beyond a restart. Each node
/// has an admin token of its own.
#[utoipa::path(post, path = "/admin/v1/admin-token/rotate", tag = "administration", request_body(content = Option<AdminTokenRotation>, example = json!({"overlapSeconds": 3600})),
    responses((status = 200, body = Rotated)))]
pub(super) async fn rotate_admin_token(
    State(app): State<App>,
    _: Administrator,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let overlap = overlap(&body, OVERLAP)?.unwrap_or(app.config.token_overlap);
    let now = app.clock.now();
    let at = app.clone();
    // Blocking, since it writes a file.
    let made = tokio::task::spawn_blocking(move || at.admin_token.rotate(overlap, now));
    let token = made.await.map_err(Error::internal)??;
    security::record(Event::AdminTokenRotated, None, "api");
    // The new token has to be answered. If this fails, the task that rotates keys does it.
    if let Err(error) = session::end_of_earlier_admin(&app).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot end the sessions of the earlier admin token; trying again"
        );
    }
    let rotated = Rotated {
        token: token.expose_secret().to_owned(),
        previous_until: (now + overlap).to_string(),
    };
    let text = serde_json::to_string(&rotated).map_err(Error::internal)?;
    Ok(JsonAnswer::ok(text))
}
