//! The shapes of the entities of the service collections, as OpenAPI schemas: how they are sent, changed and shown.

use prichal_core::schema::Field;
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{
        Object, ObjectBuilder, OneOfBuilder, RefOr, Schema,
        schema::{AdditionalProperties, ArrayBuilder, KnownFormat, SchemaFormat, Type},
    },
};

use crate::dialect::openapi::schema::{body, described, free, model, of};

described! {
    /// A key: the id, the code or the token of an entity.
    pub(super) LookupKey = text().examples(["ws_hook"]);
    /// The ids that a key means.
    pub(super) LookupAnswer = ArrayBuilder::new().items(id());
}

/// A new entity. Other members are refused, also in `opts`.
pub(super) fn new(tables: &[&[Field]]) -> ObjectBuilder {
    let fields = tables.concat();
    let made = id().description(Some("The id. The server makes one if it is absent."));
    let mut new = body(&fields).build();
    if let Some(RefOr::T(Schema::Object(opts))) = new.properties.get_mut("opts") {
        opts.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    }
    ObjectBuilder::from(new)
        .property("id", made)
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

/// A change of an entity: any of its members. Absent members stay, and those of objects are merged one by one.
pub(super) fn changes(new: ObjectBuilder, example: Value) -> Object {
    let mut changes = new.examples([example]).build();
    loosen(&mut changes);
    changes
}

/// An entity as it is shown in full.
pub(super) fn entity(tables: &[&[Field]]) -> ObjectBuilder {
    let time = || text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    let ext = free()
        .description(Some("Times, and members that clients have added."))
        .property("ct", time().description(Some("The time of the creation.")))
        .property(
            "lwt",
            time().description(Some("The time of the last change.")),
        )
        .required("ct")
        .required("lwt");
    model(&tables.concat())
        .property("id", id().description(Some("The id.")))
        .required("id")
        .property("ext", ext)
}

/// An entity in the shape that `mask` and `flat` give it: any of its members, or members of objects under dotted names.
pub(super) fn view(entity: ObjectBuilder) -> Object {
    let mut view = entity.build();
    view.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(true)));
    loosen(&mut view);
    view
}

/// The same for a type.
pub(super) fn view_of<T: ToSchema>() -> Object {
    match T::schema() {
        RefOr::T(Schema::Object(object)) => view(object.into()),
        _ => Object::new(),
    }
}

/// An entity, or the key of a look-up: the body of a POST to a collection.
pub(super) fn entity_or_key<New: ToSchema>() -> OneOfBuilder {
    let examples = match New::schema() {
        RefOr::T(Schema::Object(new)) => new.examples,
        _ => Vec::new(),
    };
    OneOfBuilder::new()
        .item(of::<New>())
        .item(of::<LookupKey>())
        .examples(examples)
}

/// The entity that a POST has created, or the ids that it has looked up.
pub(super) fn entity_or_ids<Entity: ToSchema>() -> OneOfBuilder {
    OneOfBuilder::new()
        .item(of::<Entity>())
        .item(of::<LookupAnswer>())
}

/// Lets every member be absent, without a default.
fn loosen(object: &mut Object) {
    object.required.clear();
    object.default = None;
    for property in object.properties.values_mut() {
        if let RefOr::T(Schema::Object(inner)) = property {
            loosen(inner);
        }
    }
}

pub(super) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

pub(super) fn id() -> ObjectBuilder {
    text().format(Some(SchemaFormat::Custom("uuid".to_owned())))
}
