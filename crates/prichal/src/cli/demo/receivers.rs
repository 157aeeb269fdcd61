//! The outside systems that the server calls: accounting, which works, a warehouse that accepts only what is sent again,
//! and a telephone exchange.

use std::sync::{Arc, Mutex, PoisonError};

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
    pub(super) exchange: Arc<Exchange>,
    _serving: JoinSet<()>,
}

/// The telephone exchange.
#[derive(Default)]
pub(super) struct Exchange {
    /// The credentials with which it reports calls, once they are known.
    pub(super) caller: OnceCell<Caller>,
    /// The reports of calls that somebody has asked for, until it is dropped.
    reports: Mutex<JoinSet<()>>,
}

impl Exchange {
    /// Reports a call after the answer to the one who has asked for it.
    fn begin(self: &Arc<Self>, report: impl Future<Output = Result<()>> + Send + 'static) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        while reports.try_join_next().is_some() {}
        reports.spawn(async {
            if let Err(error) = report.await {
                tracing::warn!(error = format!("{error:#}"), "a call was not reported");
            }
        });
    }
}

impl Receivers {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let secret = Arc::new(OnceCell::new());
        let exchange = Arc::new(Exchange::default());
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
    State(exchange): State<Arc<Exchange>>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    if let Some(caller) = exchange.caller.get().cloned() {
        exchange.begin(async move { calls::make(&caller, &asked).await });
    }
    accept(&headers)
}

/// Ends a call that goes on.
async fn hang_up(
    State(exchange): State<Arc<Exchange>>,
    Path((_, call)): Path<(String, String)>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    if let Some(caller) = exchange.caller.get().cloned() {
        exchange.begin(async move {
            let text = |name: &str| asked[name].as_str().unwrap_or_default();
            let (leg, user) = (text("realtimeCallItemId"), text("userId"));
            calls::end(&caller, &call, leg, user).await
        });
    }
    accept(&headers)
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
