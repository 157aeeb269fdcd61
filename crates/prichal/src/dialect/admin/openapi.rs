//! The administration's part of the OpenAPI description.

use utoipa::openapi::{
    Object, ObjectBuilder, OpenApi, Schema,
    schema::{ArrayBuilder, Type},
};

use crate::dialect::openapi::refusals::{add, add_schema, add_tags, operations, schema, text};

const TAGS: &[(&str, &str)] = &[(
    "administration",
    "Workspaces and their tokens, with the administrator's token.",
)];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_schema(api, "Problem", problem());
    for (_, _, operation) in operations(api) {
        let description = "A refusal or a failure, RFC 9457";
        let problem = schema("Problem");
        add(
            operation,
            "default",
            description,
            "application/problem+json",
            problem,
        );
    }
}

fn problem() -> Schema {
    let fault = ObjectBuilder::new()
        .property("field", text())
        .property("detail", text());
    ObjectBuilder::new()
        .property("type", text())
        .property("title", text())
        .required("title")
        .property("status", Object::with_type(Type::Integer))
        .required("status")
        .property("detail", text())
        .required("detail")
        .property("errors", ArrayBuilder::new().items(fault))
        .into()
}
