//! Distinction of calls with the same id: many exchanges restart their counters each day, or after a restart.
//!
//! A report is about the call that it agrees with best. If it contradicts a call that is over, by its number, direction
//! or time, it is about another call. A start or a history creates that call.

use std::time::Duration;

use super::{Call, Direction, Event, Failure, History, LegRecording, Moment, Notice, Status};

/// The maximum distance of two messages about one call. It is longer than any call that is not given up, and than the
/// error of an exchange that writes its history in local time.
const MAX_DISTANCE: Duration = Duration::from_hours(12);
/// The time after a call's end from which a start begins another call, whatever its number.
const AFTER_END: Duration = Duration::from_mins(10);
/// The maximum distance at which another number still corrects a call that is over.
const CORRECTION: Duration = Duration::from_mins(1);

/// The traits of the call that a report is about.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The first and the last time that the report names.
    span: Option<(Moment, Moment)>,
    direction: Option<Direction>,
    /// The client's number as it was sent, and its key.
    pub client_phone: String,
    pub phone: Option<String>,
    /// Set for a call's start and for its whole history, which make a new call if none exists.
    begins: Option<Begins>,
    /// The leg, for a report that names no time.
    leg: Option<LegRecording>,
}

/// The clock by which the exchange reports the beginning of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Live,
    History,
}

impl Identity {
    pub fn of_start(notice: &Notice) -> Self {
        Self {
            begins: Some(Begins::Live),
            ..Self::of_end(notice)
        }
    }

    pub fn of_end(notice: &Notice) -> Self {
        Self {
            span: Some((notice.timestamp.clone(), notice.timestamp.clone())),
            direction: notice.direction,
            client_phone: notice.client_phone.clone(),
            ..Self::default()
        }
    }

    pub fn of_event(event: &Event) -> Self {
        Self {
            span: Some((event.timestamp.clone(), event.timestamp.clone())),
            ..Self::default()
        }
    }

    pub fn of_failure(failure: &Failure) -> Self {
        let at = failure.at.clone();
        Self {
            span: at.map(|at| (at.clone(), at)),
            ..Self::default()
        }
    }

    pub fn of_history(history: &History) -> Self {
        Self {
            span: span(history_times(history)),
            direction: Some(history.direction),
            client_phone: history.client_phone.clone(),
            begins: Some(Begins::History),
            ..Self::default()
        }
    }

    /// A recording names a leg, and no time.
    pub fn of_recording(external_call_item_id: &str, realtime_call_item_id: &str) -> Self {
        Self {
            leg: Some(LegRecording::naming(
                external_call_item_id,
                realtime_call_item_id,
            )),
            ..Self::default()
        }
    }
}

/// The call that a report is about, among those with its id, the newest first and each with the key of its
/// number. `None` if it contradicts them all.
pub fn choose_call(report: &Identity, calls: &[(&Call, Option<&str>)]) -> Option<usize> {
    if let Some(leg) = &report.leg {
        return choose_by_leg(leg, calls);
    }
    let ranked = calls.iter().enumerate().filter_map(|(at, (call, phone))| {
        let rank = call.disagreement(report, *phone)?;
        Some((rank, at))
    });
    ranked.min().map(|(_, at)| at)
}

/// The newest call with the leg. While the newest call is open, its leg may still become known, so an older one
/// with such a leg must wait.
fn choose_by_leg(leg: &LegRecording, calls: &[(&Call, Option<&str>)]) -> Option<usize> {
    let (newest, _) = calls.first()?;
    if newest.status() == Status::Active {
        return Some(0);
    }
    let with_leg = calls.iter().position(|(call, _)| call.knows_leg(leg));
    Some(with_leg.unwrap_or(0))
}

impl Call {
    /// The disagreement of a report with this call: in number, in direction, and in milliseconds. `None`: it cannot be
    /// about this call.
    fn disagreement(&self, report: &Identity, phone: Option<&str>) -> Option<(bool, bool, i64)> {
        let known = self.has_direction().then(|| self.direction());
        let differs_in_way = known.zip(report.direction).is_some_and(|(a, b)| a != b);
        let differs_in_phone = match (phone, report.phone.as_deref()) {
            (Some(known), Some(told)) => known != told,
            _ => false,
        };
        let apart = report
            .span
            .as_ref()
            .zip(self.span())
            .map(|(a, b)| gap(a, &b));
        let is_over = self.status() == Status::Sealed;
        let beyond = |limit: Duration| apart.is_none_or(|apart| apart > millis(limit));
        let is_another = (differs_in_way || differs_in_phone) && is_over && beyond(CORRECTION);
        let is_apart =
            apart.is_some() && beyond(MAX_DISTANCE) && (is_over || report.begins.is_some());
        if is_another || is_apart || (is_over && self.has_ended_before(report)) {
            return None;
        }
        Some((differs_in_phone, differs_in_way, apart.unwrap_or(0)))
    }

    /// True for a beginning well after the end that the same clock reported.
    fn has_ended_before(&self, report: &Identity) -> bool {
        let end = match report.begins {
            Some(Begins::Live) => span(self.live_times()),
            Some(Begins::History) => span(self.history.iter().flat_map(history_times)),
            None => None,
        };
        let begin = report.span.as_ref().map(|(begin, _)| begin);
        end.zip(begin)
            .is_some_and(|((_, end), begin)| begin.millis_since(&end) > millis(AFTER_END))
    }

    /// True once the exchange has reported the direction.
    fn has_direction(&self) -> bool {
        self.started.is_some() || self.finished.is_some() || self.history.is_some()
    }

    fn live_times(&self) -> impl Iterator<Item = &Moment> {
        let notices = [&self.started, &self.finished].into_iter().flatten();
        let events = self.events.iter().map(|event| &event.timestamp);
        notices.map(|notice| &notice.timestamp).chain(events)
    }

    /// The first and the last time that the exchange reported.
    fn span(&self) -> Option<(Moment, Moment)> {
        let history = self.history.iter().flat_map(history_times);
        span(self.live_times().chain(history))
    }
}

fn history_times(history: &History) -> impl Iterator<Item = &Moment> {
    let legs = history.items.iter();
    let times = legs.flat_map(|leg| [&leg.started_at, &leg.finished_at]);
    times.chain([&history.external_created_at]).flatten()
}

fn span<'a>(times: impl Iterator<Item = &'a Moment>) -> Option<(Moment, Moment)> {
    times.fold(None, |span, at| {
        let (begin, end) = span.unwrap_or_else(|| (at.clone(), at.clone()));
        Some((begin.min(at.clone()), end.max(at.clone())))
    })
}

/// The milliseconds between two spans; zero when they touch.
fn gap(one: &(Moment, Moment), other: &(Moment, Moment)) -> i64 {
    one.0
        .millis_since(&other.1)
        .max(other.0.millis_since(&one.1))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
