//! The attempt log, as dialects show it (`docs/contracts/prichal.md §6`).

use prichal_core::{id::WorkspaceId, offset};
use prichal_store::delivery::{Attempt, MAX_REPLAYS, STATUSES};
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::error::{Code, Error};

/// One call of a webhook.
#[derive(ToSchema)]
#[schema(as = DeliveryAttempt, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what `model` puts together")]
pub struct AttemptModel {
    id: String,
    web_hook_id: String,
    event_id: String,
    /// The event's offset in the feed.
    offset: String,
    /// The number of the call for this event, from 1.
    attempt: i64,
    /// `delivered`, `deferred` (it will be tried again) or `exhausted` (it will not).
    status: String,
    http_status: Option<i64>,
    duration_ms: i64,
    error: Option<String>,
    /// The first KiB of the answer.
    answer: Option<String>,
    started_at: String,
}

/// A page of attempts.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what `list` puts together")]
pub struct AttemptList {
    /// The number of attempts on the page.
    count: i64,
    items: Vec<AttemptModel>,
}

/// The answer to the request for a replay.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what handlers put together")]
pub struct ReplayAnswer {
    /// The number of events in the range that the webhook asks for.
    count: i64,
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
    json!({
        "id": attempt.id,
        "webHookId": attempt.webhook,
        "eventId": attempt.event,
        "offset": offset::of(workspace, attempt.seq),
        "attempt": attempt.attempt,
        "status": attempt.status,
        "httpStatus": attempt.http_status,
        "durationMs": attempt.duration_ms,
        "error": attempt.error,
        "answer": attempt.answer,
        "startedAt": attempt.started_at,
    })
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
pub fn list(items: impl Iterator<Item = Value>) -> Value {
    let items: Vec<Value> = items.collect();
    json!({ "count": items.len(), "items": items })
}

/// The status with this name. `None` if there is no such status.
pub fn status(text: &str) -> Option<String> {
    STATUSES.contains(&text).then(|| text.to_owned())
}
