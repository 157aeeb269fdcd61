//! `/api/v1/{ws}/{collection}`: the entities that clients write themselves, in the same way for every collection.

mod batch;

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{entity::inner_links, event::EntityKind, id::EntityId, patch, schema};
use prichal_store::{Conn, Tx, entity, usage};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{caller::Member, instances::PatchEnvelope};
use crate::{
    dialect::paths,
    domain::entity::{EntityRef, draft::Draft, edit, find, links_inside, model, note_rights},
    error::{Error, NoRoute, Result},
    http::{
        answer::json_text,
        body::Raw,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        listing,
        page::Page,
    },
    platform::{quota, reading::parse_json, settings},
};

/// A model of the collection: its own members, `updateInfo` and `id`. Unknown members are ignored.
#[derive(ToSchema)]
#[schema(as = Entity, value_type = Object)]
#[expect(dead_code, reason = "describes the models of `prichal_core::entity`")]
struct EntityModel(Value);

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the text that is put together below")]
struct EntityList {
    /// The number of all entities of the collection.
    count: i64,
    items: Vec<EntityModel>,
}

/// The collection in the path.
#[derive(Clone, Copy)]
pub(super) struct Collection(EntityKind);

/// The entity in the path, by its collection and id.
#[derive(Clone, Copy)]
pub(super) struct InPath(EntityRef);

async fn segment(parts: &mut Parts, wanted: &str) -> Result<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await;
    let params = params.map_err(|_| Error::invalid(wanted, "The path is not valid UTF-8."))?;
    let found = params.iter().find(|(name, _)| *name == wanted);
    Ok(found.map(|(_, value)| value.to_owned()).unwrap_or_default())
}

/// The refusal of a misspelt collection lists those there are, and all else that a workspace has.
fn no_collection(name: &str) -> Error {
    const ABOVE: &str = "/api/v1/{ws}";
    let collections = EntityKind::collections().map(str::to_owned);
    let known = collections.chain(paths().below(ABOVE)).collect();
    Error::NoRoute(NoRoute::new(ABOVE, name, known))
}

impl<S: Send + Sync> FromRequestParts<S> for Collection {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let name = segment(parts, "collection").await?;
        EntityKind::from_collection(&name.to_ascii_lowercase())
            .map(Self)
            .ok_or_else(|| no_collection(&name))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Collection(kind) = Collection::from_request_parts(parts, state).await?;
        let id = segment(parts, "id").await?;
        let shown: String = id.chars().take(64).collect();
        let id = EntityId::parse_any(&id).ok_or_else(|| {
            Error::invalid("id", format!("The value '{shown}' is not a valid id."))
        })?;
        Ok(Self(EntityRef { kind, id }))
    }
}

/// Create an entity.
#[utoipa::path(post, path = "/api/v1/{ws}/{collection}", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("Idempotency-Key" = Option<String>, Header)),
    request_body = EntityModel, responses((status = 200, body = EntityModel)))]
pub(super) async fn create_entity(
    member: Member,
    Collection(kind): Collection,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let settings = settings::of(&member.app, member.workspace_id()).await?;
    let read = parse_json(&body)?;
    let draft = Draft::read(
        kind,
        schema::object(&read)?,
        &settings,
        member.app.config.identifier_check,
        &member.origin(),
    )?;
    let (origin, authority) = (member.origin(), member.caller.authority());
    let write = move |tx: &mut Tx<'_>| {
        let made = draft.write(tx, &origin, authority)?;
        Ok((JsonAnswer::ok(made.model), made.rights))
    };
    write_and_note(&member, key, &body, write).await
}

/// Writes once per idempotency key, and records in the security log whose rights the write has changed.
async fn write_and_note<T: IntoIterator<Item = EntityRef> + Send + 'static>(
    member: &Member,
    key: IdempotencyKey,
    body: &[u8],
    write: impl FnMut(&mut Tx<'_>) -> Result<(JsonAnswer, T)> + Send + 'static,
) -> Result<JsonAnswer> {
    let (answer, changed) = write_once_and(member, key, body, write).await?;
    note_rights(member.workspace_id(), changed.into_iter().flatten());
    Ok(answer)
}

const COLLECTIONS: &str = "`users`, `groups`, `roles`, `companies`, `contacts`, `deals`, `tasks`, `notifications` or `catalog-items`";

/// Create several entities, all or none.
///
/// The answer maps each item's `batchItemKey`, or a new key, to the created entity.
#[utoipa::path(post, path = "/api/v1/{ws}/{collection}/create", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("Idempotency-Key" = Option<String>, Header)),
    request_body = batch::Batch, responses((status = 200, body = batch::BatchAnswer)))]
pub(super) async fn create_entities(
    member: Member,
    Collection(kind): Collection,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let settings = settings::of(&member.app, member.workspace_id()).await?;
    let (origin, authority) = (member.origin(), member.caller.authority());
    let drafts = batch::read(
        kind,
        &parse_json(&body)?,
        &settings,
        member.app.config.identifier_check,
        &origin,
    )?;
    let write = move |tx: &mut Tx<'_>| {
        let (text, changed) = batch::write(tx, &drafts, &origin, authority)?;
        Ok((JsonAnswer::ok(text), changed))
    };
    write_and_note(&member, key, &body, write).await
}

/// List the entities of a collection in the order of their creation, without deleted ones.
#[utoipa::path(get, path = "/api/v1/{ws}/{collection}", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("offset" = Option<i64>, Query), ("limit" = Option<i64>, Query)),
    responses((status = 200, body = EntityList)))]
pub(super) async fn list_entities(
    member: Member,
    Collection(kind): Collection,
    page: Page,
) -> Result<Response> {
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn, offset, limit| {
        let (count, found) = entity::list(conn, workspace, kind, offset, limit)?;
        let mut links: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
        if let (Some((_, inner)), Some(first), Some(last)) =
            (inner_links(kind), found.first(), found.last())
        {
            for (id, (other, end)) in
                entity::links_between(conn, workspace, kind, first.id, last.id)?
            {
                if other == inner {
                    links.entry(id).or_default().push(end);
                }
            }
        }
        let items = found
            .iter()
            .map(|entity| model(entity, links.get(&entity.id.0).map_or(&[], Vec::as_slice)));
        Ok::<_, Error>((count, items.collect::<Vec<_>>()))
    };
    listing::list(&member.app, page, read).await
}

/// Read an entity.
#[utoipa::path(get, path = "/api/v1/{ws}/{collection}/{id}", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("id" = String, Path)),
    responses((status = 200, body = EntityModel)))]
pub(super) async fn get_entity(member: Member, InPath(place): InPath) -> Result<Response> {
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| {
        let found = find(conn, workspace, place)?;
        let links = links_inside(conn, &found)?;
        Ok::<_, Error>(model(&found, &links))
    };
    Ok(json_text(StatusCode::OK, member.app.db.read(read).await?))
}

/// Change an entity. All operations are applied, or none.
#[utoipa::path(patch, path = "/api/v1/{ws}/{collection}/{id}", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("id" = String, Path)),
    request_body = PatchEnvelope, responses((status = 200, body = EntityModel)))]
pub(super) async fn patch_entity(
    member: Member,
    InPath(place): InPath,
    Raw(body): Raw,
) -> Result<Response> {
    let settings = settings::of(&member.app, member.workspace_id()).await?;
    let operations = patch::parse(&parse_json(&body)?)?;
    let (origin, check) = (member.origin(), member.app.config.identifier_check);
    let authority = member.caller.authority();
    let write = move |tx: &mut Tx<'_>| {
        edit::patch(tx, &origin, check, place, &operations, &settings, authority)
    };
    let kinds = &[usage::Kind::Entities, usage::Kind::Records];
    let write = quota::growing(&member.app, member.workspace_id(), kinds, write).await?;
    let changed = member.app.db.write(member.workspace_id(), write).await?;
    note_rights(member.workspace_id(), changed.rights);
    Ok(json_text(StatusCode::OK, changed.model))
}

/// Delete an entity. It can be restored.
#[utoipa::path(delete, path = "/api/v1/{ws}/{collection}/{id}", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("id" = String, Path)),
    responses((status = 200, body = String, example = json!("OK"))))]
pub(super) async fn delete_entity(member: Member, InPath(place): InPath) -> Result<Response> {
    let (origin, authority) = (member.origin(), member.caller.authority());
    let write = move |tx: &mut Tx<'_>| edit::delete(tx, &origin, place, authority);
    let changed = member.app.db.write(member.workspace_id(), write).await?;
    note_rights(member.workspace_id(), changed);
    Ok(json_text(StatusCode::OK, "\"OK\""))
}

/// Restore a deleted entity.
#[utoipa::path(post, path = "/api/v1/{ws}/{collection}/{id}/restore", tag = "entities",
    params(("ws" = String, Path), ("collection" = String, Path, description = COLLECTIONS), ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = EntityModel)))]
pub(super) async fn restore_entity(
    member: Member,
    InPath(place): InPath,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let (origin, authority) = (member.origin(), member.caller.authority());
    let write = move |tx: &mut Tx<'_>| {
        let back = edit::restore(tx, &origin, place, authority)?;
        Ok((JsonAnswer::ok(back.model), back.rights))
    };
    write_and_note(&member, key, &body, write).await
}
