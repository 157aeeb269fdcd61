//! Events as the API tells them, and as a list shows them.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::Fault,
    api::segment,
    facts,
    language::Language,
    moment::Moment,
    page::Section,
    pages::calls::model::{Kind, Names},
    parts::visible,
    visit::Visit,
    words::{self, fill},
};

/// A page of events (`GET /api/v1/{ws}/log`).
#[derive(Default, Deserialize)]
pub(super) struct EventPage {
    pub(super) items: Vec<Event>,
    #[serde(default)]
    pub(super) next: Option<String>,
    #[serde(default)]
    pub(super) previous: Option<String>,
}

/// An event of the log.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) id: String,
    pub(super) offset: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) change_data: Option<ChangeData>,
    #[serde(default)]
    pub(super) entity_ids: Map<String, Value>,
    /// The own type of an event, with its entity and data.
    #[serde(default, rename = "eventType")]
    pub(super) custom_type: Option<String>,
    #[serde(default)]
    pub(super) entity: Option<String>,
    #[serde(default)]
    pub(super) data: Option<Value>,
    pub(super) create_info: CreateInfo,
}

#[derive(Deserialize)]
pub(super) struct ChangeData {
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) old: Option<Value>,
    #[serde(default)]
    pub(super) new: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct CreateInfo {
    #[serde(rename = "createdAt")]
    pub(super) at: String,
    #[serde(default, rename = "createdWith")]
    pub(super) with: Option<String>,
    #[serde(default, rename = "createdByUserId")]
    pub(super) user: Option<String>,
}

/// An entity of an event, with the address of its other events.
pub(super) struct Entity {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) href: String,
}

/// A line of the list of events.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) at: Option<Moment>,
    pub(super) what: String,
    /// A name of the thing, if it has one.
    pub(super) name: String,
    pub(super) entities: Vec<Entity>,
    pub(super) by: Author,
}

/// The author of an event.
pub(super) struct Author {
    /// The user, if it is known.
    pub(super) user: Option<User>,
    /// The program.
    pub(super) with: String,
}

pub(super) struct User {
    pub(super) id: String,
    /// The name; the id where the session may not see users.
    pub(super) name: String,
    /// The page of the user, if the session has one.
    pub(super) href: Option<String>,
}

/// Reads the names of the authors of events, as far as the session may see them.
pub(super) async fn names(visit: &Visit, events: &[&Event]) -> Result<Names, Fault> {
    let users = events.iter().filter_map(|event| event.create_info.user());
    let users: BTreeSet<&str> = users.collect();
    Names::of_users(visit, Vec::new(), users.into_iter()).await
}

impl Row {
    pub(super) fn new(
        event: &Event,
        names: &Names,
        visit: &Visit,
        w: &'static words::Events,
    ) -> Self {
        Self {
            href: visit.page(&format!("events/{}", segment(&event.offset))),
            at: Moment::parse(&event.create_info.at, &visit.workspace.zone),
            what: event.what(visit.language),
            name: event.name(),
            entities: event.entities(visit),
            by: event.by(names, visit, w),
        }
    }
}

impl Event {
    /// The kind of the event in a few words.
    pub(super) fn what(&self, language: Language) -> String {
        if let Some(custom) = &self.custom_type {
            return visible(custom);
        }
        let change = self.change_data.as_ref().map(|change| &*change.kind);
        let word = facts::change(change.unwrap_or(&self.kind), language);
        match self.kinds().next() {
            Some(kind) if change.is_some() => format!("{}: {word}", facts::entity(kind, language)),
            _ => word,
        }
    }

    /// The name of the thing that the event is about.
    fn name(&self) -> String {
        if let Some(entity) = &self.entity {
            return visible(entity);
        }
        let change = self.change_data.as_ref();
        let thing = change.and_then(|change| change.new.as_ref().or(change.old.as_ref()));
        let name = thing.and_then(|thing| {
            let names = ["name", "title", "code", "phone"];
            names.into_iter().find_map(|name| thing.get(name)?.as_str())
        });
        visible(
            &name
                .unwrap_or_default()
                .chars()
                .take(100)
                .collect::<String>(),
        )
    }

    fn kinds(&self) -> impl Iterator<Item = &str> {
        self.entity_ids
            .keys()
            .map(|member| member.strip_suffix("Id").unwrap_or(member))
    }

    pub(super) fn entities(&self, visit: &Visit) -> Vec<Entity> {
        let ids = self
            .entity_ids
            .values()
            .map(|id| id.as_str().unwrap_or_default());
        self.kinds()
            .zip(ids)
            .map(|(kind, id)| {
                let of = crate::api::query([("entityType", kind), ("entityId", id)]);
                Entity {
                    kind: facts::entity(kind, visit.language),
                    id: visible(id),
                    href: format!("{}{of}", visit.page("events")),
                }
            })
            .collect()
    }

    /// The author, as far as the event tells.
    pub(super) fn by(&self, names: &Names, visit: &Visit, w: &words::Events) -> Author {
        let with = visible(self.create_info.with.as_deref().unwrap_or_default());
        let user = self.create_info.user().map(|id| {
            let name = names.find(Kind::User, id);
            let page = || visit.page(&format!("settings/people/{}", segment(id)));
            User {
                href: (name.is_some() && visit.has(Section::Settings)).then(page),
                name: name.unwrap_or_else(|| fill(w.by_user, &[&visible(id)])),
                id: visible(id),
            }
        });
        Author { user, with }
    }
}

impl CreateInfo {
    /// The id of the user. The zero id stands for nobody.
    fn user(&self) -> Option<&str> {
        let user = self.user.as_deref();
        user.filter(|id| id.bytes().any(|byte| !matches!(byte, b'0' | b'-')))
    }
}
