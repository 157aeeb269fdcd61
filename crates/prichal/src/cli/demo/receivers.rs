//! The outside systems that the server calls: accounting, which works, a warehouse that accepts only what is sent again,
//! and a telephone exchange.

use std::sync::Arc;

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::{net::TcpListener, sync::OnceCell, task::JoinSet};

use super::{caller::Caller, calls};

/// The paths of the two below the receivers' address.
pub(super) const ACCOUNTING: &str = "/accounting";
pub(super) const WAREHOUSE: &str = "/warehouse";

/// The header that must come back.
const ECHO: &str = "x-xcom-integration-echo";
/// The header of an event that somebody has sent again.
const REPLAY: &str = "x-prichal-replay";

/// The reason of the warehouse, which the delivery log shows.
const CLOSED: &str = "The warehouse is taking stock and accepts nothing by itself. Send this event again: then it is accepted.";

/// All of them, until they are dropped.
pub(super) struct Receivers {
    pub(super) url: String,
    /// The secret of accounting's webhook, once it is known.
    pub(super) secret: Arc<OnceCell<String>>,
    /// The credentials with which the exchange reports calls, once they are known.
    pub(super) exchange: Arc<OnceCell<Caller>>,
    _serving: JoinSet<()>,
}

impl Receivers {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let secret = Arc::new(OnceCell::new());
        let exchange = Arc::new(OnceCell::new());
        let calls = Router::new()
            .route("/api/v1/{workspace}/communications/call", post(dial))
            .route(
                "/api/v1/{workspace}/communications/{id}/hangup",
                post(hang_up),
            )
            .with_state(exchange.clone());
        let router = Router::new()
            .route(&format!("{ACCOUNTING}/{{hook}}"), post(accounting))
            .route(&format!("{WAREHOUSE}/{{hook}}"), post(warehouse))
            .with_state(secret.clone())
            .merge(calls);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            url,
            secret,
            exchange,
            _serving: serving,
        })
    }
}

/// Accepts what is signed.
async fn accounting(
    State(secret): State<Arc<OnceCell<String>>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    match secret.get() {
        Some(secret) if is_signed(&headers, &body, secret) => accept(&headers),
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

/// Accepts only what somebody has sent again.
async fn warehouse(headers: HeaderMap) -> Response {
    if headers.contains_key(REPLAY) {
        return accept(&headers);
    }
    (StatusCode::SERVICE_UNAVAILABLE, CLOSED).into_response()
}

/// Takes a call that a user has asked for.
async fn dial(
    State(exchange): State<Arc<OnceCell<Caller>>>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    tokio::spawn(async move {
        if let Some(exchange) = exchange.get() {
            note(calls::make(exchange, &asked).await);
        }
    });
    accept(&headers)
}

/// Ends a call that goes on.
async fn hang_up(
    State(exchange): State<Arc<OnceCell<Caller>>>,
    Path((_, call)): Path<(String, String)>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    tokio::spawn(async move {
        let text = |name: &str| asked[name].as_str().unwrap_or_default();
        if let Some(exchange) = exchange.get() {
            let (leg, user) = (text("realtimeCallItemId"), text("userId"));
            note(calls::end(exchange, &call, leg, user).await);
        }
    });
    accept(&headers)
}

fn note(reported: Result<()>) {
    if let Err(error) = reported {
        tracing::warn!(error = format!("{error:#}"), "a call was not reported");
    }
}

/// The vendor's acknowledgement: 200 with the echo.
fn accept(headers: &HeaderMap) -> Response {
    match headers.get(ECHO) {
        Some(echo) => (StatusCode::OK, [(ECHO, echo.clone())]).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// True if the Standard Webhooks signature is valid.
fn is_signed(headers: &HeaderMap, body: &str, secret: &str) -> bool {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let key = secret
        .strip_prefix("whsec_")
        .and_then(|key| STANDARD.decode(key).ok())
        .unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return false;
    };
    mac.update(
        format!(
            "{}.{}.{body}",
            header("webhook-id"),
            header("webhook-timestamp")
        )
        .as_bytes(),
    );
    let expected = mac.finalize().into_bytes();
    let signatures = header("webhook-signature")
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
    signatures
        .into_iter()
        .any(|signature| signature == expected.as_slice())
}
