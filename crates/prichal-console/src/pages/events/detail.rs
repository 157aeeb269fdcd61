//! One event: what has changed, who did it, which receivers wanted it, and what came of each.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::model::{Author, Entity, Event, names};
use crate::{
    answer::{Fault, page, redirect},
    api::{ApiError, query, segment},
    diff::{Change, Diff, diff},
    form::{Action, Fields},
    moment::Moment,
    page::{Layout, Section},
    pages::deliveries::model::{Call, CallList, Names, Row as CallRow},
    parts::Text,
    visit::Visit,
    words::{self, fill},
};

/// The status of the refusal of an event that was removed.
const REMOVED: &str = "eventsRemoved";
/// The number of sources that are read.
const MAX_SOURCES: usize = 1000;
/// The number of calls that are shown.
const MAX_CALLS: &str = "200";

#[derive(Template)]
#[template(path = "event.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Events,
    d: &'static words::Deliveries,
    what: String,
    at: Option<Moment>,
    by: Author,
    id: String,
    offset: String,
    entities: Vec<Entity>,
    diff: Diff,
    before: Option<Text>,
    after: Option<Text>,
    receivers: Vec<Receiver>,
    /// The address of the whole page, with nothing cut.
    whole: String,
    here: String,
    may_resend: bool,
}

/// The page of an event that was removed by its age.
#[derive(Template)]
#[template(path = "event-gone.html")]
struct GonePage {
    layout: Layout,
    w: &'static words::Events,
    list: String,
}

/// A receiver of the event, with its calls, the newest first.
struct Receiver {
    integration: String,
    hook: String,
    name: String,
    calls: Vec<CallRow>,
    /// True for one that gets events: a channel's message is none.
    is_hook: bool,
    /// True for one that was removed, so it cannot get the event again.
    is_gone: bool,
}

/// The sources that there are (`GET /api/v1/{ws}/webhooks`).
#[derive(Deserialize)]
struct Sources {
    count: usize,
    items: Vec<SourceId>,
}

#[derive(Deserialize)]
struct SourceId {
    id: String,
}

impl Sources {
    /// True for one that was removed. Of more sources than were read, nothing is known.
    fn lacks(&self, id: &str) -> bool {
        self.count == self.items.len() && self.items.iter().all(|one| one.id != id)
    }
}

/// An event by its offset.
pub(super) async fn detail(
    visit: Visit,
    Path((_, offset)): Path<(String, String)>,
    RawQuery(given): RawQuery,
) -> Result<Response, Fault> {
    let w = words::Events::of(visit.language);
    let d = words::Deliveries::of(visit.language);
    let fields = Fields::parse(given.unwrap_or_default().as_bytes());
    let event = match find(&visit, &offset).await {
        Ok(event) => event,
        Err(error) if error.code == REMOVED => {
            return Ok(page(&GonePage {
                layout: Layout::of(&visit, Section::Events, w.one),
                w,
                list: visit.page("events"),
            }));
        }
        Err(error) => return Err(error.into()),
    };
    let authors = names(&visit, &[&event]).await?;
    let (receivers, may_see) = receivers(&visit, &event, d).await?;
    let is_whole = fields.has("all");
    let text = |value: &Value| Text::new(&value.to_string(), is_whole);
    let (before, after) = match &event.change_data {
        Some(change) => (change.old.as_ref(), change.new.as_ref()),
        None => (None, event.data.as_ref()),
    };
    let here = visit.page(&format!("events/{}", segment(&event.offset)));
    let notice = (fields.text("done") == "resend").then_some(w.resending);
    let layout = Layout::of(&visit, Section::Events, w.one);
    Ok(page(&DetailPage {
        layout: layout.with_notice(notice),
        w,
        d,
        what: event.what(visit.language),
        at: Moment::parse(&event.create_info.at, &visit.workspace.zone),
        by: event.by(&authors, &visit, w),
        entities: event.entities(&visit),
        diff: diff(before, after),
        before: before.map(text),
        after: after.map(text),
        receivers,
        whole: format!("{here}?all=1"),
        here,
        may_resend: visit.may_change() && may_see,
        id: event.id,
        offset: event.offset,
    }))
}

async fn find(visit: &Visit, offset: &str) -> Result<Event, ApiError> {
    let path = visit.api(&format!("log/{}", segment(offset)));
    visit.get(&path).await
}

/// The receivers that were called for an event, and true if the session may see them.
async fn receivers(
    visit: &Visit,
    event: &Event,
    d: &'static words::Deliveries,
) -> Result<(Vec<Receiver>, bool), Fault> {
    let criteria = query([("eventId", &*event.id), ("limit", MAX_CALLS)]);
    let path = format!("{}{criteria}", visit.api("deliveries"));
    let found: CallList = match visit.get(&path).await {
        Ok(found) => found,
        Err(error) if error.is_forbidden() || error.is_refusal() => return Ok((Vec::new(), false)),
        Err(error) => return Err(error.into()),
    };
    let names = Names::read(visit).await?;
    let path = visit.api(&format!("webhooks?limit={MAX_SOURCES}"));
    let sources: Sources = visit.get(&path).await?;
    let mut receivers: Vec<Receiver> = Vec::new();
    for call in &found.items {
        let row = CallRow::new(call, &names, visit, d);
        let known = receivers.iter_mut().find(|one| one.is_of(call));
        match known {
            Some(receiver) => receiver.calls.push(row),
            None => receivers.push(Receiver {
                integration: call.integration_id.clone().unwrap_or_default(),
                hook: call.web_hook_id.clone(),
                name: names.of(call),
                calls: vec![row],
                is_hook: call.is_of_hook(),
                is_gone: sources.lacks(&call.web_hook_id),
            }),
        }
    }
    Ok((receivers, true))
}

impl Receiver {
    fn is_of(&self, call: &Call) -> bool {
        let integration = call.integration_id.as_deref().unwrap_or_default();
        self.hook == call.web_hook_id && self.integration == integration
    }
}

/// Sends the event again: to one receiver, or to all that were called for it.
pub(super) async fn resend(
    Path((_, offset)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let event = find(&visit, &offset).await?;
    let mut body = Map::new();
    body.insert("eventId".to_owned(), event.id.into());
    for name in ["integrationId", "webHookId"] {
        if let Some(id) = fields.get(name) {
            body.insert(name.to_owned(), id.into());
        }
    }
    let _: Value = visit
        .send(Method::POST, &visit.api("resends"), &body.into())
        .await?;
    let page = visit.page(&format!("events/{}", segment(&offset)));
    Ok(redirect(&format!("{page}?done=resend")))
}

impl DetailPage {
    fn more(&self) -> String {
        fill(self.w.more, &[&self.diff.more])
    }

    fn same(&self) -> String {
        fill(self.w.same, &[&self.diff.same])
    }
}

impl Change {
    fn word(self, w: &words::Events) -> &'static str {
        match self {
            Self::Added => w.added,
            Self::Removed => w.removed,
            Self::Changed => w.changed,
            Self::Moved => w.moved,
        }
    }

    /// The sign beside the word, and the style of the line.
    const fn sign(self) -> &'static str {
        match self {
            Self::Added => "+",
            Self::Removed => "−",
            Self::Changed => "≠",
            Self::Moved => "↕",
        }
    }
}
