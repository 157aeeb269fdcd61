//! The paths of the server itself: the OpenAPI description, liveness and readiness, metrics.

mod params;
pub mod refusals;
pub mod schema;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json, Router,
    body::to_bytes,
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use serde_json::{Value, json};
use utoipa::openapi::{
    InfoBuilder, OpenApi, OpenApiBuilder, RefOr,
    path::Operation,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    app::App,
    platform::telemetry::{self, gauge},
};

/// The paths that belong to no dialect.
pub fn router(apis: Vec<OpenApi>) -> Router<App> {
    let api = describe(apis);
    // Serialized for the first request: most servers never get one.
    let document = Arc::new(LazyLock::new(move || {
        Bytes::from(api.to_json().unwrap_or_default())
    }));
    let served = async move || {
        let json = Bytes::clone(&document);
        ([(header::CONTENT_TYPE, "application/json")], json)
    };
    let page = |path: &'static str, document: &'static str| {
        // The validator is another company's service, which would learn the address of this server.
        let config = Config::new([document]).validator_url("none");
        Router::from(SwaggerUi::new(path).config(config))
    };
    let docs = Router::new()
        .merge(page("/docs", "/docs/openapi.json"))
        .merge(page("/swagger", "/swagger/v3/swagger.json"))
        .route("/docs/openapi.json", get(served.clone()))
        .route("/swagger/v3/swagger.json", get(served))
        .layer(from_fn(tagged));
    Router::new()
        .merge(docs)
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
}

/// Gives pages and the files that they load an `ETag` of their contents, which change only with the version.
async fn tagged(mut request: Request, next: Next) -> Response {
    // The tag is made of the contents, so HEAD is answered like GET. The listener leaves the contents out.
    if request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(contents) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let mut digest = DefaultHasher::new();
    contents.hash(&mut digest);
    if let Ok(tag) = HeaderValue::try_from(format!("\"{:016x}\"", digest.finish())) {
        parts.headers.insert(header::ETAG, tag);
    }
    let always_asked = HeaderValue::from_static("no-cache");
    parts.headers.insert(header::CACHE_CONTROL, always_asked);
    Response::from_parts(parts, contents.into())
}

pub(super) fn describe(apis: Vec<OpenApi>) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Prichal")
        .version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some(
        "The server side of integration APIs that your partners already know.",
    ));
    let mut api = OpenApiBuilder::new().info(info.build()).build();
    apis.into_iter().for_each(|part| api.merge(part));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A workspace's token, or the administrator's"))
        .build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    api.security = Some(vec![SecurityRequirement::new("token", [""; 0])]);
    for (_, _, operation) in refusals::operations(&mut api) {
        name_responses(operation);
    }
    api
}

/// Describes responses without a description, which OpenAPI 3.1 requires, by HTTP's name of their status.
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

/// The time that each part has to answer [`ready`].
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks that the store, the bus and the blobs answer.
async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let store = app
        .db
        .read(|conn| prichal_store::workspace::list(conn, 0, 1));
    let (store, blobs) = tokio::join!(
        tokio::time::timeout(READINESS_TIMEOUT, store),
        tokio::time::timeout(READINESS_TIMEOUT, app.blobs.check()),
    );
    let store = store.is_ok_and(|found| found.is_ok());
    let blobs = blobs.is_ok_and(|checked| checked.is_ok());
    let bus = app.bus.is_ready();
    let status = if store && blobs && bus {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = |good| if good { "ok" } else { "no answer" };
    (
        status,
        Json(json!({ "store": word(store), "bus": word(bus), "blobs": word(blobs) })),
    )
}

/// Sets the gauges of the domain and of deliveries.
fn gauges(app: &App) {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    gauge("prichal_websockets", count(app.channels.sockets.count()));
    gauge("prichal_scripts_running", count(app.scripts.running()));
    let (idle, lags) = app.dispatch.lags();
    for (state, webhooks, lag) in [
        ("idle", count(idle), 0),
        (
            "working",
            count(lags.len()),
            lags.iter().copied().max().unwrap_or(0),
        ),
    ] {
        #[expect(clippy::cast_precision_loss, reason = "a gauge")]
        let set = |name: &'static str, value: i64| {
            metrics::gauge!(name, "state" => state).set(value as f64);
        };
        set("prichal_webhooks", webhooks);
        set("prichal_feed_lag_events", lag);
    }
}

async fn show_metrics(State(app): State<App>) -> Response {
    gauges(&app);
    match telemetry::render(&app).await {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot render the metrics"
            );
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, dialect, platform::clock::Clock};

    /// The description of all dialects.
    async fn description() -> Value {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config::for_data_dir(dir.path().join("data"));
        let app = crate::app::open(config, Clock::System)
            .await
            .expect("an app");
        serde_json::to_value(dialect::description(&app)).expect("JSON")
    }

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members
                    .values()
                    .for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[tokio::test]
    async fn no_two_dialects_describe_different_things_by_one_name() {
        let dir = tempfile::tempdir().expect("a folder");
        let config = Config::for_data_dir(dir.path().join("data"));
        let app = crate::app::open(config, Clock::System)
            .await
            .expect("an app");
        let mut known = std::collections::BTreeMap::new();
        for (dialect, part) in dialect::descriptions(&app) {
            let part = serde_json::to_value(part).expect("JSON");
            let schemas = part["components"]["schemas"].as_object();
            for (name, schema) in schemas.into_iter().flatten() {
                let first = known
                    .entry(name.clone())
                    .or_insert_with(|| (dialect, schema.clone()));
                assert_eq!(first.1, *schema, "{name} of {} and {dialect}", first.0);
            }
        }
    }

    #[tokio::test]
    async fn every_operation_is_described_in_full() {
        let api = description().await;
        let tags: Vec<&Value> = api["tags"]
            .as_array()
            .expect("tags")
            .iter()
            .map(|tag| &tag["name"])
            .collect();
        assert_eq!(api["openapi"], "3.1.0");
        for (path, item) in api["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let responses = operation["responses"].as_object().expect("responses");
                assert!(
                    responses.contains_key("default") && responses.len() > 1,
                    "{method} {path} says what it answers and what it refuses"
                );
                assert!(tags.contains(&&operation["tags"][0]), "{method} {path}");
                for (status, response) in responses {
                    let text = response["description"].as_str().unwrap_or_default();
                    assert!(!text.is_empty(), "{method} {path} {status}");
                }
            }
        }
        let mut found = Vec::new();
        references(&api, &mut found);
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(api.pointer(pointer).is_some(), "{reference} is there");
        }
        assert_eq!(api["security"], json!([{ "token": [] }]));
        let open = &api["paths"]["/api/v1/authorization/authorize-integration"];
        assert_eq!(open["post"]["security"], json!([]));
    }
}
