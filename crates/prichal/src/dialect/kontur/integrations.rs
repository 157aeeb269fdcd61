//! `/api/v1/{ws}/integrations` and `…/private-integrations`: the integrations that can be installed, their manifests
//! and their setup.

use prichal_core::{
    event::Origin,
    id::{IntegrationId, WorkspaceId, generate},
    integration::{Instance, Kind, Manifest, SIGNING_SECRET, Secrets, Setup, Status, setup},
    schema,
    update_info::UpdateInfo,
};
use prichal_dialect::kontur;
use prichal_store::{
    Conn, Tx,
    integration::{self, Integration},
    job::{Items, Kind as JobKind},
    tenant,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller::{Admin, Member},
    instances::{self, InPath, InstanceModel, not_installed, signing_fault},
    manifest::{IntegrationManifest, ManifestBody},
    openapi::{Done, UpdateInfoModel},
};
use crate::{
    app::App,
    delivery::{
        job,
        target::webhook::{Payload, Receiver, call},
    },
    dialect::openapi::schema::{Binary, described, example, free, one_of},
    domain::instance::{self, Installed},
    error::{Code, Error, Result},
    http::{
        body::Raw,
        idempotency::{
            IdempotencyKey, JsonAnswer, first_answer, write_once, write_once_and,
            write_once_growing,
        },
        page::Page,
    },
    platform::{
        guess,
        outgoing::post::Outcome,
        reading::parse_json,
        security::{self, Event},
        vault::{random_token, sha256_hex},
    },
};

/// An integration, as its manifest describes it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Integration)]
struct IntegrationModel {
    /// The id of the integration.
    #[schema(format = "uuid")]
    id: String,
    /// The name, unique among integrations.
    name: String,
    /// The version.
    version: String,
    /// The URL at which the integration is called.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    base_url: String,
    /// The name for people.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The workspaces that may install it: only its own, or all.
    #[schema(value_type = IntegrationKind)]
    kind: &'static str,
    #[schema(value_type = UpdateInfoModel)]
    #[serde(serialize_with = "kontur::update_info::serialize")]
    update_info: UpdateInfo,
}

impl From<Integration> for IntegrationModel {
    fn from(integration: Integration) -> Self {
        Self {
            id: integration.id.to_string(),
            name: integration.name,
            version: integration.version,
            base_url: integration.base_url,
            title: integration.title,
            kind: integration.kind.name(),
            update_info: integration.update_info,
        }
    }
}

/// An integration, and its state in this workspace.
#[derive(Serialize, ToSchema)]
#[schema(as = OfferedIntegration)]
struct OfferedModel {
    #[serde(flatten)]
    integration: IntegrationModel,
    /// True if the workspace has installed it.
    installed: bool,
    /// The state in this workspace; `notConfigured` also if it was never installed.
    #[schema(value_type = IntegrationStatus)]
    status: &'static str,
}

/// A page of integrations.
#[derive(Serialize, ToSchema)]
pub(super) struct IntegrationList {
    /// The number of all integrations that the workspace can see.
    count: i64,
    /// The page.
    items: Vec<OfferedModel>,
}

/// The API key of an integration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IntegrationApiKey)]
struct ApiKey {
    /// Shown only in this answer.
    api_key: String,
}

described! {
    /// The workspaces that may install an integration: only its own, or all.
    IntegrationKind = one_of(Kind::WORDS);
    /// The state of an integration in a workspace.
    IntegrationStatus = one_of(Status::WORDS);
    /// The arguments of an integration: texts, numbers and flags. A member with `secret`, `key` or `token` in its name
    /// becomes a secret, any other a setting.
    SetupObject = free().examples(example(include_str!("examples/setup.json")));
}

fn to_text(model: &impl Serialize) -> Result<String> {
    serde_json::to_string(model).map_err(Error::internal)
}

fn unknown() -> Error {
    Error::refused(Code::IntegrationNotFound, "Integration not found")
}

/// An integration that the workspace can see.
fn find(conn: &mut Conn, workspace: WorkspaceId, id: IntegrationId) -> Result<Integration> {
    integration::find(conn, workspace, id)?.ok_or_else(unknown)
}

/// An integration that the workspace created.
fn find_own(conn: &mut Conn, workspace: WorkspaceId, id: IntegrationId) -> Result<Integration> {
    let found = find(conn, workspace, id)?;
    if found.workspace == workspace {
        return Ok(found);
    }
    Err(Error::Forbidden(
        "Only the workspace that created the integration may do this",
    ))
}

/// Create an integration for this workspace only, from its manifest or a zip with `manifest.json`.
#[utoipa::path(post, path = "/api/v1/{ws}/private-integrations", tag = "integrations",
    security(("token" = [])), params(Admin, IdempotencyKey),
    request_body(content((IntegrationManifest = "application/json"), (inline(Binary) = "application/zip"))),
    responses((status = 200, body = IntegrationModel)))]
pub(super) async fn create_private_integration(
    Admin(member): Admin,
    key: IdempotencyKey,
    body: ManifestBody,
) -> Result<JsonAnswer> {
    create(&member, key, body, Kind::Private).await
}

/// Create an integration that every workspace can install, from its manifest or a zip with `manifest.json`.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations", tag = "integrations",
    security(("token" = [])), params(Admin, IdempotencyKey),
    request_body(content((IntegrationManifest = "application/json"), (inline(Binary) = "application/zip"))),
    responses((status = 200, body = IntegrationModel)))]
pub(super) async fn create_public_integration(
    Admin(member): Admin,
    key: IdempotencyKey,
    body: ManifestBody,
) -> Result<JsonAnswer> {
    create(&member, key, body, Kind::Public).await
}

async fn create(
    member: &Member,
    key: IdempotencyKey,
    body: ManifestBody,
    kind: Kind,
) -> Result<JsonAnswer> {
    let new = Integration {
        id: IntegrationId::generate(member.now),
        workspace: member.workspace_id(),
        kind,
        name: body.manifest.name,
        version: body.manifest.version,
        base_url: body.manifest.base_url.unwrap_or_default(),
        title: body.manifest.title,
        update_info: UpdateInfo::created(&member.origin()),
    };
    let work = move |tx: &mut Tx<'_>| {
        if !integration::insert(tx, &new)? {
            return Err(name_conflict(format!(
                "An integration named '{}' exists already",
                new.name
            )));
        }
        to_text(&IntegrationModel::from(new.clone()))
    };
    write_once(member, key, &body.bytes, work).await
}

fn name_conflict(message: String) -> Error {
    Error::violated(Code::Conflict, message.clone(), "name", message)
}

/// List the integrations that can be installed in the workspace: its own and the public ones.
#[utoipa::path(get, path = "/api/v1/{ws}/integrations", tag = "integrations",
    params(Member, Page),
    responses((status = 200, body = IntegrationList)))]
pub(super) async fn list_integrations(member: Member, page: Page) -> Result<JsonAnswer> {
    let workspace = member.workspace_id();
    let own = member.caller.only_sees().map(<[_]>::to_vec);
    let read = move |conn: &mut Conn| {
        integration::list(conn, workspace, own.as_deref(), (page.offset, page.limit))
    };
    let (count, offered) = member.app.db.read(read).await?;
    let items = offered
        .into_iter()
        .map(|(integration, status, installed)| OfferedModel {
            integration: integration.into(),
            installed,
            status: status.unwrap_or(Status::NotConfigured).name(),
        });
    let items = items.collect();
    Ok(JsonAnswer::ok(to_text(&IntegrationList { count, items })?))
}

/// Replace the manifest. The name stays. A changed version makes the next call of the webhook `setup/upgrade` due at
/// once.
#[utoipa::path(put, path = "/api/v1/{ws}/integrations/{id}/manifest", tag = "integrations",
    security(("token" = [])), params(Admin, InPath),
    request_body(content((IntegrationManifest = "application/json"), (inline(Binary) = "application/zip"))),
    responses((status = 200, body = IntegrationModel)))]
pub(super) async fn replace_manifest(
    Admin(member): Admin,
    InPath(id): InPath,
    ManifestBody { manifest, .. }: ManifestBody,
) -> Result<JsonAnswer> {
    let (app, origin) = (member.app.clone(), member.origin());
    let workspace = member.workspace_id();
    let write = move |tx: &mut Tx<'_>| {
        let before = find_own(tx.conn()?, origin.workspace, id)?;
        let after = with_manifest(&before, &manifest, &origin)?;
        integration::update(tx, &after)?;
        instance::manifest::begin(tx, &before, &origin)?;
        to_text(&IntegrationModel::from(after))
    };
    let text = app.db.write(workspace, write).await?;
    job::finish(&app, workspace, JobKind::ApplyManifest, Items::Of(id)).await?;
    Ok(JsonAnswer::ok(text))
}

fn with_manifest(
    before: &Integration,
    manifest: &Manifest,
    origin: &Origin,
) -> Result<Integration> {
    if manifest.name != before.name {
        return Err(name_conflict(format!(
            "The manifest may not change the name '{}'",
            before.name
        )));
    }
    Ok(Integration {
        version: manifest.version.clone(),
        base_url: manifest.base_url.clone().unwrap_or_default(),
        title: manifest.title.clone(),
        update_info: before.update_info.clone().changed(origin),
        ..before.clone()
    })
}

/// Install an integration. A private one is active at once, a public one has to be set up.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/{id}/install", tag = "integrations",
    security(("token" = [])), params(Admin, InPath, IdempotencyKey), responses((status = 200, body = InstanceModel)))]
pub(super) async fn install_integration(
    Admin(member): Admin,
    InPath(id): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let (app, origin) = (member.app.clone(), member.origin());
    let work = move |tx: &mut Tx<'_>| {
        let integration = find(tx.conn()?, origin.workspace, id)?;
        let found = instance::install(&app.vault, tx, integration, &origin)?;
        Ok((JsonAnswer::ok(instances::text(&found, Secrets::Shown)), ()))
    };
    let (answer, done) = write_once_growing(&member, key, &body, work).await?;
    note(&member, Event::IntegrationInstalled, id, done);
    Ok(answer)
}

/// Uninstall an integration: its access keys become invalid, its webhooks are deleted.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/{id}/uninstall", tag = "integrations",
    security(("token" = [])), params(Admin, InPath, IdempotencyKey), responses((status = 200, body = Done)))]
pub(super) async fn uninstall_integration(
    Admin(member): Admin,
    InPath(id): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let (app, origin) = (member.app.clone(), member.origin());
    let work = move |tx: &mut Tx<'_>| {
        find(tx.conn()?, origin.workspace, id)?;
        let found = instance::find_for_update(&app.vault, tx, origin.workspace, id)?;
        let ended = match found.filter(|found| found.row.installed) {
            Some(found) => Some(instance::uninstall(&app.vault, tx, found, &origin)?),
            None => None,
        };
        Ok((JsonAnswer::ok(OK), ended))
    };
    let (answer, ended) = write_once_and(&member, key, &body, work).await?;
    if let Some(revocation) = ended.flatten() {
        member.app.access.revoke(revocation);
        let object = format!("integration:{id}");
        security::record(
            Event::AccessKeysRevoked,
            Some(revocation.workspace),
            &object,
        );
        member.app.dispatch.hooks_changed(revocation.workspace);
        let (kind, items) = (JobKind::RemoveDeferred, Items::Of(id));
        job::finish(&member.app, revocation.workspace, kind, items).await?;
    }
    Ok(answer)
}

/// Records an event of an integration in the security log, unless the answer is an earlier one.
fn note(member: &Member, event: Event, id: IntegrationId, done: Option<()>) {
    if done.is_some() {
        let object = format!("integration:{id}");
        security::record(event, Some(member.workspace_id()), &object);
    }
}

/// The answer to commands.
const OK: &str = "\"OK\"";

/// Replace the API key by a new one. A public integration has one API key for all workspaces, which only the workspace
/// that created it may replace.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/{id}/api-key", tag = "integrations",
    security(("token" = [])), params(Admin, InPath, IdempotencyKey), responses((status = 200, body = ApiKey)))]
pub(super) async fn create_api_key(
    Admin(member): Admin,
    InPath(id): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let workspace = member.workspace_id();
    let api_key = random_token();
    let hash = sha256_hex(api_key.as_bytes());
    let text = to_text(&ApiKey { api_key })?;
    let work = move |tx: &mut Tx<'_>| {
        find_own(tx.conn()?, workspace, id)?;
        integration::set_api_key(tx, id, &hash)?;
        Ok((JsonAnswer::ok(text.as_str()), ()))
    };
    let (answer, done) = write_once_and(&member, key, &body, work).await?;
    note(&member, Event::ApiKeyRotated, id, done);
    Ok(answer)
}

/// Set an integration up. The object is sent to `{baseUrl}/setup`. If that answers 200 with the echo, the members
/// become settings and secrets and the instance is active; else its status is `failed`.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/{id}/setup", tag = "integrations",
    security(("token" = [])), params(Admin, InPath, IdempotencyKey), request_body = SetupObject, responses((status = 200, body = Done)))]
pub(super) async fn setup_integration(
    Admin(member): Admin,
    InPath(id): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let setup = read_setup(&body)?;
    if let Some(first) = first_answer(&member, &key, &body).await? {
        return Ok(first);
    }
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let planned = setup.clone();
    let found = move |conn: &mut Conn| find_to_set_up(&app, conn, workspace, id, planned);
    let found = member.app.db.read(found).await?;
    // An integration that has answered has changed its own state, so the outcome is written even if the client has
    // disconnected.
    let background = member.app.background.clone();
    let rest = async move {
        let round = found.row.round;
        let receiver = Receiver::of(&member.app, found.row, "setup");
        let payload = Payload {
            id: generate(member.now),
            body: body.clone(),
            replay: false,
        };
        let outcome = call(&member.app, &receiver, &receiver.connections(1), payload).await;
        if outcome.reply.is_success() {
            finish_setup(&member, id, round, setup, key, &body).await
        } else {
            fail_setup(&member, id, round).await?;
            Err(setup_refused(outcome))
        }
    };
    let rest = tenant::scope(tenant::current(), security::carried(rest));
    background.spawn(rest).await.map_err(Error::internal)?
}

fn read_setup(body: &[u8]) -> Result<Setup> {
    let body = parse_json(body)?;
    let setup = setup(schema::object(&body)?)?;
    let signing = setup
        .secrets
        .iter()
        .find(|secret| secret.id == SIGNING_SECRET);
    match signing.and_then(signing_fault) {
        Some(why) => Err(Error::invalid(
            SIGNING_SECRET,
            format!("The value is refused: {why}."),
        )),
        None => Ok(setup),
    }
}

/// The instance, after checks that the setup could be stored.
fn find_to_set_up(
    app: &App,
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: IntegrationId,
    setup: Setup,
) -> Result<Installed> {
    find(conn, workspace, id)?;
    let found = instance::find(&app.vault, conn, workspace, id)?;
    let found = found
        .filter(|found| found.row.installed)
        .ok_or_else(not_installed)?;
    let mut after = found.model.clone();
    after.set_up(setup);
    let new = instance::new_values(&found, &after);
    let tried = app.guesses.try_values(workspace, id, new, app.clock.now());
    tried.map_err(guess::throttled)?;
    instance::check_size(&found.model, &after)?;
    instance::check_secrets(&app.vault, conn, &found.row, &after.secrets)?;
    Ok(found)
}

/// The instance, unless it was uninstalled or installed again since the setup began.
fn find_again(
    app: &App,
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    id: IntegrationId,
    round: i64,
) -> Result<Installed> {
    instance::find_for_update(&app.vault, tx, workspace, id)?
        .filter(|found| found.row.installed && found.row.round == round)
        .ok_or_else(not_installed)
}

async fn finish_setup(
    member: &Member,
    id: IntegrationId,
    round: i64,
    setup: Setup,
    key: IdempotencyKey,
    body: &[u8],
) -> Result<JsonAnswer> {
    let (app, origin) = (member.app.clone(), member.origin());
    let work = move |tx: &mut Tx<'_>| {
        let found = find_again(&app, tx, origin.workspace, id, round)?;
        let mut after = found.model.clone();
        after.set_up(setup.clone());
        after.status = Status::Active;
        instance::save(&app.vault, tx, found, after, &origin)?;
        Ok((JsonAnswer::ok(OK), ()))
    };
    let (answer, done) = write_once_and(member, key, body, work).await?;
    note(member, Event::SecretsChanged, id, done);
    Ok(answer)
}

async fn fail_setup(member: &Member, id: IntegrationId, round: i64) -> Result<()> {
    let (app, origin) = (member.app.clone(), member.origin());
    let write = move |tx: &mut Tx<'_>| {
        let found = find_again(&app, tx, origin.workspace, id, round)?;
        let after = Instance {
            status: Status::Failed,
            ..found.model.clone()
        };
        instance::save(&app.vault, tx, found, after, &origin)?;
        Ok::<_, Error>(())
    };
    member.app.db.write(member.workspace_id(), write).await
}

fn setup_refused(outcome: Outcome) -> Error {
    let why = outcome
        .error
        .unwrap_or_else(|| "it did not answer as expected".to_owned());
    Error::refused(
        Code::IntegrationFailed,
        format!("The integration did not accept the setup: {why}"),
    )
}
