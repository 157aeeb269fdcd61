//! Publishing events of own types: each is checked against its type, and all are written in one transaction.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    sync::Arc,
};

use prichal_core::{
    event::{
        NewEvent, Origin,
        custom::{CustomEvent, CustomHead},
    },
    event_type::{CHECK_STEPS, CompiledType, Draft, MAX_FAULTS, Sender},
    id::{EventId, WorkspaceId},
    json::canonical,
    json_schema::Budget,
    schema::Fault,
};
use prichal_store::{
    Conn, Tx,
    published_event::{self, Published},
};
use uuid::Builder;

use super::load;
use crate::{
    domain::Domain,
    error::{Code, Error, Result},
    platform::{
        access::Caller,
        vault::{sha256, sha256_hex},
    },
};

/// The maximum number of event types of one request.
const MAX_TYPES: usize = 50;

/// Events that may be published.
pub struct Publication(Vec<Item>);

struct Item {
    draft: Draft,
    id: EventId,
    digest: String,
    outcome: Outcome,
}

enum Outcome {
    /// The event, with its version and the text of its data.
    Checked(i64, String),
    /// The event was published before with the same content, in this version.
    Repeated(i64),
}

/// A published event.
#[derive(Clone, Debug)]
pub struct Receipt {
    pub id: EventId,
    pub name: String,
    pub version: i64,
}

/// The names under which a caller may publish: its user's, or those of its integrations.
fn senders(caller: &Caller) -> Vec<Sender> {
    let integrations = caller.integrations();
    let sender = |id| Sender {
        is_admin: caller.is_admin(),
        is_member: integrations.is_none() && matches!(caller, Caller::Token(_)),
        id,
    };
    match integrations {
        Some(own) => own.iter().map(|own| sender(Some(own.0))).collect(),
        None => vec![sender(caller.user().map(|user| user.0))],
    }
}

/// Checks the right to publish events, and returns their types.
pub async fn admit(
    app: &Domain,
    caller: &Caller,
    workspace: WorkspaceId,
    drafts: &[Draft],
) -> Result<HashMap<String, Arc<CompiledType>>> {
    let names: BTreeSet<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
    if names.len() > MAX_TYPES {
        let why = format!("The events of a request may have at most {MAX_TYPES} types.");
        return Err(Error::invalid("items", why));
    }
    let names = names.into_iter().map(str::to_owned).collect();
    let types = load(app, workspace, names).await?;
    let senders = senders(caller);
    let may_publish =
        |known: &Arc<CompiledType>| senders.iter().any(|sender| known.may_publish(*sender));
    if types.values().all(may_publish) {
        return Ok(types);
    }
    Err(Error::Forbidden(
        "An administrator, or a caller whom the `publishers` of the event type name, is required",
    ))
}

/// Checks events, and the right to publish them.
pub async fn check(
    app: &Domain,
    caller: &Caller,
    origin: &Origin,
    drafts: Vec<Draft>,
) -> Result<Publication> {
    let types = admit(app, caller, origin.workspace, &drafts).await?;
    let at = origin.at;
    let work = move || {
        let items = drafts.into_iter().map(|draft| {
            let id = draft.id.map_or_else(|| EventId::generate(at), EventId);
            let digest = sha256_hex(canonical(&draft.content()).as_bytes());
            (draft, id, digest)
        });
        check_all(items.collect(), &types)
    };
    let checked = tokio::task::spawn_blocking(work).await;
    let (mut items, failed) = checked.map_err(Error::internal)?;
    if !failed.is_empty() {
        items.extend(repeated(app, origin, failed).await?);
        items.sort_unstable_by_key(|(n, _)| *n);
    }
    let items = items.into_iter().map(|(_, item)| item);
    Ok(Publication(without_twins(items.collect())?))
}

/// An event that does not fit its type, with its number in the request.
type Failed = (usize, (Draft, EventId, String), Vec<Fault>);

fn check_all(
    drafts: Vec<(Draft, EventId, String)>,
    types: &HashMap<String, Arc<CompiledType>>,
) -> (Vec<(usize, Item)>, Vec<Failed>) {
    let mut budget = Budget::new(CHECK_STEPS);
    let (mut items, mut failed) = (Vec::with_capacity(drafts.len()), Vec::new());
    for (n, (draft, id, digest)) in drafts.into_iter().enumerate() {
        let known = types.get(&draft.name).map(Arc::as_ref);
        match draft.check(known, &mut budget) {
            Ok((version, data)) => {
                let outcome = Outcome::Checked(version, data);
                items.push((
                    n,
                    Item {
                        draft,
                        id,
                        digest,
                        outcome,
                    },
                ));
            }
            Err(faults) => failed.push((n, (draft, id, digest), faults)),
        }
    }
    (items, failed)
}

/// The events among those that failed which were published before. Their type may have changed or gone since then. All
/// others are refused.
async fn repeated(
    app: &Domain,
    origin: &Origin,
    failed: Vec<Failed>,
) -> Result<Vec<(usize, Item)>> {
    let workspace = origin.workspace;
    let read = move |conn: &mut Conn| {
        let (mut items, mut faults) = (Vec::new(), Vec::new());
        for (n, (draft, id, digest), found) in failed {
            let known = match draft.id {
                Some(_) if faults.len() < MAX_FAULTS => published_event::find(conn, workspace, id)?,
                _ => None,
            };
            match known.filter(|known| known.digest == digest) {
                Some(known) => {
                    let outcome = Outcome::Repeated(known.version);
                    items.push((
                        n,
                        Item {
                            draft,
                            id,
                            digest,
                            outcome,
                        },
                    ));
                }
                None => faults.extend(found),
            }
        }
        if faults.is_empty() {
            return Ok(items);
        }
        faults.truncate(MAX_FAULTS);
        Err(Error::Invalid(faults))
    };
    app.db.read(read).await
}

/// Makes the second of two equal events a repetition of the first.
fn without_twins(mut items: Vec<Item>) -> Result<Vec<Item>> {
    let mut seen: HashMap<EventId, (String, i64)> = HashMap::new();
    for item in &mut items {
        let (Outcome::Checked(version, _) | Outcome::Repeated(version)) = item.outcome;
        match seen.entry(item.id) {
            hash_map::Entry::Vacant(free) => {
                free.insert((item.digest.clone(), version));
            }
            hash_map::Entry::Occupied(first) if first.get().0 == item.digest => {
                item.outcome = Outcome::Repeated(version);
            }
            hash_map::Entry::Occupied(_) => return Err(id_taken(item)),
        }
    }
    Ok(items)
}

fn id_taken(item: &Item) -> Error {
    let message = format!(
        "The event {} was published with other content (`{}`)",
        item.id,
        item.draft.id_path()
    );
    Error::refused(Code::AlreadyExists, message)
}

impl Publication {
    /// Appends the events that were not published before. Returns all, as they were published at first.
    pub fn write(&self, tx: &mut Tx<'_>, origin: &Origin) -> Result<Vec<Receipt>> {
        let checked = self.0.iter().filter_map(|item| match item.outcome {
            Outcome::Checked(version, _) => Some(Published {
                id: item.id,
                digest: item.digest.clone(),
                version,
            }),
            Outcome::Repeated(_) => None,
        });
        let checked: Vec<Published> = checked.collect();
        let known = published_event::insert(tx, origin.workspace, &checked)?;
        let mut receipts = Vec::with_capacity(self.0.len());
        for item in &self.0 {
            let version = match (known.get(&item.id), &item.outcome) {
                (Some(first), _) if first.digest != item.digest => return Err(id_taken(item)),
                (Some(first), _) => first.version,
                (None, Outcome::Repeated(version)) => *version,
                (None, Outcome::Checked(version, data)) => {
                    tx.append(item.event(*version, data.clone(), origin));
                    *version
                }
            };
            receipts.push(Receipt {
                id: item.id,
                name: item.draft.name.clone(),
                version,
            });
        }
        Ok(receipts)
    }
}

impl Item {
    fn event(&self, version: i64, data: String, origin: &Origin) -> NewEvent {
        let Draft {
            name,
            timestamp,
            entity,
            ..
        } = &self.draft;
        let custom = CustomEvent {
            head: CustomHead {
                name: name.clone(),
                entity: entity.clone(),
            },
            version,
            timestamp: timestamp.clone().unwrap_or_else(|| origin.at.to_string()),
        };
        // An event about nothing waits for no other.
        let order = entity.as_ref().map_or(self.id.0, |entity| {
            let hash = sha256(entity.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash[..16]);
            Builder::from_custom_bytes(bytes).into_uuid()
        });
        NewEvent::custom(self.id, origin, order, custom, data)
    }
}
