//! Batches: several entities of a collection, all or none.

use std::collections::HashSet;

use prichal_core::{
    entity::rights::Authority,
    event::{EntityKind, Origin},
    identifier::Check,
    schema::{self, Fault, Field, MAX_ITEMS, Object, Type},
};
use prichal_store::Tx;
use serde_json::Value;
use utoipa::ToSchema;

use super::EntityModel;
use crate::{
    domain::entity::{EntityRef, draft::Draft},
    error::Result,
};

/// `{"items": [...]}`, each a model with an optional `batchItemKey`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; it is read below")]
pub(super) struct Batch {
    items: Vec<EntityModel>,
}

/// The created entities by their keys.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the text that is put together below")]
pub(super) struct BatchAnswer {
    items: std::collections::HashMap<String, EntityModel>,
}

const KEY: &[Field] = &[Field::new("batchItemKey", Type::Text)];

pub(super) fn read(
    kind: EntityKind,
    body: &Value,
    settings: &Object,
    check: Check,
    origin: &Origin,
) -> Result<Vec<(String, Draft)>> {
    let body = schema::object(body)?;
    let Some(items) = schema::member(body, "items").filter(|items| !items.is_null()) else {
        return Err(vec![Fault::required("items")].into());
    };
    let Some(items) = items.as_array() else {
        return Err(vec![Fault::wrong_type("items", items, Type::Objects(&[]))].into());
    };
    if items.len() > MAX_ITEMS {
        return Err(vec![Fault::rule(
            "items",
            format!("The items field has more than {MAX_ITEMS} items."),
        )]
        .into());
    }
    let (mut drafts, mut faults, mut keys) =
        (Vec::with_capacity(items.len()), Vec::new(), HashSet::new());
    for (n, item) in items.iter().enumerate() {
        match read_item(kind, item, settings, check, origin) {
            Ok((key, draft)) if keys.insert(key.clone()) => drafts.push((key, draft)),
            Ok((key, _)) => {
                let shown: String = key.chars().take(64).collect();
                faults.push(Fault::rule(
                    format!("items[{n}].batchItemKey"),
                    format!("The batchItemKey `{shown}` is used twice, each must be unique."),
                ));
            }
            Err(of_item) => faults.extend(of_item.into_iter().map(|fault| inside(n, fault))),
        }
    }
    if faults.is_empty() {
        Ok(drafts)
    } else {
        Err(faults.into())
    }
}

fn read_item(
    kind: EntityKind,
    item: &Value,
    settings: &Object,
    check: Check,
    origin: &Origin,
) -> Result<(String, Draft), Vec<Fault>> {
    let object = schema::object(item)?;
    let new_id = &mut || prichal_core::id::generate(origin.at);
    let key = schema::read(KEY, object, new_id)?;
    let key = key
        .get("batchItemKey")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let key = key.unwrap_or_else(|| new_id().to_string());
    Ok((key, Draft::read(kind, object, settings, check, origin)?))
}

/// A fault of item `n`, with its path from the root of the body.
fn inside(n: usize, fault: Fault) -> Fault {
    let dot = if fault.path.is_empty() { "" } else { "." };
    Fault {
        path: format!("items[{n}]{dot}{}", fault.path),
        ..fault
    }
}

/// Writes the batch, and returns the text of the answer and the entities that grant rights.
pub(super) fn write(
    tx: &mut Tx<'_>,
    drafts: &[(String, Draft)],
    origin: &Origin,
    authority: Authority,
) -> Result<(String, Vec<EntityRef>)> {
    let (mut items, mut changed) = (Vec::with_capacity(drafts.len()), Vec::new());
    for (key, draft) in drafts {
        let made = draft.write(tx, origin, authority)?;
        items.push(format!("{}:{}", Value::from(key.as_str()), made.model));
        changed.extend(made.rights);
    }
    Ok((format!("{{\"items\":{{{}}}}}", items.join(",")), changed))
}
