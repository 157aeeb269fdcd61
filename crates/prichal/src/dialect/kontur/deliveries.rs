//! The outcomes of webhook calls, and test calls (`docs/contracts/prichal.md §6`).

use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::{StatusCode, request::Parts},
    response::Response,
};
use bytes::Bytes;
use prichal_core::{
    event::{
        EntityKind, NewEvent,
        custom::{CustomEvent, CustomHead},
    },
    filter::FilterItem,
    id::{self, EventId, IntegrationId, WebhookId, generate},
    integration::{Trigger, Webhook as Definition},
    retry::{Failure, Schedule, Verdict},
    schema::{Field, Type, Words},
};
use prichal_store::{
    Conn,
    delivery::{self, AttemptFilter},
    integration,
    webhook::{self, Key},
};
use serde_json::json;
use uuid::Uuid;

use super::{caller::Member, instances::InPath};
use crate::{
    delivery::{
        attempt::{self, AttemptList, AttemptModel},
        commit::{self, Subject},
        target::{
            AttemptResult,
            webhook::{IS_AWAITED, Payload, Receiver, deliver},
        },
    },
    dialect::openapi::schema::{parameters, takes},
    error::{Error, Result},
    http::{
        answer::json_text,
        page::{LIMIT, Query},
    },
    platform::outgoing::post::not_made,
};

const WEBHOOK: Field = Field::new("webHookId", Type::Guid).doc("The calls of this webhook only.");
const EVENT: Field = Field::new("eventId", Type::Guid).doc("The calls for this event only.");
const STATUS: Field =
    Field::new("status", Type::Enum(&STATUSES)).doc("The calls with this outcome only.");
const BEFORE: Field =
    Field::new("before", Type::Guid).doc("The id of the last attempt of the page before.");
static STATUSES: Words = Words {
    name: "deliveryStatus",
    words: &delivery::STATUSES,
};

parameters! {
    /// The attempts to list.
    AttemptQuery = &[WEBHOOK, EVENT, STATUS, BEFORE, LIMIT];
}

takes! {
    HookInPath: Path &[Field::new("hookId", Type::Guid).required().doc("The id of the webhook.")];
}

/// The webhook whose id is in the path.
pub(super) struct HookInPath(pub(super) WebhookId);

impl<S: Send + Sync> FromRequestParts<S> for HookInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params =
            params.map_err(|_| Error::invalid("hookId", "The path is not valid UTF-8."))?;
        let (_, id) = params
            .iter()
            .find(|(name, _)| *name == "hookId")
            .unwrap_or_default();
        let shown: String = id.chars().take(64).collect();
        let id = WebhookId::parse_any(id).ok_or_else(|| {
            Error::invalid("hookId", format!("The value '{shown}' is not a valid id."))
        })?;
        Ok(Self(id))
    }
}

/// List the attempts to call an instance's webhooks, newest first.
///
/// For the next page, give `next` as `before`, or else the last attempt's id. Attempts are kept 30 days.
#[utoipa::path(get, operation_id = "list_webhook_deliveries", path = "/api/v1/{ws}/integrations/instances/{id}/deliveries", tag = "webhooks",
    params(Member, InPath, AttemptQuery), responses((status = 200, body = AttemptList)))]
pub(super) async fn list_deliveries(
    member: Member,
    InPath(id): InPath,
    query: Query,
) -> Result<Response> {
    if member.caller.integrations().is_some() {
        member.require_owner(id)?;
    }
    let filter = AttemptFilter {
        webhook: query.read(WEBHOOK.name, "a GUID", WebhookId::parse_any)?,
        event: query.read(EVENT.name, "a GUID", EventId::parse_any)?,
        status: query.read(
            STATUS.name,
            "delivered, deferred or exhausted",
            attempt::status,
        )?,
        since: None,
        before: query.read(BEFORE.name, "the id of an attempt", id::parse_any)?,
    };
    let limit = query.limit()?;
    let workspace = member.workspace_id();
    let read = move |conn: &mut Conn| {
        if integration::find_instance(conn, workspace, id)?.is_none() {
            return Err(Error::NotFound(format!("IntegrationInstance {id}")));
        }
        Ok(delivery::list_attempts(
            conn, workspace, id, &filter, limit,
        )?)
    };
    let found = member.app.db.read(read).await?;
    let page = attempt::list(&found, |one| attempt::lean_model(workspace, one));
    Ok(json_text(StatusCode::OK, page.to_string()))
}

/// A webhook of an instance that the caller may act for.
pub(super) async fn find(
    member: &Member,
    integration: IntegrationId,
    hook: WebhookId,
) -> Result<(Key, Definition)> {
    member.require_owner(integration)?;
    let key = Key {
        workspace: member.workspace_id(),
        integration,
        id: hook,
    };
    let found = member
        .app
        .db
        .read(move |conn| webhook::find(conn, key))
        .await?;
    let found = found.ok_or_else(|| Error::NotFound(format!("WebHook {hook}")))?;
    let definition = serde_json::from_str(&found.definition)
        .ok()
        .and_then(|json| Definition::from_kept(&json));
    let definition =
        definition.ok_or_else(|| Error::internal("a webhook's definition is damaged"))?;
    Ok((key, definition))
}

/// Send one made-up event now, and show the outcome. The event is not retried, is not in the feed, and does not count
/// as a failure of the webhook.
#[utoipa::path(post, path = "/api/v1/{ws}/integrations/instances/{id}/webHooks/{hookId}/test", tag = "webhooks",
    params(Member, InPath, HookInPath), responses((status = 200, body = AttemptModel<'static>)))]
pub(super) async fn test_webhook(
    member: Member,
    InPath(id): InPath,
    HookInPath(hook): HookInPath,
) -> Result<Response> {
    let (key, definition) = find(&member, id, hook).await?;
    let receiver = Receiver::load(&member.app, key, &definition).await?;
    let receiver = receiver.ok_or_else(|| Error::NotFound(format!("IntegrationInstance {id}")))?;
    let event = EventId::generate(member.now);
    let payload = Payload {
        id: event.0,
        body: made_up(&member, event, &definition),
        replay: false,
    };
    let connections = receiver.connections(1);
    let (outcome, verdict) =
        match deliver(&member.app, &receiver, &connections, payload, IS_AWAITED).await {
            AttemptResult::Called(outcome) => {
                // A schedule without retries: a failure is final.
                let verdict = Schedule(Vec::new()).judge(1, outcome.reply, member.now);
                (*outcome, verdict)
            }
            AttemptResult::Skipped => {
                let why = "the script skips this event, so nothing was sent".to_owned();
                let outcome = not_made(member.now, Failure::Script, why);
                (outcome, Verdict::Delivered)
            }
            AttemptResult::Postponed(_) | AttemptResult::Lost => return Err(Error::Busy),
        };
    let subject = Subject {
        event,
        seq: 0,
        about: None,
        is_replay: false,
    };
    let attempt = commit::attempt(generate(member.now), hook, subject, 1, outcome, verdict);
    Ok(json_text(
        StatusCode::OK,
        attempt::lean_model(key.workspace, &attempt).to_string(),
    ))
}

/// An event of the first kind in the webhook's filter, about an entity that does not exist. One of an own type has no
/// data.
pub(super) fn made_up(member: &Member, event: EventId, definition: &Definition) -> Bytes {
    if let Trigger::Schedule(_) = definition.trigger {
        return Bytes::from_static(b"{}");
    }
    let own = definition
        .items
        .iter()
        .find_map(|item| item.event_types.first());
    if let (Some(pattern), true) = (own, definition.items.iter().all(FilterItem::is_custom)) {
        let custom = CustomEvent {
            head: CustomHead {
                name: pattern.as_str().replace('*', "test"),
                entity: None,
            },
            version: 1,
            timestamp: member.now.to_string(),
        };
        let origin = member.origin();
        return NewEvent::custom(event, &origin, event.0, custom, "{}".to_owned())
            .render(Uuid::nil())
            .into();
    }
    let asked = definition.items.iter().find_map(|item| item.entity_type);
    let entity = (asked.unwrap_or(EntityKind::Company), generate(member.now));
    let snapshot = json!({ "id": entity.1, "name": "Test" }).to_string();
    NewEvent::create(event, &member.origin(), entity, snapshot)
        .render(Uuid::nil())
        .into()
}
