//! `/ws/token/v1[/{token_local}]`: the websocket of a channel (`docs/contracts/era.md §9`).
//!
//! A frame is a JSON array of a method and its parameters. The methods are in [`session`].

mod asyncapi;
pub(super) mod close;
pub mod frame;
mod in_flight;
mod inbox;
mod params;
mod received;
mod rest;
mod rights;
mod session;
mod subscriptions;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use hyper_util::rt::TokioIo;
use prichal_core::id::generate;
use prichal_store::tenant;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

pub(super) use self::asyncapi::WEBSOCKET;
use self::{
    received::{Counted, Received},
    session::{Client, CurrentRights},
};
use super::caller::channel_of;
use crate::{
    app::App,
    error::{Error, Result},
    platform::{memory::Payer, security},
};

/// The maximum size of a frame and of a message, in bytes.
const MAX_MESSAGE: usize = 1 << 20;
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// The read buffer of one websocket, in bytes. It is small because thousands of websockets are mostly idle.
const READ_BUFFER: usize = 4096;

/// Opens a websocket to the channel that the token of the request belongs to.
pub(super) async fn connect(State(app): State<App>, request: Request) -> Result<Response> {
    let (mut parts, _) = request.into_parts();
    let version = app.channels.sockets.rights();
    let handle = channel_of(&app, &parts).await?;
    if parts.method != Method::GET {
        return Err(Error::WrongMethod {
            allowed: vec!["GET"],
        });
    }
    let accept = match accept_key(&parts.headers) {
        Ok(accept) => accept,
        Err(error) => {
            // RFC 6455 §4.2.2: the refusal names the version that the server speaks.
            let mut refused = error.into_response();
            refused
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, VERSION);
            return Ok(refused);
        }
    };
    let rights = rights::Rights::of(&app, &handle).await?;
    let id = generate(app.clock.now());
    let upgrade = parts
        .extensions
        .remove::<hyper::upgrade::OnUpgrade>()
        .ok_or_else(|| Error::invalid("Upgrade", "The connection cannot become a websocket."))?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(4 * MAX_MESSAGE)
        .max_message_size(Some(MAX_MESSAGE))
        .max_frame_size(Some(MAX_MESSAGE));
    let payer = Payer::of(&parts.extensions);
    let payer = payer.ok_or_else(|| Error::internal("a request without a payer"))?;
    let (at, address) = (app.clone(), security::address());
    let workspace = handle.workspace;
    let session = async move {
        let Ok(upgraded) = upgrade.await else { return };
        let received = Received::new(payer.clone());
        let io = Counted::new(TokioIo::new(upgraded), received.clone());
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let client = Client {
            id,
            standing: CurrentRights {
                rights,
                version,
                looked_at: at.clock.now(),
            },
            payer,
            received,
            address,
        };
        session::run(at, handle, client, socket).await;
    };
    app.background
        .spawn(tenant::scope(Some(workspace), session));
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept = HeaderValue::try_from(accept).map_err(Error::internal)?;
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

/// Checks the handshake (RFC 6455 §4.2.1), and returns the value of `Sec-WebSocket-Accept`.
fn accept_key(headers: &HeaderMap) -> Result<String> {
    let has = |name: header::HeaderName, word: &str| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let mut words = values.flat_map(|value| value.split(','));
        words.any(|given| given.trim().eq_ignore_ascii_case(word))
    };
    let wrong = |name: &str, what: &str| {
        Err(Error::invalid(
            name,
            format!("The header {name} must be {what}."),
        ))
    };
    if !has(header::UPGRADE, "websocket") {
        return wrong("Upgrade", "websocket");
    }
    if !has(header::CONNECTION, "upgrade") {
        return wrong("Connection", "Upgrade");
    }
    if !has(header::SEC_WEBSOCKET_VERSION, "13") {
        return wrong("Sec-WebSocket-Version", "13");
    }
    match headers.get(header::SEC_WEBSOCKET_KEY) {
        Some(key) if key.len() == 24 => Ok(derive_accept_key(key.as_bytes())),
        _ => wrong("Sec-WebSocket-Key", "16 bytes in base64"),
    }
}
