//! Events: the log of a workspace, and one event with what came of it.

mod detail;
mod model;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::{
    Router,
    extract::RawQuery,
    response::Response,
    routing::{get, post},
};

use self::model::{EventPage, Row, names};
use crate::{
    answer::{Fault, page},
    api::query,
    form::Fields,
    moment,
    page::{Layout, Section},
    parts::{Choice, choices},
    state::Console,
    visit::Visit,
    words,
};

/// The number of events on a page.
const PAGE: &str = "50";
/// The criteria that the API takes as they are.
const CRITERIA: [&str; 5] = [
    "eventType",
    "changeType",
    "customType",
    "entityType",
    "entityId",
];

pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/console/{ws}/events", get(list))
        .route("/console/{ws}/events/{offset}", get(detail::detail))
        .route("/console/{ws}/events/{offset}/resend", post(detail::resend))
}

#[derive(Template)]
#[template(path = "events.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Events,
    filter: Filter,
    rows: Vec<Row>,
    newer: Option<String>,
    newest: Option<String>,
    older: Option<String>,
    /// The address of this list, for live updates; empty for pages of the past.
    live: String,
    /// The number of criteria.
    filters: usize,
    error: Option<String>,
}

struct Filter {
    kinds: Vec<Choice>,
    changes: Vec<Choice>,
    entities: Vec<Choice>,
    entity: String,
    custom_type: String,
    from: String,
    to: String,
    /// The address without criteria.
    reset: String,
}

/// The events that match the address, newest first.
async fn list(visit: Visit, RawQuery(given): RawQuery) -> Result<Response, Fault> {
    let w = words::Events::of(visit.language);
    let fields = Fields::parse(given.unwrap_or_default().as_bytes());
    let zone = &visit.workspace.zone;
    let text = |name: &str| fields.text(name).to_owned();
    let time =
        |name: &str| moment::from_input(fields.text(name), zone).unwrap_or_else(|| text(name));
    let (from, to) = (time("from"), time("to"));
    let given = CRITERIA.iter().map(|name| (*name, fields.text(name)));
    let criteria: Vec<_> = given
        .chain([("from", &*from), ("to", &*to)])
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let at = [
        ("before", fields.text("before")),
        ("after", fields.text("after")),
    ];
    let address = |more: &[(&str, &str)]| {
        let pairs = criteria.iter().chain(more).copied();
        format!("{}{}", visit.page("events"), query(pairs))
    };
    let asked = criteria.iter().copied().chain([("limit", PAGE)]).chain(at);
    let path = format!("{}{}", visit.api("log"), query(asked));
    let (found, error) = match visit.get::<EventPage>(&path).await {
        Ok(found) => (found, None),
        Err(error) if error.is_refusal() && !error.is_not_found() => {
            (EventPage::default(), Some(error.message))
        }
        Err(error) => return Err(error.into()),
    };
    let names = names(&visit, &found.items.iter().collect::<Vec<_>>()).await?;
    let is_newest = at.iter().all(|(_, value)| value.is_empty());
    let first = address(&[]);
    let newer = found.previous.as_deref();
    Ok(page(&ListPage {
        layout: Layout::of(&visit, Section::Events, w.title),
        w,
        rows: found
            .items
            .iter()
            .map(|event| Row::new(event, &names, &visit, w))
            .collect(),
        older: found
            .next
            .as_deref()
            .map(|next| address(&[("before", next)])),
        newer: newer.map(|at| address(&[("after", at)])),
        live: if is_newest {
            first.clone()
        } else {
            String::new()
        },
        newest: (!is_newest).then_some(first),
        filters: criteria.len(),
        error,
        filter: Filter {
            kinds: choices(
                &text("eventType"),
                [
                    ("change", w.change),
                    ("link", w.link),
                    ("unlink", w.unlink),
                    ("custom", w.custom),
                ],
            ),
            changes: choices(
                &text("changeType"),
                [
                    ("create", w.create),
                    ("patch", w.patch),
                    ("delete", w.delete),
                    ("restore", w.restore),
                ],
            ),
            entities: choices(
                &text("entityType"),
                super::ENTITY_TYPES.map(|one| (one, one)),
            ),
            entity: text("entityId"),
            custom_type: text("customType"),
            from: moment::to_input(&text("from"), &visit.workspace.zone),
            to: moment::to_input(&text("to"), &visit.workspace.zone),
            reset: visit.page("events"),
        },
    }))
}
