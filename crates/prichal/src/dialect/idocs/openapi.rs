//! The document exchange's part of the OpenAPI description.

use utoipa::{
    ToSchema as _,
    openapi::{Content, OpenApi, Ref, RefOr},
};

use super::{
    error_response::DocumentErrors,
    member::{Schemas, collect},
};
use crate::dialect::openapi::refusals::{add, add_tags, operations, schema};

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
    empty_answers(api);
    let mut errors = Schemas::new();
    collect::<DocumentErrors>(&mut errors);
    let components = api.components.get_or_insert_default();
    for (name, schema) in errors {
        components.schemas.insert(name, schema);
    }
    for (path, _, operation) in operations(api) {
        for (status, description) in errors_of(path) {
            let content = schema(&DocumentErrors::name());
            add(operation, status, description, JSON, content);
        }
    }
}

const JSON: &str = "application/json";

/// The errors of a call, by status.
fn errors_of(path: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let names_nothing = NAMELESS.iter().any(|end| path.ends_with(end));
    let common = [
        ("400", "Malformed, refused by a rule, or not permitted"),
        ("401", "No valid token"),
        (
            "402",
            "Nobody pays; otherwise it is 400 (`--edo-strict-codes`)",
        ),
        (
            "403",
            "Not permitted; otherwise it is 400 (`--edo-strict-codes`)",
        ),
        ("404", "Something that the request names does not exist"),
        ("408", "The body came too slowly"),
        ("410", "The time of the link is over"),
        ("415", "An unknown content coding"),
        ("429", "Too many requests"),
        ("500", "A failure of the server"),
        ("503", "The server is busy"),
        ("default", "A refusal or a failure"),
    ];
    let pays = path.contains("/outbox/route/");
    let is_link = path.contains("/sign-content/download/");
    common.into_iter().filter(move |(status, _)| match *status {
        "402" => pays,
        "404" => !names_nothing,
        "410" => is_link,
        _ => true,
    })
}

/// The ends of paths that name nothing which may be missing.
const NAMELESS: [&str; 9] = [
    "/blobs/document-content",
    "/blobs/document-signature-content",
    "/documents-query/outbox",
    "/documents-query/inbox",
    "/company-employees",
    "/company-token",
    "/counterparties/check",
    "/signature/verify",
    "/external/events",
];

/// Takes the content from answers without a body.
fn empty_answers(api: &mut OpenApi) {
    let nothing = Ref::from_schema_name(<()>::name());
    for (_, _, operation) in operations(api) {
        for response in operation.responses.responses.values_mut() {
            if let RefOr::T(response) = response {
                response.content.retain(|_, content| {
                    !matches!(content, RefOr::T(Content { schema: Some(RefOr::Ref(one)), .. }) if *one == nothing)
                });
            }
        }
    }
    let components = api.components.get_or_insert_default();
    components.schemas.remove(<()>::name().as_ref());
}
