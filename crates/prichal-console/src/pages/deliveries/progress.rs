//! The progress of a resend, and its cancellation.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Criteria, done};
use crate::{
    answer::{Fault, page, redirect},
    api::segment,
    form::Action,
    moment::Moment,
    page::{Layout, Section},
    parts::{State, Tone},
    visit::Visit,
    words::{self, fill},
};

/// A resend (`GET /api/v1/{ws}/resends/{id}`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resend {
    pub(super) id: String,
    state: Progress,
    rate: i64,
    selected: i64,
    waiting: i64,
    created_at: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Progress {
    Selecting,
    Sending,
    Done,
    Cancelled,
}

impl Progress {
    const fn state(self, w: &words::Deliveries) -> State {
        let (tone, word) = match self {
            Self::Selecting => (Tone::Waiting, w.progress_selecting),
            Self::Sending => (Tone::Waiting, w.progress_sending),
            Self::Done => (Tone::Good, w.progress_done),
            Self::Cancelled => (Tone::Off, w.progress_cancelled),
        };
        State { tone, word }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

#[derive(Template)]
#[template(path = "deliveries-progress.html")]
struct ProgressPage {
    layout: Layout,
    w: &'static words::Deliveries,
    state: State,
    is_over: bool,
    begun: Option<Moment>,
    /// The numbers of events that were found and that were begun, and a sentence about both.
    selected: i64,
    begun_events: i64,
    sentence: String,
    rate: i64,
    here: String,
    /// The list to go back to.
    list: String,
    may_cancel: bool,
}

/// The address of the progress of a resend.
pub(super) fn address(visit: &Visit, criteria: &Criteria, id: &str, done: &str) -> String {
    let below = format!("deliveries/resends/{}", segment(id));
    criteria.address(visit, &below, &[("done", done)])
}

/// A resend. The criteria of the address are those of the list to go back to.
pub(crate) async fn progress(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let w = words::Deliveries::of(visit.language);
    let criteria = Criteria::read(query, &visit);
    let path = visit.api(&format!("resends/{}", segment(&id)));
    let resend: Resend = visit.get(&path).await?;
    let begun_events = (resend.selected - resend.waiting).max(0);
    let is_over = resend.state.is_over();
    let layout = Layout::of(&visit, Section::Deliveries, w.progress);
    Ok(page(&ProgressPage {
        layout: layout.with_notice(done(&criteria.fields, w, None)),
        w,
        state: resend.state.state(w),
        is_over,
        begun: Moment::parse(&resend.created_at, &visit.workspace.zone),
        selected: resend.selected,
        begun_events,
        sentence: fill(w.progress_events, &[&begun_events, &resend.selected]),
        rate: resend.rate,
        here: address(&visit, &criteria, &resend.id, ""),
        list: criteria.address(&visit, "deliveries", &[]),
        may_cancel: visit.may_integrate() && !is_over,
    }))
}

/// Cancels a resend.
pub(crate) async fn cancel(
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = visit.api(&format!("resends/{}/cancel", segment(&id)));
    let _: Value = visit.send(Method::POST, &path, &json!({})).await?;
    let criteria = Criteria::read(query, &visit);
    Ok(redirect(&address(&visit, &criteria, &id, "cancel")))
}
