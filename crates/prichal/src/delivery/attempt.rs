//! The attempt log, as dialects show it (`docs/contracts/prichal.md §6`).

use prichal_core::{
    id::{EventId, WebhookId, WorkspaceId},
    offset,
    time::Timestamp,
};
use prichal_store::delivery::{Attempt, AttemptPage, MAX_REPLAYS, STATUSES};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{Object, schema::Type},
};
use uuid::Uuid;

use crate::error::{Code, Error};

/// One call of a webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliveryAttempt)]
pub struct AttemptModel<'a> {
    /// The id of the attempt.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// The id of the webhook.
    #[schema(value_type = String, format = "uuid")]
    web_hook_id: WebhookId,
    /// The id of the event.
    #[schema(value_type = String, format = "uuid")]
    event_id: EventId,
    /// The event's offset in the feed.
    #[schema(value_type = String, format = "uuid")]
    offset: Uuid,
    /// The number of the call for this event, from 1.
    attempt: i64,
    #[schema(schema_with = status_words)]
    status: &'static str,
    /// The status of the receiver's answer.
    http_status: Option<i64>,
    /// The time until the answer, or until the failure.
    duration_ms: i64,
    /// The reason of a failure.
    error: Option<&'a str>,
    /// The first KiB of the answer.
    answer: Option<&'a str>,
    /// The time of the call.
    #[schema(value_type = String, format = "date-time")]
    started_at: Timestamp,
}

/// The schema of an attempt's status.
pub fn status_words() -> Object {
    let words = Object::builder().schema_type(Type::String);
    let meaning = "`deferred` is tried again, `exhausted` is not.";
    let words = words.enum_values(Some(STATUSES));
    words.description(Some(meaning)).build()
}

/// A page of attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttemptList)]
pub struct AttemptList {
    /// The number of attempts on the page.
    count: usize,
    /// The attempts, newest first.
    #[schema(value_type = Vec<AttemptModel>)]
    items: Vec<Value>,
    /// The value of `before` for the next page, if this one has looked at a part of the log only, and so has fewer
    /// attempts than asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    next: Option<Uuid>,
}

/// The answer to the request for a replay.
#[derive(Serialize, ToSchema)]
pub struct ReplayAnswer {
    /// The number of events in the range that the webhook asks for.
    pub count: usize,
}

/// The refusal of a replay beyond the limit of a webhook.
pub fn too_many_replays() -> Error {
    let why = format!(
        "The webhook has {MAX_REPLAYS} replays that are not finished yet. Try again when some are."
    );
    Error::refused(Code::LimitReached, why)
}

/// The model of an attempt, with `null` for absent members.
pub fn model(workspace: WorkspaceId, attempt: &Attempt) -> Value {
    let model = AttemptModel {
        id: attempt.id,
        web_hook_id: attempt.webhook,
        event_id: attempt.event,
        offset: offset::of(workspace, attempt.seq),
        attempt: attempt.attempt,
        status: attempt.status,
        http_status: attempt.http_status,
        duration_ms: attempt.duration_ms,
        error: attempt.error.as_deref(),
        answer: attempt.answer.as_deref().map(first_kib),
        started_at: attempt.started_at,
    };
    json!(model)
}

fn first_kib(answer: &str) -> &str {
    &answer[..answer.floor_char_boundary(1024)]
}

/// The model of an attempt for dialects that leave out absent members.
pub fn lean_model(workspace: WorkspaceId, attempt: &Attempt) -> Value {
    let mut model = model(workspace, attempt);
    if let Some(members) = model.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    model
}

/// A page of models.
pub fn list(page: &AttemptPage, model: impl Fn(&Attempt) -> Value) -> Value {
    let items: Vec<Value> = page.items.iter().map(model).collect();
    json!(AttemptList {
        count: items.len(),
        items,
        next: page.next,
    })
}

/// The status with this name. `None` if there is no such status.
pub fn status(text: &str) -> Option<String> {
    STATUSES.contains(&text).then(|| text.to_owned())
}
