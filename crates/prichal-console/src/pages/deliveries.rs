//! Deliveries: every call of webhooks, document hooks and channels; why one failed, and sending it again.

mod advice;
mod command;
mod detail;
pub(super) mod model;
mod progress;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use detail::{confirm_one, detail, resend, verify};
pub(super) use progress::{cancel, progress};

use self::{
    model::{Call, CallList, Names, Row, Source},
    progress::Resend,
};
use crate::{
    answer::{Fault, page, redirect},
    api::{ApiError, query, segment},
    form::{Action, Fields},
    moment::{self, Moment},
    page::{Layout, Section},
    parts::{Choice, choices},
    visit::Visit,
    words::{self, fill},
};

/// The number of calls on a page.
const PAGE: &str = "50";
const FULL_PAGE: usize = 50;

/// The criteria of the page's address that the API takes as they are (`docs/deliveries.md §2`).
const CRITERIA: [&str; 12] = [
    "source",
    "status",
    "httpStatus",
    "integrationId",
    "webHookId",
    "eventId",
    "eventType",
    "changeType",
    "customType",
    "entityType",
    "entityId",
    "text",
];

/// The criteria of a list, as the address has them.
struct Criteria {
    fields: Fields,
    /// The period as the API takes it.
    from: String,
    to: String,
}

impl Criteria {
    fn read(query: Option<String>, visit: &Visit) -> Self {
        Self::of(Fields::parse(query.unwrap_or_default().as_bytes()), visit)
    }

    fn of(fields: Fields, visit: &Visit) -> Self {
        let zone = &visit.workspace.zone;
        // A time that cannot be read goes to the API as it is, which says what is wrong.
        let time = |name| {
            let text = fields.text(name);
            moment::from_input(text, zone).unwrap_or_else(|| text.to_owned())
        };
        let (from, to) = (time("from"), time("to"));
        Self { fields, from, to }
    }

    /// The criteria with a value, as the API takes them.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = CRITERIA.iter().map(|name| (*name, self.fields.text(name)));
        named
            .chain([("from", &*self.from), ("to", &*self.to)])
            .filter(|(_, value)| !value.is_empty())
    }

    /// The address of a page with these criteria.
    fn address(&self, visit: &Visit, below: &str, more: &[(&str, &str)]) -> String {
        let pairs = self.pairs().chain(more.iter().copied());
        format!("{}{}", visit.page(below), query(pairs))
    }

    /// The criteria as the body of a resend.
    fn body(&self) -> Map<String, Value> {
        self.pairs()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect()
    }
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Deliveries,
    filter: Filter,
    rows: Vec<Row>,
    /// The address of the next page.
    older: Option<String>,
    /// The time down to which the log was looked through, if that found less than a page.
    searched: Option<Moment>,
    /// The address of the first page, if this is another one.
    newest: Option<String>,
    /// The address of the page that sends everything again that matches.
    resend: String,
    /// The address of this list, for live updates; empty for pages of the past.
    live: String,
    /// The number of criteria.
    filters: usize,
    error: Option<String>,
    may_change: bool,
}

struct Filter {
    statuses: Vec<Choice>,
    sources: Vec<Choice>,
    entities: Vec<Choice>,
    text: String,
    http_status: String,
    custom_type: String,
    from: String,
    to: String,
    /// Further criteria, which links from other pages set: their names, labels and values.
    others: Vec<(&'static str, &'static str, String)>,
    /// The address without criteria.
    reset: String,
}

impl Filter {
    fn new(criteria: &Criteria, visit: &Visit, w: &words::Deliveries) -> Self {
        let text = |name: &str| criteria.fields.text(name).to_owned();
        let others = [
            "integrationId",
            "webHookId",
            "eventId",
            "eventType",
            "changeType",
            "entityId",
        ];
        Self {
            statuses: choices(
                &text("status"),
                [
                    ("delivered", w.delivered),
                    ("deferred", w.deferred),
                    ("exhausted", w.exhausted),
                ],
            ),
            sources: choices(
                &text("source"),
                [
                    ("webhook", w.webhook),
                    ("documentHook", w.document_hook),
                    ("channel", w.channel),
                ],
            ),
            entities: choices(
                &text("entityType"),
                super::ENTITY_TYPES.map(|one| (one, one)),
            ),
            text: text("text"),
            http_status: text("httpStatus"),
            custom_type: text("customType"),
            from: moment::to_input(&text("from"), &visit.workspace.zone),
            to: moment::to_input(&text("to"), &visit.workspace.zone),
            others: others
                .into_iter()
                .map(|name| (name, label(name, w, visit), text(name)))
                .filter(|(.., value)| !value.is_empty())
                .collect(),
            reset: visit.page("deliveries"),
        }
    }
}

/// The calls that match the address, newest first.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Deliveries::of(visit.language);
    let criteria = Criteria::read(query, &visit);
    let before = criteria.fields.text("before").to_owned();
    let (found, error) = match calls(&visit, &criteria, &before).await {
        Ok(found) => (found, None),
        Err(error) if error.is_refusal() => (CallList::default(), Some(error.message)),
        Err(error) => return Err(error.into()),
    };
    let names = Names::read(&visit).await?;
    let next = found.next.as_deref();
    let searched = found.searched_to.as_deref();
    let searched = searched.filter(|_| found.items.len() < FULL_PAGE);
    let first = criteria.address(&visit, "deliveries", &[]);
    Ok(page(&ListPage {
        layout: Layout::of(&visit, Section::Deliveries, w.title).with_notice(done(
            &criteria.fields,
            w,
            None,
        )),
        w,
        filter: Filter::new(&criteria, &visit, w),
        rows: found
            .items
            .iter()
            .map(|call| Row {
                resend: resend_of(call, &criteria, &visit),
                ..Row::new(call, &names, &visit, w)
            })
            .collect(),
        searched: searched.and_then(|at| Moment::parse(at, &visit.workspace.zone)),
        older: next.map(|next| criteria.address(&visit, "deliveries", &[("before", next)])),
        // A search for a text takes too long to be made again with each call.
        live: if before.is_empty() && criteria.fields.text("text").is_empty() {
            first.clone()
        } else {
            String::new()
        },
        newest: (!before.is_empty()).then_some(first),
        resend: criteria.address(&visit, "deliveries/resend", &[]),
        filters: criteria.pairs().count(),
        error,
        may_change: visit.may_change(),
    }))
}

/// The address of the page that asks before the event of a call is sent again. It leads back to the list.
fn resend_of(call: &Call, criteria: &Criteria, visit: &Visit) -> Option<String> {
    let below = format!("deliveries/{}/resend", segment(&call.id));
    (visit.may_integrate() && !call.is_over()).then(|| criteria.address(visit, &below, &[]))
}

async fn calls(visit: &Visit, criteria: &Criteria, before: &str) -> Result<CallList, ApiError> {
    let pairs = criteria
        .pairs()
        .chain([("limit", PAGE), ("before", before)]);
    let path = format!("{}{}", visit.api("deliveries"), query(pairs));
    visit.get(&path).await
}

#[derive(Template)]
#[template(path = "deliveries-resend.html")]
struct ResendPage {
    layout: Layout,
    w: &'static words::Deliveries,
    /// The number of events to be sent again, in a sentence.
    sentence: String,
    /// The criteria as they are sent, and as they are shown: their labels and values.
    criteria: Vec<(String, String)>,
    shown: Vec<(&'static str, String)>,
    count: u64,
    action: String,
    back: String,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preview {
    count: u64,
    is_complete: bool,
}

/// The label of a criterion.
fn label(name: &str, w: &words::Deliveries, visit: &Visit) -> &'static str {
    let c = words::Common::of(visit.language);
    match name {
        "source" => w.source,
        "status" => w.status,
        "httpStatus" => w.http_status,
        "integrationId" => w.integration,
        "webHookId" => w.webhook_id,
        "eventId" => w.event,
        "eventType" => w.event_type,
        "changeType" => w.change_type,
        "customType" => w.custom_type,
        "entityType" => w.entity,
        "entityId" => w.entity_id,
        "text" => w.text,
        "from" => c.from,
        "to" => c.to,
        _ => CRITERIA
            .into_iter()
            .find(|one| *one == name)
            .unwrap_or_default(),
    }
}

/// The value of a criterion in the reader's words.
fn shown(name: &str, value: &str, w: &words::Deliveries, visit: &Visit) -> String {
    let word = match (name, value) {
        ("status", "delivered") => w.delivered,
        ("status", "deferred") => w.deferred,
        ("status", "exhausted") => w.exhausted,
        ("source", "webhook") => w.webhook,
        ("source", "documentHook") => w.document_hook,
        ("source", "channel") => w.channel,
        ("from" | "to", at) => {
            let at = Moment::parse(at, &visit.workspace.zone);
            return at.map_or_else(|| value.to_owned(), |at| at.local);
        }
        _ => value,
    };
    word.to_owned()
}

/// Asks before everything that matches is sent again, with the number of events.
pub(crate) async fn confirm(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    // The API would refuse the question like the act, and record it, although the visitor only looks.
    if !visit.may_integrate() {
        return Err(Fault::NotFound);
    }
    let w = words::Deliveries::of(visit.language);
    let criteria = Criteria::read(query, &visit);
    let (sentence, count, error) = preview(&visit, criteria.body(), w).await?;
    let shown = criteria
        .pairs()
        .map(|(name, value)| (label(name, w, &visit), shown(name, value, w, &visit)))
        .collect();
    let sent = criteria
        .pairs()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(page(&ResendPage {
        layout: Layout::of(&visit, Section::Deliveries, w.resend_title),
        w,
        sentence,
        criteria: sent.collect(),
        shown,
        count,
        action: visit.page("deliveries/resend"),
        back: criteria.address(&visit, "deliveries", &[]),
        error,
    }))
}

/// Counts the events of a resend: a sentence, the number, and the reason of a refusal.
async fn preview(
    visit: &Visit,
    mut body: Map<String, Value>,
    w: &words::Deliveries,
) -> Result<(String, u64, Option<String>), Fault> {
    body.insert("preview".to_owned(), true.into());
    let (path, body) = (visit.api("resends"), body.into());
    match visit.send::<Preview>(Method::POST, &path, &body).await {
        Ok(found) => {
            let sentence = if found.is_complete {
                w.resend_count
            } else {
                w.resend_more
            };
            Ok((fill(sentence, &[&found.count]), found.count, None))
        }
        Err(error) if error.is_refusal() => Ok((String::new(), 0, Some(error.message))),
        Err(error) => Err(error.into()),
    }
}

/// Sends everything again that matches the criteria of the form.
pub(crate) async fn resend_matching(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let criteria = Criteria::of(fields, &visit);
    let body = criteria.body().into();
    let path = visit.api("resends");
    let begun: Resend = visit.send(Method::POST, &path, &body).await?;
    Ok(redirect(&progress::address(
        &visit, &criteria, &begun.id, "resend",
    )))
}

/// The names of integrations and webhooks.
#[derive(Deserialize)]
struct Named {
    items: Vec<NamedItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedItem {
    id: String,
    #[serde(default)]
    name: String,
}

impl Names {
    /// Reads the names of the integrations. A session without the right sees their ids.
    pub(super) async fn read(visit: &Visit) -> Result<Self, Fault> {
        let path = visit.api("integrations?limit=1000");
        let found = visit.get::<Named>(&path).await;
        let items = match found {
            Ok(found) => found.items,
            Err(error) if error.is_forbidden() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let pairs = items.into_iter().map(|one| (one.id, one.name));
        Ok(Self(pairs.collect::<HashMap<_, _>>()))
    }
}

impl Source {
    fn word(self, w: &words::Deliveries) -> &'static str {
        match self {
            Self::Webhook => w.webhook,
            Self::DocumentHook => w.document_hook,
            Self::Channel => w.channel,
        }
    }
}

/// The sentence about what was just done, by the address.
fn done(fields: &Fields, w: &words::Deliveries, call: Option<&Call>) -> Option<&'static str> {
    match (fields.text("done"), call) {
        ("resend", None) => Some(w.resending_all),
        ("resend", Some(_)) => Some(w.resending),
        ("cancel", None) => Some(w.progress_cancelled_now),
        _ => None,
    }
}
