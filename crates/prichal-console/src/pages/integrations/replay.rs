//! A stretch of events that a webhook gets again: the period, the number of events, and the progress.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    answer::{Fault, page, redirect},
    api::{ApiError, query, segment},
    form::{Action, Fields},
    moment,
    page::{Layout, Section},
    parts::{State, Tone},
    visit::Visit,
    words::{self, fill},
};

/// A replay or its preview (`POST …/webHooks/{hookId}/replay`).
#[derive(Deserialize)]
struct Begun {
    count: i64,
    #[serde(default)]
    id: Option<String>,
    remaining: i64,
}

/// The unfinished replays (`GET …/webHooks/{hookId}/replays`).
#[derive(Deserialize)]
struct Unfinished {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    remaining: i64,
}

#[derive(Template)]
#[template(path = "integration-replay.html")]
struct ReplayPage {
    layout: Layout,
    w: &'static words::Integrations,
    from: String,
    to: String,
    /// The number of events of the period that was asked for, with a sentence.
    counted: Option<(i64, String)>,
    progress: Option<Progress>,
    here: String,
    /// The address of the progress.
    at: String,
    integration: String,
    error: Option<String>,
}

struct Progress {
    state: State,
    passed: i64,
    of: i64,
    sentence: String,
    is_over: bool,
}

/// The period as the API takes it. A time that cannot be read goes to the API as it is, which says what is wrong.
fn period(fields: &Fields, visit: &Visit) -> Map<String, Value> {
    let zone = &visit.workspace.zone;
    ["from", "to"]
        .into_iter()
        .filter(|name| !fields.text(name).is_empty())
        .map(|name| {
            let text = fields.text(name);
            let at = moment::from_input(text, zone).unwrap_or_else(|| text.to_owned());
            (name.to_owned(), at.into())
        })
        .collect()
}

fn path(visit: &Visit, integration: &str, hook: &str) -> String {
    visit.api(&format!(
        "integrations/instances/{}/webHooks/{}/replay",
        segment(integration),
        segment(hook)
    ))
}

fn address(visit: &Visit, integration: &str, hook: &str) -> String {
    visit.page(&format!(
        "integrations/{}/webhooks/{}/replay",
        segment(integration),
        segment(hook)
    ))
}

/// The form, the number of events of its period, or the progress of a replay that was begun.
pub(crate) async fn replay(
    visit: Visit,
    Path((_, integration, hook)): Path<(String, String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Response, Fault> {
    if !visit.may_integrate() {
        return Err(Fault::NotFound);
    }
    let fields = Fields::parse(raw.unwrap_or_default().as_bytes());
    show(&visit, &integration, &hook, &fields, None).await
}

async fn show(
    visit: &Visit,
    integration: &str,
    hook: &str,
    fields: &Fields,
    refused: Option<String>,
) -> Result<Response, Fault> {
    let w = words::Integrations::of(visit.language);
    let (mut counted, mut error) = (None, refused);
    if fields.has("from") && error.is_none() {
        match preview(visit, integration, hook, fields).await {
            Ok(found) => {
                let sentence = fill(w.replay_counted, &[&found.remaining, &found.count]);
                counted = Some((found.count, sentence));
            }
            Err(refusal) if refusal.is_refusal() => error = Some(refusal.message),
            Err(failure) => return Err(failure.into()),
        }
    }
    let progress = match fields.text("replay") {
        "" => None,
        id => Some(progress(visit, integration, hook, id, fields, w).await?),
    };
    let zone = &visit.workspace.zone;
    let here = address(visit, integration, hook);
    let begun = ["replay", "of"].map(|name| (name, fields.text(name)));
    Ok(page(&ReplayPage {
        layout: Layout::of(visit, Section::Integrations, w.replay),
        w,
        from: moment::to_input(fields.text("from"), zone),
        to: moment::to_input(fields.text("to"), zone),
        counted,
        progress,
        at: format!("{here}{}", query(begun)),
        here,
        integration: visit.page(&format!("integrations/{}", segment(integration))),
        error,
    }))
}

async fn preview(
    visit: &Visit,
    integration: &str,
    hook: &str,
    fields: &Fields,
) -> Result<Begun, ApiError> {
    let mut body = period(fields, visit);
    body.insert("preview".to_owned(), true.into());
    let path = path(visit, integration, hook);
    visit.send(Method::POST, &path, &body.into()).await
}

/// The progress of a replay. One that is not among the unfinished ones is over.
async fn progress(
    visit: &Visit,
    integration: &str,
    hook: &str,
    id: &str,
    fields: &Fields,
    w: &words::Integrations,
) -> Result<Progress, Fault> {
    let path = format!("{}s", path(visit, integration, hook));
    let found: Unfinished = visit.get(&path).await?;
    let item = found.items.iter().find(|one| one.id == id);
    let of = fields.text("of").parse::<i64>().unwrap_or(0).max(0);
    let remaining = item.map_or(0, |item| item.remaining);
    let of = of.max(remaining);
    let passed = of - remaining;
    let (tone, word) = match item {
        Some(_) => (Tone::Waiting, w.replay_sending),
        None => (Tone::Good, w.replay_done),
    };
    Ok(Progress {
        state: State { tone, word },
        passed,
        of,
        sentence: fill(w.replay_passed, &[&passed, &of]),
        is_over: item.is_none(),
    })
}

/// Begins a replay.
pub(crate) async fn begin_replay(
    Path((_, integration, hook)): Path<(String, String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let path = path(&visit, &integration, &hook);
    let body = period(&fields, &visit).into();
    match visit.send::<Begun>(Method::POST, &path, &body).await {
        Ok(begun) => {
            let of = begun.remaining.to_string();
            // A period without events needs no replay, and its page says that all of it was sent.
            let id = begun.id.as_deref().unwrap_or("none");
            let begun = query([("replay", id), ("of", &*of)]);
            let here = address(&visit, &integration, &hook);
            Ok(redirect(&format!("{here}{begun}")))
        }
        Err(error) if error.is_refusal() => {
            show(&visit, &integration, &hook, &fields, Some(error.message)).await
        }
        Err(error) => Err(error.into()),
    }
}
