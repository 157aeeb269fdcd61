//! `/api/v1/{ws}/deliveries`: the calls of all sources, newest first, and what was sent and came back
//! (`docs/contracts/prichal.md §6`).

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    event::{ChangeType, EventHead},
    id::{self, EventId, IntegrationId, WebhookId},
    offset,
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Conn,
    delivery::{
        self, Attempt, MAX_OWN_BODY,
        log::{self, Details, Filter, Logged, Source},
    },
    event,
    webhook::Key,
};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Object};
use uuid::Uuid;

use super::{
    caller::Member,
    criteria::{DeliveryQuery, Own, read_filter},
};
use crate::{
    delivery::target::{self, SentText},
    dialect::openapi::schema::{takes, words},
    error::{Error, Result},
    http::{answer::json_text, page::Query},
    platform::outgoing::post::{WEBHOOK_ID, WEBHOOK_TIMESTAMP},
};

/// The maximum number of rows of the log that one page looks at. Most hold several calls.
pub(super) const MAX_ROWS: usize = 4096;

/// The number of steps in which one page searches the log for a text. Each compares about 2000 calls, or 4 MiB.
const MAX_STEPS: usize = 10;

takes! {
    DeliveryInPath: Path &[DELIVERY_ID];
}

const DELIVERY_ID: Field = Field::new("deliveryId", Type::Guid)
    .required()
    .doc("The id of the call.");

/// The call whose id is in the path.
pub(super) struct DeliveryInPath(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for DeliveryInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        id_in_path(parts, state, DELIVERY_ID.name).await.map(Self)
    }
}

/// The id with this name in the path.
pub(super) async fn id_in_path<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    name: &str,
) -> Result<Uuid> {
    let params = RawPathParams::from_request_parts(parts, state).await;
    let params = params.map_err(|_| Error::invalid(name, "The path is not valid UTF-8."))?;
    let found = params.iter().find(|(found, _)| *found == name);
    let (_, text) = found.unwrap_or_default();
    let shown: String = text.chars().take(64).collect();
    let id = id::parse_any(text)
        .ok_or_else(|| Error::invalid(name, format!("The value '{shown}' is not a valid id.")))?;
    Ok(id)
}

/// A call of a source: a webhook, a document hook, or a channel that sends a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LoggedDelivery)]
pub(super) struct Delivery<'a> {
    /// The id of the call.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    #[schema(schema_with = source_word)]
    source: &'static str,
    /// The id of the webhook's integration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    integration_id: Option<IntegrationId>,
    /// The id of the webhook, the document hook or the channel.
    #[schema(value_type = String, format = "uuid")]
    web_hook_id: WebhookId,
    /// The id of the event or the message.
    #[schema(value_type = String, format = "uuid")]
    event_id: EventId,
    /// The event's offset in the feed. Messages of channels have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    offset: Option<Uuid>,
    /// `change`, `link` or `unlink`; `custom` for an event of an own type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    event_type: Option<&'static str>,
    /// The own type of an event, such as `order.created`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    custom_type: Option<&'a str>,
    /// The type of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    change_type: Option<&'static str>,
    /// The entities that the event is about.
    entities: Vec<DeliveredEntity>,
    /// The number of the call for this event, from 1.
    attempt: i64,
    /// `delivered`; `deferred`, which is tried again; or `exhausted`, which is not.
    status: &'static str,
    /// True if the event was sent again on request.
    is_replay: bool,
    /// The status of the receiver's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    http_status: Option<i64>,
    /// The time until the answer, or until the failure.
    duration_ms: i64,
    /// The reason of a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<&'a str>,
    /// The time of the call.
    #[schema(value_type = String, format = "date-time")]
    started_at: Timestamp,
}

/// An entity that an event is about.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveredEntity {
    /// The type of the entity, such as `company`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: &'static str,
    /// The id of the entity.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
}

/// A page of calls.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryList<'a> {
    /// The number of calls on the page. It may be below the limit, or zero, although there is a next page.
    count: usize,
    /// The calls, newest first.
    items: Vec<Delivery<'a>>,
    /// The value of `before` for the next page. Absent at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    next: Option<Uuid>,
    /// The time down to which the log was looked through. Absent at the end of the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time", nullable = false)]
    searched_to: Option<Timestamp>,
}

/// A call with what was sent and what came back.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryDetail<'a> {
    #[serde(flatten)]
    delivery: Delivery<'a>,
    /// The time of the next attempt, if there will be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time", nullable = false)]
    next_attempt_at: Option<Timestamp>,
    sent: SentRequest,
    received: ReceivedAnswer<'a>,
    timings: CallTimings,
}

/// The request that was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct SentRequest {
    /// The headers, with `***` instead of secrets.
    headers: Vec<HeaderLine>,
    /// The body; of one that a script has made, the first 16 KiB. Absent if the log has the event no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<String>,
    /// The text that the signature covers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    signed_text: Option<String>,
}

/// The answer that came back.
#[derive(Serialize, ToSchema)]
struct ReceivedAnswer<'a> {
    /// The headers, in the order in which they came.
    headers: Vec<HeaderLine>,
    /// The first 4 KiB of the answer; 1 KiB for a call that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    body: Option<&'a str>,
}

/// A header.
#[derive(Serialize, ToSchema)]
struct HeaderLine {
    /// The name of the header, in small letters.
    name: String,
    /// The value; `***` for a secret.
    value: String,
}

/// The times that the parts of the call took, in milliseconds. A kept connection needs no resolving, connecting and TLS.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the members name their unit")]
struct CallTimings {
    /// Resolving the name of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    resolve_ms: Option<f64>,
    /// Connecting, through the proxy if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    connect_ms: Option<f64>,
    /// The TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tls_ms: Option<f64>,
    /// From the request to the head of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    first_byte_ms: Option<f64>,
    /// The whole call.
    total_ms: i64,
}

/// List the calls of all sources, newest first: webhooks, document hooks and channels.
///
/// For the next page, give `next` as `before`. A page with filters that match little looks at a part of the log only,
/// and may be empty although there is a next one; a search for `text` compares about 20 000 calls. Calls are kept for `--delivery-log-ttl`, up to
/// `--delivery-log-bytes`.
#[utoipa::path(get, operation_id = "list_all_deliveries", path = "/api/v1/{ws}/deliveries", tag = "webhooks",
    params(Member, DeliveryQuery), responses((status = 200, body = DeliveryList<'static>)))]
pub(super) async fn list_all_deliveries(member: Member, query: Query) -> Result<Response> {
    let filter = read_filter(&member, &query)?;
    let found = find(&member, filter, query.limit()?).await?;
    let page = DeliveryList {
        count: found.items.len(),
        items: found.items.iter().map(|one| model(&member, one)).collect(),
        next: found.next,
        searched_to: found.next.and_then(id::generated_at),
    };
    answer(&page)
}

/// Finds a page of the log. A search for a text takes several steps, between which others have their turns.
async fn find(member: &Member, mut filter: Filter, limit: i64) -> Result<log::Page> {
    let workspace = member.workspace_id();
    let steps = filter.text.as_ref().map_or(1, |_| MAX_STEPS);
    let (mut page, mut left) = (log::Page::default(), limit);
    for _ in 0..steps {
        let this = filter.clone();
        let read = move |conn: &mut Conn| {
            let details = Details::OfFailures;
            Ok::<_, Error>(log::list(conn, workspace, &this, details, left, MAX_ROWS)?)
        };
        let found = member.app.db.read(read).await?;
        left -= i64::try_from(found.items.len()).unwrap_or(left);
        page.items.extend(found.items);
        page.next = found.next;
        filter.before = found.next;
        if left <= 0 || found.next.is_none() {
            break;
        }
    }
    Ok(page)
}

/// Read a call: what was sent, what came back, how long it took, and when it is tried again.
#[utoipa::path(get, operation_id = "get_delivery", path = "/api/v1/{ws}/deliveries/{deliveryId}", tag = "webhooks",
    params(Member, DeliveryInPath), responses((status = 200, body = DeliveryDetail<'static>)))]
pub(super) async fn get_delivery(
    member: Member,
    DeliveryInPath(id): DeliveryInPath,
) -> Result<Response> {
    let own = Own::of(&member)?;
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| {
        let Some(found) = log::find(conn, workspace, id)? else {
            return Ok(None);
        };
        let attempt = &found.attempt;
        let key = Key {
            workspace,
            integration: found.integration,
            id: attempt.webhook,
        };
        let event = match attempt.seq {
            // The event was not one of the log.
            0 => None,
            seq => event::find(conn, workspace, seq)?,
        };
        let next = match attempt.status {
            "deferred" => delivery::next_attempt(conn, key, attempt.seq)?,
            _ => None,
        };
        Ok::<_, Error>(Some((found, key, event, next)))
    };
    let found = member.app.db.read(read).await?;
    let found = found.filter(|(found, ..)| own.has(found.integration));
    let (found, key, event, next) =
        found.ok_or_else(|| Error::NotFound(format!("Delivery {id}")))?;
    let headers = lines(&found.attempt.exchange.sent);
    let header = |name: &str| {
        let found = headers.iter().find(|line| line.name == name);
        found.map(|line| line.value.clone())
    };
    let number = u32::try_from(found.attempt.attempt).unwrap_or(u32::MAX);
    let SentText { body, signed } = match &found.attempt.exchange.body {
        Some(own) => own_text(own, header),
        None => event.map_or_else(SentText::default, |event| {
            target::sent(key, &event, number, header)
        }),
    };
    answer(&DeliveryDetail {
        delivery: model(&member, &found),
        next_attempt_at: next,
        sent: SentRequest {
            headers,
            body,
            signed_text: signed,
        },
        received: ReceivedAnswer {
            headers: lines(&found.attempt.exchange.received),
            body: found.attempt.answer.as_deref(),
        },
        timings: timings(&found.attempt),
    })
}

/// The body that a script has made, or a message, and the text that a signature covers unless the body was cut.
fn own_text(body: &[u8], header: impl Fn(&str) -> Option<String>) -> SentText {
    let body = String::from_utf8_lossy(body).into_owned();
    let is_whole = body.len() < MAX_OWN_BODY;
    // Messages of channels are not signed.
    let is_signed = header("webhook-signature").is_some();
    let signed = header(WEBHOOK_ID.as_str())
        .zip(header(WEBHOOK_TIMESTAMP.as_str()))
        .filter(|_| is_whole && is_signed)
        .map(|(id, timestamp)| format!("{id}.{timestamp}.{body}"));
    SentText {
        body: Some(body),
        signed,
    }
}

fn model<'a>(member: &Member, found: &'a Logged) -> Delivery<'a> {
    let attempt = &found.attempt;
    let source = Source::of(found.integration, attempt.webhook);
    let about = attempt.about.as_ref();
    Delivery {
        id: attempt.id,
        source: source.name(),
        integration_id: (source == Source::Webhook).then_some(found.integration),
        web_hook_id: attempt.webhook,
        event_id: attempt.event,
        offset: (attempt.seq > 0).then(|| offset::of(member.workspace_id(), attempt.seq)),
        event_type: about.map(EventHead::kind_column),
        custom_type: about
            .and_then(|about| about.custom.as_ref())
            .map(|custom| custom.name.as_str()),
        change_type: about
            .and_then(|about| about.kind.change())
            .map(ChangeType::name),
        entities: entities(about),
        attempt: attempt.attempt,
        status: attempt.status,
        is_replay: attempt.is_replay,
        http_status: attempt.http_status,
        duration_ms: attempt.duration_ms,
        error: attempt.error.as_deref(),
        started_at: attempt.started_at,
    }
}

pub(super) fn source_word() -> Object {
    words(&Source::NAMES, "The kind of the source.")
}

/// The entities that an event is about.
pub(super) fn entities(about: Option<&EventHead>) -> Vec<DeliveredEntity> {
    let entities = about.into_iter().flat_map(|about| about.entities.iter());
    entities
        .map(|(kind, id)| DeliveredEntity {
            kind: kind.name(),
            id: *id,
        })
        .collect()
}

/// Reads lines of `name: value`.
fn lines(text: &[u8]) -> Vec<HeaderLine> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .map(|(name, value)| HeaderLine {
            name: name.to_owned(),
            value: value.to_owned(),
        })
        .collect()
}

fn timings(attempt: &Attempt) -> CallTimings {
    let times = attempt.exchange.timings;
    let ms = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64() * 1000.0);
    CallTimings {
        resolve_ms: ms(times.resolve),
        connect_ms: ms(times.connect),
        tls_ms: ms(times.tls),
        first_byte_ms: ms(times.first_byte),
        total_ms: attempt.duration_ms,
    }
}

pub(super) fn answer(model: &impl Serialize) -> Result<Response> {
    let text = serde_json::to_string(model).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}
