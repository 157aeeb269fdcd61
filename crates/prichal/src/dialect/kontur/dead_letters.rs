//! `/api/v1/{ws}/dead-letters`: events that were given up (`docs/contracts/prichal.md §6`).

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
    response::Response,
};
use prichal_core::{
    event::ChangeType,
    id::{EventId, IntegrationId, WebhookId},
    offset,
    schema::{Field, Type},
};
use prichal_store::{
    Conn, Tx,
    delivery::{
        dead_letter::{self, DeadLetter},
        log::Source,
    },
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    caller::Member,
    criteria::{DeadLetterQuery, Own, read_filter, without_text},
    delivery_log::{DeliveredEntity, MAX_ROWS, answer, entities, id_in_path},
};
use crate::{
    dialect::openapi::schema::takes,
    error::{Error, Result},
    http::page::Query,
};

takes! {
    LetterInPath: Path &[LETTER_ID];
}

const LETTER_ID: Field = Field::new("letterId", Type::Guid)
    .required()
    .doc("The id of the dead letter.");

/// The dead letter whose id is in the path.
pub(super) struct LetterInPath(Uuid);

impl<S: Send + Sync> FromRequestParts<S> for LetterInPath {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        id_in_path(parts, state, LETTER_ID.name).await.map(Self)
    }
}

/// An event that was given up.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeadLetter)]
pub(super) struct DeadLetterModel {
    /// The id of the last call.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    #[schema(schema_with = super::delivery_log::source_word)]
    source: &'static str,
    /// The id of the webhook's integration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    integration_id: Option<IntegrationId>,
    /// The id of the webhook or document hook.
    #[schema(value_type = String, format = "uuid")]
    web_hook_id: WebhookId,
    /// The id of the event.
    #[schema(value_type = String, format = "uuid")]
    event_id: EventId,
    /// The event's offset in the feed.
    #[schema(value_type = String, format = "uuid")]
    offset: Uuid,
    /// `change`, `link` or `unlink`; `custom` for an event of an own type.
    event_type: &'static str,
    /// The own type of an event, such as `order.created`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    custom_type: Option<String>,
    /// The type of a change.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    change_type: Option<&'static str>,
    /// The entities that the event is about.
    entities: Vec<DeliveredEntity>,
    /// The number of calls for this event.
    attempts: i64,
    /// The status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    http_status: Option<i64>,
    /// The reason of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetterList {
    /// The number of dead letters on the page. It may be below the limit although there is a next page.
    count: usize,
    /// The dead letters, the last given up first.
    items: Vec<DeadLetterModel>,
    /// The value of `before` for the next page. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    next: Option<Uuid>,
}

/// List the events that were given up, until a resend delivers them, they are dismissed, or they expire.
#[utoipa::path(get, operation_id = "list_dead_letters", path = "/api/v1/{ws}/dead-letters", tag = "webhooks",
    params(Member, DeadLetterQuery), responses((status = 200, body = DeadLetterList)))]
pub(super) async fn list_dead_letters(member: Member, query: Query) -> Result<Response> {
    let filter = without_text(read_filter(&member, &query)?)?;
    let (workspace, limit) = (member.workspace_id(), query.limit()?);
    let read = move |conn: &mut Conn| {
        let page = dead_letter::list(conn, workspace, &filter, limit, MAX_ROWS)?;
        Ok::<_, Error>(page)
    };
    let found = member.app.db.read(read).await?;
    let items = found.items.into_iter();
    answer(&DeadLetterList {
        count: items.len(),
        items: items.map(|letter| letter_model(&member, letter)).collect(),
        next: found.next,
    })
}

/// Dismiss a dead letter.
#[utoipa::path(delete, operation_id = "dismiss_dead_letter", path = "/api/v1/{ws}/dead-letters/{letterId}",
    tag = "webhooks", params(Member, LetterInPath), responses((status = 204)))]
pub(super) async fn dismiss_dead_letter(
    member: Member,
    LetterInPath(id): LetterInPath,
) -> Result<StatusCode> {
    let (limits, workspace) = (Own::of(&member)?.limits(), member.workspace_id());
    let write = move |tx: &mut Tx<'_>| {
        for limit in &limits {
            if dead_letter::dismiss(tx, workspace, id, *limit)? {
                return Ok(StatusCode::NO_CONTENT);
            }
        }
        Err(Error::NotFound(format!("Dead letter {id}")))
    };
    member.app.db.write(workspace, write).await
}

fn letter_model(member: &Member, letter: DeadLetter) -> DeadLetterModel {
    let source = Source::of(letter.integration, letter.webhook);
    DeadLetterModel {
        id: letter.id,
        source: source.name(),
        integration_id: (source == Source::Webhook).then_some(letter.integration),
        web_hook_id: letter.webhook,
        event_id: letter.event,
        offset: offset::of(member.workspace_id(), letter.seq),
        event_type: letter.about.kind_column(),
        change_type: letter.about.kind.change().map(ChangeType::name),
        entities: entities(Some(&letter.about)),
        custom_type: letter.about.custom.map(|custom| custom.name),
        attempts: letter.attempts,
        http_status: letter.http_status,
        error: letter.error,
    }
}
