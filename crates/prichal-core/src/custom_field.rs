//! Custom fields: their declarations in a workspace, and the files in values of type `files`
//! (`docs/contracts/kontur.md §5`, `docs/contracts/prichal.md §10.5`).

use jiff::tz::TimeZone;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    event::EntityKind,
    id,
    phone::{REGIONS, Region},
    schema::{Elements, Fault, Field, Form, Key, Object, Preset, Type, Words},
};

/// The fields of a workspace's settings: the declarations of custom fields by kind of entity, the region of phone numbers
/// without a country code, and the time zone of its people.
pub const SETTINGS: &[Field] = &[
    Field::new("customFields", Type::Object(BY_ENTITY))
        .or(Preset::Object)
        .doc("The declarations of custom fields, by kind of entity."),
    Field::new("phoneRegion", Type::Enum(&REGIONS))
        .or(Preset::Text("RU"))
        .doc("The country of phone numbers without a plus."),
    Field::new("timeZone", Type::Text)
        .or(Preset::Text(DEFAULT_ZONE))
        .chars(64)
        .form(&ZONE)
        .doc("The time zone in which the console shows times, by its IANA name."),
];

const DEFAULT_ZONE: &str = "Asia/Almaty";

/// The name of a time zone. The pattern matches names that no zone has as well.
static ZONE: Form = Form::new(
    "a time zone of the IANA, such as `Asia/Almaty` or `UTC`",
    "^[A-Za-z][A-Za-z0-9_+/-]*$",
    |name| TimeZone::get(name).is_ok(),
);

/// The time zone of a workspace's people, from its settings.
pub fn time_zone(settings: &Object) -> TimeZone {
    let name = settings.get("timeZone").and_then(Value::as_str);
    TimeZone::get(name.unwrap_or(DEFAULT_ZONE)).unwrap_or(TimeZone::UTC)
}

/// The region of a workspace's phone numbers, from its settings.
pub fn phone_region(settings: &Object) -> Region {
    let name = settings.get("phoneRegion").and_then(Value::as_str);
    name.and_then(Region::from_name).unwrap_or_default()
}

const BY_ENTITY: &[Field] = &[
    of("user"),
    of("group"),
    of("role"),
    of("company"),
    of("contact"),
    of("deal"),
    of("task"),
    of("notification"),
    of("catalogItem"),
];

const fn of(entity: &'static str) -> Field {
    Field::new(entity, Type::Elements(&CUSTOM_FIELD)).doc("The custom fields of this kind.")
}

/// The declaration of a custom field.
pub static CUSTOM_FIELD: Elements = Elements::new(
    Key::TextOrFresh,
    &[
        Field::new("name", Type::Text).doc("The name for people."),
        Field::new("description", Type::Text).doc("A description."),
        Field::new("type", Type::Enum(&TYPE))
            .or(Preset::Text("text"))
            .doc("The type of the values."),
        Field::new("hidden", Type::Bool)
            .or(Preset::False)
            .doc("True if the field is not shown."),
        Field::new("readOnly", Type::Bool)
            .or(Preset::False)
            .doc("True if users may not change the value."),
        Field::new("permanent", Type::Bool)
            .or(Preset::False)
            .doc("True if users may not remove the field."),
        Field::new("options", Type::Elements(&OPTIONS))
            .or(Preset::List)
            .doc("The options of `select` and `multiSelect`."),
        Field::new("catalogId", Type::Guid)
            .doc("The catalog of `selectFromCatalog` and `multiSelectFromCatalog`."),
        Field::new("integrationId", Type::Guid).doc("The integration that the field belongs to."),
        Field::new("uiSettings", Type::Free)
            .or(Preset::Object)
            .doc("Settings of the user interface."),
        Field::new("version", Type::Any).doc("The version of the declaration."),
    ],
);

static OPTIONS: Elements = Elements::new(
    Key::TextOrFresh,
    &[
        Field::new("name", Type::Text).doc("The name for people."),
        Field::new("color", Type::Text).doc("The colour."),
        Field::new("order", Type::Int)
            .or(Preset::Zero)
            .doc("The place among the options."),
    ],
);

static TYPE: Words = Words {
    name: "customFieldType",
    words: &[
        "text",
        "number",
        "id",
        "timestamp",
        "select",
        "multiSelect",
        "boolean",
        "files",
        "url",
        "selectFromCatalog",
        "multiSelectFromCatalog",
    ],
};

/// Reads from a workspace's settings the ids of the custom fields of type `files` of a kind of entity.
pub fn files_fields(settings: &Object, kind: EntityKind) -> Vec<String> {
    let declared = settings
        .get("customFields")
        .and_then(|fields| fields.get(kind.name()));
    let declared = declared.and_then(Value::as_array).into_iter().flatten();
    let of_files = declared.filter(|field| field["type"] == "files");
    of_files
        .filter_map(|field| field["id"].as_str().map(str::to_owned))
        .collect()
}

/// The ids of an entity's files: in the custom fields `fields`, and in the attachments of a task.
pub fn files(
    kind: EntityKind,
    members: &Object,
    fields: &[String],
) -> Result<Vec<Uuid>, Vec<Fault>> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    let custom = members.get("customFields").and_then(Value::as_object);
    for field in fields {
        let value = custom
            .and_then(|custom| custom.get(field))
            .filter(|value| !value.is_null());
        if let Some(value) = value {
            collect(
                &format!("customFields.{field}"),
                value,
                &mut files,
                &mut faults,
            );
        }
    }
    if kind == EntityKind::Task
        && let Some(value) = members.get(ATTACHMENTS)
    {
        collect(ATTACHMENTS, value, &mut files, &mut faults);
    }
    if faults.is_empty() {
        Ok(files)
    } else {
        Err(faults)
    }
}

const ATTACHMENTS: &str = "attachmentFileIds";

fn collect(path: &str, value: &Value, files: &mut Vec<Uuid>, faults: &mut Vec<Fault>) {
    let Some(items) = value.as_array() else {
        faults.push(Fault::wrong_type(path, value, Type::Guids));
        return;
    };
    for (n, item) in items.iter().enumerate() {
        match item.as_str().and_then(id::parse) {
            Some(file) if files.contains(&file) => {}
            Some(file) => files.push(file),
            None => faults.push(Fault::wrong_type(&format!("{path}[{n}]"), item, Type::Guid)),
        }
    }
}

/// Replaces the ids that [`files`] finds. `new` returns the permanent id of a temporary one.
pub fn replace_files(
    kind: EntityKind,
    members: &mut Object,
    fields: &[String],
    new: &mut dyn FnMut(Uuid) -> Uuid,
) {
    if let Some(custom) = members
        .get_mut("customFields")
        .and_then(Value::as_object_mut)
    {
        for field in fields {
            replace(custom.get_mut(field), new);
        }
    }
    if kind == EntityKind::Task {
        replace(members.get_mut(ATTACHMENTS), new);
    }
}

fn replace(value: Option<&mut Value>, new: &mut dyn FnMut(Uuid) -> Uuid) {
    let items = value.and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        if let Some(file) = item.as_str().and_then(id::parse) {
            *item = Value::String(new(file).to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn files_fields_are_found_by_their_type() {
        let settings = object(&json!({"customFields": {"company": [
            {"id": "scan", "type": "files"}, {"id": "note", "type": "text"}, {"id": "act", "type": "files"},
        ]}}));
        assert_eq!(
            files_fields(&settings, EntityKind::Company),
            ["scan", "act"]
        );
        assert!(files_fields(&settings, EntityKind::Deal).is_empty());
        assert!(files_fields(&Object::new(), EntityKind::Company).is_empty());
    }

    #[test]
    fn the_time_zone_is_one_of_the_iana() {
        for (name, expected) in [
            (None, "Asia/Almaty"),
            (Some("Europe/Moscow"), "Europe/Moscow"),
            (Some("Mars/Olympus"), "UTC"),
        ] {
            let settings = object(&json!({ "timeZone": name }));
            let zone = time_zone(&settings);
            assert_eq!(zone.iana_name(), Some(expected), "{name:?}");
        }
        assert!((ZONE.accepts)("Etc/GMT+5"));
        assert!(!(ZONE.accepts)("Mars/Olympus"));
    }

    #[test]
    fn files_are_found_and_replaced() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut members = object(&json!({
            "attachmentFileIds": [two.to_string()],
            "customFields": {"scan": [one.to_string(), two.to_string()], "note": [one.to_string()], "act": null},
        }));
        let fields = ["scan".to_owned(), "act".to_owned(), "gone".to_owned()];
        assert_eq!(
            files(EntityKind::Task, &members, &fields),
            Ok(vec![one, two])
        );
        replace_files(EntityKind::Task, &mut members, &fields, &mut |file| {
            Uuid::from_u128(file.as_u128() + 10)
        });
        let (new_one, new_two) = (
            Uuid::from_u128(11).to_string(),
            Uuid::from_u128(12).to_string(),
        );
        assert_eq!(members["customFields"]["scan"], json!([new_one, new_two]));
        assert_eq!(members["customFields"]["note"], json!([one.to_string()]));
        assert_eq!(members["attachmentFileIds"], json!([new_two]));
    }

    #[test]
    fn values_that_are_not_lists_of_ids_are_faults() {
        for (value, path) in [
            (json!("x"), "customFields.scan"),
            (json!(["x"]), "customFields.scan[0]"),
        ] {
            let members = object(&json!({"customFields": {"scan": value}}));
            let faults = files(EntityKind::Company, &members, &["scan".to_owned()]).unwrap_err();
            assert_eq!(faults[0].path, path);
        }
    }
}
