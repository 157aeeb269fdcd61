//! `/api/v1/{ws}/webhooks/{id}/preview`: the request that a webhook would send (`docs/contracts/prichal.md §6.2`).

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    delivery_settings::MASK,
    id::EventId,
    offset,
    schema::{self, Field, Object, Type, object},
};
use prichal_dialect::kontur;
use prichal_store::{
    Conn, event,
    webhook::{self, Source},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::Admin,
    deliveries::made_up,
    event_log::missing,
    webhooks::{InPath, find, not_found},
};
use crate::{
    delivery::target::webhook::{Message, Payload, Receiver, preview},
    dialect::openapi::schema::{body, described, example},
    domain::webhook::definition,
    error::{Code, Error, Result},
    http::{answer::json_text, body::Json},
};

const EVENT: &[Field] = &[
    Field::new("offset", Type::Guid).doc("The offset of an event of the feed."),
    Field::new("event", Type::Free)
        .doc("A made-up event, in the form of the feed.")
        .example(r#"{"type": "change", "entityIds": {}, "changeData": {"type": "create"}}"#),
];

described! {
    /// The event to show: one of the feed, a made-up one, or without either the event of a test call.
    PreviewedEvent = body(EVENT).examples(example(include_str!("examples/webhook-preview.json")));
}

/// The request that a webhook would send.
#[derive(Serialize, ToSchema)]
struct WebhookPreview {
    /// True if the script skips the event.
    skipped: bool,
    /// The request, unless the event is skipped or the script fails.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<PreviewedRequest>,
    /// The reason for which the script fails.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The lines that the script logs.
    log: Vec<String>,
}

/// A request to a receiver.
#[derive(Serialize, ToSchema)]
struct PreviewedRequest {
    /// The method.
    #[schema(example = "POST")]
    method: String,
    /// The URL that is called.
    #[schema(example = "https://hooks.example/in")]
    url: String,
    /// The headers by name. Secret values are `***`.
    #[schema(value_type = Object)]
    headers: Object,
    /// The body, if it is text.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The body in base64, if it is none.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

/// Show exactly what a webhook would send for an event now, without sending it: method, URL, headers, body, and the log of
/// the webhook's script.
#[utoipa::path(post, path = "/api/v1/{ws}/webhooks/{id}/preview", tag = "webhooks", params(Admin, InPath),
    request_body = PreviewedEvent, responses((status = 200, body = WebhookPreview)))]
pub(super) async fn preview_webhook(
    Admin(member): Admin,
    at: InPath,
    Json(body): Json,
) -> Result<Response> {
    let given = schema::read(EVENT, object(&body)?, &mut Uuid::nil)?;
    let (app, workspace, id) = (member.app.clone(), member.workspace_id(), at.id);
    let vault = app.clone();
    let read = move |conn: &mut Conn| {
        let Source::Webhook(key) = find(conn, workspace, &at)? else {
            let why = "Only the webhooks of integrations can be previewed.";
            return Err(Error::refused(Code::NotSupported, why));
        };
        let row = webhook::find(conn, key)?.ok_or_else(|| not_found(id))?;
        let definition = definition(&vault.vault, &row)?;
        Ok((key, definition.ok_or_else(|| not_found(id))?))
    };
    let (key, definition) = app.db.read(read).await?;
    let receiver = Receiver::load(&app, key, &definition).await?;
    let receiver = receiver.ok_or_else(|| {
        let integration = key.integration;
        Error::NotFound(format!("IntegrationInstance {integration}"))
    })?;
    let new = EventId::generate(member.now);
    let offset = given.get("offset").and_then(Value::as_str);
    let payload = match (
        offset.and_then(prichal_core::id::parse_any),
        given.get("event"),
    ) {
        (Some(_), Some(Value::Object(_))) => {
            let why = "Give the offset of an event or a made-up event, not both.";
            return Err(Error::invalid("event", why));
        }
        (Some(offset), _) => {
            let seq = offset::seq_at(workspace, offset);
            let found = app.db.read(move |conn| {
                let found = event::find(conn, workspace, seq)?;
                match found {
                    Some(found) => Ok(found),
                    None => Err(missing(conn, workspace, offset)?),
                }
            });
            let found = found.await?;
            Payload::of(Arc::new(found), false)
        }
        (None, Some(Value::Object(event))) => Payload {
            id: event
                .get("id")
                .and_then(Value::as_str)
                .and_then(EventId::parse_any)
                .unwrap_or(new)
                .0,
            body: Value::from(event.clone()).to_string().into(),
            replay: false,
        },
        (None, _) => Payload {
            id: new.0,
            body: made_up(&member, new, &definition),
            replay: false,
        },
    };
    let shown = preview(&app, &receiver, payload).await?;
    let shown = shown.ok_or(Error::Busy)?;
    let (message, error) = match shown.message {
        Ok(message) => (message, None),
        Err(reason) => (None, Some(reason)),
    };
    let answer = WebhookPreview {
        skipped: message.is_none() && error.is_none(),
        request: message.map(PreviewedRequest::of),
        error,
        log: shown.log,
    };
    Ok(json_text(StatusCode::OK, json!(answer).to_string()))
}

impl PreviewedRequest {
    fn of(message: Message) -> Self {
        let Message {
            method,
            target,
            headers,
            body,
        } = message;
        let text = std::str::from_utf8(&body).map(str::to_owned);
        Self {
            method: method.to_string(),
            url: target.url(),
            headers: masked(&headers),
            base64: text.is_err().then(|| STANDARD.encode(&body)),
            body: text.ok(),
        }
    }
}

/// The headers without the values of secret ones.
fn masked(headers: &HeaderMap) -> Object {
    let shown = headers.iter().map(|(name, value)| {
        let is_secret = value.is_sensitive() || name == kontur::header::ACCESS_KEY;
        let value = if is_secret {
            MASK
        } else {
            value.to_str().unwrap_or_default()
        };
        (name.as_str().to_owned(), value.into())
    });
    shown.collect()
}
