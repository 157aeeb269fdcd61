//! `/api/v1/{ws}/integrations/instances/{id}/webHooks/{hookId}/replay`: ranges of the feed that a webhook gets again
//! (`docs/contracts/prichal.md §6`).

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    id::{self, WorkspaceId, generate, generated_at},
    integration::Webhook as Definition,
    offset,
    schema::{self, Field, Object, Type},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    delivery::{self, Replay},
    event::{self, removal, search},
    webhook::{self, Key},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::Member,
    deliveries::{HookInPath, find},
    feed::removed_before,
    instances::InPath,
};
use crate::{
    delivery::attempt,
    dialect::openapi::schema::{body, described, example},
    error::{Error, Result},
    http::{
        answer::json_text,
        body::Raw,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
    },
    platform::{audit, reading::parse_json},
};

/// The number of events in one read.
const EVENTS_PER_READ: i64 = 1000;

const FROM_OFFSET: Field = Field::new("fromOffset", Type::GuidOrNone)
    .doc("The offset before the first event. Zeros stand for the beginning of the feed. Required unless `from` is given.");
const TO_OFFSET: Field = Field::new("toOffset", Type::GuidOrNone)
    .doc("The offset of the last event; the end of the feed if neither this nor `to` is given.");
const FROM: Field = Field::new("from", Type::Moment)
    .doc("Instead of `fromOffset`: the events that were made at this time or later.");
const TO: Field = Field::new("to", Type::Moment)
    .doc("Instead of `toOffset`: the events that were made before this time.");
const PREVIEW: Field =
    Field::new("preview", Type::Bool).doc("True to count the events and send none.");

const RANGE: &[Field] = &[FROM_OFFSET, TO_OFFSET, FROM, TO, PREVIEW];

described! {
    /// A range of the feed.
    FeedRange = body(RANGE).examples(example(include_str!("examples/replay.json")));
}

/// A replay, or its preview.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReplay)]
struct ReplayModel {
    /// The number of events in the range that the webhook asks for.
    count: usize,
    /// The id of the replay. Absent if no event is sent.
    #[schema(value_type = String, format = "uuid", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Uuid>,
    /// The number of events of the log in the range, others than the webhook asks for included.
    remaining: i64,
}

/// The replays of a webhook that are not finished.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookReplayList)]
struct ReplayList {
    /// The number of replays.
    count: usize,
    /// The replays, in the order in which they are sent.
    items: Vec<UnfinishedReplay>,
}

/// A replay that is not finished.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnfinishedWebhookReplay)]
struct UnfinishedReplay {
    /// The id of the replay.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    /// The number of events of the log that it has yet to pass, others than the webhook asks for included.
    remaining: i64,
    /// The time of the request.
    #[schema(value_type = String, format = "date-time", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
}

/// The beginning or the end of a range, as a request gives it.
#[derive(Clone, Copy)]
enum Bound {
    Offset(Uuid),
    Time(Timestamp),
}

/// Reads a bound. It is given by an offset or by a time.
fn bound(given: &Object, offset: &Field, time: &Field) -> Result<Option<Bound>> {
    let text = |field: &Field| given.get(field.name).and_then(Value::as_str);
    let by_offset = text(offset).and_then(id::parse_any).map(Bound::Offset);
    let by_time = text(time).and_then(Timestamp::parse).map(Bound::Time);
    if by_offset.is_some() && by_time.is_some() {
        let why = format!("Give either {} or {}.", offset.name, time.name);
        return Err(Error::invalid(time.name, why));
    }
    Ok(by_offset.or(by_time))
}

/// The events of a range by their numbers: those after `from`, up to `to`.
struct Range {
    from: i64,
    to: i64,
    /// The offset that was given for the beginning; `None` for a beginning that is as early as possible.
    given: Option<Uuid>,
}

impl Range {
    fn read(
        conn: &mut Conn,
        workspace: WorkspaceId,
        first: Bound,
        last: Option<Bound>,
    ) -> Result<Self> {
        let removed = removal::removed(conn, workspace)?;
        let end = event::last(conn, workspace)?;
        let (from, given) = match first {
            Bound::Offset(given) => (offset::seq_at(workspace, given), Some(given)),
            Bound::Time(at) => (search::first_at(conn, workspace, at)? - 1, None),
        };
        let to = match last {
            None => end,
            Some(Bound::Offset(given)) => offset::seq_at(workspace, given),
            Some(Bound::Time(at)) => search::first_at(conn, workspace, at)? - 1,
        };
        if to < from && last.is_some() {
            let name = match last {
                Some(Bound::Time(_)) => TO.name,
                _ => TO_OFFSET.name,
            };
            let why = format!("The {name} must not be before the beginning of the range.");
            return Err(Error::invalid(name, why));
        }
        // The beginning of the feed is the first event that is kept.
        let is_whole = from <= 0;
        Ok(Self {
            from: if is_whole { removed } else { from },
            to: to.min(end),
            given: given.filter(|_| !is_whole),
        })
    }

    fn events(&self) -> i64 {
        (self.to - self.from).max(0)
    }
}

/// Send a range of the feed again, in addition to the regular deliveries. Only events that match the webhook's filter
/// are sent, marked `X-Prichal-Replay: true`. A range that begins among events that were removed gets 409 `eventsRemoved`.
///
/// With `preview`, the events are counted only, and the status is 200.
#[utoipa::path(post, operation_id = "replay_webhook_events", path = "/api/v1/{ws}/integrations/instances/{id}/webHooks/{hookId}/replay", tag = "webhooks",
    params(Member, InPath, HookInPath, IdempotencyKey),
    request_body = FeedRange, responses((status = 202, body = ReplayModel), (status = 200, body = ReplayModel)))]
pub(super) async fn replay_events(
    member: Member,
    InPath(id): InPath,
    HookInPath(hook): HookInPath,
    idempotency: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let (key, mut definition) = find(&member, id, hook).await?;
    // A replay waits while the webhook is off.
    definition.disabled = false;
    let given = parse_json(&body)?;
    let given = schema::read(RANGE, schema::object(&given)?, &mut || generate(member.now))?;
    let (first, last) = (
        bound(&given, &FROM_OFFSET, &FROM)?,
        bound(&given, &TO_OFFSET, &TO)?,
    );
    let first = first.ok_or_else(|| {
        let why = "The fromOffset field is required, unless from is given.";
        Error::invalid(FROM_OFFSET.name, why)
    })?;
    let is_preview = given.get(PREVIEW.name) == Some(&Value::Bool(true));
    let read = move |conn: &mut Conn| Range::read(conn, key.workspace, first, last);
    let range = member.app.db.read(read).await?;
    let count = count_wanted(&member, &definition, &range).await?;
    let remaining = range.events();
    if is_preview {
        audit::set_reading();
        let model = ReplayModel {
            count,
            id: None,
            remaining,
        };
        return Ok(JsonAnswer::new(StatusCode::OK, json!(model).to_string()));
    }
    let id = generate(member.now);
    let work = move |tx: &mut Tx<'_>| {
        let now_removed = removal::removed_for_update(tx, key.workspace)?;
        if let Some(given) = range.given
            && range.from < now_removed
        {
            return Err(removed_before(key.workspace, given, now_removed));
        }
        let replay = Replay {
            id,
            cursor: range.from.max(now_removed),
            last: range.to,
            rate: None,
        };
        let is_begun = count > 0;
        if is_begun && !delivery::insert_replay(tx, key, &replay)? {
            return Err(attempt::too_many_replays());
        }
        let model = ReplayModel {
            count,
            id: is_begun.then_some(id),
            remaining,
        };
        let text = json!(model).to_string();
        Ok((JsonAnswer::new(StatusCode::ACCEPTED, text), ()))
    };
    let (answer, is_new) = write_once_and(&member, idempotency, &body, work).await?;
    if is_new.is_some() {
        member.app.dispatch.wake_side_queue(key);
    }
    Ok(answer)
}

/// The number of events in a range of the feed that match a webhook's filter.
async fn count_wanted(member: &Member, definition: &Definition, range: &Range) -> Result<usize> {
    let (workspace, to) = (member.workspace_id(), range.to);
    let (mut count, mut after) = (0, range.from);
    loop {
        let heads = member
            .app
            .db
            .read(move |conn| event::heads(conn, workspace, after, to, EVENTS_PER_READ))
            .await?;
        let Some((last, _)) = heads.last() else {
            return Ok(count);
        };
        after = *last;
        count += heads
            .iter()
            .filter(|(_, head)| definition.wants(head))
            .count();
    }
}

/// List the replays of a webhook that are not finished, in the order in which they are sent.
#[utoipa::path(get, operation_id = "list_webhook_replays", path = "/api/v1/{ws}/integrations/instances/{id}/webHooks/{hookId}/replays", tag = "webhooks",
    params(Member, InPath, HookInPath), responses((status = 200, body = ReplayList)))]
pub(super) async fn list_replays(
    member: Member,
    InPath(id): InPath,
    HookInPath(hook): HookInPath,
) -> Result<Response> {
    if !member.caller.reads_all() {
        member.require_owner(id)?;
    }
    let key = Key {
        workspace: member.workspace_id(),
        integration: id,
        id: hook,
    };
    let read = move |conn: &mut Conn| {
        let found = webhook::find(conn, key)?;
        found.ok_or_else(|| Error::NotFound(format!("WebHook {hook}")))?;
        Ok::<_, Error>(delivery::list_replays(conn, key)?)
    };
    let found = member.app.db.read(read).await?;
    let items: Vec<UnfinishedReplay> = found
        .iter()
        .map(|replay| UnfinishedReplay {
            id: replay.id,
            remaining: (replay.last - replay.cursor).max(0),
            created_at: generated_at(replay.id),
        })
        .collect();
    let count = items.len();
    let text = serde_json::to_string(&ReplayList { count, items });
    Ok(json_text(StatusCode::OK, text.map_err(Error::internal)?))
}
