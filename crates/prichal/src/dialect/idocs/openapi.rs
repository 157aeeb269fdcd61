//! The document exchange's part of the OpenAPI description.

use utoipa::openapi::{
    ObjectBuilder, OpenApi, Schema, schema::ArrayBuilder, security::SecurityRequirement,
};

use crate::dialect::openapi::refusals::{add_bearer, add_errors, add_tags, operations, text};

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
    add_bearer(api, "token", "A token of the workspace");
    for (_, _, operation) in operations(api) {
        operation.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
    }
    let error = ("DocumentErrors", errors());
    add_errors(
        api,
        error,
        "application/json",
        &[("default", "A refusal or a failure")],
    );
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
