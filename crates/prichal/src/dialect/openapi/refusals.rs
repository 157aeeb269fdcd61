//! Building blocks for `Dialect::describe`: the refusals of a dialect's calls are described once, because they are
//! rendered in one place.

use axum::http::StatusCode;
use utoipa::{
    ToSchema,
    openapi::{
        Content, ContentBuilder, HeaderBuilder, Object, OpenApi, PathItem, Ref, RefOr,
        ResponseBuilder, Schema,
        path::{HttpMethod, Operation},
        schema::Type,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
        tag::TagBuilder,
    },
};

/// Explains the groups of a dialect's operations, in the order in which they are shown.
pub fn add_tags(api: &mut OpenApi, tags: &[(&str, &str)]) {
    let tags = tags.iter().map(|(name, text)| {
        TagBuilder::new()
            .name(*name)
            .description(Some(*text))
            .build()
    });
    api.tags.get_or_insert_default().extend(tags);
}

/// Adds a schema. Of two dialects' schemas with the same name only the first is kept.
pub fn add_schema(api: &mut OpenApi, name: &str, schema: Schema) {
    let components = api.components.get_or_insert_default();
    components.schemas.insert(name.to_owned(), schema.into());
}

/// Describes the error of a dialect whose operations are all refused in the same way: the name and the schema of the
/// body, its content type, and what each status means.
pub fn add_errors(
    api: &mut OpenApi,
    (name, error): (&str, Schema),
    content_type: &str,
    statuses: &[(&str, &str)],
) {
    add_schema(api, name, error);
    add_refusals(api, name, content_type, statuses);
}

/// The same for an error whose schema is there.
pub fn add_refusals(api: &mut OpenApi, name: &str, content_type: &str, statuses: &[(&str, &str)]) {
    for (_, _, operation) in operations(api) {
        for (status, description) in statuses {
            add(operation, status, description, content_type, schema(name));
        }
    }
}

/// Adds a type and those that it consists of.
pub fn add_type<T: ToSchema>(api: &mut OpenApi) {
    let mut found = vec![(T::name().into_owned(), T::schema())];
    T::schemas(&mut found);
    let components = api.components.get_or_insert_default();
    components.schemas.extend(found);
}

/// Adds a bearer token to the ways to authorize a call.
pub fn add_bearer(api: &mut OpenApi, name: &str, description: &str) {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(description))
        .build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme(name, SecurityScheme::Http(bearer));
}

/// Every operation of a dialect, with its path and method.
pub fn operations(api: &mut OpenApi) -> impl Iterator<Item = (&str, HttpMethod, &mut Operation)> {
    api.paths.paths.iter_mut().flat_map(|(path, item)| {
        let PathItem {
            get,
            put,
            post,
            delete,
            patch,
            head,
            ..
        } = item;
        let operations = [
            (HttpMethod::Get, get),
            (HttpMethod::Put, put),
            (HttpMethod::Post, post),
            (HttpMethod::Delete, delete),
            (HttpMethod::Patch, patch),
            (HttpMethod::Head, head),
        ];
        operations
            .into_iter()
            .filter_map(|(method, operation)| Some((path.as_str(), method, operation.as_mut()?)))
    })
}

/// Adds a response, unless the operation itself describes one with this status.
pub fn add(
    operation: &mut Operation,
    status: &str,
    description: &str,
    content_type: &str,
    content: Content,
) {
    let response = ResponseBuilder::new()
        .description(description)
        .content(content_type, content)
        .build();
    let responses = &mut operation.responses.responses;
    responses
        .entry(status.to_owned())
        .or_insert(RefOr::T(response));
}

/// Fills in what OpenAPI or its linters require of an operation: a description, which is by default the summary, and
/// one of each response, by default HTTP's name of the status.
pub fn complete(operation: &mut Operation) {
    if operation.description.as_ref().is_none_or(String::is_empty) {
        operation.description.clone_from(&operation.summary);
    }
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

/// Adds a header to a response of an operation.
pub fn add_header(
    operation: &mut Operation,
    status: &str,
    name: &str,
    schema: Object,
    description: &str,
) {
    if let Some(RefOr::T(response)) = operation.responses.responses.get_mut(status) {
        let header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(description));
        response
            .headers
            .insert(name.to_owned(), header.build().into());
    }
}

/// The content that a named schema describes.
pub fn schema(name: &str) -> Content {
    ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(name)))
        .build()
}

pub fn text() -> Object {
    Object::with_type(Type::String)
}
