//! `/admin/v1/nodes`: the servers that share the store.

use axum::{Json as Answer, extract::State};
use prichal_core::time::Timestamp;
use prichal_store::{
    Conn,
    webhook::{self, Node},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Administrator;
use crate::{
    app::App,
    error::{Error, Result},
};

/// The maximum number of nodes in the list.
const MAX_NODES: i64 = 1000;

/// A server among those that share the store.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerNode)]
pub(super) struct NodeModel {
    /// The id, which stays with the data directory.
    id: Uuid,
    /// The version of its program; empty if it has not told it.
    version: String,
    /// The time of its start.
    #[schema(value_type = String, format = "date-time")]
    started_at: Timestamp,
    /// The end of its lease, which it renews every few seconds. Absent for a server that shares its store with nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time", nullable = false)]
    lease_until: Option<Timestamp>,
    /// False if the lease has expired: others take over what it had.
    is_alive: bool,
    /// The number of webhooks and subscriptions that it serves.
    webhooks: i64,
    /// True for the server that answers.
    answers: bool,
}

/// The nodes.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerNodes)]
pub(super) struct NodeList {
    /// The nodes by id.
    items: Vec<NodeModel>,
}

/// List the servers that share the store, with their versions and leases.
#[utoipa::path(get, path = "/admin/v1/nodes", tag = "administration", responses((status = 200, body = NodeList)))]
pub(super) async fn list_nodes(
    State(app): State<App>,
    _: Administrator,
) -> Result<Answer<NodeList>> {
    let (own, now) = (app.node, app.clock.now());
    let read = move |conn: &mut Conn| Ok::<_, Error>(webhook::describe_nodes(conn, MAX_NODES)?);
    let model = |node: Node| NodeModel {
        id: node.id,
        version: node.version,
        started_at: node.started_at,
        lease_until: Some(node.until),
        is_alive: node.until >= now,
        webhooks: node.webhooks,
        answers: node.id == own,
    };
    let nodes = app.db.read(read).await?;
    let mut items: Vec<NodeModel> = nodes.into_iter().map(model).collect();
    if items.iter().all(|node| !node.answers) {
        // Its store is a file of its own, in which no node has a row.
        let (idle, lags) = app.dispatch.lags();
        items.push(NodeModel {
            id: own,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: app.started_at,
            lease_until: None,
            is_alive: true,
            webhooks: i64::try_from(idle + lags.len()).map_err(Error::internal)?,
            answers: true,
        });
    }
    Ok(Answer(NodeList { items }))
}
