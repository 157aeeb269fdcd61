//! The administration's part of the OpenAPI description.

use utoipa::openapi::{OpenApi, security::SecurityRequirement};

use super::error_response::Problem;
use crate::dialect::openapi::refusals::{add_bearer, add_refusals, add_tags, add_type, operations};

const TAGS: &[(&str, &str)] = &[(
    "administration",
    "Workspaces, their tokens, and sessions at the console, with the administrator's token.",
)];

const REFUSALS: &[(&str, &str)] = &[
    (
        "400",
        "Malformed, of a wrong type, or against a rule of the field",
    ),
    ("401", "No token, or a wrong one"),
    ("403", "A token that is not the administrator's"),
    ("404", "Not found"),
    ("409", "Refused by a rule"),
    ("default", "Any other refusal or failure, RFC 9457"),
];

/// The refusals of paths without a token.
const OPEN_REFUSALS: &[(&str, &str)] = &[
    ("400", "Malformed"),
    ("default", "Any other refusal or failure, RFC 9457"),
];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_bearer(api, "adminToken", "The administrator's token");
    for (_, _, operation) in operations(api) {
        operation.security = Some(vec![SecurityRequirement::new("adminToken", [""; 0])]);
    }
    describe_problems(api, REFUSALS);
}

/// Describes the errors of paths that belong to no dialect.
pub(in crate::dialect) fn add_problems(api: &mut OpenApi) {
    describe_problems(api, OPEN_REFUSALS);
}

fn describe_problems(api: &mut OpenApi, statuses: &[(&str, &str)]) {
    add_type::<Problem>(api);
    add_refusals(api, "Problem", "application/problem+json", statuses);
}
