//! Entities of the collections that clients write themselves: their fields, creation and patching
//! (`docs/contracts/prichal.md §5`, `docs/contracts/kontur.md §5`).
//!
//! An entity is stored as its *members*: the model without its id, its links, and the authors and times of
//! its changes.

mod model;
pub mod rights;
mod snapshot;
mod user;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    event::{Entity, EntityKind},
    id,
    identifier::{self, Check},
    patch::{self, Operation, PatchErrors},
    schema::{self, Elements, Fault, Field, Key, NewId, Object, Preset, Type, complete},
    time::Timestamp,
};

pub use user::{Employee, PERMISSIONS, email_name, login_name, sign_in_names};

/// The maximum number of bytes of members' text. Single bodies are bounded anyway; this bounds growth patch by patch.
pub const MAX_TEXT: usize = 1 << 20;

/// Values that a new entity takes from its workspace and its time.
#[derive(Clone, Copy, Debug)]
pub struct Defaults<'a> {
    /// The workspace's region, for users that name none.
    pub region: &'a str,
    pub now: Timestamp,
}

/// An entity that is to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub members: Object,
    /// The entities to link to; `None` if the client sent no links.
    pub links: Option<Vec<Entity>>,
}

/// An entity after a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct Patched {
    pub members: Object,
    /// True if the members differ from those before: else there is no event and no new `updateInfo`.
    pub changed: bool,
    /// All links after the patch; `None` if the patch leaves them alone.
    pub links: Option<Vec<Entity>>,
}

/// The members of an entity of this kind, in the order of its model.
pub const fn fields(kind: EntityKind) -> &'static [Field] {
    match kind {
        EntityKind::User => user::FIELDS,
        EntityKind::Group | EntityKind::CatalogItem => NAMED,
        EntityKind::Role => ROLE,
        EntityKind::Company => COMPANY,
        EntityKind::Contact => CONTACT,
        EntityKind::Deal => DEAL,
        EntityKind::Task => TASK,
        EntityKind::Notification => NOTIFICATION,
        _ => &[],
    }
}

const NAME: Field = Field::new("name", Type::Text).doc("The name.");
const REGION: Field = Field::new("regionCode", Type::Text).doc("The code of the region.");
const CUSTOM_FIELDS: Field = Field::new("customFields", Type::Free)
    .or(Preset::Object)
    .doc("Values of custom fields, by the ids of the fields in the settings.");
const TAGS: Field = list("tags", Type::Texts).doc("Tags.");
const ASSIGNED_USER: Field =
    Field::new("assignedToUserId", Type::Guid).doc("The responsible user.");
const ASSIGNED_GROUP: Field =
    none_id("assignedToGroupId").doc("The responsible group. Zeros stand for none.");
const MESSENGERS: Field =
    list("messengerContacts", Type::Elements(&CHANNELS)).doc("Names in messengers.");
const PHONES: Field = list("phones", Type::Elements(&CHANNELS)).doc("Phone numbers.");
const EMAILS: Field = list("emails", Type::Elements(&CHANNELS)).doc("E-mail addresses.");

const NAMED: &[Field] = &[NAME, CUSTOM_FIELDS];
const NOTIFICATION: &[Field] = &[
    Field::new("text", Type::Text).doc("The text."),
    CUSTOM_FIELDS,
];

const CONTACT: &[Field] = &[
    Field::new("position", Type::Text).doc("The position in the company."),
    NAME,
    MESSENGERS,
    PHONES,
    EMAILS,
    REGION,
    CUSTOM_FIELDS,
    TAGS,
];

const COMPANY: &[Field] = &[
    Field::new("inn", Type::Text).doc("The number of the taxpayer."),
    Field::new("kpp", Type::Text).doc("The code of the reason for the registration."),
    NAME,
    Field::new("description", Type::Text).doc("A description."),
    MESSENGERS,
    PHONES,
    EMAILS,
    REGION,
    CUSTOM_FIELDS,
    TAGS,
];

const DEAL: &[Field] = &[
    NAME,
    ASSIGNED_USER,
    ASSIGNED_GROUP,
    Field::new("workflowId", Type::Guid).doc("The workflow of the deal."),
    Field::new("stageId", Type::Int)
        .or(Preset::Zero)
        .doc("The stage in the workflow."),
    CUSTOM_FIELDS,
];

const TASK: &[Field] = &[
    Field::new("date", Type::Moment).doc("The time at which the task is due."),
    Field::new("text", Type::Text).doc("The text."),
    none_id("typeId").doc("The type of the task. Zeros stand for none."),
    list("contactIds", Type::Guids).doc("The contacts of the task."),
    flag("isCompleted").doc("True if the task is completed."),
    list("supervisors", Type::Values).doc("The supervisors."),
    ASSIGNED_USER,
    ASSIGNED_GROUP,
    list("attachmentFileIds", Type::Guids).doc("The ids of attached files."),
    flag("sendToExternalChannels").doc("True if the task is shown outside of the application."),
    CUSTOM_FIELDS,
];

const ROLE: &[Field] = &[
    NAME,
    ACCESS_RIGHTS,
    // The routes that the role opens in the channels' dialect (`docs/contracts/era.md §5`).
    Field::new("routes", Type::Objects(ROUTE)).doc("The routes that the role opens to channels."),
    CUSTOM_FIELDS,
];

const ROUTE: &[Field] = &[
    list("methods", Type::Texts).doc("The methods, or `*` for all."),
    Field::new("url", Type::Text).doc("The path, such as `/rest/v1/service/svcscripts`."),
];

const ACCESS_RIGHTS: Field = list("accessRights", Type::Elements(&RIGHTS)).doc("Rights by name.");

static RIGHTS: Elements = Elements::new(
    Key::Text,
    &[Field::new("level", Type::Int)
        .doc("1 for the head of a group, 2 for that of the organisation.")],
);

/// Phones, e-mails and messengers. Only some of their types are documented, so any word is accepted.
static CHANNELS: Elements = Elements::new(
    Key::Guid,
    &[
        Field::new("type", Type::Text)
            .or(Preset::Text("unknown"))
            .doc("`work`, `unknown` or another word."),
        Field::new("value", Type::Text).doc("The number, address or name."),
    ],
);

const fn list(name: &'static str, ty: Type) -> Field {
    Field::new(name, ty).or(Preset::List)
}

const fn flag(name: &'static str) -> Field {
    Field::new(name, Type::Bool).or(Preset::False)
}

const fn none_id(name: &'static str) -> Field {
    Field::new(name, Type::GuidOrNone).or(Preset::NoGuid)
}

/// The links a model of this kind has inside itself: their member, and the kind at their other end.
pub const fn inner_links(kind: EntityKind) -> Option<(&'static str, EntityKind)> {
    match kind {
        EntityKind::Contact => Some(("companyIds", EntityKind::Company)),
        EntityKind::Company => Some(("contactIds", EntityKind::Contact)),
        _ => None,
    }
}

/// The member of the inner links.
pub const fn links_field(kind: EntityKind) -> Option<Field> {
    const CONTACT_LINKS: &[Field] = &[Field::new("companyIds", Type::Guids)
        .shown()
        .doc("The ids of the companies.")];
    const COMPANY_LINKS: &[Field] = &[Field::new("contactIds", Type::Guids)
        .shown()
        .doc("The ids of the contacts.")];
    let links = match kind {
        EntityKind::Contact => CONTACT_LINKS,
        EntityKind::Company => COMPANY_LINKS,
        _ => return None,
    };
    let links = Field::new("links", Type::Object(links));
    Some(links.shown().doc("The linked entities."))
}

/// Reads the model that a client sent and fills in the defaults.
pub fn create(
    kind: EntityKind,
    body: &Object,
    defaults: Defaults<'_>,
    new_id: NewId<'_>,
) -> Result<Draft, Vec<Fault>> {
    let mut object = schema::read(&with_links(kind), body, new_id)?;
    let links = take_links(kind, &mut object);
    if kind == EntityKind::User {
        user::fill_defaults(&mut object, defaults);
    }
    Ok(Draft {
        members: complete(fields(kind), object),
        links,
    })
}

/// Applies a patch to an entity with these members and these inner links.
pub fn patch(
    kind: EntityKind,
    members: &Object,
    links: &[Uuid],
    operations: &[Operation],
    new_id: NewId<'_>,
) -> Result<Patched, PatchErrors> {
    let mut object = members.clone();
    if let Some((member, _)) = inner_links(kind) {
        let ids: Vec<Value> = links
            .iter()
            .map(|id| Value::String(id.to_string()))
            .collect();
        let links = Map::from_iter([(member.to_owned(), Value::Array(ids))]);
        object.insert("links".to_owned(), Value::Object(links));
    }
    patch::apply(&with_links(kind), &mut object, operations, new_id)?;
    let wanted = take_links(kind, &mut object);
    if kind == EntityKind::User {
        user::compose_name(&mut object);
    }
    let moved = |wanted: &Vec<Entity>| {
        wanted.len() != links.len() || wanted.iter().any(|(_, id)| !links.contains(id))
    };
    Ok(Patched {
        changed: object != *members,
        members: object,
        links: wanted.filter(moved),
    })
}

fn with_links(kind: EntityKind) -> Vec<Field> {
    links_field(kind)
        .iter()
        .chain(fields(kind))
        .copied()
        .collect()
}

/// Takes the inner links out of a model, each once.
fn take_links(kind: EntityKind, object: &mut Object) -> Option<Vec<Entity>> {
    let (member, other) = inner_links(kind)?;
    let links = object.shift_remove("links")?;
    let ids = links.get(member)?.as_array()?;
    let mut out: Vec<Entity> = Vec::with_capacity(ids.len());
    for id in ids.iter().filter_map(Value::as_str).filter_map(id::parse) {
        if !out.contains(&(other, id)) {
            out.push((other, id));
        }
    }
    Some(out)
}

/// The fault in the identifiers of an entity, such as a user's IIN.
pub fn check_identifiers(kind: EntityKind, members: &Object, check: Check) -> Option<Fault> {
    let iin = members.get("iin").and_then(Value::as_str)?;
    let is_wrong = kind == EntityKind::User && !check.accepts(iin);
    is_wrong.then(|| identifier::DIGITS.fault("iin", &members["iin"]))
}

/// The text for the store. Refused above [`MAX_TEXT`] bytes.
pub fn to_text(members: &Object) -> Result<String, Fault> {
    let text = serde_json::to_string(members)
        .ok()
        .filter(|text| text.len() <= MAX_TEXT);
    text.ok_or_else(|| Fault::rule("", format!("The entity is longer than {MAX_TEXT} bytes.")))
}

/// Reads the text of the store.
pub fn from_text(text: &str) -> Option<Object> {
    serde_json::from_str(text).ok()
}

pub use model::model;
pub use snapshot::snapshot;

#[cfg(test)]
mod tests;
