//! The administration's part of the OpenAPI description.

use utoipa::openapi::{
    Object, ObjectBuilder, OpenApi, Schema,
    schema::{ArrayBuilder, Type},
};

use crate::dialect::openapi::refusals::{add_errors, add_tags, text};

const TAGS: &[(&str, &str)] = &[(
    "administration",
    "Workspaces and their tokens, with the administrator's token.",
)];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    let error = ("Problem", problem());
    add_errors(
        api,
        error,
        "application/problem+json",
        &[("default", "A refusal or a failure, RFC 9457")],
    );
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
