//! `/rest/v1/service/integration_tokens/{token}`: the channel of a token (`docs/contracts/era.md §6`).

use axum::{http::StatusCode, response::Response};
use prichal_core::id::EntityId;
use prichal_store::{Conn, channel, workspace};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Admin;
use crate::{
    error::{Code, Error, Result},
    http::{answer::json_text, extract::Path},
    platform::{guess, vault::sha256_hex},
};

/// The channel of a token.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelTokenCheck)]
struct TokenCheck {
    /// The workspace's name.
    #[schema(required = true)]
    domain: Option<String>,
    /// The channel.
    integration_point: ChannelLink,
}

/// A channel, by its id and path.
#[derive(Serialize, ToSchema)]
struct ChannelLink {
    /// The id of the channel.
    #[schema(value_type = String, format = "uuid")]
    id: EntityId,
    /// The path of the channel, as HAL writes it.
    _links: SelfLink,
}

/// The paths of a channel.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelLinks)]
struct SelfLink {
    /// The channel itself.
    #[serde(rename = "self")]
    channel: Link,
}

/// A path.
#[derive(Serialize, ToSchema)]
#[schema(as = ChannelHref)]
struct Link {
    /// The path of the channel.
    href: String,
}

/// Check the local token of a channel of the caller's workspace.
#[utoipa::path(get, path = "/rest/v1/service/integration_tokens/{token}", tag = "channels",
    params(("token" = String, Path, description = "The `token_local` of the channel")),
    responses((status = 200, body = TokenCheck)))]
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
    let check = TokenCheck {
        domain,
        integration_point: ChannelLink {
            id: channel,
            _links: SelfLink {
                channel: Link { href },
            },
        },
    };
    let text = serde_json::to_string(&check).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}
