//! `/rest/v1/service/integration_tokens/{token}`: the channel of a token (`docs/contracts/era.md §6`).

use axum::{http::StatusCode, response::Response};
use prichal_store::{Conn, channel, workspace};
use serde_json::json;

use super::caller::Admin;
use crate::{
    error::{Code, Error, Result},
    http::{answer::json_text, extract::Path},
    platform::{guess, vault::sha256_hex},
};

/// Check the local token of a channel of the caller's workspace.
#[utoipa::path(get, path = "/rest/v1/service/integration_tokens/{token}", tag = "channels",
    params(("token" = String, Path)), responses((status = 200, body = serde_json::Value)))]
pub(super) async fn check_token(
    Admin(tenant): Admin,
    Path(token): Path<String>,
) -> Result<Response> {
    let (id, now, hash) = (tenant.workspace, tenant.now, sha256_hex(token.as_bytes()));
    let read = move |conn: &mut Conn| {
        let channel = channel::find_by_token(conn, id, &hash, now)?
            .ok_or_else(|| Error::refused(Code::TokenNotFound, "Token not found"))?;
        let workspace = workspace::find(conn, &id.to_string())?;
        Ok::<_, Error>((workspace.map(|workspace| workspace.name), channel))
    };
    let found = tenant.app.db.read(read).await;
    let (domain, channel) = found.inspect_err(|error| {
        if let Error::Refused(_) = error {
            guess::mark_guess();
        }
    })?;
    let href = format!("/rest/v1/service/integration_points/{channel}");
    let body = json!({
        "domain": domain,
        "integration_point": { "id": channel, "_links": { "self": { "href": href } } },
    });
    Ok(json_text(StatusCode::OK, body.to_string()))
}
