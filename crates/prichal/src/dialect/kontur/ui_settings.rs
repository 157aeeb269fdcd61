//! `/api/v1/{ws}/ui-settings`: settings of the user interface, above all the integration that makes calls
//! (`docs/contracts/kontur.md §4.3`). A user's value takes precedence over the group's, and that over the workspace's.

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    event::EntityKind,
    id::{EntityId, IntegrationId, WorkspaceId, generate},
    patch,
    schema::{self, Field, Form, Object, Type},
    update_info::UpdateInfo,
};
use prichal_dialect::kontur;
use prichal_store::{
    Conn, Tx, entity, integration,
    ui_setting::{self, UiSetting},
    usage,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::Member,
    openapi::{PatchEnvelope, UpdateInfoModel},
};
use crate::{
    dialect::openapi::schema::{body, described, example},
    domain::telephony::{dial::MAIN_TELEPHONY, group_of},
    error::{Error, Result},
    http::{answer::json_text, body::Json, extract::Path, page::Query},
    platform::quota,
};

const MAX_VALUE: usize = 65_536;

const VALUE: Field = Field::new("value", Type::Text)
    .required()
    .chars(MAX_VALUE)
    .worded(|_, _| value_refused())
    .doc("The value. That of `@main-telephony-settings` is the id of an installed integration.");
const FIELDS: &[Field] = &[
    Field::new("key", Type::Text)
        .required()
        .form(&KEY)
        .doc("The key, without `=`."),
    VALUE,
    Field::new("userId", Type::Guid)
        .doc("The user of the value. Without user and group the value is the workspace's."),
    Field::new("groupId", Type::Guid).doc("The group of the value."),
];

described! {
    /// A value to set.
    NewUiSetting = body(FIELDS).examples(example(include_str!("examples/ui-setting.json")));
}

/// The form of keys. Queries put the value behind a `=`.
static KEY: Form = Form::new("1 to 200 characters without '='", "^[^=]{1,200}$", |text| {
    (1..=200).contains(&text.chars().count()) && !text.contains('=')
});

fn value_refused() -> String {
    format!("The value must be at most {MAX_VALUE} characters.")
}

/// A setting of the user interface.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UiSettings {
    /// The user of the value.
    #[schema(format = "uuid", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The group of the value.
    #[schema(format = "uuid", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<String>,
    /// The key.
    key: String,
    /// The value.
    value: String,
    /// True if the caller may set values of other users as well.
    can_edit_all: bool,
    #[schema(value_type = UpdateInfoModel)]
    #[serde(serialize_with = "kontur::update_info::serialize")]
    update_info: UpdateInfo,
    /// The id of the setting.
    #[schema(format = "uuid")]
    id: String,
}

fn answer(member: &Member, setting: UiSetting) -> Result<Response> {
    let model = UiSettings {
        user_id: setting.user.map(|id| id.to_string()),
        group_id: setting.group.map(|id| id.to_string()),
        key: setting.key,
        value: setting.value,
        can_edit_all: member.caller.is_admin(),
        update_info: setting.update_info,
        id: setting.id.to_string(),
    };
    let text = serde_json::to_string(&model).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

fn not_found(key: &str, what: &str) -> Error {
    let kind = if key == MAIN_TELEPHONY {
        "Telephony"
    } else {
        "UiSettings"
    };
    Error::NotFound(format!("{kind} {what}"))
}

/// Read the value of a key for the caller.
#[utoipa::path(get, path = "/api/v1/{ws}/ui-settings", tag = "ui settings",
    params(Member, ("key" = String, Query, description = "The key; `<key>=<value>` finds it only with that value.")),
    responses((status = 200, body = UiSettings)))]
pub(super) async fn find_ui_setting(member: Member, query: Query) -> Result<Response> {
    let key = query
        .text("key")
        .ok_or_else(|| Error::invalid("key", "The key field is required."))?;
    let (key, expected) = match key.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (key.to_owned(), None),
    };
    let missing = not_found(&key, expected.as_deref().unwrap_or(&key));
    let found = find_for(&member, key).await?;
    let found = found.filter(|found| {
        expected.is_none_or(|expected| found.value.eq_ignore_ascii_case(&expected))
    });
    answer(&member, found.ok_or(missing)?)
}

/// The value of a key for the caller.
async fn find_for(member: &Member, key: String) -> Result<Option<UiSetting>> {
    let (workspace, user) = (member.workspace_id(), member.caller.user());
    let read = move |conn: &mut Conn| {
        let group = match user {
            Some(user) => {
                let user = entity::find(conn, workspace, EntityKind::User, EntityId(user.0))?;
                let members = user.and_then(|user| serde_json::from_str(&user.members).ok());
                members.as_ref().and_then(group_of)
            }
            None => None,
        };
        let user = user.map(|user| user.0);
        let values = ui_setting::list_for(conn, workspace, &key, user, group)?;
        Ok::<_, Error>(values.into_iter().next())
    };
    member.app.db.read(read).await
}

/// Read a setting by its id or its key.
#[utoipa::path(get, path = "/api/v1/{ws}/ui-settings/{id}", tag = "ui settings",
    params(Member, ("id" = String, Path, description = "The id of the setting, or its key.")), responses((status = 200, body = UiSettings)))]
pub(super) async fn get_ui_setting(
    member: Member,
    Path((_ws, id)): Path<(String, String)>,
) -> Result<Response> {
    if id == MAIN_TELEPHONY {
        let missing = not_found(&id, &id);
        let found = find_for(&member, id).await?;
        return answer(&member, found.ok_or(missing)?);
    }
    let found = find_by_id(&member, &id).await?;
    answer(&member, found)
}

/// A setting that the caller may see, by its own id.
async fn find_by_id(member: &Member, id: &str) -> Result<UiSetting> {
    let shown: String = id.chars().take(64).collect();
    let id = prichal_core::id::parse_any(id)
        .ok_or_else(|| Error::invalid("id", format!("The value '{shown}' is not a valid id.")))?;
    let workspace = member.workspace_id();
    let found = member
        .app
        .db
        .read(move |conn| ui_setting::find(conn, workspace, id))
        .await?;
    // Only administrators may see values that other users have set for themselves.
    found
        .filter(|found| may_read(member, found))
        .ok_or_else(|| not_found("", &id.to_string()))
}

/// The members of a setting that can be changed.
const MUTABLE_FIELDS: &[Field] = &[Field::new("value", Type::Text).required()];

/// Change the value of a setting.
#[utoipa::path(patch, path = "/api/v1/{ws}/ui-settings/{id}", tag = "ui settings",
    params(Member, ("id" = String, Path, description = "The id of the setting.")),
    request_body(content = PatchEnvelope, example = json!({"operations": [{"op": "replace", "path": "/value", "value": "on"}]})), responses((status = 200, body = UiSettings)))]
pub(super) async fn patch_ui_setting(
    member: Member,
    Path((_ws, id)): Path<(String, String)>,
    Json(body): Json,
) -> Result<Response> {
    let found = find_by_id(&member, &id).await?;
    require_right(&member, found.user)?;
    let operations = patch::parse(&body)?;
    let mut object = Object::from_iter([("value".to_owned(), found.value.clone().into())]);
    patch::apply(MUTABLE_FIELDS, &mut object, &operations, &mut || {
        generate(member.now)
    })
    .map_err(Error::PatchRefused)?;
    let value = object.get("value").and_then(Value::as_str);
    let value = value.ok_or_else(|| Error::invalid("value", value_refused()))?;
    check_main(&found.key, value)?;
    let new = UiSetting {
        value: value.to_owned(),
        update_info: found.update_info.clone().changed(&member.origin()),
        ..found
    };
    put(&member, new).await
}

fn may_read(member: &Member, setting: &UiSetting) -> bool {
    member.caller.reads_all()
        || setting.user.is_none()
        || setting.user == member.caller.user().map(|user| user.0)
}

/// Set a value for the workspace, a group or a user. Users may set their own values, administrators all.
#[utoipa::path(put, path = "/api/v1/{ws}/ui-settings", tag = "ui settings", params(Member),
    request_body = NewUiSetting, responses((status = 200, body = UiSettings)))]
pub(super) async fn put_ui_setting(member: Member, Json(body): Json) -> Result<Response> {
    let new = read_new(&member, &body)?;
    require_right(&member, new.user)?;
    put(&member, new).await
}

/// Refuses all but administrators and the user whose value it is.
fn require_right(member: &Member, user: Option<Uuid>) -> Result<()> {
    let own = user.is_some() && user == member.caller.user().map(|user| user.0);
    if own { Ok(()) } else { member.require_admin() }
}

async fn put(member: &Member, new: UiSetting) -> Result<Response> {
    let workspace = member.workspace_id();
    let write = move |tx: &mut Tx<'_>| {
        check_owner(tx, &new, workspace)?;
        check_value(tx, &new, workspace)?;
        ui_setting::put(tx, workspace, &new)?;
        // An existing setting keeps its id and its creator.
        let stored = ui_setting::find_at(tx.conn()?, workspace, &new.key, new.user, new.group)?;
        Ok::<_, Error>(stored.unwrap_or_else(|| new.clone()))
    };
    let kinds = &[usage::Kind::Records];
    let write = quota::growing(&member.app, workspace, kinds, write).await?;
    let stored = member.app.db.write(workspace, write).await?;
    answer(member, stored)
}

fn read_new(member: &Member, body: &Value) -> Result<UiSetting> {
    let body = schema::read(FIELDS, schema::object(body)?, &mut || generate(member.now))?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = |name: &str| prichal_core::id::parse_any(text(name)).filter(|id| !id.is_nil());
    let (key, value) = (text("key").to_owned(), text("value").to_owned());
    let (user, group) = (id("userId"), id("groupId"));
    if user.is_some() && group.is_some() {
        return Err(Error::invalid(
            "groupId",
            "A value belongs to a user or to a group, not to both.",
        ));
    }
    check_main(&key, &value)?;
    Ok(UiSetting {
        id: generate(member.now),
        key,
        user,
        group,
        value,
        update_info: UpdateInfo::created(&member.origin()),
    })
}

/// Checks that the value of the main telephony is the id of an integration.
fn check_main(key: &str, value: &str) -> Result<()> {
    if key == MAIN_TELEPHONY && IntegrationId::parse(value).is_none() {
        return Err(Error::invalid(
            "value",
            "The value must be the id of an integration.",
        ));
    }
    Ok(())
}

fn check_owner(tx: &mut Tx<'_>, new: &UiSetting, workspace: WorkspaceId) -> Result<()> {
    let owners = [
        ("userId", "user", EntityKind::User, new.user),
        ("groupId", "group", EntityKind::Group, new.group),
    ];
    for (member, what, kind, id) in owners {
        let Some(id) = id else { continue };
        let owner = entity::find(tx.conn()?, workspace, kind, EntityId(id))?;
        if owner.is_none_or(|owner| owner.deleted_at.is_some()) {
            return Err(Error::invalid(
                member,
                format!("The {member} is not a {what} of this workspace."),
            ));
        }
    }
    Ok(())
}

/// Checks that the main telephony is an installed integration.
fn check_value(tx: &mut Tx<'_>, new: &UiSetting, workspace: WorkspaceId) -> Result<()> {
    let Some(id) = IntegrationId::parse(&new.value).filter(|_| new.key == MAIN_TELEPHONY) else {
        return Ok(());
    };
    let found = integration::find_instance(tx.conn()?, workspace, id)?;
    if found.is_some_and(|instance| instance.installed) {
        Ok(())
    } else {
        Err(not_found(&new.key, &id.to_string()))
    }
}
