//! `POST /api/v1/{ws}/events`: events of the workspace's own types (`docs/contracts/prichal.md §5`).

use prichal_core::{
    event_type::{Draft, MAX_EVENTS, PUBLISHED_EVENT, RECEIPT},
    json::{push_guid, push_text},
};
use prichal_store::Tx;
use std::fmt::Write as _;
use utoipa::openapi::{ObjectBuilder, OneOfBuilder, schema::ArrayBuilder};

use super::{caller::Member, openapi::page_of};
use crate::{
    dialect::openapi::schema::{body, described, example, model, of},
    domain::event_type::publish::{self, Receipt},
    error::Result,
    http::{
        body::Raw,
        idempotency::{IdempotencyKey, JsonAnswer, first_answer, write_once},
    },
    platform::reading::parse_json,
};

described! {
    /// An event of one of the workspace's own types.
    PublishedEvent = body(PUBLISHED_EVENT).examples(example(include_str!("examples/published-event.json")));
    /// Several events. All are published, or none.
    EventBatch = ObjectBuilder::new()
        .property("items", ArrayBuilder::new()
            .items(of::<PublishedEvent>())
            .description(Some("The events, in the order of the feed."))
            .min_items(Some(1))
            .max_items(Some(MAX_EVENTS)))
        .required("items"), with PublishedEvent;
    /// One event, or several.
    PublishedEvents = OneOfBuilder::new().item(of::<PublishedEvent>()).item(of::<EventBatch>())
        .examples(example(include_str!("examples/published-event.json"))), with PublishedEvent, EventBatch;
    /// A published event.
    EventReceipt = model(RECEIPT);
    /// The published events, in the order of the request.
    EventReceipts = page_of::<EventReceipt>("The number of the events."), with EventReceipt;
}

/// Publish events of the workspace's own types: one event, or up to 1000 as `{"items": […]}`.
///
/// Each is checked against the schema of its type. All are published, or none. Administrators may publish, and those
/// whom the type names among its `publishers`. An event with an `id` that was published before with the same content
/// is answered as the first time, and makes no second event.
#[utoipa::path(post, path = "/api/v1/{ws}/events", tag = "events", params(Member, IdempotencyKey),
    request_body = PublishedEvents, responses((status = 200, body = EventReceipts)))]
pub(super) async fn publish_events(
    member: Member,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let drafts = Draft::read_all(&parse_json(&body)?)?;
    if key.is_given()
        && let Some(first) = first_answer(&member, &key, &body).await?
    {
        publish::admit(&member.app, &member.caller, member.workspace_id(), &drafts).await?;
        return Ok(first);
    }
    let origin = member.origin();
    let publication = publish::check(&member.app, &member.caller, &origin, drafts).await?;
    let write = move |tx: &mut Tx<'_>| {
        let receipts = publication.write(tx, &origin)?;
        Ok(answer(&receipts))
    };
    write_once(&member, key, &body, write).await
}

fn answer(receipts: &[Receipt]) -> String {
    let mut text = String::with_capacity(60 + receipts.len() * 100);
    // Writing into a `String` cannot fail.
    let _ = write!(text, "{{\"count\":{},\"items\":[", receipts.len());
    for (n, Receipt { id, name, version }) in receipts.iter().enumerate() {
        text.push_str(if n == 0 { "{\"id\":" } else { ",{\"id\":" });
        push_guid(&mut text, id.0);
        text.push_str(",\"type\":");
        push_text(&mut text, name);
        let _ = write!(text, ",\"version\":{version}}}");
    }
    text.push_str("]}");
    text
}
