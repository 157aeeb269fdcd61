//! The channels' part of the OpenAPI description.

use serde_json::json;
use utoipa::openapi::{
    ContentBuilder, OpenApi, RefOr, Required, ResponseBuilder,
    path::{HttpMethod, Operation, OperationBuilder, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    security::SecurityRequirement,
};

use super::error_response::ChannelError;
use crate::dialect::openapi::{
    refusals::{add_bearer, add_refusals, add_tags, add_type, operations, schema, text},
    schema::any,
};

const TAGS: &[(&str, &str)] = &[
    (
        "channels",
        "Points at which outside systems dock, their types and their scripts.",
    ),
    (
        "hooks",
        "Requests of outside systems, with the token of their channel.",
    ),
];

/// The name of [`ChannelError`] among the schemas.
const ERROR: &str = "ChannelError";

/// The other way to send a body. It is no media type of its own here, since generators of clients would ask which one is
/// meant with each call.
const FORMS: &str = "A form, `application/x-www-form-urlencoded`, whose field `data` holds this JSON is read as well.";

const REFUSALS: &[(&str, &str)] = &[
    ("400", "Malformed, or of a wrong type"),
    ("401", "No token, or none that is good"),
    ("403", "A token without the right"),
    ("404", "Not found"),
    ("409", "The id or the code is taken"),
    ("default", "Any other refusal or failure"),
];

pub(super) fn describe(api: &mut OpenApi) {
    add_tags(api, TAGS);
    add_bearer(api, "token", "A token of the workspace");
    add_bearer(api, "channelToken", "The `token_local` of a channel");
    for (path, _, operation) in operations(api) {
        operation.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
        if let Some(RefOr::T(body)) = &mut operation.request_body
            && !path.ends_with("/rotate_token")
        {
            let given = body.description.get_or_insert_default();
            let space = if given.is_empty() { "" } else { ". " };
            given.push_str(space);
            given.push_str(FORMS);
        }
    }
    add_type::<ChannelError>(api);
    add_refusals(api, ERROR, "application/json", REFUSALS);
    add_hooks(api);
    add_websockets(api);
}

/// The methods of hooks that are described. Others are answered in the same way.
const METHODS: [(HttpMethod, &str); 5] = [
    (HttpMethod::Get, "get"),
    (HttpMethod::Post, "post"),
    (HttpMethod::Put, "put"),
    (HttpMethod::Patch, "patch"),
    (HttpMethod::Delete, "delete"),
];

/// Describes the paths of `hooks.rs`, which take any method.
fn add_hooks(api: &mut OpenApi) {
    for (path, id) in [
        ("/exec", "exec"),
        ("/hook/{token}", "hook"),
        ("/hook/{token}/{rest}", "hook_below"),
    ] {
        for (method, verb) in METHODS {
            let has_body = !matches!(method, HttpMethod::Get | HttpMethod::Delete);
            let mut operation = by_channel_token(path)
                .tag("hooks")
                .operation_id(Some(format!("{id}_{verb}")))
                .summary(Some(format!("Call a channel with {}.", verb.to_uppercase())))
                .description(Some(
                    "The channel's `recv_svcscriptcode` is run with method, path, headers and body as they came. A \
                     channel with `opts.issync` answers what its script responds, by default 200 without a body; any \
                     other answers 200 as soon as the run is stored.",
                ))
                .response("200", scripts_answer("The script's answer, or a stored run"))
                .response("401", refusal("No channel has this token"))
                .response("404", refusal("The channel has no receiving script"))
                .response(
                    "default",
                    scripts_answer("The script's answer with any other status, or a refusal like 401"),
                );
            if path.ends_with("{rest}") {
                operation =
                    operation.parameter(in_path("rest", "Any further path, for the script"));
            }
            if has_body {
                // Some generators leave out an operation whose body has no schema.
                let content = ContentBuilder::new()
                    .schema(Some(any()))
                    .example(Some(json!({ "text": "Hello" })))
                    .build();
                let body = RequestBodyBuilder::new()
                    .description(Some("Anything; the script reads it"))
                    .content("*/*", content);
                operation = operation.request_body(Some(body.build()));
            }
            let operation = Operation::from(operation);
            api.paths.add_path_operation(path, vec![method], operation);
        }
    }
}

/// Describes the paths of `websocket.rs`.
fn add_websockets(api: &mut OpenApi) {
    for (path, id) in [
        ("/ws/token/v1", "open_websocket"),
        ("/ws/token/v1/{token}", "open_websocket_by_path"),
    ] {
        let opened = ResponseBuilder::new().description("The connection is a websocket");
        let operation = by_channel_token(path)
            .tag("hooks")
            .operation_id(Some(id))
            .summary(Some("Open a websocket to a channel."))
            .description(Some(
                "The handshake of RFC 6455. A frame is a JSON array of a method and its parameters.",
            ))
            .response("101", opened.build())
            .response("400", refusal("No handshake of a websocket"))
            .response("401", refusal("No channel has this token"))
            .response("default", refusal("Any other refusal or failure"));
        let get = vec![HttpMethod::Get];
        api.paths.add_path_operation(path, get, operation);
    }
}

/// An operation that the token of a channel authorizes, in the path if that has it.
fn by_channel_token(path: &str) -> OperationBuilder {
    let operation = OperationBuilder::new();
    if path.contains("{token}") {
        let token = in_path("token", "The `token_local` of the channel");
        return operation.parameter(token).securities(Some([]));
    }
    operation.security(SecurityRequirement::new("channelToken", [""; 0]))
}

fn in_path(name: &str, description: &str) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(text()))
}

fn scripts_answer(description: &str) -> ResponseBuilder {
    let any = ContentBuilder::new().build();
    ResponseBuilder::new()
        .description(description)
        .content("*/*", any)
}

fn refusal(description: &str) -> ResponseBuilder {
    ResponseBuilder::new()
        .description(description)
        .content("application/json", schema(ERROR))
}
