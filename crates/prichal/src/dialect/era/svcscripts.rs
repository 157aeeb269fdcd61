//! `/rest/v1/service/svcscripts`: the scripts of a workspace (`docs/contracts/era.md §10`).

use axum::{http::HeaderMap, response::Response};
use prichal_core::{
    entity::rights::Authority,
    event::{EntityKind, Origin},
    id::{EntityId, WorkspaceId},
    schema::{Fault, Field, Object},
    script::{self, Script},
    time::Timestamp,
};
use prichal_dialect::era::{names, query::FieldNames};
use prichal_store::{Tx, resource::Kind, script_version};
use serde_json::json;
use utoipa::openapi::ObjectBuilder;
use uuid::Uuid;

use super::{
    caller::Admin,
    collection::{self, Listing, Override, Resource, Shape, plainly_stored},
    schemas::{self, LookupAnswer, LookupKey, changes, entity_or_ids, entity_or_key, text, view},
};
use crate::{
    app::App,
    dialect::openapi::schema::{described, free},
    domain::{channel::script_of, script::Refused},
    error::{Error, Result},
    http::{body::Raw, extract::Path, idempotency::IdempotencyKey, page::Query},
    platform::vault::Vault,
};

/// The table of a script.
const TABLES: &[&[Field]] = &[script::FIELDS];

/// The member `scriptdata`, which may have more members.
fn source() -> ObjectBuilder {
    let language = text()
        .enum_values(Some([script::LANGUAGE]))
        .description(Some("The language."));
    let source = text()
        .max_length(Some(script::MAX_SOURCE))
        .description(Some("The program."));
    free()
        .description(Some("The source. Lists show it only if it is asked for."))
        .property("language", language)
        .required("language")
        .property("source", source)
        .required("source")
}

fn new() -> ObjectBuilder {
    let ignored = text().description(Some("Ignored: the time is the server's."));
    let new = schemas::new(TABLES).property("scriptdata", source());
    new.property("lwt", ignored)
}

fn entity() -> ObjectBuilder {
    let changed = text().description(Some("The time of the last change, as in `ext.lwt`."));
    schemas::entity(TABLES)
        .property("scriptdata", source())
        .property("lwt", changed)
        .required("lwt")
}

described! {
    /// A new script.
    pub(super) NewServiceScript = new();
    /// A new script, or the key of a look-up.
    pub(super) NewServiceScriptOrKey = entity_or_key::<NewServiceScript>(), with NewServiceScript, LookupKey;
    /// A change of a script. `scriptdata`, `opts` and `ext` are merged key by key.
    pub(super) ServiceScriptChanges = changes(new(), json!({ "scriptdata": { "source": "respond(204)" } }));
    /// A script.
    pub(super) ServiceScript = entity();
    /// A new script, or the ids that a key means.
    pub(super) ServiceScriptOrIds = entity_or_ids::<ServiceScript>(), with ServiceScript, LookupAnswer;
    /// A script in the shape that `mask` and `flat` give it.
    pub(super) ServiceScriptView = view(entity());
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

    /// Keeps the source that a change replaces.
    fn check_in_transaction(
        &mut self,
        _: &Vault,
        tx: &mut Tx<'_>,
        origin: &Origin,
        _: &Object,
        before: Option<&Self>,
    ) -> Result<()> {
        if let Some(before) = before
            && before.source() != self.source()
        {
            let (id, source) = (self.id(), before.source());
            script_version::insert(tx, origin.workspace, id, source, origin.at)?;
        }
        Ok(())
    }

    fn delete_parts(&self, tx: &mut Tx<'_>, workspace: WorkspaceId) -> Result<()> {
        Ok(script_version::remove(tx, workspace, self.id())?)
    }

    fn forget(app: &App, _: WorkspaceId) {
        app.channels.forget_scripts();
    }

    plainly_stored!(Kind::Script, script_of);
}

/// Create a script.
#[utoipa::path(post, path = "/rest/v1/service/svcscripts", tag = "channels",
    params(Override, IdempotencyKey),
    request_body = NewServiceScriptOrKey, responses((status = 200, body = ServiceScriptOrIds)))]
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
    params(Listing),
    responses((status = 200, body = Vec<ServiceScriptView>)))]
pub(super) async fn list_svcscripts(admin: Admin, query: Query) -> Result<Response> {
    collection::list::<Script>(admin, query).await
}

/// Read a script.
#[utoipa::path(get, path = "/rest/v1/service/svcscripts/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the script"), Shape),
    responses((status = 200, body = ServiceScriptView)))]
pub(super) async fn get_svcscript(
    admin: Admin,
    id: Path<String>,
    query: Query,
) -> Result<Response> {
    collection::get::<Script>(admin, id, query).await
}

/// Change a script. Runs that begin afterwards use the new source.
#[utoipa::path(patch, path = "/rest/v1/service/svcscripts/{id}", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the script")), request_body = ServiceScriptChanges, responses((status = 200, body = ServiceScript)))]
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
    params(("id" = Uuid, Path, description = "The id of the script")), responses((status = 204)))]
pub(super) async fn delete_svcscript(admin: Admin, id: Path<String>) -> Result<Response> {
    collection::delete::<Script>(admin, id).await
}
