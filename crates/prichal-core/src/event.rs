//! Events: the entries of a workspace's log, one for each change (`docs/contracts/kontur.md §5, §8`).
//!
//! An event is rendered once, at the commit, in the log's own format. The feed, the webhooks and the
//! websocket subscriptions send that text byte for byte.

pub mod custom;

use std::{borrow::Cow, fmt::Write, ops::Deref};

use uuid::Uuid;

use crate::{
    id::{EventId, UserId, WorkspaceId},
    json,
    schema::{Field, Type, Words},
    time::Timestamp,
    words::words,
};
use custom::{CustomEvent, CustomHead};

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal $id:literal $collection:expr;)*) => {
        /// The kinds of entity that events are about, in the order of the bits of a compiled filter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntityKind {
            $($(#[$doc])* $kind,)*
            /// The thing that an event of a workspace's own type is about. It is not in [`Self::ALL`]: no filter, link
            /// or path names it.
            Custom,
        }

        impl EntityKind {
            pub const ALL: &[Self] = &[$(Self::$kind,)*];
            pub const NAMES: &[&'static str] = &[$($name,)*];
            /// The members that hold the id of each kind.
            pub const ID_MEMBERS: &[Field] = &[
                $(Field::new($id, Type::Guid).doc(concat!("The id of the ", $name, ".")),)*
            ];

            /// The name in filters and in the feed's `entityIds`, without `Id`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* Self::Custom => custom::KIND }
            }

            /// The member of `entityIds` and of a link's body that holds an id of this kind.
            pub const fn id_member(self) -> &'static str {
                match self { $(Self::$kind => $id,)* Self::Custom => "entity" }
            }

            /// The name for people, such as `CatalogItem`.
            pub const fn type_name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* Self::Custom => "Custom" }
            }

            /// The name of the collection, for kinds that clients write themselves.
            pub const fn collection(self) -> Option<&'static str> {
                match self { $(Self::$kind => $collection,)* Self::Custom => None }
            }
        }
    };
}

kinds! {
    User "user" "userId" Some("users");
    Group "group" "groupId" Some("groups");
    Role "role" "roleId" Some("roles");
    Company "company" "companyId" Some("companies");
    Contact "contact" "contactId" Some("contacts");
    Deal "deal" "dealId" Some("deals");
    Task "task" "taskId" Some("tasks");
    Notification "notification" "notificationId" Some("notifications");
    CatalogItem "catalogItem" "catalogItemId" Some("catalog-items");
    Communication "communication" "communicationId" None;
    Integration "integration" "integrationId" None;
    Document "document" "documentId" None;
    Route "route" "routeId" None;
    Workflow "workflow" "workflowId" None;
    IntegrationPoint "integrationPoint" "integrationPointId" None;
    Svcscript "svcscript" "svcscriptId" None;
}

impl EntityKind {
    /// The names of the collections.
    pub fn collections() -> impl Iterator<Item = &'static str> {
        Self::ALL.iter().filter_map(|kind| kind.collection())
    }

    pub fn from_collection(collection: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.collection() == Some(collection))
    }

    /// Finds a kind by its name, in either case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Finds a kind by the member that holds its id, such as `companyId`, in either case.
    pub fn from_id_member(member: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.id_member().eq_ignore_ascii_case(member))
    }
}

words! {
    /// The effect of a change on its entity.
    ChangeType { Create "create", Patch "patch", Delete "delete", Restore "restore" }
}

words! {
    /// An event's `type` without the detail of a change, as filters name it.
    EventKind { Change "change", Link "link", Unlink "unlink" }
}

/// The names of [`EventKind`].
pub static EVENT_KINDS: Words = Words {
    name: "eventType",
    words: EventKind::WORDS,
};
/// The names of [`ChangeType`].
pub static CHANGE_TYPES: Words = Words {
    name: "changeType",
    words: ChangeType::WORDS,
};

/// The members of an event, as [`NewEvent::render`] writes them.
pub const EVENT: &[Field] = &[
    Field::new("id", Type::Guid)
        .shown()
        .doc("The id of the event."),
    Field::new("offset", Type::Guid)
        .shown()
        .doc("The position in the feed. Offsets increase strictly in the order of commits."),
    Field::new("type", Type::Enum(&EVENT_KINDS))
        .shown()
        .doc("The kind of the event: a change of an entity, or a link that was added or removed."),
    Field::new("changeData", Type::Object(CHANGE_DATA)).doc("The change. Links have none."),
    Field::new("entityIds", Type::Object(EntityKind::ID_MEMBERS))
        .shown()
        .doc("The id of the changed entity, or the ids of both ends of a link."),
    Field::new("createInfo", Type::Object(CREATE_INFO))
        .shown()
        .doc("The time and the author of the event."),
];
const CHANGE_DATA: &[Field] = &[
    Field::new("type", Type::Enum(&CHANGE_TYPES))
        .shown()
        .doc("The kind of the change."),
    Field::new("old", Type::Free)
        .doc("The entity before the change. A creation and a restoration have none."),
    Field::new("new", Type::Free).doc("The entity after the change. A deletion has none."),
];
const CREATE_INFO: &[Field] = &[
    Field::new("createdAt", Type::Moment)
        .shown()
        .doc("The time of the change."),
    Field::new("createdByUserId", Type::Guid).doc("The user who made the change."),
    Field::new("createdWith", Type::Text)
        .shown()
        .doc("The application that made the change."),
];

/// An event's `type`, with the detail that only changes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    Change(ChangeType),
    Link,
    Unlink,
    /// An event of a workspace's own type.
    Custom,
}

impl EventType {
    /// The kind that filters name. Events of a workspace's own types have none.
    pub const fn kind(self) -> Option<EventKind> {
        match self {
            Self::Change(_) => Some(EventKind::Change),
            Self::Link => Some(EventKind::Link),
            Self::Unlink => Some(EventKind::Unlink),
            Self::Custom => None,
        }
    }

    /// The word in the event and in the log.
    pub const fn name(self) -> &'static str {
        match self.kind() {
            Some(kind) => kind.name(),
            None => custom::KIND,
        }
    }

    pub const fn change(self) -> Option<ChangeType> {
        match self {
            Self::Change(change) => Some(change),
            Self::Link | Self::Unlink | Self::Custom => None,
        }
    }
}

/// An entity that an event is about.
pub type Entity = (EntityKind, Uuid);

/// The entities of one event: one for a change, both ends for a link. Stored inline, because
/// readers handle them with every event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entities {
    ends: [Entity; 2],
    both: bool,
}

impl Entities {
    pub const fn one(entity: Entity) -> Self {
        Self {
            ends: [entity, entity],
            both: false,
        }
    }

    pub const fn two(one: Entity, other: Entity) -> Self {
        Self {
            ends: [one, other],
            both: true,
        }
    }

    /// Reads the text of [`Self::to_text`].
    pub fn parse(text: &str) -> Option<Self> {
        let mut ends = text.split(' ').map(|end| {
            let (name, id) = end.split_once(':')?;
            Some((EntityKind::from_name(name)?, crate::id::parse(id)?))
        });
        let first = ends.next()??;
        match (ends.next(), ends.next()) {
            (None, _) => Some(Self::one(first)),
            (Some(second), None) => Some(Self::two(first, second?)),
            _ => None,
        }
    }

    /// `company:<uuid>`, or `company:<uuid> deal:<uuid>` for both ends of a link.
    pub fn to_text(self) -> String {
        let mut out = String::with_capacity(self.len() * 56);
        for (kind, id) in self.iter() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(kind.name());
            out.push(':');
            json::push_bare_guid(&mut out, *id);
        }
        out
    }
}

impl Deref for Entities {
    type Target = [Entity];

    fn deref(&self) -> &[Entity] {
        &self.ends[..if self.both { 2 } else { 1 }]
    }
}

/// The author of a change: the `createdByUserId` and `createdWith` of an event
/// (`docs/contracts/kontur.md §1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    pub user: Option<UserId>,
    pub with: String,
}

impl Author {
    /// The holder of a token, or an administrator without a user.
    pub fn web_app(user: Option<UserId>) -> Self {
        Self {
            user,
            with: "WebApp".to_owned(),
        }
    }

    /// An integration with an access key. It has no user.
    pub fn integration(name: &str) -> Self {
        Self {
            user: None,
            with: format!("Integration.{name}"),
        }
    }

    /// The server itself.
    pub fn system() -> Self {
        Self {
            user: None,
            with: "xcom".to_owned(),
        }
    }
}

/// Workspace, author and time of a change, which all events of one request share.
#[derive(Clone, Debug)]
pub struct Origin {
    pub workspace: WorkspaceId,
    pub author: Author,
    pub at: Timestamp,
}

/// An event without its offset, which it gets at the commit.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub id: EventId,
    pub workspace: WorkspaceId,
    pub kind: EventType,
    pub entities: Entities,
    /// The snapshot before: the text of a JSON object, id first, without `updateInfo`.
    pub old: Option<String>,
    /// The snapshot after, in the same form.
    pub new: Option<String>,
    pub author: Author,
    pub at: Timestamp,
    /// The members of an event of a workspace's own type. Its data is in `new`.
    pub custom: Option<Box<CustomEvent>>,
}

impl NewEvent {
    pub fn create(id: EventId, origin: &Origin, entity: Entity, new: String) -> Self {
        Self::change(id, origin, ChangeType::Create, entity).with(None, Some(new))
    }

    pub fn patch(id: EventId, origin: &Origin, entity: Entity, old: String, new: String) -> Self {
        Self::change(id, origin, ChangeType::Patch, entity).with(Some(old), Some(new))
    }

    /// A message published in the name of an entity. Other readers see it as a patch without an earlier
    /// snapshot.
    pub fn published(id: EventId, origin: &Origin, entity: Entity, new: String) -> Self {
        Self::change(id, origin, ChangeType::Patch, entity).with(None, Some(new))
    }

    pub fn delete(id: EventId, origin: &Origin, entity: Entity, old: String) -> Self {
        Self::change(id, origin, ChangeType::Delete, entity).with(Some(old), None)
    }

    pub fn restore(id: EventId, origin: &Origin, entity: Entity, new: String) -> Self {
        Self::change(id, origin, ChangeType::Restore, entity).with(None, Some(new))
    }

    pub fn link(id: EventId, origin: &Origin, one: Entity, other: Entity) -> Self {
        Self::new(id, origin, EventType::Link, Entities::two(one, other))
    }

    pub fn unlink(id: EventId, origin: &Origin, one: Entity, other: Entity) -> Self {
        Self::new(id, origin, EventType::Unlink, Entities::two(one, other))
    }

    /// An event of a workspace's own type. Events with the same `order` are delivered one after the other. `data` is
    /// the text of a JSON object.
    pub fn custom(
        id: EventId,
        origin: &Origin,
        order: Uuid,
        custom: CustomEvent,
        data: String,
    ) -> Self {
        let entities = Entities::one((EntityKind::Custom, order));
        Self {
            custom: Some(Box::new(custom)),
            ..Self::new(id, origin, EventType::Custom, entities).with(None, Some(data))
        }
    }

    fn change(id: EventId, origin: &Origin, change: ChangeType, entity: Entity) -> Self {
        Self::new(id, origin, EventType::Change(change), Entities::one(entity))
    }

    fn new(id: EventId, origin: &Origin, kind: EventType, entities: Entities) -> Self {
        Self {
            id,
            workspace: origin.workspace,
            kind,
            entities,
            old: None,
            new: None,
            author: origin.author.clone(),
            at: origin.at,
            custom: None,
        }
    }

    fn with(self, old: Option<String>, new: Option<String>) -> Self {
        Self { old, new, ..self }
    }

    pub fn head(&self) -> EventHead {
        let custom = self.custom.as_ref();
        EventHead {
            kind: self.kind,
            entities: self.entities,
            custom: custom.map(|custom| Box::new(custom.head.clone())),
        }
    }

    /// The text of the event. Null members are left out (`docs/contracts/kontur.md §5`).
    pub fn render(&self, offset: Uuid) -> String {
        // Room for everything of fixed size: ids, names, the time.
        const FRAME: usize = 480;
        let (old, new) = (self.old.as_deref(), self.new.as_deref());
        let room =
            FRAME + old.map_or(0, str::len) + new.map_or(0, str::len) + self.author.with.len();
        let mut out = String::with_capacity(room);
        out.push_str("{\"id\":");
        json::push_guid(&mut out, self.id.0);
        out.push_str(",\"offset\":");
        json::push_guid(&mut out, offset);
        out.push_str(",\"type\":\"");
        out.push_str(self.kind.name());
        out.push('"');
        if let Some(custom) = &self.custom {
            custom.push(&mut out, new.unwrap_or("{}"));
            self.push_origin(&mut out);
            out.push('}');
            return out;
        }
        if let EventType::Change(change) = self.kind {
            out.push_str(",\"changeData\":{\"type\":\"");
            out.push_str(change.name());
            out.push('"');
            for (member, snapshot) in [(",\"old\":", old), (",\"new\":", new)] {
                if let Some(snapshot) = snapshot {
                    out.push_str(member);
                    out.push_str(snapshot);
                }
            }
            out.push('}');
        }
        self.push_entities(&mut out);
        self.push_origin(&mut out);
        out.push('}');
        out
    }

    fn push_entities(&self, out: &mut String) {
        out.push_str(",\"entityIds\":{");
        for (n, (kind, id)) in self.entities.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            out.push('"');
            out.push_str(kind.id_member());
            out.push_str("\":");
            json::push_guid(out, *id);
        }
        out.push('}');
    }

    fn push_origin(&self, out: &mut String) {
        // Writing into a `String` cannot fail.
        let _ = write!(out, ",\"createInfo\":{{\"createdAt\":\"{}\"", self.at);
        if let Some(user) = self.author.user {
            out.push_str(",\"createdByUserId\":");
            json::push_guid(out, user.0);
        }
        out.push_str(",\"createdWith\":");
        json::push_text(out, &self.author.with);
        out.push('}');
    }
}

/// The part of an event that filters read, stored in three columns of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventHead {
    pub kind: EventType,
    pub entities: Entities,
    /// The part of an event of a workspace's own type. Boxed, because most events have none.
    pub custom: Option<Box<CustomHead>>,
}

impl EventHead {
    /// The head of an event about a change or a link.
    pub const fn new(kind: EventType, entities: Entities) -> Self {
        Self {
            kind,
            entities,
            custom: None,
        }
    }

    /// Reads the columns: `change`, `link`, `unlink` or `custom`; the change's type, or the name of the own type; the
    /// entities.
    pub fn from_columns(kind: &str, change: Option<&str>, entities: &str) -> Option<Self> {
        if kind == custom::KIND {
            let (order, head) = CustomHead::from_columns(change?, entities)?;
            let entities = Entities::one((EntityKind::Custom, order));
            let custom = Some(Box::new(head));
            return Some(Self {
                custom,
                ..Self::new(EventType::Custom, entities)
            });
        }
        let kind = match (EventKind::from_name(kind)?, change) {
            (EventKind::Change, Some(change)) => EventType::Change(ChangeType::from_name(change)?),
            (EventKind::Link, None) => EventType::Link,
            (EventKind::Unlink, None) => EventType::Unlink,
            _ => return None,
        };
        Some(Self::new(kind, Entities::parse(entities)?))
    }

    pub const fn kind_column(&self) -> &'static str {
        self.kind.name()
    }

    /// Borrowed from the event's kind if it is a change.
    pub fn change_column(&self) -> Option<Cow<'static, str>> {
        match &self.custom {
            Some(custom) => Some(Cow::Owned(custom.name.clone())),
            None => self.kind.change().map(|change| change.name().into()),
        }
    }

    pub fn entities_column(&self) -> String {
        match &self.custom {
            Some(custom) => custom.entities_column(self.entities[0].1),
            None => self.entities.to_text(),
        }
    }
}

#[cfg(test)]
mod tests;
