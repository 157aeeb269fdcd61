//! The operator's pages: nodes, queues, disk, backups, quarantine; the audit log of the server.

mod audit;
mod backups;
#[cfg(test)]
mod tests;

pub(super) use audit::{audit, export};

use self::backups::Backups;

use std::collections::HashMap;

use askama::Template;
use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery},
    response::{IntoResponse as _, Response},
};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    answer::{Fault, page, redirect},
    api::{collect, json_request, segment},
    backend::Role,
    form::{Fields, HubAction},
    language::Language,
    moment::{self, Moment},
    page::Layout,
    parts::{State, Tone, visible},
    visit::Visitor,
    words::{self, fill},
};

#[derive(Template)]
#[template(path = "server.html")]
struct ServerPage {
    layout: Layout,
    tabs: Tabs,
    w: &'static words::Server,
    nodes: Vec<NodeRow>,
    figures: Vec<(&'static str, String)>,
    backups: Backups,
    quarantine: Vec<Held>,
}

/// The pages of the operator.
struct Tabs {
    w: &'static words::Server,
    is_audit: bool,
}

struct NodeRow {
    id: String,
    state: State,
    answers: bool,
    version: String,
    started: Option<Moment>,
    lease: Option<Moment>,
    webhooks: i64,
}

struct Held {
    id: String,
    kind: String,
    deaths: i64,
    since: Option<Moment>,
}

#[derive(Deserialize)]
struct List<T> {
    items: Vec<T>,
}

/// A node (`GET /admin/v1/nodes`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    version: String,
    started_at: String,
    #[serde(default)]
    lease_until: Option<String>,
    is_alive: bool,
    webhooks: i64,
    answers: bool,
}

/// A piece of work in quarantine (`GET /admin/v1/quarantine`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Quarantined {
    id: String,
    kind: String,
    deaths: i64,
    #[serde(default)]
    held_at: Option<String>,
}

/// The pages of the operator do not exist for others.
fn require_operator(visitor: &Visitor) -> Result<(), Fault> {
    match visitor.session.role {
        Role::Operator => Ok(()),
        _ => Err(Fault::NotFound),
    }
}

/// The state of the server.
pub(super) async fn server(visitor: Visitor, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Server::of(visitor.language);
    let nodes: List<Node> = visitor.hub_get("/admin/v1/nodes").await?;
    let held: List<Quarantined> = visitor.hub_get("/admin/v1/quarantine").await?;
    let figures = Figures::read(&visitor).await?;
    let backups = Backups::read(&visitor, w).await?;
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let notice = fields.has("done").then_some(w.done);
    // Times of the server belong to no workspace.
    let utc = |text: &str| Moment::parse(text, &jiff::tz::TimeZone::UTC);
    let row = |node: Node| NodeRow {
        id: visible(&node.id),
        state: if node.is_alive {
            State {
                tone: Tone::Good,
                word: w.alive,
            }
        } else {
            State {
                tone: Tone::Bad,
                word: w.expired,
            }
        },
        answers: node.answers,
        version: visible(&node.version),
        started: utc(&node.started_at),
        lease: node.lease_until.as_deref().and_then(utc),
        webhooks: node.webhooks,
    };
    let held_row = |item: Quarantined| Held {
        id: item.id,
        kind: visible(&item.kind),
        deaths: item.deaths,
        since: item.held_at.as_deref().and_then(utc),
    };
    Ok(page(&ServerPage {
        layout: Layout::of_hub(&visitor, w.title).with_notice(notice),
        tabs: Tabs { w, is_audit: false },
        w,
        nodes: nodes.items.into_iter().map(row).collect(),
        figures: figures.rows(w, visitor.language),
        backups,
        quarantine: held.items.into_iter().map(held_row).collect(),
    }))
}

/// The metrics of the answering node (`GET /metrics`), by name, with their labels added up.
struct Figures(HashMap<String, f64>);

/// The figures of the chart.
#[derive(Serialize)]
struct Sample {
    /// The time in seconds since 1970.
    at: i64,
    /// Counts since the start of the server.
    calls: f64,
    requests: f64,
    deferred: f64,
}

impl Figures {
    async fn read(visitor: &Visitor) -> Result<Self, Fault> {
        let request = json_request(Method::GET, "/metrics", None);
        let answer: http::Response<Body> = visitor.call(None, request).await;
        let (_, _, bytes) = collect(answer).await?;
        Ok(Self::parse(&String::from_utf8_lossy(&bytes)))
    }

    /// Reads the text format of Prometheus. Buckets of histograms are left out.
    fn parse(text: &str) -> Self {
        let mut sums = HashMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let name = name.split('{').next().unwrap_or_default();
            let value: f64 = value.parse().unwrap_or(0.0);
            if !name.ends_with("_bucket") {
                *sums.entry(name.to_owned()).or_default() += value;
            }
        }
        Self(sums)
    }

    fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    fn rows(&self, w: &words::Server, language: Language) -> Vec<(&'static str, String)> {
        let count = |name: &str| format!("{:.0}", self.get(name));
        let commits = self.get("prichal_commit_batch_size_count").max(1.0);
        let batch = self.get("prichal_commit_batch_size_sum") / commits;
        // Events that are not due yet are not late.
        let late = self.get("prichal_deferred_oldest_seconds").max(0.0);
        vec![
            (w.deferred, count("prichal_deferred_events")),
            (w.oldest, fill(w.seconds, &[&format!("{late:.0}")])),
            (w.lag, count("prichal_feed_lag_events")),
            (w.runs, count("prichal_runs_waiting")),
            (w.mails, count("prichal_mails_waiting")),
            (w.quarantined, count("prichal_quarantined")),
            (w.sockets, count("prichal_websockets")),
            (w.batch, format!("{batch:.1}")),
            (
                w.disk,
                moment::bytes(self.get("prichal_disk_free_bytes"), language),
            ),
        ]
    }
}

/// The figures of the chart, as JSON.
pub(super) async fn figures(visitor: Visitor) -> Result<Response, Fault> {
    require_operator(&visitor)?;
    let figures = Figures::read(&visitor).await?;
    Ok(Json(Sample {
        at: visitor.console.now().secs(),
        calls: figures.get("prichal_delivery_attempts_total"),
        requests: figures.get("prichal_request_seconds_count"),
        deferred: figures.get("prichal_deferred_events"),
    })
    .into_response())
}

/// Releases a piece of work from quarantine, or gives it up.
pub(super) async fn quarantine(
    Path(id): Path<String>,
    action: HubAction,
) -> Result<Response, Fault> {
    let HubAction { visitor, fields } = action;
    let path = format!("/admin/v1/quarantine/{}", segment(&id));
    let (method, path) = match fields.text("act") {
        "release" => (Method::POST, format!("{path}/release")),
        "drop" => (Method::DELETE, path),
        _ => return Err(Fault::NotFound),
    };
    let _: Value = visitor.hub_send(method, &path, &json!({})).await?;
    Ok(redirect("/console/server?done=1"))
}
