//! `/rest/v1/service/integration_points/{id}/sockets`: the open websockets of a channel. This is our own.

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    channel::Channel,
    id::{self, EntityId},
    time::Timestamp,
};
use prichal_store::{Conn, socket};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{caller::Admin, collection};
use crate::{
    error::{Error, Result},
    http::{answer::json_text, extract::Path},
};

/// The maximum number of websockets that are listed.
const MAX_SOCKETS: i64 = 1000;

/// An open websocket of a channel.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChannelSocket)]
pub(super) struct OpenSocket {
    /// The id of the connection.
    id: Uuid,
    /// The node that holds it.
    node: Uuid,
    /// The time at which it was opened.
    #[schema(value_type = String, format = DateTime, nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    connected_at: Option<Timestamp>,
}

/// List the open websockets of a channel, on all nodes, the oldest first and at most 1000.
#[utoipa::path(get, path = "/rest/v1/service/integration_points/{id}/sockets", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the channel")),
    responses((status = 200, body = Vec<OpenSocket>)))]
pub(super) async fn list_sockets(Admin(tenant): Admin, Path(id): Path<String>) -> Result<Response> {
    let channel: Channel = collection::find_in_path(&tenant, &id).await?;
    let (workspace, place) = (tenant.workspace, (tenant.app.node, tenant.now));
    let id = EntityId(channel.id);
    let read = move |conn: &mut Conn| socket::list(conn, workspace, id, place, MAX_SOCKETS);
    let found = tenant.app.db.read(read).await?.into_iter();
    let sockets: Vec<OpenSocket> = found
        .map(|(id, node)| OpenSocket {
            id,
            node,
            connected_at: id::generated_at(id),
        })
        .collect();
    let text = serde_json::to_string(&sockets).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}
