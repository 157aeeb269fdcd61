//! Now: what needs a person, how each receiver is doing, and the last calls.

mod source;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::{Router, response::Response, routing::get};
use futures_util::future::{OptionFuture, join, join4};
use serde::{Deserialize, de::DeserializeOwned};

use self::source::{Source, SourceRow};
use super::{
    channels::SERVICE,
    deliveries::model::{CallList, Names, Row},
};
use crate::{
    answer::{Fault, page},
    api::query,
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
/// The number up to which things that need a person are counted.
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
    items: Items,
}

/// A list of documents, whose search may end before it has found as many as it was asked for.
#[derive(Default, Deserialize)]
struct CountedDocuments {
    items: Items,
    next: Option<String>,
}

type Items = Vec<serde::de::IgnoredAny>;

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
    let (of_sources, of_calls) = (visit.api("webhooks"), visit.api("deliveries"));
    let sources = read::<Sources>(&visit, &of_sources, &with_state);
    let calls = read::<CallList>(&visit, &of_calls, &[("limit", MAX_CALLS)]);
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
    path: &str,
    criteria: &[(&str, &str)],
) -> Result<Option<T>, Fault> {
    let path = format!("{path}{}", query(criteria.iter().copied()));
    match visit.get(&path).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The things that need a person, apart from receivers: alerts, and what is counted.
async fn tasks(visit: &Visit, w: &'static words::Now) -> Result<Vec<Task>, Fault> {
    let limit = MAX_ALERTS.to_string();
    let open = [("state", "open"), ("limit", &*limit)];
    let path = visit.api("alerts");
    let alerts = read::<Alerts>(visit, &path, &open);
    let (alerts, counts) = join(alerts, counts(visit)).await;
    let (alerts, counts) = (alerts?.unwrap_or_default(), counts?);
    let alerts = alerts.items.iter().map(|alert| Task {
        text: alert.text(visit.language, w),
        since: Moment::parse(&alert.since, &visit.workspace.zone),
        href: visit.page("settings/alerts"),
        action: w.see_alerts,
    });
    let counts = [
        (
            counts.letters,
            w.dead_letters,
            "deliveries?status=exhausted",
            w.see_deliveries,
        ),
        (
            counts.runs,
            w.failed_runs,
            "channels/runs?status=failed",
            w.see_runs,
        ),
        (
            counts.mine,
            w.documents_for_you,
            "documents?folder=waiting",
            w.see_documents,
        ),
        (
            counts.pending,
            w.documents_pending,
            "documents?folder=pending",
            w.see_documents,
        ),
        (
            counts.missed,
            w.missed_calls,
            "calls?outcome=not-called-back",
            w.see_calls,
        ),
    ];
    let counts = counts
        .into_iter()
        .filter_map(|(count, text, href, action)| {
            Some(Task {
                text: fill(text, &[&count?]),
                since: None,
                href: visit.page(href),
                action,
            })
        });
    Ok(alerts.chain(counts).collect())
}

/// The numbers of things that need a person. `None` if there are none, or none that the session may see.
struct Counts {
    /// Events that were given up.
    letters: Option<String>,
    /// Runs of scripts that have failed.
    runs: Option<String>,
    /// Documents that wait for the session's user.
    mine: Option<String>,
    /// Documents that wait for anybody in the company.
    pending: Option<String>,
    /// Calls that nobody has called back.
    missed: Option<String>,
}

/// Counts what the session may see. Lists that its menu does not lead to are not asked for.
async fn counts(visit: &Visit) -> Result<Counts, Fault> {
    let limit = MAX_COUNTED.to_string();
    let limit = ("limit", &*limit);
    let letters = async {
        let path = visit.api("dead-letters");
        let found = read::<Counted>(visit, &path, &[limit]).await?;
        Ok::<_, Fault>(number(&found.unwrap_or_default().items, false))
    };
    let runs = async {
        let path = format!("{SERVICE}/svcscript_runtimes");
        let failed = ("filter", r#"{"status":"failed"}"#);
        let found = read::<Items>(visit, &path, &[failed, ("mask", "id"), limit]).await?;
        Ok::<_, Fault>(number(&found.unwrap_or_default(), false))
    };
    let documents = async |folder| {
        let path = "/documents/v1/documents";
        let found = read::<CountedDocuments>(visit, path, &[("folder", folder), limit]).await?;
        let found = found.unwrap_or_default();
        Ok::<_, Fault>(number(&found.items, found.next.is_some()))
    };
    let missed = async {
        let path = visit.api("communications");
        // Without a cursor all of them are counted.
        let (cursor, missed) = (("cursor", "start"), ("missed", "true"));
        let missed = [missed, ("calledBack", "false"), limit, cursor];
        let found = read::<Counted>(visit, &path, &missed).await?;
        Ok::<_, Fault>(number(&found.unwrap_or_default().items, false))
    };
    let has_documents = visit.has(Section::Documents) && visit.workspace.has_documents;
    let is_user = visit.session.user.is_some();
    let (letters, runs, documents, missed) = join4(
        letters,
        when(visit.has(Section::Channels), runs),
        join(
            when(has_documents && is_user, documents("waiting")),
            when(has_documents, documents("pending")),
        ),
        when(visit.has(Section::Calls), missed),
    )
    .await;
    Ok(Counts {
        letters: letters?,
        runs: runs?,
        mine: documents.0?,
        pending: documents.1?,
        missed: missed?,
    })
}

/// The count of a list that is read if the condition holds.
async fn when(
    condition: bool,
    count: impl Future<Output = Result<Option<String>, Fault>>,
) -> Result<Option<String>, Fault> {
    let count = OptionFuture::from(condition.then_some(count));
    count.await.unwrap_or(Ok(None))
}

/// The number of items, which were counted up to a bound. `None` if there are none.
fn number(items: &Items, has_more: bool) -> Option<String> {
    let count = items.len();
    let more = if has_more || count >= MAX_COUNTED {
        "+"
    } else {
        ""
    };
    (count > 0).then(|| format!("{count}{more}"))
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
