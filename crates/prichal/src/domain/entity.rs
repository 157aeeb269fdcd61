//! Creating, changing and linking entities, for callers of the API and for scripts. The rules are in
//! [`prichal_core::entity`]; this module applies them to the store.

pub mod draft;
pub mod edit;
pub mod link;

use prichal_core::{
    entity::{self as rules, inner_links, rights::Authority},
    event::EntityKind,
    id::{EntityId, WorkspaceId},
    schema::{Object, Problem},
};
use prichal_store::{
    Conn, Tx,
    entity::{self, Entity},
};
use uuid::Uuid;

use crate::{
    error::{Code, Error, Result},
    platform::security::{self, Event},
};

/// The kind and id of an entity of a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntityRef {
    pub kind: EntityKind,
    pub id: EntityId,
}

/// The outcome of a change: the model, and the entity if its rights have changed.
pub struct Changed {
    pub model: String,
    pub rights: Option<EntityRef>,
}

/// Records changed rights in the security log. Called after the commit.
pub fn note_rights(workspace: WorkspaceId, changed: impl IntoIterator<Item = EntityRef>) {
    for EntityRef { kind, id } in changed {
        let object = format!("{}:{id}", kind.name());
        security::record(Event::RightsChanged, Some(workspace), &object);
    }
}

/// Marks a write that changes rights for the audit log.
fn noted(tx: &mut Tx<'_>, changed: Option<EntityRef>) -> Option<EntityRef> {
    if changed.is_some() {
        tx.note_rights();
    }
    changed
}

/// The error about an entity that does not exist.
pub fn missing(kind: EntityKind, id: Uuid) -> Error {
    Error::NotFound(format!("{} {id}", kind.type_name()))
}

/// An entity that is not deleted.
pub fn find(
    conn: &mut Conn,
    workspace: WorkspaceId,
    EntityRef { kind, id }: EntityRef,
) -> Result<Entity> {
    let found = entity::find(conn, workspace, kind, id)?;
    found
        .filter(|found| found.deleted_at.is_none())
        .ok_or_else(|| missing(kind, id.0))
}

/// The same, locked until the end of the transaction.
fn find_for_update(
    tx: &mut Tx<'_>,
    workspace: WorkspaceId,
    EntityRef { kind, id }: EntityRef,
) -> Result<Entity> {
    let found = entity::find_for_update(tx, workspace, kind, id)?;
    found
        .filter(|found| found.deleted_at.is_none())
        .ok_or_else(|| missing(kind, id.0))
}

/// Refuses changes of rights, except by an administrator. Other users could give themselves any right.
fn permit(authority: Authority, is_about_rights: bool) -> Result<()> {
    if is_about_rights && authority != Authority::Admin {
        return Err(Error::Forbidden(
            "Only an administrator of the workspace may change roles and the rights of users",
        ));
    }
    Ok(())
}

/// The ids at the other ends of the links that the entity's model shows.
pub fn links_inside(conn: &mut Conn, entity: &Entity) -> Result<Vec<Uuid>> {
    let Some((_, other)) = inner_links(entity.kind) else {
        return Ok(Vec::new());
    };
    let links = entity::links(conn, entity.workspace, (entity.kind, entity.id.0))?;
    Ok(links
        .into_iter()
        .filter(|(kind, _)| *kind == other)
        .map(|(_, id)| id)
        .collect())
}

/// The text of members for the store.
pub fn members_text(members: &Object) -> Result<String> {
    rules::to_text(members).map_err(|fault| match fault.problem {
        Problem::Rule(message) => Error::refused(Code::InvalidValue, message),
        _ => vec![fault].into(),
    })
}

/// The model of an entity, as its readers see it.
pub fn model(entity: &Entity, links: &[Uuid]) -> String {
    rules::model(
        entity.kind,
        entity.id.0,
        &entity.members,
        links,
        &entity.update_info,
    )
}
