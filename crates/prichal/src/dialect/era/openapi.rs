//! The channels' part of the OpenAPI description.

use utoipa::openapi::{ObjectBuilder, OpenApi, Schema, schema::Type};

use crate::dialect::openapi::refusals::{add_errors, add_tags, text};

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
    let error = ("ChannelError", channel_error());
    add_errors(api, error, "application/json", REFUSALS);
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
