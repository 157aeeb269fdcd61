//! `/rest/v1/service/svcscripts`: the scripts of a workspace (`docs/contracts/era.md §10`).

use axum::{http::HeaderMap, response::Response};
use prichal_core::{
    entity::rights::Authority,
    event::{EntityKind, Origin},
    id::{EntityId, WorkspaceId},
    schema::{Fault, Object},
    script::Script,
    time::Timestamp,
};
use prichal_dialect::era::{names, query::FieldNames};
use prichal_store::{Tx, resource::Kind};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::Admin,
    collection::{self, Resource, plainly_stored},
};
use crate::{
    app::App,
    domain::{channel::script_of, script::Refused},
    error::{Error, Result},
    http::{body::Raw, extract::Path, idempotency::IdempotencyKey, page::Query},
    platform::vault::Vault,
};

/// A script.
#[derive(ToSchema)]
#[schema(as = ServiceScript)]
#[expect(
    dead_code,
    reason = "describes the entity that `prichal_core::script` puts together"
)]
pub(super) struct ScriptModel {
    id: String,
    /// The name by which channels refer to it.
    code: String,
    name: String,
    /// `{"language": "javascript", "source": "…"}`. Lists show it only when it is asked for.
    scriptdata: Object,
    projectid: String,
    /// The time of the last change, as in `ext.lwt`.
    lwt: String,
    /// `title`, `comment`, `loglevel`; `variables`: the initial members of the global object of that name; `as_admin`:
    /// true if its runs have an administrator's rights.
    opts: Object,
    ext: Object,
}

impl Resource for Script {
    const NOUN: &'static str = "Service script";
    const MAX_COUNT: i64 = 1000;
    const NAMES: &'static FieldNames = &names::SCRIPT;

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
        self.code()
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

    fn needs_admin(before: Option<&Self>, after: Option<&Self>) -> bool {
        let mut both = before.into_iter().chain(after);
        both.any(|script| script.authority() == Authority::Admin)
    }

    fn snapshot(&self) -> Option<(EntityKind, String)> {
        Some((EntityKind::Svcscript, self.snapshot()))
    }

    /// Refuses a source that is not valid JavaScript.
    async fn check(&self, app: &App, workspace: WorkspaceId) -> Result<()> {
        match app.scripts.check(workspace, self.source()).await {
            Ok(()) => Ok(()),
            Err(Refused::Slow(time)) => Err(Error::invalid(
                "scriptdata.source",
                format!(
                    "The scriptdata.source takes too long to read: more than {} seconds.",
                    time.as_secs()
                ),
            )),
            Err(Refused::Busy) => Err(Error::Busy),
            Err(Refused::Syntax(error)) => Err(Error::invalid(
                "scriptdata.source",
                format!("The scriptdata.source is not valid JavaScript: {error}."),
            )),
            Err(Refused::Failed(error)) => Err(Error::Unavailable(error.into())),
        }
    }

    fn check_in_transaction(
        &mut self,
        _: &Vault,
        _: &mut Tx<'_>,
        _: &Origin,
        _: &Object,
        _: Option<&Self>,
    ) -> Result<()> {
        Ok(())
    }

    fn forget(app: &App, _: WorkspaceId) {
        app.channels.forget_scripts();
    }

    plainly_stored!(Kind::Script, script_of);
}

/// Create a script.
#[utoipa::path(post, path = "/rest/v1/service/svcscripts", tag = "channels",
    params(("X-HTTP-Method-Override" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    request_body = ScriptModel, responses((status = 200, body = ScriptModel)))]
pub(super) async fn create_svcscript(
    admin: Admin,
    key: IdempotencyKey,
    headers: HeaderMap,
    body: Raw,
) -> Result<Response> {
    collection::create::<Script>(admin, key, headers, body).await
}

/// List the scripts, without their sources unless those are asked for.
#[utoipa::path(get, path = "/rest/v1/service/svcscripts", tag = "channels",
    params(("filter" = Option<String>, Query), ("mask" = Option<String>, Query), ("offset" = Option<i64>, Query),
        ("limit" = Option<i64>, Query), ("order" = Option<String>, Query), ("flat" = Option<bool>, Query)),
    responses((status = 200, body = Vec<ScriptModel>)))]
pub(super) async fn list_svcscripts(admin: Admin, query: Query) -> Result<Response> {
    collection::list::<Script>(admin, query).await
}

/// Read a script.
#[utoipa::path(get, path = "/rest/v1/service/svcscripts/{id}", tag = "channels",
    params(("id" = String, Path), ("mask" = Option<String>, Query), ("flat" = Option<bool>, Query)),
    responses((status = 200, body = ScriptModel)))]
pub(super) async fn get_svcscript(
    admin: Admin,
    id: Path<String>,
    query: Query,
) -> Result<Response> {
    collection::get::<Script>(admin, id, query).await
}

/// Change a script. Runs that begin afterwards use the new source.
#[utoipa::path(patch, path = "/rest/v1/service/svcscripts/{id}", tag = "channels",
    params(("id" = String, Path)), request_body = ScriptModel, responses((status = 200, body = ScriptModel)))]
pub(super) async fn patch_svcscript(
    admin: Admin,
    id: Path<String>,
    headers: HeaderMap,
    body: Raw,
) -> Result<Response> {
    collection::patch::<Script>(admin, id, headers, body).await
}

/// Delete a script.
#[utoipa::path(delete, path = "/rest/v1/service/svcscripts/{id}", tag = "channels",
    params(("id" = String, Path)), responses((status = 204)))]
pub(super) async fn delete_svcscript(admin: Admin, id: Path<String>) -> Result<Response> {
    collection::delete::<Script>(admin, id).await
}
