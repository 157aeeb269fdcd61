//! The state of a receiver, in words.

use serde::Deserialize;

use super::Task;
use crate::{
    api::query,
    chart::{self, Chart, Tally},
    facts,
    moment::{self, Moment},
    parts::{State, Tone, visible},
    visit::Visit,
    words::{self, fill},
};

/// The lag from which on a receiver that works counts as lagging, in seconds.
const LAGGING: i64 = 60;

/// A receiver (`GET /api/v1/{ws}/webhooks?state=true`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Source {
    #[serde(rename = "source")]
    kind: Kind,
    id: String,
    #[serde(default)]
    integration_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    url: Option<String>,
    state: Summary,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Webhook,
    DocumentHook,
    Channel,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    state: Health,
    #[serde(default)]
    failing_since: Option<String>,
    lag_events: i64,
    lag_seconds: i64,
    waiting: i64,
    #[serde(default)]
    next_try_at: Option<String>,
    #[serde(default)]
    last_success_at: Option<String>,
    #[serde(default)]
    last_error: Option<String>,
    #[serde(default)]
    last_http_status: Option<i64>,
    hours: Vec<Hour>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
enum Health {
    Working,
    Failing,
    SwitchedOff,
    Paused,
    Idle,
}

#[derive(Deserialize)]
struct Hour {
    delivered: u64,
    failed: u64,
}

/// A line of the list of receivers.
pub(super) struct SourceRow {
    pub(super) state: State,
    pub(super) since: Option<Moment>,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) url: String,
    /// The calls of the receiver.
    pub(super) href: String,
    pub(super) last_success: Option<Moment>,
    pub(super) waiting: i64,
    /// The lag in words; empty if there is none.
    pub(super) lag: String,
    pub(super) next: Option<Moment>,
    pub(super) error: String,
    pub(super) day: Chart,
    rank: u8,
}

/// The lines, those that need somebody first.
pub(super) fn rows(sources: &[Source], visit: &Visit, w: &'static words::Now) -> Vec<SourceRow> {
    let mut rows: Vec<_> = sources.iter().map(|source| source.row(visit, w)).collect();
    rows.sort_by_key(|row| row.rank);
    rows
}

impl Source {
    /// The task of a person about it: a receiver that was switched off stays so.
    pub(super) fn task(&self, visit: &Visit, w: &'static words::Now) -> Option<Task> {
        if self.state.state != Health::SwitchedOff {
            return None;
        }
        let href = match &self.integration_id {
            Some(id) => format!("integrations/{}", crate::api::segment(id)),
            None => "integrations".to_owned(),
        };
        Some(Task {
            text: fill(w.switched_off_task, &[&self.name(w)]),
            since: None,
            href: visit.page(&href),
            action: w.see_integration,
        })
    }

    fn name(&self, w: &words::Now) -> String {
        match (self.kind, &self.name) {
            (Kind::DocumentHook, _) => w.document_hook.to_owned(),
            (_, Some(name)) if !name.is_empty() => visible(name),
            _ => visible(&self.id),
        }
    }

    fn row(&self, visit: &Visit, w: &'static words::Now) -> SourceRow {
        let zone = &visit.workspace.zone;
        let moment = |text: &Option<String>| Moment::parse(text.as_deref()?, zone);
        let summary = &self.state;
        let (state, rank) = summary.word(w);
        let error = match (summary.state, &summary.last_error) {
            (Health::Failing | Health::SwitchedOff, Some(error)) => {
                facts::reason(error, visit.language)
            }
            _ => String::new(),
        };
        let status = summary.last_http_status.map(|status| status.to_string());
        let status = status.filter(|status| !error.is_empty() && !error.contains(status));
        let lag = if summary.lag_events > 0 {
            let age = moment::span(summary.lag_seconds.saturating_mul(1000), visit.language);
            fill(w.lag, &[&summary.lag_events, &age])
        } else {
            String::new()
        };
        let calls = query([
            (
                "integrationId",
                self.integration_id.as_deref().unwrap_or_default(),
            ),
            ("webHookId", &*self.id),
        ]);
        SourceRow {
            state,
            since: moment(&summary.failing_since),
            name: self.name(w),
            kind: match self.kind {
                Kind::Webhook => w.webhook,
                // Its name says it.
                Kind::DocumentHook => "",
                Kind::Channel => w.channel,
            },
            url: visible(self.url.as_deref().unwrap_or_default()),
            href: format!("{}{calls}", visit.page("deliveries")),
            last_success: moment(&summary.last_success_at),
            waiting: summary.waiting,
            lag,
            next: moment(&summary.next_try_at),
            error: status.map_or(error.clone(), |status| format!("{error} ({status})")),
            day: summary.day(w),
            rank,
        }
    }
}

impl Summary {
    /// The state in a word, and its rank in the list.
    fn word(&self, w: &'static words::Now) -> (State, u8) {
        let (tone, word, rank) = match self.state {
            Health::Failing => (Tone::Bad, w.failing, 0),
            Health::SwitchedOff => (Tone::Bad, w.switched_off, 1),
            Health::Working if self.lag_seconds >= LAGGING => (Tone::Waiting, w.lagging, 2),
            Health::Working => (Tone::Good, w.working, 3),
            Health::Idle => (Tone::Good, w.idle, 4),
            Health::Paused => (Tone::Off, w.paused, 5),
        };
        (State { tone, word }, rank)
    }

    fn day(&self, w: &words::Now) -> Chart {
        let tallies: Vec<_> = self
            .hours
            .iter()
            .map(|hour| Tally {
                good: hour.delivered,
                bad: hour.failed,
            })
            .collect();
        let good: u64 = tallies.iter().map(|one| one.good).sum();
        let bad: u64 = tallies.iter().map(|one| one.bad).sum();
        chart::sparkline(&tallies, &fill(w.day_text, &[&good, &bad]))
    }
}
