//! What the server says of itself: the description of its API, whether it is alive and ready, metrics.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
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
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{app::App, telemetry};

/// The paths that belong to no face.
pub fn router<const N: usize>(apis: [OpenApi; N]) -> Router<App> {
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
        Router::from(SwaggerUi::new(path).config(Config::new([document])))
    };
    Router::new()
        .merge(page("/docs", "/docs/openapi.json"))
        .merge(page("/swagger", "/swagger/v3/swagger.json"))
        .route("/docs/openapi.json", get(served.clone()))
        .route("/swagger/v3/swagger.json", get(served))
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(ready))
        .route("/metrics", get(show_metrics))
}

fn describe<const N: usize>(apis: [OpenApi; N]) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Prichal")
        .version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some(
        "The server side of integration APIs that your partners already know.",
    ));
    let mut api = OpenApiBuilder::new().info(info.build()).build();
    apis.into_iter().for_each(|face| api.merge(face));
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
    api
}

/// How long each part has to say that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the store, the bus and the blobs answer.
async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let store = app
        .db
        .read(|conn| prichal_store::workspace::list(conn, 0, 1));
    let store = tokio::time::timeout(PATIENCE, store)
        .await
        .is_ok_and(|found| found.is_ok());
    let blobs = tokio::time::timeout(PATIENCE, app.blobs.check())
        .await
        .is_ok_and(|checked| checked.is_ok());
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

async fn show_metrics(State(app): State<App>) -> Response {
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
