//! The six verbs that all service collections share (`docs/contracts/era.md §4, §13`).

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use prichal_core::{
    event::{EntityKind, NewEvent, Origin},
    id::{EntityId, EventId, WorkspaceId},
    schema::{self, Fault, Field, Object, Preset, Type},
    time::Timestamp,
};
use prichal_dialect::era::query::{FieldNames, Projection, Selection};
use prichal_store::{
    Conn, Tx,
    job::{Items, Kind as JobKind},
    usage,
};
use serde_json::Value;
use utoipa::{
    IntoParams,
    openapi::{
        Required,
        path::{Parameter, ParameterBuilder, ParameterIn},
        schema::Type as SchemaType,
    },
};
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt as _};
use uuid::Uuid;

use super::caller::{Admin, Tenant};
use crate::{
    app::App,
    delivery::job,
    dialect::openapi::schema::parameters,
    error::{Code, Error, Result},
    http::{
        answer::json_text,
        body::Raw,
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        page::Query,
    },
    platform::{
        access::Caller,
        quota,
        reading::parse_json,
        security::{self, Event},
        vault::Vault,
    },
};

/// The entities of a page of a list: by default, and at most.
const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1000;

/// The maximum number of bytes of a workspace's entities of one collection.
pub(super) const MAX_TOTAL_BYTES: i64 = 16 << 20;

/// The verbs of a collection.
const VERBS: HeaderValue = HeaderValue::from_static("GET,HEAD,POST,LOOKUP");

/// An entity of a service collection.
pub(super) trait Resource: Clone + PartialEq + Send + Sync + 'static {
    /// The name of one entity, for messages.
    const NOUN: &'static str;
    /// The maximum number of entities in a workspace.
    const MAX_COUNT: i64;
    /// The fields that `filter`, `order` and `mask` may name.
    const NAMES: &'static FieldNames;
    /// The fields that the store holds sealed.
    const SEALED: &'static [&'static str] = &[];
    /// The entity as the store holds it.
    type Row;

    fn read(body: &Object, id: Uuid, now: Timestamp) -> Result<Self, Vec<Fault>>;
    fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>>;
    fn id(&self) -> EntityId;
    fn code(&self) -> &str;
    fn created_at(&self) -> Timestamp;
    fn set_updated_at(&mut self, at: Timestamp);
    fn entity(&self) -> Object;
    /// The entity without the fields that a caller may not see.
    fn shown(&self, _: &Caller) -> Object {
        self.entity()
    }
    /// True if only an administrator may make this change. `None` stands for an entity that does not exist: before its
    /// creation, after its deletion.
    fn needs_admin(before: Option<&Self>, after: Option<&Self>) -> bool;
    /// The entity as the feed shows it; `None` if its changes are no events.
    fn snapshot(&self) -> Option<(EntityKind, String)>;

    /// Checks the entity before the transaction, because it may take long.
    fn check(&self, _: &App, _: WorkspaceId) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
    /// Checks the entity against others in the transaction, and takes over what they fix. `given` holds the members
    /// that the client sent, `before` the entity until now.
    fn check_in_transaction(
        &mut self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        origin: &Origin,
        given: &Object,
        before: Option<&Self>,
    ) -> Result<()>;
    /// Clears this node's cache of the collection.
    fn forget(app: &App, workspace: WorkspaceId);
    /// The background job that a write of this object may begin, and its item.
    fn job(&self) -> Option<(JobKind, String)> {
        None
    }

    /// Returns false if the id or the code is taken.
    fn insert(&self, vault: &Vault, tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<bool>;
    fn update(&self, vault: &Vault, tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()>;
    /// Deletes the contents of the entity and what belongs to it. Its row stays for a while, so that a repeated deletion
    /// is answered as the first time.
    fn delete(
        &self,
        vault: &Vault,
        tx: &mut Tx<'_>,
        workspace: WorkspaceId,
        at: Timestamp,
    ) -> Result<()>;
    /// Removes what belongs to an entity that is deleted.
    fn delete_parts(&self, _: &mut Tx<'_>, _: WorkspaceId) -> Result<()> {
        Ok(())
    }
    /// The entity, and true if it is deleted.
    fn find(
        vault: &Vault,
        conn: &mut Conn,
        workspace: WorkspaceId,
        id: EntityId,
    ) -> Result<Option<(Self, bool)>>;
    fn find_for_update(
        vault: &Vault,
        tx: &mut Tx<'_>,
        workspace: WorkspaceId,
        id: EntityId,
    ) -> Result<Option<(Self, bool)>>;
    /// The entities that are not deleted, by their creation, from an offset on.
    fn rows(
        conn: &mut Conn,
        workspace: WorkspaceId,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Self::Row>>;
    fn open(vault: &Vault, row: &Self::Row) -> Result<Self>;
    /// The entity without its sealed fields, which are left empty.
    fn closed(row: &Self::Row) -> Result<Self>;
    /// The number of entities, and their bytes in total.
    fn extent(conn: &mut Conn, workspace: WorkspaceId) -> Result<(i64, i64)>;
    /// The ids of the entities that a key may mean: an id, a code, a token.
    fn look_up(conn: &mut Conn, workspace: WorkspaceId, key: &str) -> Result<Vec<EntityId>>;
}

/// The store's part of [`Resource`] for entities without sealed fields, which share one table.
macro_rules! plainly_stored {
    ($kind:expr, $make:expr) => {
        type Row = prichal_store::resource::Resource;

        fn insert(
            &self,
            _: &crate::platform::vault::Vault,
            tx: &mut prichal_store::Tx<'_>,
            workspace: prichal_core::id::WorkspaceId,
        ) -> crate::error::Result<bool> {
            let row = $crate::dialect::era::collection::row(
                self,
                &self.members,
                workspace,
                $kind,
                self.updated_at,
            )?;
            Ok(prichal_store::resource::insert(tx, &row)?)
        }

        fn update(
            &self,
            _: &crate::platform::vault::Vault,
            tx: &mut prichal_store::Tx<'_>,
            workspace: prichal_core::id::WorkspaceId,
        ) -> crate::error::Result<()> {
            let row = $crate::dialect::era::collection::row(
                self,
                &self.members,
                workspace,
                $kind,
                self.updated_at,
            )?;
            Ok(prichal_store::resource::update(tx, &row)?)
        }

        fn delete(
            &self,
            _: &crate::platform::vault::Vault,
            tx: &mut prichal_store::Tx<'_>,
            workspace: prichal_core::id::WorkspaceId,
            at: prichal_core::time::Timestamp,
        ) -> crate::error::Result<()> {
            Ok(prichal_store::resource::delete(
                tx,
                workspace,
                $kind,
                self.id(),
                at,
            )?)
        }

        fn find(
            _: &crate::platform::vault::Vault,
            conn: &mut prichal_store::Conn,
            workspace: prichal_core::id::WorkspaceId,
            id: prichal_core::id::EntityId,
        ) -> crate::error::Result<Option<(Self, bool)>> {
            let row = prichal_store::resource::find(conn, workspace, $kind, id)?;
            row.map(|row| Ok(($make(&row)?, row.deleted_at.is_some())))
                .transpose()
        }

        fn find_for_update(
            _: &crate::platform::vault::Vault,
            tx: &mut prichal_store::Tx<'_>,
            workspace: prichal_core::id::WorkspaceId,
            id: prichal_core::id::EntityId,
        ) -> crate::error::Result<Option<(Self, bool)>> {
            let row = prichal_store::resource::find_for_update(tx, workspace, $kind, id)?;
            row.map(|row| Ok(($make(&row)?, row.deleted_at.is_some())))
                .transpose()
        }

        fn rows(
            conn: &mut prichal_store::Conn,
            workspace: prichal_core::id::WorkspaceId,
            offset: i64,
            limit: i64,
        ) -> crate::error::Result<Vec<Self::Row>> {
            Ok(prichal_store::resource::list(
                conn, workspace, $kind, offset, limit,
            )?)
        }

        fn open(_: &crate::platform::vault::Vault, row: &Self::Row) -> crate::error::Result<Self> {
            $make(row)
        }

        fn closed(row: &Self::Row) -> crate::error::Result<Self> {
            $make(row)
        }

        fn extent(
            conn: &mut prichal_store::Conn,
            workspace: prichal_core::id::WorkspaceId,
        ) -> crate::error::Result<(i64, i64)> {
            Ok(prichal_store::resource::extent(conn, workspace, $kind)?)
        }

        fn look_up(
            conn: &mut prichal_store::Conn,
            workspace: prichal_core::id::WorkspaceId,
            key: &str,
        ) -> crate::error::Result<Vec<prichal_core::id::EntityId>> {
            use prichal_store::resource;
            let mut found = Vec::new();
            if let Some(id) = prichal_core::id::EntityId::parse(key) {
                let by_id = resource::find(conn, workspace, $kind, id)?;
                found.extend(by_id.filter(|row| row.deleted_at.is_none()));
            }
            found.extend(resource::find_by_code(conn, workspace, $kind, key)?);
            let mut ids: Vec<_> = found.into_iter().map(|row| row.id).collect();
            ids.dedup();
            Ok(ids)
        }
    };
}
pub(super) use plainly_stored;

/// The row of an entity in that table.
pub(super) fn row<R: Resource>(
    resource: &R,
    members: &Object,
    workspace: WorkspaceId,
    kind: prichal_store::resource::Kind,
    updated_at: Timestamp,
) -> Result<prichal_store::resource::Resource> {
    Ok(prichal_store::resource::Resource {
        workspace,
        kind,
        id: resource.id(),
        code: resource.code().to_owned(),
        members: serde_json::to_string(members).map_err(Error::internal)?,
        created_at: resource.created_at(),
        updated_at,
        deleted_at: None,
    })
}

pub(super) fn missing<R: Resource>(id: &str) -> Error {
    let shown: String = id.chars().take(64).collect();
    Error::NotFound(format!("{} {shown}", R::NOUN))
}

/// The id in the path. A text that is no id names no entity.
fn id_of<R: Resource>(text: &str) -> Result<EntityId> {
    EntityId::parse(text).ok_or_else(|| missing::<R>(text))
}

/// Refuses a change of rights by anybody but an administrator.
pub(super) fn permit<R: Resource>(
    caller: &Caller,
    before: Option<&R>,
    after: Option<&R>,
) -> Result<()> {
    if caller.is_admin() || !R::needs_admin(before, after) {
        return Ok(());
    }
    Err(Error::Forbidden(
        "Only an administrator of the workspace may change what grants rights",
    ))
}

fn taken<R: Resource>(code: &str) -> Error {
    let what = format!(
        "{} with this id or the name {code} is there already",
        R::NOUN
    );
    Error::refused(Code::AlreadyExists, what)
}

/// An entity as JSON.
pub(super) fn text(entity: Object) -> String {
    Value::Object(entity).to_string()
}

/// Adds the verb LOOKUP, which OpenAPI cannot describe.
pub(super) fn with_lookup<R: Resource>(routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    routes.map(|routes| routes.fallback(other_verb::<R>))
}

async fn other_verb<R: Resource>(
    State(_): State<App>,
    Admin(tenant): Admin,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Response {
    let mut response = if tenant.is_lookup {
        look_up::<R>(&tenant, &headers, &body).await
    } else {
        Err(Error::WrongMethod {
            allowed: vec!["GET", "HEAD", "POST", "LOOKUP"],
        })
    }
    .into_response();
    // The router would leave LOOKUP out.
    response.headers_mut().insert(header::ALLOW, VERBS);
    response
}

/// Answers the ids that the JSON text in the body may mean.
async fn look_up<R: Resource>(
    tenant: &Tenant,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response> {
    let key = read_json(headers, body)?;
    let key = key.as_str().ok_or_else(|| {
        Error::invalid(
            "",
            "The key must be a JSON string: an id, a code or a token.",
        )
    })?;
    let (workspace, key) = (tenant.workspace, key.to_owned());
    let find = move |conn: &mut Conn| R::look_up(conn, workspace, &key);
    let found = tenant.app.db.read(find).await?;
    if found.is_empty() {
        return Err(Error::refused(Code::LookupFailed, "Lookup failed"));
    }
    let ids: Vec<String> = found.iter().map(ToString::to_string).collect();
    let text = serde_json::to_string(&ids).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

pub(super) async fn create<R: Resource>(
    Admin(tenant): Admin,
    key: IdempotencyKey,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    if tenant.is_lookup {
        return look_up::<R>(&tenant, &headers, &body).await;
    }
    let given = schema::object(&read_json(&headers, &body)?)?.clone();
    let id = EntityId::generate(tenant.now).0;
    let made = R::read(&given, id, tenant.now)?;
    permit(&tenant.caller, None, Some(&made))?;
    made.check(&tenant.app, tenant.workspace).await?;
    let (app, origin) = (tenant.app.clone(), tenant.origin());
    let work = move |tx: &mut Tx<'_>| {
        let mut made = made.clone();
        made.check_in_transaction(&app.vault, tx, &origin, &given, None)?;
        if !made.insert(&app.vault, tx, origin.workspace)? {
            return Err(taken::<R>(made.code()));
        }
        check_limits::<R>(tx, origin.workspace)?;
        if let Some((kind, new)) = made.snapshot() {
            let event = EventId::generate(origin.at);
            tx.append(NewEvent::create(event, &origin, (kind, made.id().0), new));
        }
        Ok((JsonAnswer::ok(text(made.entity())), made))
    };
    let (answer, made) = write_once_and(&tenant, key, &body, work).await?;
    complete(&tenant, made).await?;
    Ok(answer.into_response())
}

/// Bounds the number and the size of a collection, because a filtered list reads all of it.
fn check_limits<R: Resource>(tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
    let (count, bytes) = R::extent(tx.conn()?, workspace)?;
    let noun = R::NOUN.to_lowercase();
    let what = if count > R::MAX_COUNT {
        format!("A workspace may have at most {} {}s.", R::MAX_COUNT, noun)
    } else if bytes > MAX_TOTAL_BYTES {
        format!(
            "The {}s of a workspace may have at most {} MiB in total.",
            noun,
            MAX_TOTAL_BYTES >> 20
        )
    } else {
        return Ok(());
    };
    Err(Error::refused(Code::LimitReached, what))
}

/// Reads a body that is JSON, or a form whose field `data` is JSON (`docs/contracts/era.md §5`).
pub(super) fn read_json(headers: &HeaderMap, body: &[u8]) -> Result<Value> {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|kind| kind.to_str().unwrap_or_default().to_ascii_lowercase());
    let kind = kind.as_deref().and_then(|kind| kind.split(';').next());
    match kind.map(str::trim) {
        Some("application/x-www-form-urlencoded") => {
            // Libraries set this type by default, also for a body that is JSON.
            parse_json(body).or_else(|error| {
                let mut fields = form_urlencoded::parse(body);
                let data = fields.find(|(name, _)| name == "data");
                data.map_or(Err(error), |(_, data)| parse_json(data.as_bytes()))
            })
        }
        None | Some("" | "application/json" | "text/json" | "text/plain") => parse_json(body),
        Some(kind) if kind.ends_with("+json") => parse_json(body),
        Some(kind) => {
            let shown: String = kind.chars().take(64).collect();
            let what = format!(
                "The Content-Type must be application/json, or a form whose field `data` holds the JSON, not {shown}"
            );
            Err(Error::refused(Code::MediaType, what))
        }
    }
}

/// The parameters that [`shape`] reads.
pub(super) const SHAPE: &[Field] = &[MASK, FLAT];

const MASK: Field = Field::new("mask", Type::Text)
    .doc("The fields to show, with commas between; members of objects by dotted names. All by default.")
    .example("id,code,opts.title");
const FLAT: Field = Field::new("flat", Type::Bool)
    .doc("True to show members of objects beside them, under dotted names.");

/// The parameters that [`page`] reads.
pub(super) const OFFSET: Field = Field::new("offset", Type::Int)
    .within(0, i32::MAX as i64)
    .or(Preset::Zero)
    .doc("The number of entities to leave out.");
pub(super) const LIMIT: Field = Field::new("limit", Type::Int)
    .within(0, MAX_LIMIT)
    .doc("The maximum number of entities, by default 100.");

/// The parameters of a list.
pub(super) const LISTING: &[Field] = &[
    Field::new("filter", Type::Text)
        .doc("A JSON object of fields and the values that they must have; members of objects by dotted names.")
        .example(r#"{"code": "ws_hook"}"#),
    Field::new("order", Type::Text)
        .doc("A JSON array of fields, or of objects such as `{\"code\": \"desc\"}`. By default the order of creation.")
        .example(r#"["code"]"#),
    MASK,
    FLAT,
    OFFSET,
    LIMIT,
];

parameters! {
    /// The shape of an entity.
    pub(super) Shape = SHAPE;
    /// A page of a list, and the shape of its entities.
    pub(super) Listing = LISTING;
}

/// The header that makes a POST to a collection a look-up.
pub(super) enum Override {}

impl IntoParams for Override {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let verb = ParameterBuilder::new()
            .name("X-HTTP-Method-Override")
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some("`LOOKUP` to look ids up: the body is a key then."))
            .schema(Some(utoipa::openapi::Object::with_type(SchemaType::String)));
        vec![verb.build()]
    }
}

/// Reads the parameters `mask` and `flat`.
pub(super) fn shape(names: &'static FieldNames, query: &Query) -> Result<Projection> {
    let flat = query.read("flat", "true or false", |text| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    })?;
    let mask = query.text("mask");
    Ok(Projection::read(names, mask, flat.unwrap_or(false))?)
}

/// Reads the parameters `offset` and `limit` of a list.
pub(super) fn page(query: &Query) -> Result<(i64, i64)> {
    let number = |name: &str, default: i64, max: i64| {
        let given = query.number(name)?.unwrap_or(default);
        if (0..=max).contains(&given) {
            Ok(given)
        } else {
            let why = format!("The value of '{name}' must be 0 to {max}, not {given}.");
            Err(Error::invalid(name, why))
        }
    };
    Ok((
        number("offset", 0, i64::from(i32::MAX))?,
        number("limit", DEFAULT_LIMIT, MAX_LIMIT)?,
    ))
}

pub(super) async fn list<R: Resource>(Admin(tenant): Admin, query: Query) -> Result<Response> {
    let shape = shape(R::NAMES, &query)?;
    let selection = Selection::read(R::NAMES, query.text("filter"), query.text("order"))?;
    let (offset, limit) = page(&query)?;
    let (workspace, app, caller) = (tenant.workspace, tenant.app.clone(), tenant.caller);
    let read = move |conn: &mut Conn| {
        let rows = if selection.is_empty() {
            R::rows(conn, workspace, offset, limit)?
        } else {
            let all = R::rows(conn, workspace, 0, R::MAX_COUNT)?;
            select::<R>(&app.vault, &caller, &selection, all, (offset, limit))?
        };
        let shown = rows.iter().map(|row| {
            let entity = R::open(&app.vault, row)?.shown(&caller);
            Ok(Value::Object(shape.show(&entity, true)))
        });
        let shown = shown.collect::<Result<Vec<_>>>()?;
        Ok::<_, Error>(Value::Array(shown).to_string())
    };
    Ok(json_text(StatusCode::OK, tenant.app.db.read(read).await?))
}

/// The rows of one page of a selection. Rows are unsealed only if the selection names a sealed field.
fn select<R: Resource>(
    vault: &Vault,
    caller: &Caller,
    selection: &Selection,
    rows: Vec<R::Row>,
    (offset, limit): (i64, i64),
) -> Result<Vec<R::Row>> {
    let is_opened = selection.looks_at(R::SEALED);
    let mut found = Vec::new();
    for row in rows {
        let one = if is_opened {
            R::open(vault, &row)?
        } else {
            R::closed(&row)?
        };
        let entity = one.shown(caller);
        if selection.wants(&entity) {
            found.push((entity, row));
        }
    }
    found.sort_by(|(a, _), (b, _)| selection.compare(a, b));
    let count = |number: i64| usize::try_from(number).map_err(Error::internal);
    let page = found.into_iter().skip(count(offset)?).take(count(limit)?);
    Ok(page.map(|(_, row)| row).collect())
}

pub(super) async fn get<R: Resource>(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    let (shape, id) = (shape(R::NAMES, &query)?, id_of::<R>(&id)?);
    let entity = find::<R>(&tenant, id).await?.shown(&tenant.caller);
    Ok(json_text(StatusCode::OK, text(shape.show(&entity, false))))
}

/// Finds an entity that is not deleted.
pub(super) async fn find<R: Resource>(tenant: &Tenant, id: EntityId) -> Result<R> {
    let (workspace, app) = (tenant.workspace, tenant.app.clone());
    let read = move |conn: &mut Conn| match R::find(&app.vault, conn, workspace, id)? {
        Some((found, false)) => Ok(found),
        _ => Err(missing::<R>(&id.to_string())),
    };
    tenant.app.db.read(read).await
}

/// Finds an entity by the id in the path.
pub(super) async fn find_in_path<R: Resource>(tenant: &Tenant, id: &str) -> Result<R> {
    find(tenant, id_of::<R>(id)?).await
}

/// Follows a write of an entity: clears the cache, and completes its job. The change is recorded in the security
/// log, because each of these entities may grant rights, and before the job, because the client may hang up meanwhile.
async fn complete<R: Resource>(tenant: &Tenant, changed: Option<R>) -> Result<()> {
    R::forget(&tenant.app, tenant.workspace);
    let Some(changed) = changed else {
        return Ok(());
    };
    let (noun, id) = (R::NOUN.to_lowercase().replace(' ', "_"), changed.id());
    let object = format!("{noun}:{id}");
    security::record(Event::RightsChanged, Some(tenant.workspace), &object);
    let Some((kind, item)) = changed.job() else {
        return Ok(());
    };
    job::finish(&tenant.app, tenant.workspace, kind, Items::One(item)).await
}

pub(super) async fn patch<R: Resource>(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response> {
    let id = id_of::<R>(&id)?;
    let given = schema::object(&read_json(&headers, &body)?)?.clone();
    // The check may take long, so it precedes the transaction; in it the patch is applied to the entity as it is then.
    let now = find::<R>(&tenant, id).await?;
    let after = now.patched(&given)?;
    after.check(&tenant.app, tenant.workspace).await?;
    let (app, origin, caller) = (tenant.app.clone(), tenant.origin(), tenant.caller.clone());
    let write = move |tx: &mut Tx<'_>| {
        let Some((before, false)) = R::find_for_update(&app.vault, tx, origin.workspace, id)?
        else {
            return Err(missing::<R>(&id.to_string()));
        };
        let mut after = before.patched(&given)?;
        permit(&caller, Some(&before), Some(&after))?;
        after.check_in_transaction(&app.vault, tx, &origin, &given, Some(&before))?;
        // The check may have changed more than the client sent.
        permit(&caller, Some(&before), Some(&after))?;
        if after == before {
            return Ok((text(before.shown(&caller)), None));
        }
        if after.code() != before.code() {
            let known = R::look_up(tx.conn()?, origin.workspace, after.code())?;
            if known.iter().any(|known| *known != id) {
                return Err(taken::<R>(after.code()));
            }
        }
        after.set_updated_at(origin.at);
        after.update(&app.vault, tx, origin.workspace)?;
        check_limits::<R>(tx, origin.workspace)?;
        if let (Some((kind, old)), Some((_, new))) = (before.snapshot(), after.snapshot()) {
            let event = EventId::generate(origin.at);
            tx.append(NewEvent::patch(event, &origin, (kind, id.0), old, new));
        }
        Ok((text(after.shown(&caller)), Some(after)))
    };
    let kinds = &[usage::Kind::Records];
    let write = quota::growing(&tenant.app, tenant.workspace, kinds, write).await?;
    let (text, changed) = tenant.app.db.write(tenant.workspace, write).await?;
    complete(&tenant, changed).await?;
    Ok(json_text(StatusCode::OK, text))
}

pub(super) async fn delete<R: Resource>(
    Admin(tenant): Admin,
    Path(id): Path<String>,
) -> Result<Response> {
    let id = id_of::<R>(&id)?;
    let (app, origin, caller) = (tenant.app.clone(), tenant.origin(), tenant.caller.clone());
    let write =
        move |tx: &mut Tx<'_>| match R::find_for_update(&app.vault, tx, origin.workspace, id)? {
            None => Err(missing::<R>(&id.to_string())),
            Some((_, true)) => Ok(None),
            Some((mut gone, false)) => {
                permit(&caller, Some(&gone), None)?;
                gone.set_updated_at(origin.at);
                gone.delete(&app.vault, tx, origin.workspace, origin.at)?;
                gone.delete_parts(tx, origin.workspace)?;
                if let Some((kind, old)) = gone.snapshot() {
                    let event = EventId::generate(origin.at);
                    tx.append(NewEvent::delete(event, &origin, (kind, id.0), old));
                }
                Ok(Some(gone))
            }
        };
    let gone = tenant.app.db.write(tenant.workspace, write).await?;
    complete(&tenant, gone).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
