//! The contacts, companies and deals of a number (`docs/contracts/kontur.md §10`).

use prichal_core::{
    call::{Call, Direction},
    event::{Entity, EntityKind},
    id::{EntityId, WorkspaceId},
    phone::{self, Region},
    schema::Object,
};
use prichal_store::{Conn, entity, phone as store, setting};
use serde::Deserialize;
use serde_json::Value;

use super::living;
use crate::error::Result;

/// True if entities of a kind have numbers.
pub fn has_phones(kind: EntityKind) -> bool {
    matches!(kind, EntityKind::Contact | EntityKind::Company)
}

/// The region that numbers of a workspace are completed for.
pub fn region(conn: &mut Conn, workspace: WorkspaceId) -> Result<Region> {
    /// The settings without the custom fields, which may be many.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Regional {
        phone_region: Option<String>,
    }
    let settings = setting::find(conn, workspace)?;
    let settings = settings.and_then(|text| serde_json::from_str::<Regional>(&text).ok());
    let name = settings.and_then(|settings| settings.phone_region);
    Ok(name
        .and_then(|name| Region::from_name(&name))
        .unwrap_or_default())
}

/// The keys of the numbers in an entity's members.
pub fn keys(kind: EntityKind, members: &Object, region: Region) -> Vec<String> {
    let phones = members.get("phones").and_then(Value::as_array);
    let phones = phones.filter(|_| has_phones(kind));
    let mut keys: Vec<String> = phones
        .into_iter()
        .flatten()
        .filter_map(|phone| phone.get("value")?.as_str())
        .flat_map(|text| phone::keys(text, region))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The keys of a client's numbers: mostly one. Internal calls have no client.
pub fn of_call(call: &Call, region: Region) -> Vec<String> {
    if call.direction() == Direction::Internal {
        return Vec::new();
    }
    phone::keys(call.client_phone(), region)
}

/// The links of a call with these numbers: their contacts and companies, and the active deals of those.
pub fn matches(conn: &mut Conn, workspace: WorkspaceId, keys: &[String]) -> Result<Vec<Entity>> {
    let mut owners: Vec<Entity> = Vec::new();
    for key in keys {
        for owner in store::owners(conn, workspace, key)? {
            if !owners.contains(&owner) {
                owners.push(owner);
            }
        }
    }
    let deals = active_deals(conn, workspace, &owners)?;
    let deals = deals.into_iter().map(|deal| (EntityKind::Deal, deal.id.0));
    Ok(owners.iter().copied().chain(deals).collect())
}

/// An active deal.
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

/// A deal is active while the id of its stage is positive. The three final stages have other ids.
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
