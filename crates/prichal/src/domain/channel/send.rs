//! Posting a message to the outside system, for channels without a script that sends.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use bytes::Bytes;
use prichal_core::{
    channel::Channel,
    id::{RunId, WorkspaceId},
    schema::{Field, Type},
    time::Timestamp,
};

use prichal_store::delivery::{Exchange, MAX_OWN_BODY};

pub use crate::platform::outgoing::post::USER_AGENT;
use crate::{
    domain::Domain,
    platform::outgoing::{
        LOGGED_BYTES, Outgoing,
        connections::Connections,
        names::Requester,
        post::{ID_FIELD, JSON, TIMESTAMP_FIELD, WEBHOOK_ID, WEBHOOK_TIMESTAMP, exchange, text},
        target::Target,
    },
};

/// The headers of a call, beside those of HTTP.
pub const HEADERS: &[Field] = &[
    ID_FIELD,
    TIMESTAMP_FIELD,
    Field::new("authorization", Type::Text)
        .doc("`Bearer` and the `token_remote` of the channel, if it has one."),
];

/// The outcome of posting a message.
#[derive(Clone, Debug)]
pub struct Posted {
    pub http_status: Option<u16>,
    pub duration: Duration,
    /// The reason of a failure. `None` after a success.
    pub error: Option<String>,
    /// The first KiB of the answer.
    pub answer: Option<String>,
    pub exchange: Exchange,
}

/// The beginning of a body, as the delivery log keeps it.
pub fn logged_body(body: &[u8]) -> Option<Vec<u8>> {
    Some(text(&body[..body.len().min(MAX_OWN_BODY)]).into_bytes())
}

/// The first KiB of an answer, if there is any.
pub fn head(body: &[u8]) -> Option<String> {
    let head = &body[..body.len().min(LOGGED_BYTES)];
    (!head.is_empty()).then(|| text(head))
}

/// Posts a message to the channel's URL, with the remote token as bearer token. Any 2xx is a success.
pub async fn post(
    app: &Domain,
    channel: &Channel,
    (workspace, id): (WorkspaceId, RunId),
    message: &str,
    now: Timestamp,
) -> Posted {
    let failed = |error: String| Posted {
        http_status: None,
        duration: app.clock.now().since(now),
        error: Some(error),
        answer: None,
        exchange: Exchange::default(),
    };
    let target = match Target::parse(channel.text("url")) {
        Ok(target) => target,
        Err(error) => return failed(error.to_string()),
    };
    let Some(headers) = headers(channel, id, now) else {
        return failed(
            "the `token_remote` contains characters that a header cannot carry".to_owned(),
        );
    };
    let request = Outgoing {
        method: Method::POST,
        headers,
        body: Bytes::from(message.to_owned()),
        keep: LOGGED_BYTES,
    };
    let connections = Connections::new(1, Requester::Workspace(workspace));
    let timeout = app.config.delivery_timeout;
    let (called, mut exchange) = exchange(app, &connections, &target, timeout, request).await;
    exchange.body = logged_body(message.as_bytes());
    match called {
        Err(error) => Posted {
            exchange,
            ..failed(error.to_string())
        },
        Ok(answer) => Posted {
            http_status: Some(answer.status),
            duration: app.clock.now().since(now),
            error: (!(200..300).contains(&answer.status)).then(|| {
                let fault = format!("the answer was {}, not 2xx", answer.status);
                answer.explained(fault, &target)
            }),
            answer: head(&answer.body),
            exchange,
        },
    }
}

/// `None` if the remote token contains bytes that a header cannot carry.
fn headers(channel: &Channel, id: RunId, now: Timestamp) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(6);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::USER_AGENT, USER_AGENT);
    let mut put = |name, value: String| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(name == header::AUTHORIZATION);
        headers.insert(name, value);
        Some(())
    };
    put(WEBHOOK_ID, id.to_string())?;
    put(WEBHOOK_TIMESTAMP, now.secs().to_string())?;
    if !channel.tokens.remote.is_empty() {
        put(
            header::AUTHORIZATION,
            format!("Bearer {}", channel.tokens.remote),
        )?;
    }
    Some(headers)
}
