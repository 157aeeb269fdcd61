//! What every call of a face may be refused with, and who may call it: said once for all operations,
//! as the faces word it in one place, too.

use axum::http::StatusCode;
use utoipa::openapi::{
    Content, ContentBuilder, Object, ObjectBuilder, OneOfBuilder, OpenApi, PathItem, Ref, RefOr,
    Response, ResponseBuilder, Schema,
    path::Operation,
    schema::{ArrayBuilder, Type},
    security::SecurityRequirement,
};

use crate::dialect::Dialect;

/// Adds them to the operations of the faces.
pub(super) fn describe(api: &mut OpenApi) {
    let components = api.components.get_or_insert_default();
    components.schemas.extend([
        ("ErrorInfo".to_owned(), error_info().into()),
        ("PatchRefusal".to_owned(), patch_refusal().into()),
        ("BadRequest".to_owned(), bad_request().into()),
        ("Problem".to_owned(), problem().into()),
        ("ChannelError".to_owned(), channel_error().into()),
    ]);
    for (path, item) in &mut api.paths.paths {
        let patch = item.patch.is_some();
        for operation in operations(item) {
            name_responses(operation);
            (Dialect::of(path).describe)(path, operation, patch);
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        head,
        ..
    } = item;
    [get, put, post, delete, patch, head].into_iter().flatten()
}

/// OpenAPI 3.1 wants each response described. Where there is nothing to say, it is what HTTP calls it.
fn name_responses(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            let status = status.parse::<StatusCode>().ok();
            let reason = status.and_then(|status| status.canonical_reason());
            reason
                .unwrap_or("The answer")
                .clone_into(&mut response.description);
        }
    }
}

pub fn of_administration(_: &str, operation: &mut Operation, _: bool) {
    operation.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
    let refused = refusal(
        "A refusal or a failure, RFC 9457",
        "application/problem+json",
        schema("Problem"),
    );
    add(operation, "default", refused);
}

pub fn of_crm(path: &str, operation: &mut Operation, patch: bool) {
    let is_open = path.starts_with("/api/v1/authorization/");
    if is_open {
        operation.security = Some(Vec::new());
    }
    let patch = patch && !is_open;
    let json = |description, schema| refusal(description, "application/json", schema);
    add(
        operation,
        "400",
        json("Malformed, or of a wrong type", schema("BadRequest")),
    );
    let unauthorized = Object::builder()
        .schema_type(Type::String)
        .enum_values(Some(["Unauthorized"]));
    add(
        operation,
        "401",
        json(
            "No credentials, or none that are good",
            Content::new(Some(Schema::from(unauthorized))),
        ),
    );
    let refused = if patch {
        let either = OneOfBuilder::new()
            .item(Ref::from_schema_name("PatchRefusal"))
            .item(Ref::from_schema_name("ErrorInfo"));
        Content::new(Some(Schema::from(either)))
    } else {
        schema("ErrorInfo")
    };
    add(
        operation,
        "409",
        json("Refused by a rule, or not found", refused),
    );
    add(
        operation,
        "default",
        json("Any other refusal or failure", schema("ErrorInfo")),
    );
}

pub fn of_channels(_: &str, operation: &mut Operation, _: bool) {
    let json = |description, schema| refusal(description, "application/json", schema);
    for (status, description) in [
        ("400", "Malformed, or of a wrong type"),
        ("401", "No token, or none that is good"),
        ("404", "Not found"),
        ("409", "The id or the code is taken"),
        ("default", "Any other refusal or failure"),
    ] {
        add(operation, status, json(description, schema("ChannelError")));
    }
}

/// What the operation itself says of a status goes before.
fn add(operation: &mut Operation, status: &str, response: Response) {
    let responses = &mut operation.responses.responses;
    responses
        .entry(status.to_owned())
        .or_insert(RefOr::T(response));
}

fn refusal(description: &str, content_type: &str, content: Content) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(content_type, content)
        .build()
}

fn schema(name: &str) -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(name)))
        .build()
}

fn text() -> Object {
    Object::with_type(Type::String)
}

fn error_info() -> Schema {
    // The operations that are wrong, as they were sent.
    let operations = || ArrayBuilder::new().items(Object::with_type(Type::Object));
    ObjectBuilder::new()
        .property("status", text())
        .required("status")
        .property("message", text())
        .required("message")
        .property("invalidPaths", operations())
        .property("invalidValueTypes", operations())
        .property("invalidDatas", operations())
        .property(
            "invalidConstraints",
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .additional_properties(Some(Schema::from(text()))),
        )
        .into()
}

fn patch_refusal() -> Schema {
    ObjectBuilder::new()
        .property("errorInfo", Ref::from_schema_name("ErrorInfo"))
        .required("errorInfo")
        .property("isSuccessful", Object::with_type(Type::Boolean))
        .property("responseCode", text())
        .into()
}

fn bad_request() -> Schema {
    let texts = ArrayBuilder::new().items(text());
    ObjectBuilder::new()
        .property(
            "errors",
            ObjectBuilder::new()
                .description(Some("Field to what is wrong with it"))
                .additional_properties(Some(Schema::from(texts))),
        )
        .required("errors")
        .property("title", text())
        .property("type", text())
        .property("status", Object::with_type(Type::Integer))
        .property("traceId", text())
        .into()
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
