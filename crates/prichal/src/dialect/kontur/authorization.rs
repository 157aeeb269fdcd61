//! `/api/v1/authorization`: an integration exchanges its API key for an access key that is valid for 20 minutes
//! (`docs/contracts/kontur.md §4.1`).

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use prichal_core::{
    event::Author,
    id::{IntegrationId, WorkspaceId},
    integration::{Kind, Secrets},
    update_info::UpdateInfo,
};
use prichal_dialect::kontur;
use prichal_store::{
    Conn,
    integration::{self, Integration},
    workspace::{self, Workspace},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    instances::{self, InstanceModel, not_installed},
    openapi::UpdateInfoModel,
};
use crate::{
    app::App,
    domain::instance::{self, Installed},
    error::{Error, Result},
    http::answer::json_text,
    platform::{
        access::Caller,
        guess,
        security::{self, Event},
        vault::{AccessKey, sha256_hex},
    },
};

/// The workspace of an integration, and the key to act there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AuthResult {
    workspace: WorkspaceModel,
    #[schema(value_type = InstanceModel)]
    integration_instance: Box<RawValue>,
    /// For `X-XCOM-AccessKey`. Valid for 20 minutes.
    access_key: String,
}

/// A workspace that has installed the integration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuthorizedWorkspace)]
struct WorkspaceModel {
    /// The id of the workspace.
    #[schema(format = "uuid")]
    id: String,
    /// The name in paths.
    name: String,
    /// The name for people.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[schema(value_type = UpdateInfoModel)]
    #[serde(serialize_with = "kontur::update_info::serialize")]
    update_info: UpdateInfo,
}

impl From<Workspace> for WorkspaceModel {
    fn from(workspace: Workspace) -> Self {
        // The administrator of the server makes workspaces, and is not a user of theirs.
        let update_info = UpdateInfo {
            updated_at: workspace.updated_at,
            updated: Author::system(),
            created_at: workspace.created_at,
            created: Author::system(),
        };
        Self {
            id: workspace.id.to_string(),
            name: workspace.name,
            title: workspace.title,
            update_info,
        }
    }
}

/// Authorize a private integration. Its API key identifies both the integration and its workspace.
#[utoipa::path(post, path = "/api/v1/authorization/authorize-private-integration", tag = "authorization",
    params(("X-XCOM-Integration-ApiKey" = String, Header, description = "The API key of the integration.")),
    responses((status = 200, body = AuthResult)))]
pub(super) async fn authorize_private_integration(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response> {
    let hash = api_key_hash(&headers)?;
    let vault = app.clone();
    let find = move |conn: &mut Conn| {
        let integration = find_by_api_key(conn, &hash, Kind::Private)?;
        let workspace = find_workspace(conn, integration.workspace)?;
        let found = instance::find(&vault.vault, conn, workspace.id, integration.id)?;
        let installed = found.filter(|found| found.row.installed);
        Ok::<_, Error>((workspace, installed.ok_or_else(not_installed)?))
    };
    let (workspace, found) = app.db.read(find).await?;
    authorize(&app, workspace, &found)
}

/// Authorize a public integration. Its API key identifies the integration, and the secret one of the workspaces that
/// installed it.
#[utoipa::path(post, path = "/api/v1/authorization/authorize-integration", tag = "authorization",
    params(("X-XCOM-Integration-ApiKey" = String, Header, description = "The API key of the integration."),
        ("X-XCOM-Integration-Secret" = String, Header, description = "A secret of the workspace's instance, as `<name>=<value>`.")),
    responses((status = 200, body = AuthResult)))]
pub(super) async fn authorize_integration(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<Response> {
    let hash = api_key_hash(&headers)?;
    let (name, value) = header(&headers, "x-xcom-integration-secret")
        .and_then(|secret| secret.split_once('='))
        .ok_or(Error::Unauthenticated)?;
    let (name, hashes) = (name.trim().to_owned(), app.vault.secret_hashes(value));
    let shown = format!("{hash}={name}={value}");
    let integration = app
        .db
        .read(move |conn| find_by_api_key(conn, &hash, Kind::Public))
        .await?;
    // People choose secrets, so they can be guessed.
    guess::check(integration.id, &shown)?;
    let vault = app.clone();
    let find = move |conn: &mut Conn| {
        let owner = owner_of(conn, integration.id, &name, &hashes)?;
        let workspace = find_workspace(conn, owner.ok_or(Error::Unauthenticated)?)?;
        let found = instance::find(&vault.vault, conn, workspace.id, integration.id)?;
        let installed = found.filter(|found| found.row.installed);
        Ok::<_, Error>((workspace, installed.ok_or(Error::Unauthenticated)?))
    };
    let found = app.db.read(find).await;
    if let Ok(_) | Err(Error::Unauthenticated) = found {
        guess::record_outcome(integration.id, &shown, found.is_ok());
    }
    let (workspace, found) = found?;
    authorize(&app, workspace, &found)
}

/// The workspace of a secret, by the hashes under which the secret may be stored.
fn owner_of(
    conn: &mut Conn,
    integration: IntegrationId,
    name: &str,
    hashes: &[String],
) -> Result<Option<WorkspaceId>> {
    for hash in hashes {
        let owner = integration::find_by_secret(conn, integration, name, hash)?;
        if owner.is_some() {
            return Ok(owner);
        }
    }
    Ok(None)
}

/// A header as text. Values may be UTF-8, since people choose the secrets.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

fn api_key_hash(headers: &HeaderMap) -> Result<String> {
    let key = header(headers, "x-xcom-integration-apikey").ok_or(Error::Unauthenticated)?;
    Ok(sha256_hex(key.trim().as_bytes()))
}

fn find_by_api_key(conn: &mut Conn, hash: &str, kind: Kind) -> Result<Integration> {
    integration::find_by_api_key(conn, hash)?
        .filter(|integration| integration.kind == kind)
        .ok_or(Error::Unauthenticated)
}

fn find_workspace(conn: &mut Conn, id: WorkspaceId) -> Result<Workspace> {
    workspace::find(conn, &id.to_string())?.ok_or(Error::Unauthenticated)
}

fn authorize(app: &App, workspace: Workspace, found: &Installed) -> Result<Response> {
    let ttl = i64::try_from(app.config.access_key_ttl.as_secs()).unwrap_or(i64::MAX);
    let key = AccessKey {
        workspace: workspace.id,
        integration: found.id(),
        round: found.row.round,
        expires: app.clock.now().secs().saturating_add(ttl),
        name: found.row.integration.name.clone(),
    };
    let access_key = app.vault.issue(&key);
    security::set_actor(&Caller::Integration(Arc::new(key)));
    let actor = format!("integration:{}", found.id());
    security::record(Event::SignedIn, Some(workspace.id), &actor);
    let result = AuthResult {
        workspace: workspace.into(),
        integration_instance: RawValue::from_string(instances::text(found, Secrets::Shown))
            .map_err(Error::internal)?,
        access_key,
    };
    let text = serde_json::to_string(&result).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}
