//! The connector's own server, which accepts CALL and HANGUP (`docs/contracts/kontur.md §4.4`).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderName, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::Value;
use tokio::sync::mpsc;

const ECHO: HeaderName = HeaderName::from_static("x-xcom-integration-echo");

/// A received system call.
#[derive(Clone, Debug, PartialEq)]
pub enum SystemCall {
    Call(Value),
    HangUp { id: String, body: Value },
}

/// The kind of answer to system calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// 200 with the echo.
    Good,
    /// 200 without the echo.
    NoEcho,
    /// An error, with the echo.
    Refuse,
}

struct Desk {
    manner: Manner,
    calls: mpsc::Sender<SystemCall>,
}

/// The routes of a connector. System calls are passed on to `calls`. They are refused if that stays full for long.
pub fn router(manner: Manner, calls: mpsc::Sender<SystemCall>) -> Router {
    Router::new()
        .route("/api/v1/{ws}/communications/call", post(call))
        .route("/api/v1/{ws}/communications/{id}/hangup", post(hang_up))
        .with_state(Arc::new(Desk { manner, calls }))
}

async fn call(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    desk.take(&headers, SystemCall::Call(body))
}

async fn hang_up(
    State(desk): State<Arc<Desk>>,
    Path((_ws, id)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    desk.take(&headers, SystemCall::HangUp { id, body })
}

impl Desk {
    fn take(&self, headers: &HeaderMap, call: SystemCall) -> Response {
        let is_taken = self.manner != Manner::Refuse && self.calls.try_send(call).is_ok();
        let mut response = if is_taken {
            Json("OK").into_response()
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, Json("Error")).into_response()
        };
        if self.manner != Manner::NoEcho
            && let Some(echo) = headers.get(&ECHO)
        {
            response.headers_mut().insert(ECHO, echo.clone());
        }
        response
    }
}
