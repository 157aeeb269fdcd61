//! `/rest/v1/service/integration_point_types`: the types of channels, which fix fields of their channels
//! (`docs/contracts/era.md §3`).

use axum::{http::HeaderMap, response::Response};
use prichal_core::{
    channel_type::{self, ChannelType},
    event::{EntityKind, Origin},
    id::{EntityId, WorkspaceId},
    schema::{Fault, Field, Object},
    time::Timestamp,
};
use prichal_dialect::era::{names, query::FieldNames};
use prichal_store::{Tx, channel, job::Kind as JobKind, resource::Kind};
use serde_json::json;
use uuid::Uuid;

use super::{
    caller::Admin,
    collection::{self, Listing, MAX_TOTAL_BYTES, Override, Resource, Shape, plainly_stored},
    schemas::{self, LookupAnswer, LookupKey, changes, entity_or_ids, entity_or_key, view},
};
use crate::{
    app::App,
    dialect::openapi::schema::described,
    domain::channel::{retype, type_of},
    error::{Code, Error, Result},
    http::{body::Raw, extract::Path, idempotency::IdempotencyKey, page::Query},
    platform::vault::Vault,
};

described! {
    /// A new type of channels. A field that it sets is fixed for its channels.
    pub(super) NewIntegrationPointType = schemas::new(TABLES);
    /// A new type, or the key of a look-up.
    pub(super) NewIntegrationPointTypeOrKey = entity_or_key::<NewIntegrationPointType>(),
        with NewIntegrationPointType, LookupKey;
    /// A change of a type.
    pub(super) IntegrationPointTypeChanges = changes(schemas::new(TABLES), json!({ "quota": 20 }));
    /// A type of channels. A field that it sets is fixed for its channels.
    pub(super) IntegrationPointType = schemas::entity(TABLES);
    /// A new type, or the ids that a key means.
    pub(super) IntegrationPointTypeOrIds = entity_or_ids::<IntegrationPointType>(),
        with IntegrationPointType, LookupAnswer;
    /// A type in the shape that `mask` and `flat` give it.
    pub(super) IntegrationPointTypeView = view(schemas::entity(TABLES));
}

/// The table of a type.
const TABLES: &[&[Field]] = &[channel_type::FIELDS];

impl Resource for ChannelType {
    const NOUN: &'static str = "Integration point type";
    const MAX_COUNT: i64 = 1000;
    const NAMES: &'static FieldNames = &names::CHANNEL_TYPE;

    fn read(body: &Object, id: Uuid, now: Timestamp) -> Result<Self, Vec<Fault>> {
        Self::read(body, id, now)
    }

    fn patched(&self, body: &Object) -> Result<Self, Vec<Fault>> {
        self.patched(body)
    }

    fn id(&self) -> EntityId {
        EntityId(self.id)
    }

    fn code(&self) -> &str {
        self.name()
    }

    fn created_at(&self) -> Timestamp {
        self.created_at
    }

    fn set_updated_at(&mut self, at: Timestamp) {
        self.updated_at = at;
    }

    fn entity(&self) -> Object {
        self.entity()
    }

    /// A change of a type may change channels that have rights.
    fn needs_admin(_: Option<&Self>, _: Option<&Self>) -> bool {
        true
    }

    fn snapshot(&self) -> Option<(EntityKind, String)> {
        None
    }

    fn check_in_transaction(
        &mut self,
        _: &Vault,
        tx: &mut Tx<'_>,
        origin: &Origin,
        _: &Object,
        before: Option<&Self>,
    ) -> Result<()> {
        check_room(tx, origin.workspace, self, before)?;
        retype::begin(tx, origin, self.name())
    }

    fn forget(app: &App, _: WorkspaceId) {
        app.channels.forget_channels();
    }

    /// Applies the type to its channels.
    fn job(&self) -> Option<(JobKind, String)> {
        Some((JobKind::ApplyType, self.name().to_owned()))
    }

    plainly_stored!(Kind::ChannelType, type_of);
}

/// Refuses a type whose channels would grow too large with its fixed fields.
fn check_room(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    kind: &ChannelType,
    before: Option<&ChannelType>,
) -> Result<()> {
    let size = |kind: &ChannelType| {
        let fixed = kind.fixed().into_iter();
        fixed.map(|(_, value)| value.to_string().len()).sum()
    };
    let growth: usize = size(kind);
    let growth = growth.saturating_sub(before.map_or(0, size));
    if growth == 0 {
        return Ok(());
    }
    let count = channel::count_of(tx.conn()?, workspace, kind.name())?;
    let (_, bytes) = channel::extent(tx.conn()?, workspace)?;
    let growth = i64::try_from(growth).unwrap_or(i64::MAX);
    if count > 0 && bytes.saturating_add(growth.saturating_mul(count)) > MAX_TOTAL_BYTES {
        let what = format!(
            "The channels of a workspace may have at most {} MiB in total, and would have more with the fixed fields of this type.",
            MAX_TOTAL_BYTES >> 20
        );
        return Err(Error::refused(Code::LimitReached, what));
    }
    Ok(())
}

/// Create a type of channels. Existing channels of this type get its fixed fields.
#[utoipa::path(post, path = "/rest/v1/service/integration_point_types", tag = "channels",
    params(Override, IdempotencyKey),
    request_body = NewIntegrationPointTypeOrKey, responses((status = 200, body = IntegrationPointTypeOrIds)))]
pub(super) async fn create_integration_point_type(
    admin: Admin,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: Raw,
) -> Result<Response> {
    collection::create::<ChannelType>(admin, key, headers, body).await
}

/// List the types.
#[utoipa::path(get, path = "/rest/v1/service/integration_point_types", tag = "channels",
    params(Listing),
    responses((status = 200, body = Vec<IntegrationPointTypeView>)))]
pub(super) async fn list_integration_point_types(admin: Admin, query: Query) -> Result<Response> {
    collection::list::<ChannelType>(admin, query).await
}

/// Read a type.
#[utoipa::path(get, path = "/rest/v1/service/integration_point_types/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the type"), Shape),
    responses((status = 200, body = IntegrationPointTypeView)))]
pub(super) async fn get_integration_point_type(
    admin: Admin,
    id: Path<String>,
    query: Query,
) -> Result<Response> {
    collection::get::<ChannelType>(admin, id, query).await
}

/// Change a type. Its channels change with it.
#[utoipa::path(patch, path = "/rest/v1/service/integration_point_types/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the type")), request_body = IntegrationPointTypeChanges, responses((status = 200, body = IntegrationPointType)))]
pub(super) async fn patch_integration_point_type(
    admin: Admin,
    id: Path<String>,
    headers: HeaderMap,
    body: Raw,
) -> Result<Response> {
    collection::patch::<ChannelType>(admin, id, headers, body).await
}

/// Delete a type. Its channels stay as they are.
#[utoipa::path(delete, path = "/rest/v1/service/integration_point_types/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the type")), responses((status = 204)))]
pub(super) async fn delete_integration_point_type(
    admin: Admin,
    id: Path<String>,
) -> Result<Response> {
    collection::delete::<ChannelType>(admin, id).await
}
