//! The entities that a script reads and changes.

use prichal_core::{event::EntityKind, id::EntityId, patch, schema};
use prichal_store::{Conn, entity::Entity};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Effect, RunHost};
use crate::{
    domain::entity::{self, EntityRef, draft::Draft, edit, link},
    error::{Error, Result},
    platform::settings,
};

#[derive(Deserialize)]
pub(super) struct At {
    collection: String,
    id: String,
}

#[derive(Deserialize)]
pub(super) struct New {
    collection: String,
    model: Value,
}

#[derive(Deserialize)]
pub(super) struct Change {
    collection: String,
    id: String,
    operations: Value,
}

#[derive(Deserialize)]
pub(super) struct Ids {
    ids: Value,
}

impl RunHost {
    async fn find(&self, entity_ref: EntityRef) -> Result<(Entity, Vec<Uuid>)> {
        if let Some(known) = self.entities.get(&entity_ref) {
            return Ok(known.clone());
        }
        let workspace = self.workspace;
        let read = move |conn: &mut Conn| {
            let found = entity::find(conn, workspace, entity_ref)?;
            let links = entity::links_inside(conn, &found)?;
            Ok::<_, Error>((found, links))
        };
        self.app.db.read(read).await
    }

    pub(super) async fn get(&self, At { collection, id }: At) -> Result<Option<String>> {
        let entity_ref = entity_ref(&collection, &id)?;
        match self.find(entity_ref).await {
            Ok((found, links)) => Ok(Some(entity::model(&found, &links))),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create(&mut self, New { collection, model }: New) -> Result<String> {
        let kind = kind(&collection)?;
        let settings = settings::of(&self.app, self.workspace).await?;
        let check = self.app.config.identifier_check;
        let model = schema::object(&model)?;
        let draft = Draft::read(kind, model, &settings, check, &self.origin())?;
        draft.permit(self.effects.authority)?;
        let (made, links) = (draft.entity().clone(), draft.links());
        self.change(Effect::Create(Box::new(draft)))?;
        let text = entity::model(&made, &links);
        self.take_room(text.len())?;
        let entity_ref = EntityRef { kind, id: made.id };
        self.entities.insert(entity_ref, (made, links));
        Ok(text)
    }

    pub(super) async fn patch(&mut self, change: Change) -> Result<String> {
        let Change {
            collection,
            id,
            operations,
        } = change;
        let entity_ref = entity_ref(&collection, &id)?;
        let operations = match operations {
            Value::Array(_) => json!({ "operations": operations }),
            whole => whole,
        };
        let operations = patch::parse(&operations)?;
        let (mut found, links) = self.find(entity_ref).await?;
        let (origin, authority) = (self.origin(), self.effects.authority);
        let shown = edit::preview(&found, &links, &operations, &origin, authority)?;
        found.members = entity::members_text(&shown.members)?;
        if shown.changed {
            found.update_info = found.update_info.changed(&origin);
        }
        let links = match shown.links {
            None => links,
            Some(wanted) => wanted.into_iter().map(|(_, id)| id).collect(),
        };
        let settings = settings::of(&self.app, self.workspace).await?;
        self.change(Effect::Patch {
            entity_ref,
            operations,
            settings,
        })?;
        let text = entity::model(&found, &links);
        self.take_room(text.len())?;
        self.entities.insert(entity_ref, (found, links));
        Ok(text)
    }

    pub(super) async fn link(&mut self, Ids { ids }: &Ids) -> Result<()> {
        let ends = link::read(ids)?;
        link::permit(self.effects.authority, ends)?;
        let made = |(kind, id): &prichal_core::event::Entity| {
            let id = EntityId(*id);
            self.entities.contains_key(&EntityRef { kind: *kind, id })
        };
        let others: Vec<_> = ends.iter().copied().filter(|end| !made(end)).collect();
        let workspace = self.workspace;
        let check = move |conn: &mut Conn| link::check(conn, workspace, &others);
        self.app.db.read(check).await?;
        self.change(Effect::Link(ends))
    }
}

fn entity_ref(collection: &str, id: &str) -> Result<EntityRef> {
    let shown: String = id.chars().take(64).collect();
    let id = EntityId::parse(id)
        .ok_or_else(|| Error::invalid("id", format!("The value '{shown}' is not a valid id.")))?;
    Ok(EntityRef {
        kind: kind(collection)?,
        id,
    })
}

fn kind(collection: &str) -> Result<EntityKind> {
    EntityKind::from_collection(collection).ok_or_else(|| {
        let shown: String = collection.chars().take(64).collect();
        let known = EntityKind::collections().collect::<Vec<_>>().join(", ");
        let why = format!("There is no collection `{shown}`: {known}.");
        Error::invalid("collection", why)
    })
}
