//! What the server says of itself: the description of its API, whether it is alive and ready, metrics.

pub mod refusals;

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
    InfoBuilder, OpenApi, OpenApiBuilder,
    security::{
        ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
    },
    tag::TagBuilder,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    app::App,
    platform::telemetry::{self, gauge},
};

/// The paths that belong to no face.
pub fn router(apis: Vec<OpenApi>) -> Router<App> {
    let api = describe(apis);
    // Written when somebody asks for the first time: most servers are never asked.
    let document = Arc::new(LazyLock::new(move || {
        Bytes::from(api.to_json().unwrap_or_default())
    }));
    let served = async move || {
        let json = Bytes::clone(&document);
        ([(header::CONTENT_TYPE, "application/json")], json)
    };
    let page = |path: &'static str, document: &'static str| {
        // A stranger's service would be shown the address of the description.
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

/// Gives a page, and whatever it loads, a tag of its contents: they are the same until the next version.
async fn tagged(mut request: Request, next: Next) -> Response {
    // Without its contents there would be nothing to make a tag of; the listener sends none to HEAD.
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

/// The groups of operations, in the order of a first integration.
const TAGS: &[(&str, &str)] = &[
    (
        "administration",
        "Workspaces and their tokens, with the administrator's token.",
    ),
    (
        "integrations",
        "What can be installed in a workspace, and what is.",
    ),
    ("authorization", "How an integration gets its access key."),
    (
        "entities",
        "Records of a workspace and the links between them.",
    ),
    ("feed", "Every change of a workspace, in order."),
    (
        "telephony",
        "Calls: what exchanges report, what users ask for, what is known of each.",
    ),
    (
        "channels",
        "Points at which outside systems dock: hooks, scripts, websockets.",
    ),
    (
        "documents",
        "Documents: uploads, routes, signatures, queries, archives.",
    ),
    (
        "references",
        "Employees, permissions and the words of the document exchange.",
    ),
    ("webhooks", "What came of calls, and calling again."),
    ("files", "Uploads and downloads."),
    ("settings", "Settings of a workspace."),
    ("ui settings", "Settings of a user's interface."),
];

fn describe(apis: Vec<OpenApi>) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Prichal")
        .version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some(
        "The server side of integration APIs that your partners already know.",
    ));
    let mut api = OpenApiBuilder::new().info(info.build()).build();
    apis.into_iter().for_each(|face| api.merge(face));
    let tags = TAGS.iter().map(|(name, text)| {
        TagBuilder::new()
            .name(*name)
            .description(Some(*text))
            .build()
    });
    api.tags = Some(tags.collect());
    let components = api.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A workspace's token, or the administrator's"))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let key = ApiKeyValue::with_description(
        "X-XCOM-AccessKey",
        "An integration's access key, good for 20 minutes",
    );
    components.add_security_scheme("accessKey", SecurityScheme::ApiKey(ApiKey::Header(key)));
    let none: [&str; 0] = [];
    api.security = Some(vec![
        SecurityRequirement::new("token", none),
        SecurityRequirement::new("accessKey", none),
    ]);
    refusals::describe(&mut api);
    api
}

/// How long each part has to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the store, the bus and the blobs answer.
async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let store = app
        .db
        .read(|conn| prichal_store::workspace::list(conn, 0, 1));
    let (store, blobs) = tokio::join!(
        tokio::time::timeout(PATIENCE, store),
        tokio::time::timeout(PATIENCE, app.blobs.check()),
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
                "cannot take the metrics"
            );
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect;

    #[test]
    fn every_operation_is_in_a_group_that_is_explained() {
        let (_, admin) = dialect::admin::routes::router().split_for_parts();
        let (_, crm) = dialect::kontur::routes::router().split_for_parts();
        let (_, era) = dialect::era::routes::router().split_for_parts();
        let api = serde_json::to_value(describe(vec![admin, crm, era])).expect("JSON");
        assert!(
            api["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1"))
        );
        let paths = api["paths"].as_object().expect("paths");
        let operations = paths.values().filter_map(Value::as_object).flatten();
        for (method, operation) in operations.filter(|(_, operation)| operation.is_object()) {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(
                TAGS.iter().any(|(name, _)| *name == tag),
                "{method} {operation}"
            );
        }
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

    #[test]
    fn the_description_is_whole() {
        let (_, admin) = dialect::admin::routes::router().split_for_parts();
        let (_, crm) = dialect::kontur::routes::router().split_for_parts();
        let (_, era) = dialect::era::routes::router().split_for_parts();
        let api = serde_json::to_value(describe(vec![admin, crm, era])).expect("JSON");
        assert_eq!(api["openapi"], "3.1.0");
        for (path, item) in api["paths"].as_object().expect("paths") {
            for (method, operation) in item.as_object().expect("operations") {
                let responses = operation["responses"].as_object().expect("responses");
                assert!(
                    responses.contains_key("default") && responses.len() > 1,
                    "{method} {path} says what it answers and what it refuses"
                );
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
        let calls = |path: &str| api["paths"][path]["post"]["security"].clone();
        assert_eq!(calls("/admin/v1/workspaces"), json!([{ "token": [] }]));
        assert_eq!(
            calls("/api/v1/authorization/authorize-integration"),
            json!([])
        );
    }
}
