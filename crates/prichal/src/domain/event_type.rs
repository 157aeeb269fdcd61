//! A workspace's own event types: their compiled schemas, and the events that are published of them.
//!
//! A definition is compiled once for each of its revisions. The revisions are read at each publication, so a change,
//! such as a right that is taken away, has its effect at once on all nodes.

pub mod publish;

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use prichal_core::event::Origin;
use prichal_core::{
    event_type::{CompiledType, Definition, MAX_TYPES},
    id::{WorkspaceId, generate},
    update_info::UpdateInfo,
};
use prichal_store::{
    Tx,
    event_type::{self, EventType},
};
use quick_cache::{OptionsBuilder, Weighter, sync};
use uuid::Uuid;

use crate::{
    domain::Domain,
    error::{Code, Error, Result},
};

/// The maximum memory of compiled types, in bytes. Beyond it the least used ones are dropped.
const MAX_BYTES: u64 = 32 << 20;
/// The parts of the cache. The largest type fits into one of them.
const SHARDS: usize = 4;
/// The bytes that are counted for each type beside its schemas.
const TYPE_BYTES: usize = 1024;

type Key = (WorkspaceId, String);

/// The compiled types of this node.
pub struct EventTypes(sync::Cache<Key, Entry, ByBytes, RandomState>);

#[derive(Clone)]
struct Entry {
    revision: Uuid,
    compiled: Arc<CompiledType>,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Entry> for ByBytes {
    fn weight(&self, (_, name): &Key, entry: &Entry) -> u64 {
        (TYPE_BYTES + name.len() + entry.compiled.bytes()) as u64
    }
}

impl Default for EventTypes {
    fn default() -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(usize::try_from(MAX_BYTES).unwrap_or(usize::MAX) / (8 << 10))
            .weight_capacity(MAX_BYTES)
            .build();
        let options = options.expect("a capacity in items and in weight is all that is needed");
        let lifecycle = sync::DefaultLifecycle::default();
        Self(sync::Cache::with_options(
            options,
            ByBytes,
            RandomState::default(),
            lifecycle,
        ))
    }
}

/// The compiled types of these names, as far as they exist.
async fn load(
    app: &Domain,
    workspace: WorkspaceId,
    names: Vec<String>,
) -> Result<HashMap<String, Arc<CompiledType>>> {
    let cache = app.clone();
    let read = move |conn: &mut prichal_store::Conn| {
        let (mut known, mut missing) = (HashMap::new(), Vec::new());
        for (name, revision) in event_type::revisions(conn, workspace, &names)? {
            let key = (workspace, name);
            match cache.event_types.0.get(&key) {
                Some(entry) if entry.revision == revision => {
                    known.insert(key.1, entry.compiled);
                }
                _ => missing.extend(event_type::find(conn, workspace, &key.1)?),
            }
        }
        Ok::<_, Error>((known, missing))
    };
    let (mut known, missing) = app.db.read(read).await?;
    if missing.is_empty() {
        return Ok(known);
    }
    let cache = app.clone();
    let compile = move || {
        missing
            .into_iter()
            .map(|found| {
                let damaged = || Error::internal("an event type is damaged");
                let definition = Definition::from_text(&found.name, &found.definition);
                let compiled = definition.ok_or_else(damaged)?.compile();
                let entry = Entry {
                    revision: found.revision,
                    compiled: Arc::new(compiled.map_err(|_| damaged())?),
                };
                let key = (workspace, found.name);
                cache.event_types.0.insert(key.clone(), entry.clone());
                Ok::<_, Error>((key.1, entry.compiled))
            })
            .collect::<Result<Vec<_>>>()
    };
    let compiled = tokio::task::spawn_blocking(compile).await;
    known.extend(compiled.map_err(Error::internal)??);
    Ok(known)
}

/// Adds a type, or replaces the one of its name unless it must be new.
pub fn put(
    tx: &mut Tx<'_>,
    definition: &Definition,
    must_be_new: bool,
    origin: &Origin,
) -> Result<EventType> {
    let workspace = origin.workspace;
    event_type::lock(tx, workspace)?;
    let found = event_type::find(tx.conn()?, workspace, &definition.name)?;
    if must_be_new && found.is_some() {
        let message = format!("The event type {} exists already", definition.name);
        return Err(Error::refused(Code::AlreadyExists, message));
    }
    let text = definition.to_text();
    let update_info = match found {
        // A repetition changes nothing.
        Some(found) if found.definition == text => return Ok(found),
        Some(found) => found.update_info.changed(origin),
        None if event_type::count(tx.conn()?, workspace)? >= MAX_TYPES => {
            let message = format!("A workspace may have at most {MAX_TYPES} event types");
            return Err(Error::refused(Code::LimitReached, message));
        }
        None => UpdateInfo::created(origin),
    };
    let new = EventType {
        name: definition.name.clone(),
        revision: generate(origin.at),
        definition: text,
        update_info,
    };
    event_type::put(tx, workspace, &new)?;
    Ok(new)
}
