//! The document exchange's part of the OpenAPI description.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::{
    ToSchema as _,
    openapi::{
        KnownFormat, Object, OpenApi, RefOr, Schema, SchemaFormat,
        path::Operation,
        schema::{ArrayItems, Type},
        security::SecurityRequirement,
    },
};

use super::{error_response::DocumentErrors, member::ID};
use crate::dialect::openapi::{
    refusals::{add, add_bearer, add_header, add_tags, operations, schema, text},
    schema::{add as add_named, of},
};

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
    empty_answers(api);
    add_examples(api);
    let mut named = Vec::new();
    add_named::<DocumentErrors>(&mut named);
    let components = api.components.get_or_insert_default();
    components.schemas.extend(named);
    for (path, _, operation) in operations(api) {
        if path.starts_with("/check") {
            continue;
        }
        let token = || vec![SecurityRequirement::new("token", [""; 0])];
        operation.security.get_or_insert_with(token);
        for (status, description) in errors_of(path, operation) {
            let content = schema(&DocumentErrors::name());
            add(operation, status, description, "application/json", content);
        }
        for status in ["429", "503"] {
            add_header(
                operation,
                status,
                "Retry-After",
                text(),
                "The seconds to wait",
            );
        }
        if path.starts_with("/api/v3/") {
            for (name, meaning) in RATE_HEADERS {
                for status in ["200", "204", "429"] {
                    add_header(operation, status, name, whole_number(), meaning);
                }
            }
        }
    }
}

/// The headers of every answer to a token whose requests are counted (`limit.rs`). They are described where a client
/// looks at them: with a success, and with the refusal of too many requests.
const RATE_HEADERS: [(&str, &str); 3] = [
    (
        "X-RateLimit-Limit",
        "The number of requests that the token has in a period (`--rate-limit`). Absent without a limit.",
    ),
    (
        "X-RateLimit-Remaining",
        "The number of requests that are left of it.",
    ),
    ("X-RateLimit-Reset", "The seconds until more are allowed."),
];

fn whole_number() -> Object {
    Object::with_type(Type::Integer)
}

/// The errors of a call: status and meaning.
fn errors_of(path: &str, operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let has_body = operation.request_body.is_some();
    let pays = path.contains("/sync/") && path.contains("/outbox/route/");
    let is_link = path.contains("/sign-content/download/");
    let mut errors = vec![
        ("400", "Malformed, refused by a rule, or not permitted"),
        ("401", "No valid token"),
        ("402", "Nobody pays; 400 without `--edo-strict-codes`"),
        ("403", "Not permitted; 400 without `--edo-strict-codes`"),
        ("404", "Something that the request names does not exist"),
        ("408", "The body came too slowly"),
        ("410", "The time of the link is over"),
        ("415", "An unknown content coding"),
        ("429", "Too many requests"),
        ("500", "A failure of the server"),
        ("503", "The server is busy"),
        ("default", "A refusal or a failure"),
    ];
    errors.retain(|(status, _)| match *status {
        "402" => pays,
        "404" => !is_never_missing(path),
        "408" | "415" => has_body,
        "410" => is_link,
        _ => true,
    });
    errors
}

/// True for a call that names nothing which may be missing.
fn is_never_missing(path: &str) -> bool {
    const CALLS: [&str; 10] = [
        "/blobs/document-content",
        "/blobs/document-signature-content",
        "/bulk/operations",
        "/company-employees",
        "/company-token",
        "/counterparties/check",
        "/documents-query/inbox",
        "/documents-query/outbox",
        "/external/events",
        "/signature/verify",
    ];
    path.contains("/async/")
        || matches!(
            path,
            "/api/1/webhooks/document-events" | "/documents/v1/documents"
        )
        || CALLS.iter().any(|call| path.ends_with(call))
}

/// Takes the content from answers without a body.
fn empty_answers(api: &mut OpenApi) {
    let nothing = RefOr::Ref(of::<()>());
    for (_, _, operation) in operations(api) {
        for response in operation.responses.responses.values_mut() {
            let RefOr::T(response) = response else {
                continue;
            };
            response.content.retain(|_, content| match content {
                RefOr::T(content) => content.schema.as_ref() != Some(&nothing),
                RefOr::Ref(_) => true,
            });
        }
    }
    let components = api.components.get_or_insert_default();
    components.schemas.remove(<()>::name().as_ref());
}

/// Gives each body an example: the required members, and those that have an example of their own.
fn add_examples(api: &mut OpenApi) {
    let named = api.components.get_or_insert_default().schemas.clone();
    for (_, _, operation) in operations(api) {
        let Some(RefOr::T(body)) = &mut operation.request_body else {
            continue;
        };
        for content in body.content.values_mut() {
            if let RefOr::T(content) = content
                && let Some(schema) = &content.schema
            {
                content.example = example(schema, &named);
            }
        }
    }
}

/// An example of a schema. `None` for a file.
fn example(schema: &RefOr<Schema>, named: &BTreeMap<String, RefOr<Schema>>) -> Option<Value> {
    let schema = match schema {
        RefOr::Ref(reference) => {
            let name = reference.ref_location.rsplit('/').next()?;
            return example(named.get(name)?, named);
        }
        RefOr::T(schema) => schema,
    };
    match schema {
        Schema::Array(array) => match (&array.items, array.examples.first()) {
            (_, Some(given)) => Some(given.clone()),
            (ArrayItems::RefOrSchema(items), None) => Some(json!([example(items, named)?])),
            (ArrayItems::False, None) => None,
        },
        Schema::Object(object) => {
            let words = object.enum_values.iter().flatten();
            let is_id = object.format == Some(SchemaFormat::KnownFormat(KnownFormat::Uuid));
            let given = object.examples.iter().chain(words).next().cloned();
            let given = given.or_else(|| is_id.then(|| json!(ID)));
            if object.properties.is_empty() || given.is_some() {
                return given;
            }
            let members = object.properties.iter();
            let members = members
                .filter(|(name, schema)| object.required.contains(name) || has_example(schema))
                .map(|(name, schema)| Some((name.clone(), example(schema, named)?)));
            let members: Option<Map<String, Value>> = members.collect();
            members.map(Value::Object)
        }
        _ => None,
    }
}

fn has_example(schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::T(Schema::Object(object)) => !object.examples.is_empty(),
        RefOr::T(Schema::Array(array)) => !array.examples.is_empty(),
        _ => false,
    }
}
