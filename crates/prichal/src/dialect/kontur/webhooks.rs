//! `/api/v1/{ws}/webhooks`: everything in a workspace that calls a receiver, and the settings of its calls
//! (`docs/contracts/prichal.md §6.1`).

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    delivery_settings::{DELIVERY_SETTINGS, DeliverySettings},
    id::{EntityId, IntegrationId, WebhookId, WorkspaceId},
    integration::{Secrets as Form, Webhook as Definition, target_url},
    schema::{Fault, Field, Object, Type, member, object},
};
use prichal_store::{
    Conn, Tx, channel,
    document_hook::{self, INTEGRATION},
    integration, usage,
    webhook::{self, Key, Source, Webhook},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::caller::{Admin, Member, Observer};
use crate::{
    delivery::{state::Summary, target},
    dialect::openapi::schema::{body, described, example, model, parameters, takes},
    domain::{
        self,
        channel::closed,
        instance,
        webhook::{Secrets, definition},
    },
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        body::Json,
        listing,
        page::{Page, Query},
    },
    platform::{
        quota,
        security::{self, Event},
        vault::Vault,
    },
};

/// The maximum wait for this node to take up new settings. They are written by then.
const MAX_RELOAD_WAIT: Duration = Duration::from_secs(1);
/// The bytes of sources that are read at once. Certificates of clients make them long.
const MAX_LIST_BYTES: usize = 1 << 20;

const CHANGE: &[Field] = &[Field::new("settings", Type::Object(DELIVERY_SETTINGS))
    .required()
    .doc("The members to change. Null removes one, and others stay; of `headers`, the same holds for each name. `***` stands for the secret value that is there.")];

described! {
    /// A change of a webhook's settings.
    WebhookChange = body(CHANGE).examples(example(include_str!("examples/webhook-settings.json")));
    /// The settings of a webhook's calls.
    DeliverySettingsModel as "DeliverySettings" = model(DELIVERY_SETTINGS);
}

/// A thing that calls a receiver.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeliverySource {
    source: SourceKind,
    /// The id of the webhook, of the subscription, or of the channel.
    #[schema(value_type = String, format = "uuid")]
    id: WebhookId,
    /// The id of the integration that a webhook belongs to.
    #[schema(value_type = String, format = "uuid")]
    #[serde(skip_serializing_if = "Option::is_none")]
    integration_id: Option<IntegrationId>,
    /// The name of the integration, or the code of the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The URL that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// `entityEvent` or `schedule`, for webhooks.
    #[schema(value_type = String)]
    #[serde(skip_serializing_if = "Value::is_null")]
    trigger_type: Value,
    /// The events that are sent, as in the instance.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Value::is_null")]
    filter: Value,
    /// The times of calls without an event, as in the instance.
    #[schema(value_type = Object)]
    #[serde(skip_serializing_if = "Value::is_null")]
    schedule: Value,
    #[schema(value_type = DeliverySettingsModel)]
    settings: Value,
    status: SourceStatus,
    /// The state of the source, in a list with `state=true`.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Summary>,
}

/// The kind of a source.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum SourceKind {
    /// A webhook of an integration.
    Webhook,
    /// The company's subscription to documents' statuses.
    DocumentHook,
    /// A channel, which sends messages.
    Channel,
}

/// The state of a source.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum SourceStatus {
    /// The receiver is called.
    Active,
    /// The receiver is called, and the last calls have failed.
    Failing,
    /// The webhook is switched off.
    Disabled,
    /// The instance or the subscription is paused.
    Paused,
}

/// A page of sources.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliverySourceList)]
struct DeliverySourceList {
    /// The number of all sources.
    count: i64,
    /// The sources by kind and id.
    items: Vec<DeliverySource>,
}

/// The public key of a webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PublicKey {
    /// `whpk_` and the base64 of the Ed25519 key.
    #[schema(example = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")]
    public_key: String,
}

takes! {
    InPath: Path &[Field::new("id", Type::Guid).required().doc("The id of the webhook.")],
        Query &[INTEGRATION_ID];
}

const STATE: Field = Field::new("state", Type::Bool)
    .doc("True to list the states of the sources, with their figures of the last day, too.");

parameters! {
    /// The members to list.
    ListedMembers = &[STATE];
}

const INTEGRATION_ID: Field = Field::new("integrationId", Type::Guid)
    .doc("The integration of the webhook, in case that several have one with this id.");

/// The webhook whose id is in the path.
pub(super) struct InPath {
    pub(super) id: WebhookId,
    integration: Option<IntegrationId>,
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let integration =
            Query::of(parts).read(INTEGRATION_ID.name, "a GUID", IntegrationId::parse_any)?;
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Error::invalid("id", "The path is not valid UTF-8."))?;
        let found = params.iter().find(|(name, _)| *name == "id");
        let (_, text) = found.unwrap_or_default();
        let shown: String = text.chars().take(64).collect();
        let id = WebhookId::parse_any(text).ok_or_else(|| {
            Error::invalid("id", format!("The value '{shown}' is not a valid id."))
        })?;
        Ok(Self { id, integration })
    }
}

/// List everything in the workspace that calls a receiver: webhooks of integrations, the subscription to documents, and
/// channels.
#[utoipa::path(get, path = "/api/v1/{ws}/webhooks", tag = "webhooks", params(Observer, Page, ListedMembers),
    responses((status = 200, body = DeliverySourceList)))]
pub(super) async fn list_webhooks(
    observer: Observer,
    page: Page,
    query: Query,
) -> Result<Response> {
    let own = observer.only_sees();
    let member = observer.0;
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let flag = |text: &str| text.to_ascii_lowercase().parse().ok();
    let has_state = query.read(STATE.name, "true or false", flag)?;
    let (has_state, now) = (has_state.unwrap_or(false), member.now);
    let at = app.clone();
    let read = move |conn: &mut Conn, offset, limit| {
        let own = own.as_deref();
        let (count, sources) = webhook::list_sources(conn, workspace, own, (offset, limit))?;
        let mut reader = Reader::new(&at.vault, workspace);
        let (mut items, mut bytes) = (Vec::new(), 0);
        for source in sources {
            let mut item = reader.read(conn, source)?;
            if has_state {
                // The parts of a state have to agree with each other.
                let read = |conn: &mut Conn| Summary::read(&at, conn, workspace, source, now);
                item.state = conn.snapshot(read)?;
            }
            let item = json!(item).to_string();
            bytes += item.len();
            items.push(item);
            if bytes > MAX_LIST_BYTES {
                break;
            }
        }
        Ok::<_, Error>((count, items))
    };
    listing::list(&app, page, read).await
}

/// Read a source by its id.
#[utoipa::path(get, path = "/api/v1/{ws}/webhooks/{id}", tag = "webhooks", params(Observer, InPath),
    responses((status = 200, body = DeliverySource)))]
pub(super) async fn get_webhook(observer: Observer, at: InPath) -> Result<Response> {
    let app = observer.0.app.clone();
    let read = move |conn: &mut Conn| {
        let source = find_seen(conn, &observer, &at)?;
        let member = &observer.0;
        Reader::new(&member.app.vault, member.workspace_id()).read(conn, source)
    };
    let found = app.db.read(read).await?;
    Ok(json_text(StatusCode::OK, json!(found).to_string()))
}

/// Change the settings of a webhook or of the subscription to documents. They hold from the next call on.
///
/// The subscription takes `headers`, `timeout`, `rateLimit`, `clientCertificate` and `serverFingerprint`. Channels have no
/// settings.
#[utoipa::path(patch, path = "/api/v1/{ws}/webhooks/{id}", tag = "webhooks", params(Admin, InPath),
    request_body = WebhookChange, responses((status = 200, body = DeliverySource)))]
pub(super) async fn patch_webhook(
    Admin(member): Admin,
    at: InPath,
    Json(body): Json,
) -> Result<Response> {
    let given = match member_of(object(&body)?) {
        Some(given) => object(given).map_err(in_settings)?.clone(),
        None => return Err(vec![Fault::required("settings")].into()),
    };
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let write = move |tx: &mut Tx<'_>| {
        let source = find(tx.conn()?, workspace, &at)?;
        let (key, is_changed) = match source {
            Source::Webhook(key) => (key, change_webhook(&member, tx, key, &given)?),
            Source::DocumentHook(key) => (key, change_document_hook(&member, tx, key, &given)?),
            Source::Channel(_) => {
                let why = "A channel has no settings of delivery. Its script makes its calls, or its `url` is called.";
                return Err(Error::refused(Code::NotSupported, why));
            }
        };
        let found =
            Reader::new(&member.app.vault, member.workspace_id()).read(tx.conn()?, source)?;
        Ok((json!(found).to_string(), key, is_changed))
    };
    let write = quota::growing(&app, workspace, &[usage::Kind::Records], write).await?;
    let (text, key, is_changed) = app.db.write(workspace, write).await?;
    if is_changed {
        let object = if key.integration == INTEGRATION {
            app.dispatch.hook_changed(workspace, INTEGRATION);
            "document_hook".to_owned()
        } else {
            format!("integration:{}", key.integration)
        };
        security::record(Event::HookChanged, Some(workspace), &object);
        let reloaded = app.dispatch.reloaded(workspace, key.integration);
        tokio::select! {
            () = reloaded => {}
            () = app.clock.sleep(MAX_RELOAD_WAIT) => {}
            () = app.stopping.cancelled() => {}
        }
    }
    Ok(json_text(StatusCode::OK, text))
}

/// Read the public key by which a receiver checks signatures of the version `v1a`. A webhook has one from the time at
/// which its settings first ask for that version.
#[utoipa::path(get, path = "/api/v1/{ws}/webhooks/{id}/public-key", tag = "webhooks", params(Observer, InPath),
    responses((status = 200, body = PublicKey)))]
pub(super) async fn get_public_key(observer: Observer, at: InPath) -> Result<Response> {
    let app = observer.0.app.clone();
    let read = move |conn: &mut Conn| {
        let id = at.id;
        let none = move || Error::NotFound(format!("Public key of webhook {id}"));
        let Source::Webhook(key) = find_seen(conn, &observer, &at)? else {
            return Err(none());
        };
        let row = webhook::find(conn, key)?.ok_or_else(none)?;
        let pair = Secrets::open(&observer.0.app.vault, &row)?.key_pair();
        Ok(pair.ok_or_else(none)?.public_key())
    };
    let public_key = app.db.read(read).await?;
    let text = json!(PublicKey { public_key }).to_string();
    Ok(json_text(StatusCode::OK, text))
}

/// The settings in the body.
fn member_of(body: &Object) -> Option<&Value> {
    member(body, "settings").filter(|value| !value.is_null())
}

/// The faults of settings, with their place in the body.
fn in_settings(faults: Vec<Fault>) -> Error {
    let faults = faults.into_iter().map(|fault| fault.below("settings"));
    faults.collect::<Vec<_>>().into()
}

fn change_webhook(member: &Member, tx: &mut Tx<'_>, key: Key, given: &Object) -> Result<bool> {
    let vault = &member.app.vault;
    let found = instance::find_for_update(vault, tx, key.workspace, key.integration)?;
    let found = found.ok_or_else(|| not_found(key.id))?;
    let mut after = found.model.clone();
    let hook = after.webhooks.iter_mut().find(|hook| hook.id == key.id);
    let hook = hook.ok_or_else(|| not_found(key.id))?;
    hook.settings = hook.settings.changed(given).map_err(in_settings)?;
    target::check_settings(&hook.settings).map_err(|fault| in_settings(vec![fault]))?;
    let is_changed = after != found.model;
    instance::save(vault, tx, found, after, &member.origin())?;
    Ok(is_changed)
}

fn change_document_hook(
    member: &Member,
    tx: &mut Tx<'_>,
    key: Key,
    given: &Object,
) -> Result<bool> {
    let vault = &member.app.vault;
    let row = webhook::find_for_update(tx, key)?.ok_or_else(|| not_found(key.id))?;
    let mut after = definition(vault, &row)?.ok_or_else(|| not_found(key.id))?;
    let before = after.settings.clone();
    after.settings = before.changed(given).map_err(in_settings)?;
    after
        .settings
        .check_for_documents()
        .and_then(|()| target::check_settings(&after.settings))
        .map_err(|fault| in_settings(vec![fault]))?;
    if after.settings == before {
        return Ok(false);
    }
    domain::webhook::put_settings(vault, tx, &row, &after)?;
    if row.owner.is_some_and(|owner| owner != member.app.node) {
        webhook::hand_over(tx, key)?;
    }
    Ok(true)
}

pub(super) fn not_found(id: impl std::fmt::Display) -> Error {
    Error::NotFound(format!("WebHook {id}"))
}

/// Finds a source that the caller may see by its id.
pub(super) fn find_seen(conn: &mut Conn, observer: &Observer, at: &InPath) -> Result<Source> {
    let found = find(conn, observer.0.workspace_id(), at)?;
    let is_seen = match (observer.0.caller.only_sees(), found) {
        (None, _) => true,
        (Some(own), Source::Webhook(key)) => own.contains(&key.integration),
        (Some(_), _) => false,
    };
    is_seen.then_some(found).ok_or_else(|| not_found(at.id))
}

/// Finds a source by its id.
pub(super) fn find(conn: &mut Conn, workspace: WorkspaceId, at: &InPath) -> Result<Source> {
    let rows = webhook::list_by_id(conn, workspace, at.id)?;
    let mut keys = rows.iter().map(|row| row.key);
    let key = match at.integration {
        Some(integration) => {
            let key = Key {
                workspace,
                integration,
                id: at.id,
            };
            webhook::find(conn, key)?.map(|row| row.key)
        }
        None if rows.len() > 1 => {
            let why =
                "Several integrations have a webhook with this id. Name the one that is meant.";
            return Err(Error::invalid(INTEGRATION_ID.name, why));
        }
        None => keys.next(),
    };
    if let Some(key) = key {
        return Ok(if key.integration == INTEGRATION {
            Source::DocumentHook(key)
        } else {
            Source::Webhook(key)
        });
    }
    let id = EntityId(at.id.0);
    let found = channel::find(conn, workspace, id)?;
    let found = found.filter(|row| row.deleted_at.is_none() && at.integration.is_none());
    found
        .map(|row| Source::Channel(row.id))
        .ok_or_else(|| not_found(at.id))
}

/// Reads sources. Instances are remembered, because many webhooks may belong to one.
struct Reader<'a> {
    vault: &'a Vault,
    workspace: WorkspaceId,
    instances: HashMap<IntegrationId, Option<integration::Instance>>,
}

impl<'a> Reader<'a> {
    fn new(vault: &'a Vault, workspace: WorkspaceId) -> Self {
        Self {
            vault,
            workspace,
            instances: HashMap::new(),
        }
    }

    fn read(&mut self, conn: &mut Conn, source: Source) -> Result<DeliverySource> {
        match source {
            Source::Webhook(key) => self.webhook(conn, key),
            Source::DocumentHook(key) => self.document_hook(conn, key),
            Source::Channel(id) => self.channel(conn, id),
        }
    }

    fn row(&self, conn: &mut Conn, key: Key) -> Result<(Webhook, Definition)> {
        let row = webhook::find(conn, key)?.ok_or_else(|| not_found(key.id))?;
        let definition = definition(self.vault, &row)?;
        let definition =
            definition.ok_or_else(|| Error::internal("a webhook's definition is damaged"))?;
        Ok((row, definition))
    }

    fn webhook(&mut self, conn: &mut Conn, key: Key) -> Result<DeliverySource> {
        let (row, definition) = self.row(conn, key)?;
        let instance = if let Some(known) = self.instances.get(&key.integration) {
            known.clone()
        } else {
            let found = integration::find_instance(conn, key.workspace, key.integration)?;
            self.instances.insert(key.integration, found.clone());
            found
        };
        let base = instance
            .as_ref()
            .map(|one| one.integration.base_url.as_str());
        let base = base.filter(|base| !base.is_empty());
        let mut model = definition.model(Form::Masked);
        let status = if definition.disabled {
            SourceStatus::Disabled
        } else if row.live {
            status(&row)
        } else {
            SourceStatus::Paused
        };
        Ok(DeliverySource {
            source: SourceKind::Webhook,
            id: key.id,
            integration_id: Some(key.integration),
            url: target_url(base, &definition.relative_url),
            name: instance.map(|one| one.integration.name),
            trigger_type: model["triggerType"].take(),
            filter: model["filter"].take(),
            schedule: model["schedule"].take(),
            settings: definition.settings.masked(),
            status,
            state: None,
        })
    }

    fn document_hook(&self, conn: &mut Conn, key: Key) -> Result<DeliverySource> {
        let (row, definition) = self.row(conn, key)?;
        let hook = document_hook::find(conn, key.workspace)?.ok_or_else(|| not_found(key.id))?;
        let mut model = definition.model(Form::Masked);
        Ok(DeliverySource {
            source: SourceKind::DocumentHook,
            id: key.id,
            integration_id: None,
            name: None,
            url: Some(hook.url),
            trigger_type: model["triggerType"].take(),
            filter: model["filter"].take(),
            schedule: Value::Null,
            settings: definition.settings.masked(),
            status: match hook.paused_at {
                Some(_) => SourceStatus::Paused,
                None => status(&row),
            },
            state: None,
        })
    }

    fn channel(&self, conn: &mut Conn, id: EntityId) -> Result<DeliverySource> {
        let row = channel::find(conn, self.workspace, id)?;
        let row = row.ok_or_else(|| not_found(id))?;
        let url = closed(&row)?.text("url").to_owned();
        Ok(DeliverySource {
            source: SourceKind::Channel,
            id: WebhookId(id.0),
            integration_id: None,
            name: Some(row.code),
            url: (!url.is_empty()).then_some(url),
            trigger_type: Value::Null,
            filter: Value::Null,
            schedule: Value::Null,
            settings: DeliverySettings::default().masked(),
            status: SourceStatus::Active,
            state: None,
        })
    }
}

/// The state of a webhook that is called.
fn status(row: &Webhook) -> SourceStatus {
    if row.streak.failures > 0 {
        SourceStatus::Failing
    } else {
        SourceStatus::Active
    }
}
