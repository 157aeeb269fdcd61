//! Which contacts, companies and deals belong to a number (`reference/kontur.md` §10).

use prichal_core::{
    event::{Entity, EntityKind},
    id::{EntityId, WorkspaceId},
    phone,
    schema::Object,
};
use prichal_store::{Conn, entity, phone as store};
use serde_json::Value;

use super::living;
use crate::error::Result;

/// Whether entities of a kind have numbers.
pub fn has_phones(kind: EntityKind) -> bool {
    matches!(kind, EntityKind::Contact | EntityKind::Company)
}

/// The keys of the numbers in an entity's members.
pub fn keys(kind: EntityKind, members: &Object) -> Vec<String> {
    let phones = members.get("phones").and_then(Value::as_array);
    let phones = phones.filter(|_| has_phones(kind));
    let mut keys: Vec<String> = phones
        .into_iter()
        .flatten()
        .filter_map(|phone| phone::key(phone.get("value")?.as_str()?))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// What a call with this number is linked with: its contacts and companies, and their active deals.
pub fn matches(conn: &mut Conn, workspace: WorkspaceId, key: &str) -> Result<Vec<Entity>> {
    let owners = store::owners(conn, workspace, key)?;
    let deals = active_deals(conn, workspace, &owners)?;
    let deals = deals.into_iter().map(|deal| (EntityKind::Deal, deal.id.0));
    Ok(owners.iter().copied().chain(deals).collect())
}

/// A deal that goes on.
pub struct Deal {
    pub id: EntityId,
    pub members: Value,
    pub updated_at: prichal_core::time::Timestamp,
}

/// The active deals that are linked with any of these, each once, the last changed first.
pub fn active_deals(conn: &mut Conn, workspace: WorkspaceId, ends: &[Entity]) -> Result<Vec<Deal>> {
    let mut deals: Vec<Deal> = Vec::new();
    for end in ends {
        let linked = if end.0 == EntityKind::Deal {
            vec![*end]
        } else {
            entity::links(conn, workspace, *end)?
        };
        for (kind, id) in linked {
            if kind == EntityKind::Deal
                && !deals.iter().any(|deal| deal.id.0 == id)
                && let Some(deal) = active_deal(conn, workspace, id)?
            {
                deals.push(deal);
            }
        }
    }
    deals.sort_by_key(|deal| std::cmp::Reverse((deal.updated_at, deal.id)));
    Ok(deals)
}

/// A deal is active while its stage is a normal one: the vendor's own three have no positive ids.
fn active_deal(conn: &mut Conn, workspace: WorkspaceId, id: uuid::Uuid) -> Result<Option<Deal>> {
    let Some((members, row)) = living(conn, workspace, EntityKind::Deal, id)? else {
        return Ok(None);
    };
    let stage = members.get("stageId").and_then(Value::as_i64);
    Ok(stage.is_some_and(|stage| stage > 0).then_some(Deal {
        id: row.id,
        members,
        updated_at: row.update_info.updated_at,
    }))
}
