//! The channels' part of the OpenAPI description.

use utoipa::openapi::{ObjectBuilder, OpenApi, Schema, schema::Type};

use crate::dialect::openapi::refusals::{add, add_schema, add_tags, operations, schema, text};

const TAGS: &[(&str, &str)] = &[(
    "channels",
    "Points at which outside systems dock: hooks, scripts, websockets.",
)];

const REFUSALS: &[(&str, &str)] = &[
    ("400", "Malformed, or of a wrong type"),
    ("401", "No token, or none that is good"),
    ("404", "Not found"),
    ("409", "The id or the code is taken"),
    ("default", "Any other refusal or failure"),
];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_schema(api, "ChannelError", channel_error());
    for (_, _, operation) in operations(api) {
        for (status, description) in REFUSALS {
            let error = schema("ChannelError");
            add(operation, status, description, "application/json", error);
        }
    }
}

fn channel_error() -> Schema {
    ObjectBuilder::new()
        .property(
            "error_code",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .description(Some("The status and a thousand")),
        )
        .required("error_code")
        .property("error_message", text())
        .required("error_message")
        .into()
}
