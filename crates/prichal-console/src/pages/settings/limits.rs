//! The usage and the quotas of the workspace, and the time for which its history is kept.

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Tab, Tabs, frame};
use crate::{
    answer::{Fault, page, redirect},
    api::{ApiError, segment},
    facts,
    form::{Action, Fields},
    language::Language,
    moment::bytes,
    page::Layout,
    visit::Visit,
    words::Settings,
};

/// The usage (`GET /admin/v1/workspaces/{ws}/usage`).
#[derive(Deserialize)]
struct Usage {
    entities: Used,
    files: Used,
    events: Used,
    runs: Used,
    records: Used,
}

#[derive(Deserialize)]
struct Used {
    used: f64,
    allowed: Option<f64>,
}

/// The times of history (`GET /api/v1/{ws}/retention`).
#[derive(Deserialize)]
struct Retention {
    deliveries: Kept,
    runs: Kept,
    events: Kept,
    audit: Kept,
}

/// A time in days; none stands for ever.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    days: Option<f64>,
    allowed_days: Option<f64>,
    own_days: Option<i64>,
}

/// The members of the form, which are those of the API.
const DAYS: [&str; 3] = ["deliveriesDays", "runsDays", "eventsDays"];

#[derive(Template)]
#[template(path = "settings-limits.html")]
struct LimitsPage {
    layout: Layout,
    tabs: Tabs,
    rows: Option<Vec<Row>>,
    /// `None` if the session may not see them.
    times: Option<Vec<Time>>,
    may_change: bool,
    error: Option<String>,
    here: String,
}

/// The time for which a kind of history is kept.
struct Time {
    name: &'static str,
    days: String,
    allowed: String,
    /// The name of the field and its value; `None` if the operator alone sets the time.
    own: Option<(&'static str, String)>,
}

impl Time {
    fn new(name: &'static str, kept: &Kept, field: Option<&'static str>, w: &Settings) -> Self {
        let days = |days: Option<f64>| match days {
            // A part of a day is told by two digits.
            Some(days) => ((days * 100.0).round() / 100.0).to_string(),
            None => w.for_ever.to_owned(),
        };
        let own = kept
            .own_days
            .map_or_else(String::new, |days| days.to_string());
        Self {
            name,
            days: days(kept.days),
            allowed: days(kept.allowed_days),
            own: field.map(|field| (field, own)),
        }
    }

    fn all(kept: &Retention, w: &Settings) -> Vec<Self> {
        let [deliveries, runs, events] = DAYS;
        vec![
            Self::new(w.h_deliveries, &kept.deliveries, Some(deliveries), w),
            Self::new(w.u_runs, &kept.runs, Some(runs), w),
            Self::new(w.u_events, &kept.events, Some(events), w),
            Self::new(w.audit, &kept.audit, None, w),
        ]
    }
}

struct Row {
    name: &'static str,
    used: String,
    allowed: String,
    /// The used part in hundredths, if there is a quota.
    share: Option<f64>,
}

impl Row {
    fn new(name: &'static str, used: &Used, language: Language) -> Self {
        let allowed = used.allowed;
        let w = Settings::of(language);
        let size = |size| bytes(size, language);
        Self {
            name,
            used: size(used.used),
            allowed: allowed.map_or_else(|| w.no_quota.to_owned(), size),
            share: allowed.map(|allowed| (used.used / allowed.max(1.0) * 100.0).min(100.0)),
        }
    }
}

/// The usage, the quotas and the times of history.
pub(crate) async fn limits(visit: Visit, RawQuery(raw): RawQuery) -> Result<Response, Fault> {
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    show(&visit, &fields, None).await
}

/// The answer, if the session may see it.
fn seen<T>(found: Result<T, ApiError>) -> Result<Option<T>, Fault> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_forbidden() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn show(visit: &Visit, fields: &Fields, refused: Option<String>) -> Result<Response, Fault> {
    let name = segment(&visit.workspace.name);
    let path = format!("/admin/v1/workspaces/{name}/usage");
    let usage = seen(visit.hub_get::<Usage>(&path).await)?;
    let kept = seen(visit.get::<Retention>(&visit.api("retention")).await)?;
    let (layout, tabs) = frame(visit, Tab::Limits, fields);
    let w = tabs.w;
    let rows = |usage: Usage| {
        vec![
            Row::new(w.u_entities, &usage.entities, visit.language),
            Row::new(w.u_files, &usage.files, visit.language),
            Row::new(w.u_events, &usage.events, visit.language),
            Row::new(w.u_runs, &usage.runs, visit.language),
            Row::new(w.u_records, &usage.records, visit.language),
        ]
    };
    let mut times = kept.map(|kept| Time::all(&kept, w));
    if refused.is_some() {
        // The form keeps the typed values.
        let typed = times
            .iter_mut()
            .flatten()
            .filter_map(|time| time.own.as_mut());
        typed.for_each(|(field, days)| fields.text(field).clone_into(days));
    }
    Ok(page(&LimitsPage {
        layout,
        tabs,
        rows: usage.map(rows),
        times,
        may_change: visit.may_change(),
        error: refused,
        here: visit.page(Tab::Limits.path()),
    }))
}

/// Sets the workspace's own times of history.
pub(crate) async fn save_limits(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    // A number that cannot be read goes to the API as a text, which says what is wrong.
    let days = |name: &str| match fields.text(name) {
        "" => Value::Null,
        text => text
            .parse::<i64>()
            .map_or_else(|_| text.into(), Value::from),
    };
    let body: Map<_, _> = DAYS
        .map(|name| (name.to_owned(), days(name)))
        .into_iter()
        .collect();
    let path = visit.api("retention");
    match visit.send::<Value>(Method::PUT, &path, &body.into()).await {
        Ok(_) => Ok(redirect(&format!(
            "{}?done=saved",
            visit.page(Tab::Limits.path())
        ))),
        Err(error) if error.is_refusal() => {
            let w = Settings::of(visit.language);
            let [deliveries, runs, events] = DAYS;
            let labels = [
                (deliveries, w.h_deliveries),
                (runs, w.u_runs),
                (events, w.u_events),
            ];
            let error = facts::labelled(&error.message, &labels, visit.language);
            show(&visit, &fields, Some(error)).await
        }
        Err(error) => Err(error.into()),
    }
}
