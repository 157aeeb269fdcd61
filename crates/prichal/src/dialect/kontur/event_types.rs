//! `/api/v1/{ws}/event-types`: the workspace's own event types (`docs/contracts/prichal.md §5`).

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    event::custom::MAX_NAME,
    event_type::{Definition, EVENT_TYPE},
    schema::{Field, Type},
};
use prichal_store::{
    Conn, Tx,
    event_type::{self, EventType},
    usage,
};

use serde_json::Value;

use super::{
    caller::{Admin, Member},
    openapi::{Done, UpdateInfoModel, page_of},
};
use crate::{
    dialect::openapi::schema::{body, described, example, model, of, takes},
    domain::event_type::put,
    error::{Error, Result},
    http::{
        answer::json_text,
        body::{Json, Raw},
        idempotency::{IdempotencyKey, JsonAnswer, write_once_growing},
        listing,
        page::Page,
    },
    platform::{
        quota,
        reading::parse_json,
        security::{self, Event},
    },
};

described! {
    /// An event type to add.
    NewEventType = body(EVENT_TYPE).examples(example(include_str!("examples/event-type.json")));
    /// An event type that is replaced, or added. Its name is in the path.
    EventTypeContents = body(EVENT_TYPE.split_at(1).1)
        .examples(example(include_str!("examples/event-type-contents.json")));
    /// An event type.
    EventTypeModel as "EventType" = model(EVENT_TYPE)
        .property("updateInfo", of::<UpdateInfoModel>())
        .required("updateInfo"), with UpdateInfoModel;
    /// A page of event types, in the order of their names.
    EventTypeList = page_of::<EventTypeModel>("The number of all event types."), with EventTypeModel;
}

takes! {
    NameInPath: Path &[Field::new("name", Type::Text).required().chars(MAX_NAME).doc("The name of the event type.").example("order.created")];
}

/// The name in the path.
pub(super) struct NameInPath(String);

impl<S: Send + Sync> FromRequestParts<S> for NameInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| Error::invalid("name", "The path is not valid UTF-8."))?;
        let found = params.iter().find(|(name, _)| *name == "name");
        Ok(Self(
            found.map(|(_, name)| name.to_owned()).unwrap_or_default(),
        ))
    }
}

/// Reads an event type. Compiling its patterns and checking its examples may take a tenth of a second.
async fn read_definition(body: Value, name: Option<String>) -> Result<Definition> {
    let read = move || Definition::read(&body, name.as_deref());
    let read = tokio::task::spawn_blocking(read).await;
    Ok(read.map_err(Error::internal)??)
}

fn text(found: &EventType) -> Result<String> {
    let definition = Definition::from_text(&found.name, &found.definition);
    let definition = definition.ok_or_else(|| Error::internal("an event type is damaged"))?;
    let mut text = serde_json::to_string(&definition.model()).map_err(Error::internal)?;
    // In the place of the closing bracket.
    text.pop();
    text.push_str(",\"updateInfo\":");
    found.update_info.push(&mut text);
    text.push('}');
    Ok(text)
}

/// List the event types.
#[utoipa::path(get, path = "/api/v1/{ws}/event-types", tag = "events",
    params(Member, Page), responses((status = 200, body = EventTypeList)))]
pub(super) async fn list_event_types(member: Member, page: Page) -> Result<Response> {
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn, offset: i64, limit: i64| {
        let count = event_type::count(conn, workspace)?;
        let found = event_type::list(conn, workspace, offset, limit)?;
        let items = found.iter().map(text).collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>((count, items))
    };
    listing::list(&member.app, page, read).await
}

/// Read an event type.
#[utoipa::path(get, path = "/api/v1/{ws}/event-types/{name}", tag = "events",
    params(Member, NameInPath), responses((status = 200, body = EventTypeModel)))]
pub(super) async fn get_event_type(
    member: Member,
    NameInPath(name): NameInPath,
) -> Result<Response> {
    let workspace = member.workspace_id();
    let missing = Error::NotFound(format!("EventType {name}"));
    let read = move |conn: &mut Conn| event_type::find(conn, workspace, &name);
    let found = member.app.db.read(read).await?;
    Ok(json_text(StatusCode::OK, text(&found.ok_or(missing)?)?))
}

/// Add an event type.
#[utoipa::path(post, path = "/api/v1/{ws}/event-types", tag = "events", params(Admin, IdempotencyKey),
    request_body = NewEventType, responses((status = 200, body = EventTypeModel)))]
pub(super) async fn create_event_type(
    Admin(member): Admin,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let definition = read_definition(parse_json(&body)?, None).await?;
    let origin = member.origin();
    let write = move |tx: &mut Tx<'_>| {
        let stored = put(tx, &definition, true, &origin)?;
        Ok((JsonAnswer::ok(text(&stored)?), ()))
    };
    let (answer, is_new) = write_once_growing(&member, key, &body, write).await?;
    if is_new.is_some() {
        note(&member);
    }
    Ok(answer)
}

/// Replace an event type as a whole, or add it.
///
/// Events that were published stay as they are. Receivers know a version by its number, so change the data by a new
/// version.
#[utoipa::path(put, path = "/api/v1/{ws}/event-types/{name}", tag = "events", params(Admin, NameInPath),
    request_body = EventTypeContents, responses((status = 200, body = EventTypeModel)))]
pub(super) async fn put_event_type(
    Admin(member): Admin,
    NameInPath(name): NameInPath,
    Json(body): Json,
) -> Result<Response> {
    let definition = read_definition(body, Some(name)).await?;
    let (workspace, origin) = (member.workspace_id(), member.origin());
    let write = move |tx: &mut Tx<'_>| put(tx, &definition, false, &origin);
    let kinds = &[usage::Kind::Records];
    let write = quota::growing(&member.app, workspace, kinds, write).await?;
    let stored = member.app.db.write(workspace, write).await?;
    note(&member);
    Ok(json_text(StatusCode::OK, text(&stored)?))
}

/// Delete an event type. Its events stay; no more are accepted.
#[utoipa::path(delete, path = "/api/v1/{ws}/event-types/{name}", tag = "events",
    params(Admin, NameInPath), responses((status = 200, body = Done)))]
pub(super) async fn delete_event_type(
    Admin(member): Admin,
    NameInPath(name): NameInPath,
) -> Result<Response> {
    let workspace = member.workspace_id();
    let write = move |tx: &mut Tx<'_>| {
        event_type::lock(tx, workspace)?;
        event_type::delete(tx, workspace, &name)
    };
    member.app.db.write(workspace, write).await?;
    note(&member);
    Ok(json_text(StatusCode::OK, "\"OK\""))
}

/// Records that rights to publish may have changed.
fn note(member: &Member) {
    security::record(
        Event::RightsChanged,
        Some(member.workspace_id()),
        "event type",
    );
}
