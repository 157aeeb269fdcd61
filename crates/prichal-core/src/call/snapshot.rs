//! A call in the log: our own text, rendered once at the commit (`docs/contracts/kontur.md §5`).

use serde::Serialize;
use uuid::Uuid;

use super::{Call, Event, Leg, Moment, Status};
use crate::json;

/// The maximum number of bytes of events in a snapshot; the oldest are left out (`docs/contracts/kontur.md §13` row
/// 22).
const MAX_EVENT_BYTES: usize = 256 * 1024;

/// The members of a call's model besides its evidence.
#[derive(Clone, Debug)]
pub struct Head {
    pub id: Uuid,
    pub integration: Uuid,
    /// With the integration's name before it; `None` until the exchange names the call.
    pub external_id: Option<String>,
    /// The time of the first message; history may give an earlier beginning.
    pub first_seen: Moment,
    /// The group of the user who is responsible.
    pub group: Option<Uuid>,
}

/// The links of a communication, by the kind of their other end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Links {
    pub company_ids: Vec<Uuid>,
    pub contact_ids: Vec<Uuid>,
    pub deal_ids: Vec<Uuid>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    client_phone: &'a str,
    external_vats_phone: &'a str,
    items: Vec<Leg>,
    events: &'a [Event],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

/// The snapshot for the log: the id first. Links are events of their own.
pub fn snapshot(call: &Call, head: &Head) -> String {
    let mut events = call.events.as_slice();
    while serde_json::to_string(events).map_or(0, |text| text.len()) > MAX_EVENT_BYTES {
        events = &events[events.len() / 2..];
    }
    let mut out = String::with_capacity(1024 + events.len() * 256);
    out.push_str("{\"id\":");
    json::push_guid(&mut out, head.id);
    out.push(',');
    push_members(&mut out, call, head, events);
    out.push('}');
    out
}

/// Appends the members between the braces, without the id. `events` are all of the call's, or its newest.
pub fn push_members(out: &mut String, call: &Call, head: &Head, events: &[Event]) {
    if let Some(external_id) = &head.external_id {
        out.push_str("\"externalId\":");
        json::push_text(out, external_id);
        out.push(',');
    }
    out.push_str("\"externalCreatedAt\":");
    json::push_text(out, created_at(call, head).text());
    out.push_str(",\"type\":\"call\",\"direction\":");
    json::push_text(out, call.direction().name());
    out.push_str(",\"status\":");
    json::push_text(out, call.status().name());
    out.push_str(",\"integrationId\":");
    json::push_guid(out, head.integration);
    out.push_str(",\"data\":{\"call\":");
    push(out, &data(call, events));
    out.push('}');
    let facts = call.facts();
    if let Some(user) = facts.responsible_user_id {
        out.push_str(",\"assignedToUserId\":");
        json::push_guid(out, user);
    }
    out.push_str(",\"assignedToGroupId\":");
    json::push_guid(out, head.group.unwrap_or_default());
}

fn data<'a>(call: &'a Call, events: &'a [Event]) -> Data<'a> {
    Data {
        client_phone: call.client_phone(),
        external_vats_phone: call.external_vats_phone(),
        items: call.legs(),
        events,
        failed: call.failed.is_some() && call.status() == Status::Sealed,
        fail_reason: call
            .failed
            .as_ref()
            .and_then(|failure| failure.reason.as_deref()),
        note: call.note.as_deref(),
    }
}

/// The beginning of the call, as far as known.
pub fn created_at<'a>(call: &'a Call, head: &'a Head) -> &'a Moment {
    let told = call
        .history
        .as_ref()
        .and_then(|history| history.external_created_at.as_ref());
    told.unwrap_or(&head.first_seen)
}

fn push(out: &mut String, value: &impl Serialize) {
    // Only a map with keys that are not texts could fail here, and there is none.
    out.push_str(&serde_json::to_string(value).unwrap_or_default());
}
