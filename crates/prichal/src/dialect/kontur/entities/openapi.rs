//! The description of the collections. The routes are the same for every collection; the description names each one,
//! with the members of its entities.

use prichal_core::{
    entity::{self, links_field},
    event::EntityKind,
    schema::{Field, MAX_ITEMS},
};
use utoipa::openapi::{
    ObjectBuilder, OpenApi, PathItem, Ref, Schema,
    schema::{AdditionalProperties, AllOfBuilder, ArrayBuilder},
};

use super::batch;
use crate::dialect::{
    kontur::openapi::{page, record},
    openapi::{
        refusals::add_schema,
        schema::{body, described, example},
    },
};

/// The names of the schemas in the operations below, which each collection replaces by its own.
const NAMES: [&str; 5] = [
    "CreatedEntities",
    "EntityBatch",
    "EntityList",
    "NewEntity",
    "Entity",
];

described! {
    /// Stands for the entity of a collection.
    pub(super) Entity = body(&[]);
    /// Stands for an entity that is to be created.
    pub(super) NewEntity = body(&[]);
    /// Stands for a page of entities.
    pub(super) EntityList = body(&[]);
    /// Stands for several entities that are to be created.
    pub(super) EntityBatch = body(&[]);
    /// Stands for the created entities.
    pub(super) CreatedEntities = body(&[]);
}

/// The names of a collection.
struct Names {
    /// `catalog item`
    one: String,
    /// `catalog items`
    many: String,
    /// `CatalogItem`
    schema: &'static str,
    /// `CatalogItems`
    schemas: String,
}

impl Names {
    fn of(kind: EntityKind, collection: &str) -> Self {
        let mut one = String::new();
        for letter in kind.name().chars() {
            if letter.is_ascii_uppercase() {
                one.push(' ');
            }
            one.push(letter.to_ascii_lowercase());
        }
        let title = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        Self {
            one,
            many: collection.replace('-', " "),
            schema: kind.type_name(),
            schemas: collection.split('-').map(title).collect(),
        }
    }

    /// The schema that stands in the place of one of [`NAMES`].
    fn schema(&self, name: &str) -> String {
        let name = name.replace("Entities", &self.schemas);
        name.replace("Entity", self.schema)
    }
}

/// Replaces the paths with `{collection}` by those of each collection.
pub(in crate::dialect::kontur) fn describe(api: &mut OpenApi) {
    let all = std::mem::take(&mut api.paths.paths);
    for (path, item) in all {
        if !path.contains("{collection}") {
            api.paths.paths.insert(path, item);
            continue;
        }
        for (kind, collection) in collections() {
            let item = of_collection(&item, &Names::of(kind, collection));
            let path = path.replace("{collection}", collection);
            api.paths.paths.insert(path, item);
        }
    }
    let components = api.components.get_or_insert_default();
    for name in NAMES {
        components.schemas.remove(name);
    }
    for (kind, collection) in collections() {
        let names = Names::of(kind, collection);
        for (name, schema) in NAMES.iter().zip(schemas(kind, &names)) {
            add_schema(api, &names.schema(name), schema);
        }
    }
}

fn collections() -> impl Iterator<Item = (EntityKind, &'static str)> {
    let all = EntityKind::ALL.iter();
    all.filter_map(|kind| Some((*kind, kind.collection()?)))
}

fn of_collection(item: &PathItem, names: &Names) -> PathItem {
    let mut text = serde_json::to_string(item).unwrap_or_default();
    for name in NAMES {
        let reference = |name: &str| format!("#/components/schemas/{name}\"");
        text = text.replace(&reference(name), &reference(&names.schema(name)));
    }
    let (one, many) = (&names.one, &names.many);
    for (from, to) in [
        ("_entity\"", format!("_{}\"", one.replace(' ', "_"))),
        ("_entities\"", format!("_{}\"", many.replace(' ', "_"))),
        ("an entity", format!("a {one}")),
        ("created entity", format!("created {one}")),
        ("deleted entity", format!("deleted {one}")),
        ("the entity", format!("the {one}")),
        ("the entities of a collection", format!("the {many}")),
        ("several entities", format!("several {many}")),
    ] {
        text = text.replace(from, &to);
    }
    serde_json::from_str(&text).unwrap_or_else(|_| item.clone())
}

/// The schemas of a collection, in the order of [`NAMES`].
fn schemas(kind: EntityKind, names: &Names) -> [Schema; 5] {
    let links = links_field(kind);
    let fields: Vec<Field> = links.iter().chain(entity::fields(kind)).copied().collect();
    let one = Ref::from_schema_name(names.schema);
    let created = ObjectBuilder::new()
        .description(Some(format!("The created {} by their keys.", names.many)))
        .property(
            "items",
            ObjectBuilder::new()
                .description(Some("By the keys of the batch."))
                .additional_properties(Some(AdditionalProperties::RefOr(one.clone().into()))),
        )
        .required("items");
    let item = AllOfBuilder::new()
        .item(Ref::from_schema_name(names.schema("NewEntity")))
        .item(body(batch::KEY));
    let items = ArrayBuilder::new()
        .items(item)
        .description(Some("All are created, or none."))
        .max_items(Some(MAX_ITEMS));
    let several = ObjectBuilder::new()
        .description(Some(format!("Several {} to create.", names.many)))
        .property("items", items)
        .required("items")
        .examples(example(&format!(r#"{{"items":[{}]}}"#, example_of(kind))));
    let new = body(&fields)
        .description(Some(format!("A {} to create.", names.one)))
        .examples(example(example_of(kind)));
    [
        created.into(),
        several.into(),
        page(one, &format!("The number of all {}.", names.many))
            .description(Some(format!("A page of {}.", names.many)))
            .into(),
        new.into(),
        record(&fields)
            .description(Some(format!("A {}.", names.one)))
            .into(),
    ]
}

/// The example of an entity to create.
const fn example_of(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::User => include_str!("../examples/user.json"),
        EntityKind::Role => include_str!("../examples/role.json"),
        EntityKind::Company => include_str!("../examples/company.json"),
        EntityKind::Contact => include_str!("../examples/contact.json"),
        EntityKind::Deal => include_str!("../examples/deal.json"),
        EntityKind::Task => include_str!("../examples/task.json"),
        EntityKind::Notification => r#"{"text": "The contract is signed"}"#,
        _ => r#"{"name": "North"}"#,
    }
}
