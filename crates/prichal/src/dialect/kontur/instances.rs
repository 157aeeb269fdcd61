//! `/api/v1/{ws}/integrations/instances`: the installed integrations of a workspace.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    id::IntegrationId,
    integration::{INSTANCE, INSTANCE_STATE, Instance, SIGNING_SECRET, Secret, Secrets, Status},
    patch::{self, Op, Operation, PatchErrors},
    schema::{Field, Type},
};
use prichal_dialect::kontur;
use prichal_store::{
    Conn, Tx, integration,
    job::{Items, Kind as JobKind},
    usage,
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{ToSchema, openapi::Object};

use super::{
    caller::{Admin, Member},
    openapi::{PatchEnvelope, UpdateInfoModel, page_of, record},
};
use crate::{
    delivery::{job, target},
    dialect::openapi::schema::{described, example, takes, words},
    domain::instance::{self, Installed},
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        body::{Json, Raw},
        idempotency::{IdempotencyKey, JsonAnswer, write_once_growing},
        listing,
        page::Page,
    },
    platform::{
        guess,
        outgoing::signature::SigningKey,
        quota,
        security::{self, Event},
        vault::fill_random,
    },
};

described! {
    /// An integration in a workspace. Its id is that of the integration.
    pub(super) InstanceModel as "IntegrationInstance" = record(&[INSTANCE_STATE, INSTANCE].concat())
        .examples(example(include_str!("examples/instance.json"))), with UpdateInfoModel;
    /// A page of instances.
    InstanceList = page_of::<InstanceModel>("The number of all instances, uninstalled ones included."), with InstanceModel;
}

/// The answer to a PATCH.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct PatchedInstance<'a> {
    /// True.
    is_successful: bool,
    #[schema(schema_with = patched_word)]
    response_code: &'static str,
    #[schema(value_type = InstanceModel)]
    result: &'a RawValue,
}

/// The `responseCode` of a PATCH that was done.
const PATCHED: &str = "ok";

fn patched_word() -> Object {
    words(&[PATCHED], "The outcome.")
}

takes! {
    InPath: Path &[Field::new("id", Type::Guid).required().doc("The id of the integration.")];
}

/// The integration in the path, by its id.
pub(super) struct InPath(pub(super) IntegrationId);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Error::invalid("id", "The path is not valid UTF-8."))?;
        let (_, id) = params
            .iter()
            .find(|(name, _)| *name == "id")
            .unwrap_or_default();
        let shown: String = id.chars().take(64).collect();
        let id = IntegrationId::parse_any(id).ok_or_else(|| {
            Error::invalid("id", format!("The value '{shown}' is not a valid id."))
        })?;
        Ok(Self(id))
    }
}

pub(super) fn not_installed() -> Error {
    Error::refused(Code::NotInstalled, "Integration not installed")
}

fn not_found(id: IntegrationId) -> Error {
    Error::NotFound(format!("IntegrationInstance {id}"))
}

/// An installed instance, locked until the end of the transaction.
fn find_installed(member: &Member, tx: &mut Tx<'_>, id: IntegrationId) -> Result<Installed> {
    let found = instance::find_for_update(&member.app.vault, tx, member.workspace_id(), id)?;
    let found = found.ok_or_else(|| not_found(id))?;
    if found.row.installed {
        Ok(found)
    } else {
        Err(not_installed())
    }
}

impl Member {
    /// The form in which this caller sees the secrets of an instance.
    fn secrets_of(&self, id: IntegrationId) -> Secrets {
        if self.require_owner(id).is_ok() {
            Secrets::Shown
        } else {
            Secrets::Masked
        }
    }
}

/// The model of an instance.
pub(super) fn text(found: &Installed, secrets: Secrets) -> String {
    kontur::instance::model(&found.model, found.id(), secrets, &found.row.update_info)
}

/// List the instances of the workspace, including uninstalled ones.
#[utoipa::path(get, path = "/api/v1/{ws}/integrations/instances", tag = "integrations",
    params(Member, Page),
    responses((status = 200, body = InstanceList)))]
pub(super) async fn list_instances(member: Member, page: Page) -> Result<Response> {
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let member = Arc::new(member);
    let read = move |conn: &mut Conn, offset, limit| {
        let own = member.caller.only_sees();
        let (count, rows) = integration::list_instances(conn, workspace, own, (offset, limit))?;
        let items = rows.into_iter().map(|row| {
            let found = instance::load(&member.app.vault, conn, row)?;
            Ok(text(&found, member.secrets_of(found.id())))
        });
        Ok::<_, Error>((count, items.collect::<Result<Vec<_>>>()?))
    };
    listing::list(&app, page, read).await
}

/// Read an instance. Its secrets are shown to administrators and to the integration itself.
#[utoipa::path(get, path = "/api/v1/{ws}/integrations/instances/{id}", tag = "integrations",
    params(Member, InPath), responses((status = 200, body = InstanceModel)))]
pub(super) async fn get_instance(member: Member, InPath(id): InPath) -> Result<Response> {
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    if member
        .caller
        .only_sees()
        .is_some_and(|own| !own.contains(&id))
    {
        return Err(not_found(id));
    }
    let find = move |conn: &mut Conn| instance::find(&app.vault, conn, workspace, id);
    let found = member.app.db.read(find).await?;
    let found = found.ok_or_else(|| not_found(id))?;
    Ok(json_text(
        StatusCode::OK,
        text(&found, member.secrets_of(id)),
    ))
}

/// Change features, secrets, settings and webhooks of an instance. All operations are applied, or none.
///
/// A webhook starts at the end of the feed when it is new, enabled again or resumed. Calls are signed with every value
/// of the secret `webhook.signingSecret`, which is generated with the first webhook.
#[utoipa::path(patch, path = "/api/v1/{ws}/integrations/instances/{id}", tag = "integrations",
    params(Member, InPath), request_body = PatchEnvelope, responses((status = 200, body = PatchedInstance<'static>)))]
pub(super) async fn patch_instance(
    member: Member,
    InPath(id): InPath,
    Json(body): Json,
) -> Result<Response> {
    member.require_owner(id)?;
    let operations = kontur::instance::operations(&patch::parse(&body)?);
    let signing = new_signing_secret();
    let (app, origin) = (member.app.clone(), member.origin());
    let workspace = member.workspace_id();
    if !operations
        .iter()
        .all(|operation| operation.op == Op::Remove)
    {
        quota::admit(&app, workspace, &[usage::Kind::Events], 0).await?;
    }
    let changes_secrets = check_new_secrets(&member, id, &operations).await?;
    let write = move |tx: &mut Tx<'_>| {
        let found = find_installed(&member, tx, id)?;
        let mut after = found
            .model
            .patch(&operations, &mut || prichal_core::id::generate(origin.at))
            .map_err(Error::PatchRefused)?;
        check_signing_secret(&found.model, &after, &operations)?;
        check_hook_settings(&after, &operations)?;
        if !after.webhooks.is_empty() && after.secret(SIGNING_SECRET).is_none() {
            after.put_secret(signing.clone());
        }
        let changes_hooks = after.webhooks != found.model.webhooks;
        let changes_settings = after.settings != found.model.settings;
        let saved = instance::save(&member.app.vault, tx, found, after, &origin);
        let model = text(&saved.map_err(in_patch)?, Secrets::Shown);
        Ok::<_, Error>((model, changes_hooks, changes_settings))
    };
    let write = quota::growing(&app, workspace, &[usage::Kind::Records], write).await?;
    let (result, changes_hooks, changes_settings) = app.db.write(workspace, write).await?;
    let changes = [
        (changes_secrets, Event::SecretsChanged),
        (changes_hooks, Event::HookChanged),
        (changes_settings, Event::SettingsChanged),
    ];
    for (_, event) in changes.into_iter().filter(|(is_so, _)| *is_so) {
        let object = format!("integration:{id}");
        security::record(event, Some(workspace), &object);
    }
    // The deferred events of removed webhooks.
    let items = Items::Of(id);
    job::finish(&app, workspace, JobKind::RemoveDeferred, items).await?;
    let result = RawValue::from_string(result).map_err(Error::internal)?;
    let answer = PatchedInstance {
        is_successful: true,
        response_code: PATCHED,
        result: &result,
    };
    let text = serde_json::to_string(&answer).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

/// Refuses new values of secrets after a workspace has tried too many. A value that is refused as taken belongs to
/// another workspace, so each try may reveal a secret of that workspace. Returns true if the secrets change.
async fn check_new_secrets(
    member: &Member,
    id: IntegrationId,
    operations: &[Operation],
) -> Result<bool> {
    let (app, workspace, now) = (member.app.clone(), member.workspace_id(), member.now);
    let read = move |conn: &mut Conn| instance::find(&app.vault, conn, workspace, id);
    let Some(found) = member.app.db.read(read).await? else {
        return Ok(false);
    };
    let patched = found
        .model
        .patch(operations, &mut || prichal_core::id::generate(now));
    // The write refuses operations that cannot be applied.
    let Ok(after) = patched else {
        return Ok(false);
    };
    let new = instance::new_values(&found, &after);
    let tried = member.app.guesses.try_values(workspace, id, new, now);
    tried.map_err(guess::throttled)?;
    Ok(after.secrets != found.model.secrets)
}

fn new_signing_secret() -> Secret {
    let mut random = [0; 32];
    fill_random(&mut random);
    Secret::signing(&STANDARD.encode(random))
}

/// Refuses a new signing secret that cannot sign, which would silently leave calls unsigned.
fn check_signing_secret(
    before: &Instance,
    after: &Instance,
    operations: &[Operation],
) -> Result<()> {
    let old = before.secret(SIGNING_SECRET);
    let new = after.secret(SIGNING_SECRET).filter(|new| Some(*new) != old);
    let Some(why) = new.and_then(signing_fault) else {
        return Ok(());
    };
    let of_secrets =
        |operation: &&Operation| operation.path.to_ascii_lowercase().starts_with("/secrets");
    let blamed = operations.iter().filter(of_secrets);
    Err(Error::PatchRefused(PatchErrors {
        invalid_datas: blamed
            .map(|operation| operation.refused(why.clone()))
            .collect(),
        invalid_constraints: vec![(SIGNING_SECRET.to_owned(), why.into())],
        ..PatchErrors::default()
    }))
}

/// Refuses settings of webhooks that calls cannot be made with.
fn check_hook_settings(after: &Instance, operations: &[Operation]) -> Result<()> {
    let mut hooks = after.webhooks.iter();
    let Some(fault) = hooks.find_map(|hook| target::check_settings(&hook.settings).err()) else {
        return Ok(());
    };
    let of_hooks = |operation: &&Operation| {
        let path = operation.path.to_ascii_lowercase();
        path.starts_with("/webhooks")
    };
    let blamed = operations.iter().filter(of_hooks);
    Err(Error::PatchRefused(PatchErrors {
        invalid_datas: blamed
            .map(|operation| operation.refused(fault.clone()))
            .collect(),
        ..PatchErrors::default()
    }))
}

/// The fault of a secret that cannot sign; `None` if it can.
pub(super) fn signing_fault(secret: &Secret) -> Option<String> {
    let mut faults = secret
        .values
        .iter()
        .filter_map(|value| SigningKey::parse(value).err());
    faults.next().map(|fault| fault.to_string())
}

/// A refusal in the form of refused patches.
fn in_patch(error: Error) -> Error {
    match error {
        Error::Refused(refusal) if !refusal.constraints.is_empty() => {
            let constraints = refusal.constraints.into_iter();
            Error::PatchRefused(PatchErrors {
                invalid_constraints: constraints
                    .map(|(name, detail)| {
                        (name, detail.as_str().unwrap_or_default().to_owned().into())
                    })
                    .collect(),
                ..PatchErrors::default()
            })
        }
        other => other,
    }
}

/// Pause an instance: no webhook and no system call is sent until it is resumed, and events of that time are not sent
/// later.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/instances/{id}/pause", tag = "integrations",
    security(("token" = [])), params(Admin, InPath, IdempotencyKey), responses((status = 200, body = InstanceModel)))]
pub(super) async fn pause_instance(
    Admin(member): Admin,
    InPath(id): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    change_status(member, id, key, &body, |status| match status {
        Status::NotConfigured => Err(Error::refused(
            Code::NotConfigured,
            "The integration has not been set up",
        )),
        _ => Ok(Status::Paused),
    })
    .await
}

/// Resume a paused instance. Its webhooks start at the end of the feed.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/instances/{id}/resume", tag = "integrations",
    security(("token" = [])), params(Admin, InPath, IdempotencyKey), responses((status = 200, body = InstanceModel)))]
pub(super) async fn resume_instance(
    Admin(member): Admin,
    InPath(id): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    change_status(member, id, key, &body, |status| match status {
        Status::Paused => Ok(Status::Active),
        other => Ok(other),
    })
    .await
}

async fn change_status(
    member: Member,
    id: IntegrationId,
    key: IdempotencyKey,
    body: &[u8],
    change: fn(Status) -> Result<Status>,
) -> Result<JsonAnswer> {
    let origin = member.origin();
    let member = Arc::new(member);
    let requester = member.clone();
    let work = move |tx: &mut Tx<'_>| {
        let found = find_installed(&requester, tx, id)?;
        let after = Instance {
            status: change(found.model.status)?,
            ..found.model.clone()
        };
        let is_other = after.status != found.model.status;
        let saved = instance::save(&requester.app.vault, tx, found, after, &origin)?;
        Ok((JsonAnswer::ok(text(&saved, Secrets::Shown)), is_other))
    };
    let (answer, is_other) = write_once_growing(&*member, key, body, work).await?;
    if is_other == Some(true) {
        let object = format!("integration:{id}");
        security::record(Event::HookChanged, Some(member.workspace_id()), &object);
    }
    Ok(answer)
}
