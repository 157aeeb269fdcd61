//! The document exchange's part of the OpenAPI description.

use utoipa::openapi::{ObjectBuilder, OpenApi, Schema, schema::ArrayBuilder};

use crate::dialect::openapi::refusals::{add, add_schema, add_tags, operations, schema, text};

const TAGS: &[(&str, &str)] = &[
    (
        "documents",
        "Documents: uploads, routes, signatures, queries, archives.",
    ),
    (
        "references",
        "Employees, permissions and the words of the document exchange.",
    ),
];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_schema(api, "DocumentErrors", errors());
    for (_, _, operation) in operations(api) {
        let description = "A refusal or a failure";
        let errors = schema("DocumentErrors");
        add(
            operation,
            "default",
            description,
            "application/json",
            errors,
        );
    }
}

fn errors() -> Schema {
    let error = ObjectBuilder::new()
        .property("errorCode", text())
        .required("errorCode")
        .property("errorDescription", text())
        .required("errorDescription");
    ObjectBuilder::new()
        .property("errors", ArrayBuilder::new().items(error))
        .required("errors")
        .into()
}
