//! Names for objects that several schemas have inside, so that a generated client has one type for each of them.

use std::collections::BTreeMap;

use utoipa::openapi::{
    Object, OpenApi, Ref, RefOr, Schema,
    schema::{AdditionalProperties, ArrayItems},
};

/// An object inside of a schema.
pub struct Part {
    pub name: &'static str,
    /// A schema and its members down to the object, as in `Company.phones`. The elements of a list have its name.
    pub path: &'static str,
    pub description: &'static str,
}

/// Makes each part a schema, to which every equal object refers. A part that is inside of another comes first.
pub fn name_parts(api: &mut OpenApi, parts: &[Part]) {
    let schemas = &mut api.components.get_or_insert_default().schemas;
    for part in parts {
        let found = find(schemas, part.path).cloned();
        debug_assert!(found.is_some(), "there is no object {}", part.path);
        let Some(mut object) = found else { continue };
        object.description = None;
        for schema in schemas.values_mut() {
            refer(schema, &object, part.name);
        }
        object.description = Some(part.description.to_owned());
        let schema = Schema::from(object);
        schemas.insert(part.name.to_owned(), schema.into());
    }
}

fn find<'a>(schemas: &'a BTreeMap<String, RefOr<Schema>>, path: &str) -> Option<&'a Object> {
    let mut names = path.split('.');
    let top = object(schemas.get(names.next()?)?);
    names.fold(top, |outer, name| object(outer?.properties.get(name)?))
}

/// The object, or the one that is the element of a list.
fn object(schema: &RefOr<Schema>) -> Option<&Object> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        RefOr::T(Schema::Array(list)) => match &list.items {
            ArrayItems::RefOrSchema(element) => object(element),
            ArrayItems::False => None,
        },
        _ => None,
    }
}

/// Replaces what equals the part by a reference, which keeps the description.
fn refer(schema: &mut RefOr<Schema>, part: &Object, name: &str) {
    let RefOr::T(inner) = schema else { return };
    match inner {
        Schema::Object(object) => {
            let description = object.description.take();
            if object == part {
                let mut reference = Ref::from_schema_name(name);
                reference.description = description.unwrap_or_default();
                *schema = reference.into();
                return;
            }
            object.description = description;
            for member in object.properties.values_mut() {
                refer(member, part, name);
            }
            if let Some(AdditionalProperties::RefOr(value)) =
                object.additional_properties.as_deref_mut()
            {
                refer(value, part, name);
            }
        }
        Schema::Array(list) => {
            if let ArrayItems::RefOrSchema(element) = &mut list.items {
                refer(element, part, name);
            }
        }
        Schema::OneOf(several) => refer_all(&mut several.items, part, name),
        Schema::AllOf(several) => refer_all(&mut several.items, part, name),
        Schema::AnyOf(several) => refer_all(&mut several.items, part, name),
        _ => {}
    }
}

fn refer_all(schemas: &mut [RefOr<Schema>], part: &Object, name: &str) {
    for schema in schemas {
        refer(schema, part, name);
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::schema::{Field, Type};
    use serde_json::json;

    use super::*;
    use crate::dialect::openapi::{refusals::add_schema, schema::body};

    const WHEEL: &[Field] = &[Field::new("spokes", Type::Int)];
    const CART: &[Field] = &[
        Field::new("front", Type::Object(WHEEL)).doc("The front wheel."),
        Field::new("others", Type::Objects(WHEEL)),
        Field::new("seat", Type::Object(&[])),
    ];

    #[test]
    fn equal_objects_refer_to_the_part() {
        let mut api = OpenApi::default();
        for name in ["Bicycle", "Cart"] {
            add_schema(&mut api, name, body(CART).into());
        }
        let part = Part {
            name: "Wheel",
            path: "Cart.others",
            description: "A wheel.",
        };
        name_parts(&mut api, &[part]);
        let api = serde_json::to_value(&api).expect("JSON");
        let schemas = &api["components"]["schemas"];
        let wheel = "#/components/schemas/Wheel";
        for name in ["Bicycle", "Cart"] {
            let members = &schemas[name]["properties"];
            assert_eq!(
                members["front"],
                json!({"$ref": wheel, "description": "The front wheel."})
            );
            assert_eq!(members["others"]["items"], json!({"$ref": wheel}));
            assert_eq!(members["seat"]["type"], "object");
        }
        assert_eq!(schemas["Wheel"]["description"], "A wheel.");
        assert_eq!(schemas["Wheel"]["properties"]["spokes"]["type"], "integer");
    }
}
