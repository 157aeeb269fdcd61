//! Now: what needs a person, how each receiver is doing, and the last calls.

mod source;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::{Router, response::Response, routing::get};
use futures_util::future::{join3, join4};
use serde::{Deserialize, de::DeserializeOwned};

use self::source::{Source, SourceRow};
use super::deliveries::model::{CallList, Names, Row};
use crate::{
    answer::{Fault, page},
    api::query,
    backend::Role,
    facts,
    language::Language,
    moment::Moment,
    page::{Layout, Section},
    state::Console,
    visit::Visit,
    words::{self, fill},
};

/// The number of receivers, of alerts and of calls on the page.
const MAX_SOURCES: usize = 100;
const MAX_ALERTS: usize = 20;
const MAX_CALLS: &str = "15";
/// The number up to which dead letters and missed calls are counted.
const MAX_COUNTED: usize = 100;

pub(super) fn router() -> Router<Console> {
    Router::new().route("/console/{ws}/now", get(now))
}

#[derive(Template)]
#[template(path = "now.html")]
struct NowPage {
    layout: Layout,
    w: &'static words::Now,
    d: &'static words::Deliveries,
    tasks: Vec<Task>,
    /// The receivers, those that fail first. `None` if the session may not see it.
    sources: Option<Vec<SourceRow>>,
    has_more_sources: bool,
    calls: Vec<Row>,
    here: String,
    /// The parts that follow changes.
    targets: &'static str,
    integrations: String,
    deliveries: Option<String>,
}

/// A thing that needs a person.
struct Task {
    text: String,
    since: Option<Moment>,
    href: String,
    /// The word of the link.
    action: &'static str,
}

/// A list whose items are only counted.
#[derive(Default, Deserialize)]
struct Counted {
    items: Vec<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Alerts {
    items: Vec<Alert>,
}

/// An alert (`GET /api/v1/{ws}/alerts`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    #[serde(flatten)]
    about: facts::Alert,
    since: String,
    #[serde(default)]
    acknowledged_at: Option<String>,
}

#[derive(Default, Deserialize)]
struct Sources {
    #[serde(default)]
    count: usize,
    items: Vec<Source>,
}

/// The state of the workspace.
async fn now(visit: Visit) -> Result<Response, Fault> {
    let w = words::Now::of(visit.language);
    let d = words::Deliveries::of(visit.language);
    let limit = MAX_SOURCES.to_string();
    let with_state = [("state", "true"), ("limit", &*limit)];
    let sources = read::<Sources>(&visit, "webhooks", &with_state);
    let calls = read::<CallList>(&visit, "deliveries", &[("limit", MAX_CALLS)]);
    let (sources, calls, names, tasks) =
        join4(sources, calls, Names::read(&visit), tasks(&visit, w)).await;
    let (sources, calls, names, mut tasks) = (sources?, calls?.unwrap_or_default(), names?, tasks?);
    let has_more_sources = sources
        .as_ref()
        .is_some_and(|found| found.count > found.items.len());
    let sources = sources.map(|found| found.items);
    tasks.extend(
        sources
            .iter()
            .flatten()
            .filter_map(|source| source.task(&visit, w)),
    );
    let rows = calls.items.iter();
    let targets = match &sources {
        Some(_) => "tasks sources tail",
        None => "tasks tail",
    };
    Ok(page(&NowPage {
        layout: Layout::of(&visit, Section::Now, w.title),
        w,
        d,
        tasks,
        sources: sources.map(|items| source::rows(&items, &visit, w)),
        has_more_sources,
        calls: rows.map(|call| Row::new(call, &names, &visit, d)).collect(),
        here: visit.page("now"),
        targets,
        integrations: visit.page("integrations"),
        deliveries: visit
            .has(Section::Deliveries)
            .then(|| visit.page("deliveries")),
    }))
}

/// Reads a list. `None` if the session has no right to it.
async fn read<T: DeserializeOwned>(
    visit: &Visit,
    list: &str,
    criteria: &[(&str, &str)],
) -> Result<Option<T>, Fault> {
    let path = format!("{}{}", visit.api(list), query(criteria.iter().copied()));
    match visit.get(&path).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The things that need a person, apart from receivers: alerts, events that were given up, missed calls.
async fn tasks(visit: &Visit, w: &'static words::Now) -> Result<Vec<Task>, Fault> {
    let most = MAX_COUNTED.to_string();
    let alerts = MAX_ALERTS.to_string();
    let open = [("state", "open"), ("limit", &*alerts)];
    let missed = [
        ("missed", "true"),
        ("calledBack", "false"),
        ("limit", &*most),
        // Without it all of them are counted.
        ("cursor", "start"),
    ];
    let has_calls = visit.session.role != Role::Integrator;
    let missed = async {
        if has_calls {
            read::<Counted>(visit, "communications", &missed).await
        } else {
            Ok(None)
        }
    };
    let letters = [("limit", &*most)];
    let (alerts, letters, missed) = join3(
        read::<Alerts>(visit, "alerts", &open),
        read::<Counted>(visit, "dead-letters", &letters),
        missed,
    )
    .await;
    let mut tasks: Vec<Task> = alerts?
        .unwrap_or_default()
        .items
        .iter()
        .map(|alert| Task {
            text: alert.text(visit.language, w),
            since: Moment::parse(&alert.since, &visit.workspace.zone),
            href: visit.page("settings/alerts"),
            action: w.see_alerts,
        })
        .collect();
    let counts = [
        (
            letters?,
            w.dead_letters,
            "deliveries?status=exhausted",
            w.see_deliveries,
        ),
        (missed?, w.missed_calls, "calls?missed=true", w.see_calls),
    ];
    for (found, sentence, href, action) in counts {
        let count = found.unwrap_or_default().items.len();
        if count > 0 {
            tasks.push(Task {
                text: fill(sentence, &[&counted(count)]),
                since: None,
                href: visit.page(href),
                action,
            });
        }
    }
    Ok(tasks)
}

/// A number that was counted up to a bound.
fn counted(count: usize) -> String {
    let more = if count >= MAX_COUNTED { "+" } else { "" };
    format!("{count}{more}")
}

impl Alert {
    fn text(&self, language: Language, w: &words::Now) -> String {
        let text = self.about.text(language);
        match self.acknowledged_at {
            Some(_) => format!("{text} ({})", w.acknowledged),
            None => text,
        }
    }
}
