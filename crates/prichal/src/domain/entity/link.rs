//! Links between two entities.

use prichal_core::{
    entity::rights::{self, Authority},
    event::{Entity, EntityKind, NewEvent, Origin},
    id::{self, EntityId, EventId, WorkspaceId},
    schema::{self, Fault, Field, Type},
};
use prichal_store::{Conn, Tx, entity};
use serde_json::Value;

use super::{EntityRef, draft::check_end, noted, permit as permit_rights};
use crate::{
    domain::telephony::record,
    error::{Error, Result},
};

/// Refuses ends that do not exist.
pub fn check(conn: &mut Conn, workspace: WorkspaceId, ends: &[Entity]) -> Result<()> {
    ends.iter()
        .try_for_each(|end| check_end(conn, workspace, *end))
}

/// Refuses to add or remove links with roles, except by an administrator.
pub fn permit(authority: Authority, ends: [Entity; 2]) -> Result<()> {
    permit_rights(authority, rights::link_grants(ends))
}

/// The role at an end of a link.
fn role(ends: [Entity; 2]) -> Option<EntityRef> {
    let mut ends = ends.into_iter();
    let (kind, id) = ends.find(|end| rights::link_grants([*end, *end]))?;
    Some(EntityRef {
        kind,
        id: EntityId(id),
    })
}

/// Links two entities, and returns the role if one of them is one. Linking them again changes nothing.
pub fn link(
    tx: &mut Tx<'_>,
    [one, other]: [Entity; 2],
    origin: &Origin,
    authority: Authority,
) -> Result<Option<EntityRef>> {
    permit(authority, [one, other])?;
    for end in [one, other] {
        check_end(tx.conn()?, origin.workspace, end)?;
    }
    let is_new = entity::insert_link(tx, origin.workspace, one, other)?;
    if is_new {
        tx.append(NewEvent::link(
            EventId::generate(origin.at),
            origin,
            one,
            other,
        ));
    }
    note_on_call(tx, [one, other], origin, false)?;
    Ok(noted(tx, role([one, other]).filter(|_| is_new)))
}

/// Deletes a link, and returns the role at its end. Without a link, nothing changes.
pub fn unlink(
    tx: &mut Tx<'_>,
    [one, other]: [Entity; 2],
    origin: &Origin,
    authority: Authority,
) -> Result<Option<EntityRef>> {
    permit(authority, [one, other])?;
    for end in [one, other] {
        check_end(tx.conn()?, origin.workspace, end)?;
    }
    let was_there = entity::delete_link(tx, origin.workspace, one, other)?;
    if was_there {
        tx.append(NewEvent::unlink(
            EventId::generate(origin.at),
            origin,
            one,
            other,
        ));
    }
    note_on_call(tx, [one, other], origin, true)?;
    Ok(noted(tx, role([one, other]).filter(|_| was_there)))
}

/// Records on a call that a user has added or removed a link. Links by phone number do not override that.
fn note_on_call(tx: &mut Tx<'_>, ends: [Entity; 2], origin: &Origin, is_cut: bool) -> Result<()> {
    let [one, other] = ends;
    for (call, end) in [(one, other), (other, one)] {
        if call.0 == EntityKind::Communication {
            record::note_link(tx, origin, EntityId(call.1), end, is_cut)?;
        }
    }
    Ok(())
}

/// Reads the ids of a link's two ends, such as `{"companyId": "…", "dealId": "…"}`.
pub fn read(body: &Value) -> Result<[Entity; 2]> {
    let (mut ends, mut faults) = (Vec::new(), Vec::new());
    for (member, value) in schema::object(body)? {
        let kind = kind_of(member);
        match (kind, value.as_str().and_then(id::parse)) {
            (Some(kind), Some(id)) => ends.push((kind, id)),
            (Some(_), None) => faults.push(Fault::wrong_type(member, value, Type::Guid)),
            (None, _) => {
                let shown: String = member.chars().take(64).collect();
                let known = EntityKind::ALL.iter().map(|kind| kind.id_member());
                let known = known.filter(|member| kind_of(member).is_some());
                let known = known.collect::<Vec<_>>().join(", ");
                let why = format!("The member '{shown}' is not the id of an entity: {known}.");
                faults.push(Fault::rule(member, why));
            }
        }
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    // The feed names each end by its kind, so a link of two companies could not be shown.
    <[Entity; 2]>::try_from(ends)
        .ok()
        .filter(|[one, other]| can_be_linked(one.0, other.0))
        .ok_or_else(|| {
            Error::invalid(
                "",
                "A link has exactly two ids of different kinds, such as companyId and dealId.",
            )
        })
}

/// The members that [`read`] accepts.
pub fn members() -> Vec<Field> {
    let all = EntityKind::ID_MEMBERS.iter().copied();
    all.filter(|field| kind_of(field.name).is_some()).collect()
}

/// Only entities of the collections and calls can be linked.
fn kind_of(member: &str) -> Option<EntityKind> {
    EntityKind::from_id_member(member)
        .filter(|kind| kind.collection().is_some() || *kind == EntityKind::Communication)
}

/// A call can only be linked with contacts, companies and deals (`docs/contracts/kontur.md §5`).
fn can_be_linked(one: EntityKind, other: EntityKind) -> bool {
    let with_call = |kind: EntityKind| {
        matches!(
            kind,
            EntityKind::Contact | EntityKind::Company | EntityKind::Deal
        )
    };
    match (one, other) {
        (EntityKind::Communication, other) | (other, EntityKind::Communication) => with_call(other),
        _ => one != other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn two_known_ids_and_nothing_else() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let read = |body: Value| read(&body).ok();
        let ends = [(EntityKind::Company, one), (EntityKind::Deal, two)];
        assert_eq!(read(json!({ "companyId": one, "dealId": two })), Some(ends));
        for bad in [
            json!({}),
            json!({ "companyId": one }),
            json!({ "companyId": one, "dealId": two, "taskId": one }),
            json!({ "companyId": one, "dealId": 7 }),
            json!({ "companyId": one, "dealId": "x" }),
            json!({ "companyId": one, "unicornId": two }),
            json!({ "companyId": one, "CompanyId": one }),
            json!({ "companyId": one, "companyid": two }),
            json!([one, two]),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }
}
