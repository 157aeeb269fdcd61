//! `/api/v1/{ws}/resends`: events that are sent again (`docs/contracts/prichal.md §6`).

use std::collections::HashSet;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    id::{self, IntegrationId, RunId, WorkspaceId, generate},
    schema::{self, Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    delivery::{
        self,
        log::{self, Filter, Source},
        resend::{self, Resend, Selected, Selection, State},
    },
    event,
    job::{Items, Kind},
    run,
    webhook::Key,
};
use serde::Serialize;
use serde_json::Value;
use utoipa::{ToSchema, openapi::Object};
use uuid::Uuid;

use super::{
    caller::Member,
    criteria::{
        CHANGE_TYPE, CUSTOM_TYPE, ENTITY, ENTITY_TYPE, EVENT, EVENT_TYPE, FROM, HTTP_STATUS,
        INTEGRATION, Own, SOURCE, STATUS, TEXT, TO, WEBHOOK, read_filter, with_criteria,
        without_text,
    },
    delivery_log::{DeliveryInPath, answer, id_in_path},
};
use crate::{
    delivery::job,
    dialect::openapi::schema::{body, described, example, takes, words},
    error::{Code, Error, Result},
    http::{
        body::Raw,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        page::Query,
    },
    platform::{audit, reading::parse_json},
};

/// The events a second that are sent to each webhook, unless the request says otherwise.
const DEFAULT_RATE: i64 = 50;
/// The maximum number of calls that one request names.
const MAX_NAMED: usize = 100;
/// The maximum number of resends in a list.
const MAX_LISTED: i64 = 100;
/// The calls that a preview reads at once, and the most it reads.
const PREVIEW_PAGE: i64 = 1000;
const MAX_PREVIEWED: usize = 100_000;
/// The calls that a step of a preview counts for at least when it searches for a text, which takes longer.
const SEARCHED_STEP: usize = 250;

const DELIVERIES: Field = Field::new("deliveryIds", Type::Guids)
    .items(MAX_NAMED)
    .doc("The ids of calls, whose events are sent again. No criteria are given then.");
const DEAD_LETTERS: Field = Field::new("deadLetters", Type::Bool).doc(
    "True to select the dead letters that match instead of all calls. With `integrationId` and `webHookId`, the deferred events of the webhook become due as well.",
);
const RATE: Field = Field::new("rate", Type::Int)
    .within(1, 1000)
    .doc("The events a second that are sent to each webhook, 50 if absent.");
const PREVIEW: Field =
    Field::new("preview", Type::Bool).doc("True to count the events and send none.");

const REQUEST: &[Field] = with_criteria![TEXT, DELIVERIES, DEAD_LETTERS, RATE, PREVIEW];
/// The members of a request that are no criteria.
const OPTIONS: [&str; 4] = [DELIVERIES.name, DEAD_LETTERS.name, RATE.name, PREVIEW.name];

described! {
    /// The events to send again: named calls, or everything that matches all criteria.
    ResendRequest = body(REQUEST)
        .examples(example(r#"{"deadLetters": true, "from": "2026-11-27T00:00:00Z", "rate": 50}"#));
}

/// Events that are sent again.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Resend)]
pub(super) struct ResendModel {
    /// The id of the resend.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    #[schema(schema_with = state_word)]
    state: &'static str,
    /// The events a second that are sent to each webhook.
    rate: i64,
    /// The number of events found so far.
    selected: i64,
    /// The number of these that were not sent yet.
    waiting: i64,
    /// The time of the request.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
}

fn state_word() -> Object {
    let meaning = "The progress. The events of a webhook that is switched off wait until it is on.";
    words(&State::NAMES, meaning)
}

/// The newest resends.
#[derive(Serialize, ToSchema)]
pub(super) struct ResendList {
    /// The number of resends in the list.
    count: usize,
    /// The resends, newest first.
    items: Vec<ResendModel>,
}

/// The number of events that a resend would send.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResendPreview {
    /// The number of events.
    count: usize,
    /// False if there are more events than were counted.
    is_complete: bool,
}

/// Send the event of a call again: a resend of one event. The message of a channel is tried again, unless it was
/// delivered.
#[utoipa::path(post, operation_id = "resend_delivery", path = "/api/v1/{ws}/deliveries/{deliveryId}/resend",
    tag = "webhooks", params(Member, DeliveryInPath, IdempotencyKey), responses((status = 202, body = ResendModel)))]
pub(super) async fn resend_delivery(
    member: Member,
    DeliveryInPath(id): DeliveryInPath,
    idempotency: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    begin(
        &member,
        idempotency,
        &body,
        DEFAULT_RATE,
        Wanted::Calls(vec![id]),
    )
    .await
}

/// Send events again, beside the regular deliveries: named calls, or everything that matches.
///
/// A background job selects the events, and each webhook gets its events in the order of the log, marked
/// `X-Prichal-Replay: true`, with the `webhook-id` of the first delivery and a new timestamp. A failure goes to the
/// deferred events. Messages of channels that were not delivered are tried again at once. Criteria pass over failed calls
/// whose events were delivered or dismissed since. With `preview`, events are counted only, and the status is 200. A
/// workspace may have 10 unfinished resends.
#[utoipa::path(post, operation_id = "begin_resend", path = "/api/v1/{ws}/resends", tag = "webhooks",
    params(Member, IdempotencyKey), request_body = ResendRequest,
    responses((status = 202, body = ResendModel), (status = 200, body = ResendPreview)))]
pub(super) async fn begin_resend(
    member: Member,
    idempotency: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let given = parse_json(&body)?;
    let given = schema::object(&given)?;
    // A misspelt criterion would select too much.
    let is_known = |name: &String| {
        REQUEST
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case(name))
    };
    if let Some(unknown) = given.keys().find(|name| !is_known(name)) {
        let shown: String = unknown.chars().take(64).collect();
        return Err(Error::invalid(
            &shown,
            format!("There is no criterion '{shown}'."),
        ));
    }
    let given = schema::read(REQUEST, given, &mut || generate(member.now))?;
    let flag = |field: &Field| {
        given
            .get(field.name)
            .and_then(Value::as_bool)
            .unwrap_or(false)
    };
    let query = Query::of_members(&given);
    let mut filter = read_filter(&member, &query)?;
    // An empty criterion selects everything, as an absent one does.
    let is_criterion = |(name, value): (&String, &Value)| {
        !OPTIONS.contains(&name.as_str()) && value.as_str().is_some_and(|text| !text.is_empty())
    };
    let has_criteria = given.iter().any(is_criterion);
    let of_dead_letters = flag(&DEAD_LETTERS);
    let named = given.get(DELIVERIES.name).and_then(Value::as_array);
    let wanted = match named {
        Some(_) if has_criteria || of_dead_letters => {
            let why = "Give either the ids of calls or criteria.";
            return Err(Error::invalid(DELIVERIES.name, why));
        }
        Some(named) if named.is_empty() => {
            return Err(Error::invalid(DELIVERIES.name, "Give at least one id."));
        }
        Some(named) => {
            let ids = named
                .iter()
                .filter_map(|id| id.as_str().and_then(id::parse_any));
            Wanted::Calls(ids.collect())
        }
        None if !has_criteria && !of_dead_letters => {
            let why = "Give the ids of calls, or at least one criterion.";
            return Err(Error::invalid(DELIVERIES.name, why));
        }
        None => {
            if of_dead_letters {
                filter = without_text(filter)?;
            }
            // The calls of the resend itself come later.
            filter.before = filter.before.or(Some(generate(member.now)));
            Wanted::Selection(Box::new(Selection {
                of_dead_letters,
                filter,
            }))
        }
    };
    if flag(&PREVIEW) {
        audit::set_reading();
        return preview(&member, wanted).await;
    }
    let rate = given.get(RATE.name).and_then(Value::as_i64);
    begin(
        &member,
        idempotency,
        &body,
        rate.unwrap_or(DEFAULT_RATE),
        wanted,
    )
    .await
}

/// The events to send again.
#[derive(Clone)]
enum Wanted {
    Calls(Vec<Uuid>),
    Selection(Box<Selection>),
}

/// The deliveries that named calls were for.
fn named(conn: &mut Conn, workspace: WorkspaceId, own: &Own, ids: &[Uuid]) -> Result<Selected> {
    let mut selected = Selected::default();
    for id in ids {
        let found = log::find(conn, workspace, *id)?;
        let found = found.filter(|found| own.has(found.integration));
        let found = found.ok_or_else(|| Error::NotFound(format!("Delivery {id}")))?;
        let attempt = &found.attempt;
        if Source::of(found.integration, attempt.webhook) == Source::Channel {
            let message = run::find(conn, workspace, RunId(attempt.event.0))?;
            if message.is_none_or(|message| message.request.is_none()) {
                let why = format!(
                    "The message of the call {id} was delivered or has expired, and is not kept. Send a new one through the channel."
                );
                return Err(Error::invalid(DELIVERIES.name, why));
            }
        }
        if !selected.add(&found) {
            let why =
                format!("The call {id} is for no event of the log, so it cannot be repeated.");
            return Err(Error::invalid(DELIVERIES.name, why));
        }
        let seq = attempt.seq;
        if seq > 0 && event::find(conn, workspace, seq)?.is_none() {
            let why = format!(
                "The event of the call {id} was removed, because the workspace keeps events for a limited time, so the call cannot be repeated."
            );
            return Err(Error::invalid(DELIVERIES.name, why));
        }
    }
    Ok(selected)
}

async fn preview(member: &Member, wanted: Wanted) -> Result<JsonAnswer> {
    let workspace = member.workspace_id();
    let selection = match wanted {
        Wanted::Calls(ids) => {
            let own = Own::of(member)?;
            let read = move |conn: &mut Conn| named(conn, workspace, &own, &ids);
            let Selected { events, messages } = member.app.db.read(read).await?;
            let events: HashSet<_> = events.into_iter().collect();
            let messages: HashSet<_> = messages.into_iter().collect();
            let counted = ResendPreview {
                count: events.len() + messages.len(),
                is_complete: true,
            };
            return shown(StatusCode::OK, &counted);
        }
        Wanted::Selection(selection) => selection,
    };
    let (mut events, mut messages) = (HashSet::new(), HashSet::new());
    let (mut seen, mut selection) = (0, *selection);
    let least = selection.filter.text.as_ref().map_or(1, |_| SEARCHED_STEP);
    loop {
        let this = selection.clone();
        let read = move |conn: &mut Conn| {
            Ok::<_, Error>(resend::select(conn, workspace, &this, PREVIEW_PAGE)?)
        };
        let (found, next) = member.app.db.read(read).await?;
        seen += (found.events.len() + found.messages.len()).max(least);
        events.extend(found.events);
        messages.extend(found.messages);
        selection.filter.before = next;
        if next.is_none() || seen >= MAX_PREVIEWED {
            let counted = ResendPreview {
                count: events.len() + messages.len(),
                is_complete: next.is_none(),
            };
            return shown(StatusCode::OK, &counted);
        }
    }
}

async fn begin(
    member: &Member,
    idempotency: IdempotencyKey,
    body: &[u8],
    rate: i64,
    wanted: Wanted,
) -> Result<JsonAnswer> {
    let (workspace, now) = (member.workspace_id(), member.now);
    let id = generate(now);
    let calls = match &wanted {
        Wanted::Selection(_) => None,
        Wanted::Calls(ids) => Some(ids.clone()),
    };
    let selected = match calls {
        None => None,
        Some(ids) => {
            let own = Own::of(member)?;
            let read = move |conn: &mut Conn| named(conn, workspace, &own, &ids);
            Some(member.app.db.read(read).await?)
        }
    };
    let selection = match wanted {
        Wanted::Selection(selection) => *selection,
        Wanted::Calls(_) => Selection {
            of_dead_letters: false,
            filter: Filter {
                // The integration sees its resend.
                integration: limit_of(member, selected.as_ref()),
                ..Filter::default()
            },
        },
    };
    let recovered = recovered(workspace, &selection);
    let is_selected = selected.is_none();
    let node = member.app.node;
    let work = move |tx: &mut Tx<'_>| {
        let of = (id, rate);
        let at = (node, now);
        if !resend::begin(tx, workspace, of, &selection, selected.as_ref(), at)? {
            let most = resend::MAX_UNFINISHED;
            let why = format!(
                "The workspace has {most} resends that are not finished yet. Try again when some are."
            );
            return Err(Error::refused(Code::LimitReached, why));
        }
        if let Some(key) = recovered {
            delivery::make_due(tx, key, now)?;
        }
        let found = resend::find(tx.conn()?, workspace, id)?;
        let found = found.ok_or_else(|| Error::internal("a resend is gone"))?;
        Ok((shown(StatusCode::ACCEPTED, &model(&found))?, ()))
    };
    let (answer, is_new) = write_once_and(member, idempotency, body, work).await?;
    if is_new.is_some() {
        let app = &member.app;
        app.dispatch.check_side_queues();
        app.channels.queue.request_poll();
        if let Some(key) = recovered {
            let item = format!("{}:{}", key.integration, key.id);
            finish(member, Kind::MakeDeferredDue, item);
        }
        if is_selected {
            finish(member, Kind::Resend, id.to_string());
        }
    }
    Ok(answer)
}

/// The integration that a resend of named calls is limited to: that of the first call, if the caller acts for
/// integrations.
fn limit_of(member: &Member, selected: Option<&Selected>) -> Option<IntegrationId> {
    let own = member.caller.integrations()?;
    let first = selected.and_then(|selected| selected.events.first());
    first
        .map(|event| event.integration)
        .or(own.first().copied())
}

/// The webhook whose deferred events become due with its dead letters.
fn recovered(workspace: WorkspaceId, selection: &Selection) -> Option<Key> {
    let filter = &selection.filter;
    let integration = filter.integration.filter(|_| selection.of_dead_letters)?;
    Some(Key {
        workspace,
        integration,
        id: filter.webhook?,
    })
}

/// Completes a job in the background. If that fails, the server completes it later.
fn finish(member: &Member, kind: Kind, item: String) {
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    member.app.background.spawn(async move {
        if let Err(error) = job::finish(&app, workspace, kind, Items::One(item)).await {
            tracing::warn!(error = &error as &dyn std::error::Error, %workspace, job.kind = kind.name(), "cannot complete a background job; trying again later");
        }
    });
}

/// List the newest resends.
#[utoipa::path(get, operation_id = "list_resends", path = "/api/v1/{ws}/resends", tag = "webhooks",
    params(Member), responses((status = 200, body = ResendList)))]
pub(super) async fn list_resends(member: Member) -> Result<Response> {
    member.require_admin()?;
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| Ok::<_, Error>(resend::list(conn, workspace, MAX_LISTED)?);
    let found = member.app.db.read(read).await?;
    answer(&ResendList {
        count: found.len(),
        items: found.iter().map(model).collect(),
    })
}

takes! {
    ResendInPath: Path &[RESEND_ID];
}

const RESEND_ID: Field = Field::new("resendId", Type::Guid)
    .required()
    .doc("The id of the resend.");
/// The resend whose id is in the path.
pub(super) struct ResendInPath(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for ResendInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        id_in_path(parts, state, RESEND_ID.name).await.map(Self)
    }
}

/// Read the progress of a resend.
#[utoipa::path(get, operation_id = "get_resend", path = "/api/v1/{ws}/resends/{resendId}", tag = "webhooks",
    params(Member, ResendInPath), responses((status = 200, body = ResendModel)))]
pub(super) async fn get_resend(member: Member, ResendInPath(id): ResendInPath) -> Result<Response> {
    let (own, workspace) = (Own::of(&member)?, member.workspace_id());
    let read = move |conn: &mut Conn| find(conn, workspace, &own, id);
    answer(&model(&member.app.db.read(read).await?))
}

/// Finds a resend that the caller may see.
fn find(conn: &mut Conn, workspace: WorkspaceId, own: &Own, id: Uuid) -> Result<Resend> {
    let found = resend::find(conn, workspace, id)?;
    let found = found.filter(|found| own.has_limited(found.integration));
    found.ok_or_else(|| Error::NotFound(format!("Resend {id}")))
}

/// Cancel a resend. Events that were not started are not sent. One that has ended stays as it is.
#[utoipa::path(post, operation_id = "cancel_resend", path = "/api/v1/{ws}/resends/{resendId}/cancel", tag = "webhooks",
    params(Member, ResendInPath), responses((status = 200, body = ResendModel)))]
pub(super) async fn cancel_resend(
    member: Member,
    ResendInPath(id): ResendInPath,
) -> Result<Response> {
    let (own, workspace) = (Own::of(&member)?, member.workspace_id());
    let write = move |tx: &mut Tx<'_>| {
        let found = find(tx.conn()?, workspace, &own, id)?;
        resend::cancel(tx, workspace, &found)?;
        find(tx.conn()?, workspace, &own, id)
    };
    answer(&model(&member.app.db.write(workspace, write).await?))
}

fn model(found: &Resend) -> ResendModel {
    ResendModel {
        id: found.id,
        state: found.state.name(),
        rate: found.rate,
        selected: found.selected,
        waiting: found.waiting,
        created_at: found.created_at,
    }
}

fn shown(status: StatusCode, model: &impl Serialize) -> Result<JsonAnswer> {
    let text = serde_json::to_string(model).map_err(Error::internal)?;
    Ok(JsonAnswer::new(status, text))
}
