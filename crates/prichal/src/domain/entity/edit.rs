//! Changes of an existing entity: patching, deleting and restoring it.

use prichal_core::{
    custom_field::{files, files_fields},
    entity::{
        self as rules, Patched,
        rights::{self, Authority},
    },
    event::{self, EntityKind, NewEvent, Origin},
    id::{EventId, UserId},
    identifier::Check,
    patch::{Operation, PatchErrors, Reason},
    schema::{Fault, FaultKind, Object},
};
use prichal_store::{
    Tx,
    entity::{self, Entity},
    token,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Changed, EntityRef,
    draft::{bind, check_end},
    find_for_update, links_inside, members_text, missing, model, noted, permit,
};
use crate::{
    domain::telephony::owners,
    error::{Error, Result},
};

fn members_of(entity: &Entity) -> Result<Object> {
    rules::from_text(&entity.members)
        .ok_or_else(|| Error::internal("an entity's members are damaged"))
}

/// The result of operations on an entity with these links, without the checks that need a write, such as those of
/// files.
pub fn preview(
    entity: &Entity,
    links: &[Uuid],
    operations: &[Operation],
    origin: &Origin,
    authority: Authority,
) -> Result<Patched> {
    let mut paths = operations.iter().map(|operation| &operation.path);
    let is_about_rights = paths.any(|path| rights::addresses(entity.kind, path));
    permit(authority, is_about_rights)?;
    let before = members_of(entity)?;
    let patched = rules::patch(entity.kind, &before, links, operations, &mut || {
        prichal_core::id::generate(origin.at)
    });
    let patched = patched.map_err(Error::PatchRefused)?;
    permit(
        authority,
        rights::changes(entity.kind, &before, &patched.members),
    )?;
    Ok(patched)
}

/// Applies operations.
pub fn patch(
    tx: &mut Tx<'_>,
    origin: &Origin,
    check: Check,
    place: EntityRef,
    operations: &[Operation],
    settings: &Object,
    authority: Authority,
) -> Result<Changed> {
    let found = find_for_update(tx, origin.workspace, place)?;
    let links = links_inside(tx.conn()?, &found)?;
    let before = members_of(&found)?;
    let Patched {
        mut members,
        links: wanted,
        ..
    } = preview(&found, &links, operations, origin, authority)?;

    if members.get("iin") != before.get("iin")
        && let Some(fault) = rules::check_identifiers(place.kind, &members, check)
    {
        tracing::debug!(workspace = %origin.workspace, path = fault.path, "a patch has an invalid identifier");
        let sent = operations
            .iter()
            .filter(|one| one.path.eq_ignore_ascii_case("/iin"));
        return Err(Error::PatchRefused(PatchErrors {
            invalid_datas: sent.map(|one| one.refused(fault.clone())).collect(),
            ..PatchErrors::default()
        }));
    }

    let fields = touched(
        files_fields(settings, place.kind),
        operations,
        &before,
        &members,
    );
    let ids =
        files(place.kind, &members, &fields).map_err(|faults| refuse_files(&faults, operations))?;
    let (gone, come) = differences(place.kind, &links, wanted.as_deref());
    for end in &come {
        check_end(tx.conn()?, origin.workspace, *end)?;
    }
    bind(tx, origin, place.kind, &mut members, &fields, &ids)?;

    let mut ends = gone.iter().chain(&come);
    let ties = ends.any(|end| rights::link_grants([(place.kind, place.id.0), *end]));
    let is_about_rights = ties || rights::changes(place.kind, &before, &members);
    let mut entity = found;
    if members != before {
        entity = write_members(tx, entity, &members, origin)?;
    }
    write_links(tx, &entity, &gone, &come, origin)?;
    owners::note(tx, origin, &entity)?;
    let links = links_inside(tx.conn()?, &entity)?;
    Ok(Changed {
        model: model(&entity, &links),
        rights: noted(tx, is_about_rights.then_some(place)),
    })
}

fn write_members(
    tx: &mut Tx<'_>,
    found: Entity,
    members: &Object,
    origin: &Origin,
) -> Result<Entity> {
    let id = found.id.0;
    let old = rules::snapshot(id, &found.members);
    let members = members_text(members)?;
    let before = found.members.len();
    let entity = Entity {
        members,
        update_info: found.update_info.changed(origin),
        ..found
    };
    entity::update(tx, &entity, before)?;
    let new = rules::snapshot(id, &entity.members);
    tx.append(NewEvent::patch(
        EventId::generate(origin.at),
        origin,
        (entity.kind, id),
        old,
        new,
    ));
    Ok(entity)
}

/// The ends that a patch removes, and those that it adds.
fn differences(
    kind: EntityKind,
    links: &[Uuid],
    wanted: Option<&[event::Entity]>,
) -> (Vec<event::Entity>, Vec<event::Entity>) {
    let (Some(wanted), Some((_, other))) = (wanted, rules::inner_links(kind)) else {
        return (Vec::new(), Vec::new());
    };
    let gone = links
        .iter()
        .map(|id| (other, *id))
        .filter(|end| !wanted.contains(end))
        .collect();
    let come = wanted
        .iter()
        .copied()
        .filter(|(_, id)| !links.contains(id))
        .collect();
    (gone, come)
}

fn write_links(
    tx: &mut Tx<'_>,
    entity: &Entity,
    gone: &[event::Entity],
    come: &[event::Entity],
    origin: &Origin,
) -> Result<()> {
    let me = (entity.kind, entity.id.0);
    for end in gone {
        if entity::delete_link(tx, entity.workspace, me, *end)? {
            tx.append(NewEvent::unlink(
                EventId::generate(origin.at),
                origin,
                me,
                *end,
            ));
        }
    }
    for end in come {
        if entity::insert_link(tx, entity.workspace, me, *end)? {
            tx.append(NewEvent::link(
                EventId::generate(origin.at),
                origin,
                me,
                *end,
            ));
        }
    }
    Ok(())
}

/// The custom fields that the patch names or changes. The files of the others were bound when they were written, or are
/// older than the field's declaration, which is no reason to refuse other changes.
fn touched(
    mut fields: Vec<String>,
    operations: &[Operation],
    before: &Object,
    after: &Object,
) -> Vec<String> {
    fields.retain(|field| {
        let is_named = operations.iter().any(|operation| names(operation, field));
        is_named || custom_value(before, field) != custom_value(after, field)
    });
    fields
}

/// True if an operation is about a custom field: its path names all fields, this field, or a part of it.
fn names(operation: &Operation, field: &str) -> bool {
    let mut segments = operation.path.split('/').skip(1);
    segments
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case("customFields"))
        && segments
            .next()
            .is_none_or(|second| second.eq_ignore_ascii_case(field))
}

fn custom_value<'a>(members: &'a Object, field: &str) -> Option<&'a Value> {
    members.get("customFields")?.get(field)
}

/// The operations behind custom fields that hold no files although they should.
fn refuse_files(faults: &[Fault], operations: &[Operation]) -> Error {
    let of_files = |operation: &&Operation| {
        let path = operation.path.to_ascii_lowercase();
        path.starts_with("/customfields") || path.starts_with("/attachmentfileids")
    };
    let why = Reason::Faults(faults.to_vec());
    let refused: Vec<_> = operations
        .iter()
        .filter(of_files)
        .map(|operation| operation.refused(why.clone()))
        .collect();
    let mut errors = PatchErrors::default();
    if faults.iter().any(|fault| fault.kind() == FaultKind::Type) {
        errors.invalid_value_types = refused;
    } else {
        errors.invalid_datas = refused;
    }
    Error::PatchRefused(errors)
}

/// Finds the entity, deleted or not. Only an administrator may delete or restore one that grants rights.
fn find_any(
    tx: &mut Tx<'_>,
    origin: &Origin,
    EntityRef { kind, id }: EntityRef,
    authority: Authority,
) -> Result<Entity> {
    let found = entity::find_for_update(tx, origin.workspace, kind, id)?
        .ok_or_else(|| missing(kind, id.0))?;
    permit(authority, rights::grants(kind, &members_of(&found)?))?;
    Ok(found)
}

/// The entity, if deleting or restoring it changes rights. Roles and users do, as tokens act for users.
fn rights_of(place: EntityRef) -> Option<EntityRef> {
    [EntityKind::User, EntityKind::Role]
        .contains(&place.kind)
        .then_some(place)
}

/// Deletes softly, and returns the entity if that changes rights. Deleting again changes nothing.
pub fn delete(
    tx: &mut Tx<'_>,
    origin: &Origin,
    place: EntityRef,
    authority: Authority,
) -> Result<Option<EntityRef>> {
    let found = find_any(tx, origin, place, authority)?;
    let EntityRef { kind, id } = place;
    if found.deleted_at.is_some() {
        return Ok(None);
    }
    let old = rules::snapshot(id.0, &found.members);
    let gone = Entity {
        deleted_at: Some(origin.at),
        update_info: found.update_info.changed(origin),
        ..found
    };
    entity::set_deleted(tx, &gone)?;
    if kind == EntityKind::User {
        // The tokens are deleted for good. A restored user gets new ones.
        token::delete_of(tx, origin.workspace, UserId(id.0), origin.at)?;
    }
    owners::note(tx, origin, &gone)?;
    tx.append(NewEvent::delete(
        EventId::generate(origin.at),
        origin,
        (kind, id.0),
        old,
    ));
    Ok(noted(tx, rights_of(place)))
}

/// Restores a deleted entity.
pub fn restore(
    tx: &mut Tx<'_>,
    origin: &Origin,
    place: EntityRef,
    authority: Authority,
) -> Result<Changed> {
    let mut found = find_any(tx, origin, place, authority)?;
    let EntityRef { kind, id } = place;
    let was_gone = found.deleted_at.is_some();
    if was_gone {
        found = Entity {
            deleted_at: None,
            update_info: found.update_info.changed(origin),
            ..found
        };
        entity::set_deleted(tx, &found)?;
        owners::note(tx, origin, &found)?;
        let new = rules::snapshot(id.0, &found.members);
        tx.append(NewEvent::restore(
            EventId::generate(origin.at),
            origin,
            (kind, id.0),
            new,
        ));
    }
    let links = links_inside(tx.conn()?, &found)?;
    Ok(Changed {
        model: model(&found, &links),
        rights: noted(tx, rights_of(place).filter(|_| was_gone)),
    })
}
