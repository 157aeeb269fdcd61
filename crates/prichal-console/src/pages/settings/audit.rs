//! The audit log of the workspace.

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use serde::Deserialize;

use super::{Tab, Tabs, frame};
use crate::{
    answer::{Fault, page},
    api::{ApiError, query},
    form::Fields,
    moment::{self, Moment},
    page::Layout,
    parts::{Choice, State, Tone, choices, visible},
    visit::Visit,
    words::Settings,
};

/// The number of records on a page.
const PAGE: &str = "50";
/// The criteria that the API takes as they are.
const CRITERIA: [&str; 8] = [
    "action",
    "actorKind",
    "actorId",
    "userId",
    "objectKind",
    "objectId",
    "result",
    "address",
];

#[derive(Default, Deserialize)]
struct List {
    items: Vec<Record>,
    #[serde(default)]
    next: Option<String>,
}

/// A record (`GET /api/v1/{ws}/audit`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    at: String,
    actor: Actor,
    action: String,
    #[serde(default)]
    object: Option<Object>,
    #[serde(default)]
    address: Option<String>,
    result: String,
    #[serde(default)]
    status: Option<i64>,
}

#[derive(Deserialize)]
struct Actor {
    kind: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    kind: String,
    #[serde(default)]
    id: Option<String>,
}

#[derive(Template)]
#[template(path = "settings-audit.html")]
struct AuditPage {
    layout: Layout,
    tabs: Tabs,
    rows: Vec<Row>,
    results: Vec<Choice>,
    actors: Vec<Choice>,
    action: String,
    object: String,
    from: String,
    to: String,
    older: Option<String>,
    here: String,
    error: Option<String>,
}

struct Row {
    at: Option<Moment>,
    actor: String,
    kind: &'static str,
    action: String,
    object: String,
    address: String,
    state: State,
    status: Option<i64>,
}

impl Row {
    fn new(record: Record, visit: &Visit, w: &'static Settings) -> Self {
        let (tone, word) = match &*record.result {
            "done" => (Tone::Good, w.result_done),
            "refused" => (Tone::Waiting, w.result_refused),
            _ => (Tone::Bad, w.result_failed),
        };
        let object = record.object.map(|object| {
            let id = object.id.unwrap_or_default();
            format!("{} {id}", object.kind)
        });
        Self {
            at: Moment::parse(&record.at, &visit.workspace.zone),
            actor: visible(&record.actor.name.unwrap_or_default()),
            kind: actor(&record.actor.kind, w),
            action: visible(&record.action),
            object: visible(object.unwrap_or_default().trim()),
            address: visible(&record.address.unwrap_or_default()),
            state: State { tone, word },
            status: record.status,
        }
    }
}

fn actor(kind: &str, w: &Settings) -> &'static str {
    match kind {
        "operator" => w.actor_operator,
        "token" => w.actor_token,
        "session" => w.actor_session,
        "integration" => w.actor_integration,
        "channel" => w.actor_channel,
        _ => w.actor_node,
    }
}

/// The audit log of the workspace.
pub(crate) async fn audit(visit: Visit, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    let (layout, tabs) = frame(&visit, Tab::Audit, &fields);
    let w = tabs.w;
    let (found, error) = match read(&visit, &fields).await {
        Ok(found) => (found, None),
        Err(error) if error.is_refusal() => (List::default(), Some(error.message)),
        Err(error) => return Err(error.into()),
    };
    let text = |name: &str| fields.text(name).to_owned();
    let older = found.next.as_deref().map(|next| {
        let named = CRITERIA.iter().chain(&["from", "to"]);
        let pairs = named.map(|name| (*name, fields.text(name)));
        format!(
            "{}{}",
            visit.page(Tab::Audit.path()),
            query(pairs.chain([("cursor", next)]))
        )
    });
    let results = [
        ("done", w.result_done),
        ("refused", w.result_refused),
        ("failed", w.result_failed),
    ];
    let kinds = [
        "operator",
        "token",
        "session",
        "integration",
        "channel",
        "node",
    ];
    Ok(page(&AuditPage {
        layout,
        tabs,
        rows: found
            .items
            .into_iter()
            .map(|one| Row::new(one, &visit, w))
            .collect(),
        results: choices(fields.text("result"), results),
        actors: choices(
            fields.text("actorKind"),
            kinds.map(|kind| (kind, actor(kind, w))),
        ),
        action: text("action"),
        object: text("objectId"),
        from: text("from"),
        to: text("to"),
        older,
        here: visit.page(Tab::Audit.path()),
        error,
    }))
}

async fn read(visit: &Visit, fields: &Fields) -> Result<List, ApiError> {
    let zone = &visit.workspace.zone;
    let time = |name: &str| {
        let text = fields.text(name);
        moment::from_input(text, zone).unwrap_or_else(|| text.to_owned())
    };
    let (from, to) = (time("from"), time("to"));
    let pairs = CRITERIA
        .iter()
        .chain(&["cursor"])
        .map(|name| (*name, fields.text(name)));
    let pairs = pairs.chain([("from", &*from), ("to", &*to), ("limit", PAGE)]);
    visit
        .get(&format!("{}{}", visit.api("audit"), query(pairs)))
        .await
}
