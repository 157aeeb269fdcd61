//! The legs of a call as lanes over time: what rang, talked and was on hold, and when.

use prichal_core::time::Timestamp;

use super::model::{Content, Event, EventType, Leg, Names};
use crate::{
    moment::{self, Moment},
    parts::visible,
    visit::Visit,
    words::{self, fill},
};

/// The width of a lane. It is stretched to its place.
const WIDTH: i64 = 1000;
/// The narrowest span that can be seen.
const NARROWEST: i64 = 4;

/// The activity of a leg for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Rings,
    Talks,
    Holds,
}

/// A stretch of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) activity: Activity,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// The spans of a leg, in their order; one that goes on ends at `now`.
fn spans(leg: &Leg, events: &[&Event], now: Timestamp) -> Vec<Span> {
    let parse = |text: &Option<String>| text.as_deref().and_then(Timestamp::parse);
    let (started, finished) = (parse(&leg.started_at), parse(&leg.finished_at));
    let mut marks: Vec<(Timestamp, Option<Activity>)> = events
        .iter()
        .filter_map(|event| Some((Timestamp::parse(&event.timestamp)?, activity(event.kind))))
        .collect();
    marks.sort_by_key(|(at, _)| *at);
    // The history knows the answer that no message has reported.
    let talks = |(_, activity): &(_, Option<Activity>)| *activity == Some(Activity::Talks);
    if let Some(started) = started.filter(|_| !marks.iter().any(talks)) {
        let place = marks.partition_point(|(at, _)| *at <= started);
        marks.insert(place, (started, Some(Activity::Talks)));
    }
    let end = finished.unwrap_or(now);
    let ends = marks.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let spans = marks.iter().zip(ends).filter_map(|((from, activity), to)| {
        Some(Span {
            activity: (*activity)?,
            from: *from,
            to: to.min(end).max(*from),
        })
    });
    spans.collect()
}

const fn activity(kind: EventType) -> Option<Activity> {
    match kind {
        EventType::Appeared => Some(Activity::Rings),
        EventType::Connected => Some(Activity::Talks),
        EventType::Paused => Some(Activity::Holds),
        EventType::Disconnected | EventType::Finished => None,
    }
}

/// The events of a leg, which messages name by either of its ids.
fn events_of<'a>(leg: &'a Leg, events: &'a [Event]) -> Vec<&'a Event> {
    let found = events.iter().filter(|event| {
        event.external_call_item_id == leg.id || event.realtime_call_item_id == leg.id
    });
    found.collect()
}

/// The id by which the exchange knows a leg while it goes on.
pub(super) fn realtime_id<'a>(leg: &'a Leg, events: &'a [Event]) -> &'a str {
    let ids = events_of(leg, events).into_iter().rev();
    let mut ids = ids.map(|event| event.realtime_call_item_id.as_str());
    ids.find(|id| !id.is_empty()).unwrap_or(&leg.id)
}

/// A leg as its lane shows it.
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) parties: String,
    pub(super) bars: Vec<Bar>,
    /// The same in words.
    pub(super) text: String,
}

/// A span as a rectangle. Kinds differ in their height, not by colour alone.
pub(super) struct Bar {
    pub(super) class: &'static str,
    pub(super) x: i64,
    pub(super) y: i64,
    pub(super) width: i64,
    pub(super) height: i64,
    pub(super) title: String,
}

/// The lanes of a call, and the times at their ends.
pub(super) struct Lanes {
    pub(super) lanes: Vec<Lane>,
    pub(super) from: Moment,
    pub(super) to: Moment,
    pub(super) length: String,
}

impl Lanes {
    /// The lanes of a call's legs. `None` if no time of any leg is known.
    pub(super) fn new(
        content: &Content,
        is_active: bool,
        names: &Names,
        visit: &Visit,
        w: &words::Calls,
    ) -> Option<Self> {
        let last = content.events.iter().map(|event| &event.timestamp);
        let last = last.filter_map(|at| Timestamp::parse(at)).max();
        // A leg of a call that is over ends with its last message, if nothing else is known.
        let now = visit.console.now();
        let now = if is_active { now } else { last.unwrap_or(now) };
        let legs: Vec<(&Leg, Vec<Span>)> = content
            .items
            .iter()
            .map(|leg| (leg, spans(leg, &events_of(leg, &content.events), now)))
            .collect();
        let all = || legs.iter().flat_map(|(_, spans)| spans);
        let from = all().map(|span| span.from).min()?;
        let to = all().map(|span| span.to).max()?;
        let zone = &visit.workspace.zone;
        let scale = Scale { from, to };
        let lanes = legs.iter().map(|(leg, spans)| {
            let bars: Vec<Bar> = spans.iter().map(|span| scale.bar(span, visit, w)).collect();
            let texts: Vec<&str> = bars.iter().map(|bar| bar.title.as_str()).collect();
            Lane {
                name: visible(&leg.id),
                parties: format!(
                    "{} → {}",
                    names.party(&leg.from, w),
                    names.party(&leg.to, w)
                ),
                text: texts.join("; "),
                bars,
            }
        });
        Some(Self {
            lanes: lanes.collect(),
            from: Moment::new(from, zone),
            to: Moment::new(to, zone),
            length: moment::clock((to.micros() - from.micros()) / 1000),
        })
    }
}

/// The stretch of time of all lanes.
struct Scale {
    from: Timestamp,
    to: Timestamp,
}

impl Scale {
    fn x(&self, at: Timestamp) -> i64 {
        let whole = (self.to.micros() - self.from.micros()).max(1);
        let part = (at.micros() - self.from.micros()).clamp(0, whole);
        i64::try_from(i128::from(part) * i128::from(WIDTH) / i128::from(whole)).unwrap_or(WIDTH)
    }

    fn bar(&self, span: &Span, visit: &Visit, w: &words::Calls) -> Bar {
        let (class, word, height) = match span.activity {
            Activity::Rings => ("rings", w.rings, 6),
            Activity::Talks => ("talks", w.talks, 20),
            Activity::Holds => ("holds", w.holds, 12),
        };
        let x = self.x(span.from);
        let time = |at| Moment::new(at, &visit.workspace.zone).time;
        let width = (self.x(span.to) - x).max(NARROWEST);
        Bar {
            class,
            x: x.min(WIDTH - NARROWEST),
            y: 24 - height,
            width,
            height,
            title: fill(w.lane_span, &[&word, &time(span.from), &time(span.to)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000 + second * 1_000_000)
    }

    fn leg(started: Option<i64>, finished: Option<i64>) -> Leg {
        let text = |second: Option<i64>| second.map(|second| at(second).to_string());
        serde_json::from_value(json!({
            "id": "a", "from": {"type": "client"}, "to": {"type": "user"},
            "startedAt": text(started), "finishedAt": text(finished),
        }))
        .expect("a leg")
    }

    fn event(kind: &str, second: i64) -> Event {
        serde_json::from_value(json!({
            "externalCallItemId": "a", "realtimeCallItemId": "r", "timestamp": at(second).to_string(), "type": kind,
            "from": {"type": "client"}, "to": {"type": "user"},
        }))
        .expect("an event")
    }

    /// The spans of a leg: its beginning and end in seconds, and the activity.
    fn shown(leg: &Leg, events: &[Event]) -> Vec<(Activity, i64, i64)> {
        let second = |time: Timestamp| (time.micros() - at(0).micros()) / 1_000_000;
        let events: Vec<&Event> = events.iter().collect();
        let spans = spans(leg, &events, at(100));
        let spans = spans.iter();
        spans
            .map(|span| (span.activity, second(span.from), second(span.to)))
            .collect()
    }

    #[test]
    fn a_leg_rings_talks_and_is_held() {
        use Activity::{Holds, Rings, Talks};
        let events = [
            event("disconnected", 60),
            event("appeared", 0),
            event("connected", 10),
            event("paused", 30),
            event("connected", 40),
        ];
        assert_eq!(
            shown(&leg(Some(10), Some(60)), &events),
            [
                (Rings, 0, 10),
                (Talks, 10, 30),
                (Holds, 30, 40),
                (Talks, 40, 60)
            ]
        );
        // It goes on.
        assert_eq!(
            shown(&leg(Some(10), None), &events[1..3]),
            [(Rings, 0, 10), (Talks, 10, 100)]
        );
        // Known from the history alone.
        assert_eq!(shown(&leg(Some(5), Some(50)), &[]), [(Talks, 5, 50)]);
        assert_eq!(shown(&leg(None, Some(50)), &[]), []);
        // The history has an answer that no message has reported.
        assert_eq!(
            shown(&leg(Some(5), Some(50)), &events[1..2]),
            [(Rings, 0, 5), (Talks, 5, 50)]
        );
        // A clock that went backwards.
        assert_eq!(shown(&leg(None, Some(0)), &events[2..3]), [(Talks, 10, 10)]);
    }

    #[test]
    fn a_leg_is_named_by_either_id() {
        let events = [event("appeared", 0)];
        assert_eq!(events_of(&leg(None, None), &events).len(), 1);
        assert_eq!(realtime_id(&leg(None, None), &events), "r");
        assert_eq!(realtime_id(&leg(None, None), &[]), "a");
    }

    #[test]
    fn every_span_can_be_seen_and_stays_inside() {
        let scale = Scale {
            from: at(0),
            to: at(100),
        };
        for (second, x) in [(-5, 0), (0, 0), (50, 500), (100, 1000), (200, 1000)] {
            assert_eq!(scale.x(at(second)), x);
        }
        let nothing = Scale {
            from: at(0),
            to: at(0),
        };
        assert_eq!(nothing.x(at(0)), 0);
    }
}
