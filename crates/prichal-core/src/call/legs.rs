//! The legs of a call, computed from its events and its history.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    Call, Event, EventType, HistoryLeg, LegRecording, Moment, Party, Recording, Status,
    facts::last_talk,
};

/// A talk between two participants. Serialized as the model shows it (`docs/contracts/kontur.md §5`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Leg {
    pub id: String,
    pub from: Party,
    pub to: Party,
    pub recordings: Vec<Recording>,
    /// The time of the answer. A leg without one was missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Moment>,
    /// The leg's ids during the call.
    #[serde(skip)]
    pub realtime_ids: BTreeSet<String>,
    /// The beginning of the ring, if that was reported.
    #[serde(skip)]
    pub appeared_at: Option<Moment>,
    /// The time on hold, in milliseconds.
    #[serde(skip)]
    pub hold_ms: i64,
    #[serde(skip)]
    pub is_on_hold: bool,
    /// The first known time, which orders the legs.
    #[serde(skip)]
    first: Option<Moment>,
    #[serde(skip)]
    last: Option<Moment>,
}

impl Leg {
    pub fn is_open(&self) -> bool {
        self.finished_at.is_none()
    }

    pub fn is_client(&self) -> bool {
        [&self.from, &self.to]
            .iter()
            .any(|party| party.kind == super::PartyType::Client)
    }

    fn new(id: &str, from: Party, to: Party) -> Self {
        Self {
            id: id.to_owned(),
            from,
            to,
            recordings: Vec::new(),
            started_at: None,
            finished_at: None,
            realtime_ids: BTreeSet::new(),
            appeared_at: None,
            hold_ms: 0,
            is_on_hold: false,
            first: None,
            last: None,
        }
    }

    /// The time during which both legs existed, in milliseconds.
    fn overlap(&self, other: &Self) -> i64 {
        let begin = self.first.as_ref().max(other.first.as_ref());
        let ends = [&self.finished_at, &other.finished_at];
        let end = ends.into_iter().flatten().min();
        begin
            .zip(end)
            .map_or(0, |(begin, end)| end.millis_since(begin))
    }
}

impl Call {
    /// The legs, ordered by their first known time, then by their id.
    pub fn legs(&self) -> Vec<Leg> {
        let live = self.live_legs();
        let mut legs = match &self.history {
            Some(history) if !history.items.is_empty() => {
                let named = |id: &str| history.items.iter().any(|leg| leg.id == id);
                // If no id is in both lists, the exchange numbers the legs of its history differently.
                let shares_ids = live.is_empty() || live.iter().any(|leg| named(&leg.id));
                let mut legs: Vec<Leg> = history
                    .items
                    .iter()
                    .map(|leg| with_history(leg, live.iter().find(|live| live.id == leg.id)))
                    .collect();
                if shares_ids {
                    legs.extend(live.iter().filter(|leg| !named(&leg.id)).cloned());
                }
                legs
            }
            _ => live.clone(),
        };
        self.close(&mut legs);
        for leg in &mut legs {
            for party in [&mut leg.from, &mut leg.to] {
                party.user_id = party.user_id.filter(|id| !self.strangers.contains(id));
            }
        }
        legs.sort_by(|a, b| (&a.first, &a.id).cmp(&(&b.first, &b.id)));
        for recording in &self.recordings {
            add_recording(recording, &mut legs, &live);
        }
        legs
    }

    fn live_legs(&self) -> Vec<Leg> {
        let identified = IdentifiedLegs::of(&self.events);
        let leg_of = |event: &Event| identified.leg_of(event).to_owned();
        let mut of_leg: BTreeMap<String, Vec<&Event>> = BTreeMap::new();
        for event in &self.events {
            of_leg.entry(leg_of(event)).or_default().push(event);
        }
        let ends: Vec<&Event> = self
            .events
            .iter()
            .filter(|event| {
                event.kind == EventType::Finished && !event.realtime_call_item_id.is_empty()
            })
            .collect();
        let legs = of_leg.into_iter().filter_map(|(id, mut events)| {
            let last = *events.last()?;
            let mut leg = Leg::new(&id, last.from.clone(), last.to.clone());
            leg.realtime_ids = events
                .iter()
                .map(|event| event.realtime_call_item_id.clone())
                .filter(|id| !id.is_empty())
                .collect();
            leg.first = events.first().map(|event| event.timestamp.clone());
            leg.last = Some(last.timestamp.clone());
            // `finished` ends every open leg of its realtime id.
            let of_others = ends.iter().filter(|end| {
                leg_of(end) != id && leg.realtime_ids.contains(&end.realtime_call_item_id)
            });
            events.extend(of_others);
            events.sort_by(|a, b| a.order().cmp(&b.order()));
            replay(&mut leg, &events, |event| leg_of(event) == id);
            Some(leg)
        });
        legs.collect()
    }

    /// Ends the legs that are still open in a call that is over.
    fn close(&self, legs: &mut [Leg]) {
        if self.status() != Status::Sealed {
            return;
        }
        let finished = self
            .finished
            .as_ref()
            .map(|notice| notice.timestamp.clone());
        let in_history = || {
            let items = self.history.as_ref().map(|history| history.items.iter());
            items
                .into_iter()
                .flatten()
                .filter_map(|leg| leg.finished_at.clone())
                .max()
        };
        let end = finished
            .or_else(in_history)
            .or_else(|| self.timed_out.clone())
            .or_else(|| self.failed.as_ref()?.at.clone());
        for leg in legs.iter_mut().filter(|leg| leg.is_open()) {
            let known = [&leg.last, &leg.started_at];
            let latest = known.into_iter().flatten().max().cloned();
            leg.finished_at = end.clone().max(latest);
        }
    }
}

/// The legs that were reported with both of their ids, by the id during the call. An event may have only that id, and
/// legs that ring together may share it.
struct IdentifiedLegs<'a>(BTreeMap<&'a str, Vec<&'a Event>>);

impl<'a> IdentifiedLegs<'a> {
    fn of(events: &'a [Event]) -> Self {
        let mut legs: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let realtime = event.realtime_call_item_id.as_str();
            if realtime.is_empty() || event.external_call_item_id.is_empty() {
                continue;
            }
            let known = legs.entry(realtime).or_default();
            let is_known = known.iter().any(|one| {
                (one.leg(), &one.from, &one.to) == (event.leg(), &event.from, &event.to)
            });
            if !is_known {
                known.push(event);
            }
        }
        Self(legs)
    }

    /// The permanent id of an event's leg. Of legs that share an id during the call, it is the leg between the same
    /// people, else the one that was reported first.
    fn leg_of<'e>(&self, event: &'e Event) -> &'e str
    where
        'a: 'e,
    {
        if !event.external_call_item_id.is_empty() {
            return event.leg();
        }
        let known = self.0.get(event.leg()).map_or(&[][..], Vec::as_slice);
        let mut alike = known
            .iter()
            .filter(|one| (&one.from, &one.to) == (&event.from, &event.to));
        let found = alike.next().or(known.first());
        found.map_or(event.leg(), |one| one.leg())
    }
}

/// Computes the times of a leg from its events, which are in order.
fn replay(leg: &mut Leg, events: &[&Event], is_own: impl Fn(&Event) -> bool) {
    let mut paused_since: Option<&Moment> = None;
    for event in events {
        let at = &event.timestamp;
        match event.kind {
            EventType::Appeared => {
                leg.appeared_at.get_or_insert_with(|| at.clone());
            }
            EventType::Connected => {
                leg.started_at.get_or_insert_with(|| at.clone());
                leg.finished_at = None;
                if let Some(since) = paused_since.take() {
                    leg.hold_ms += at.millis_since(since);
                }
            }
            EventType::Paused => {
                if leg.is_open() {
                    paused_since.get_or_insert(at);
                }
            }
            EventType::Disconnected | EventType::Finished => {
                // Another leg's end only matters while this one is open.
                if is_own(event) || leg.is_open() {
                    leg.finished_at = Some(at.clone());
                }
                if let Some(since) = paused_since.take() {
                    leg.hold_ms += at.millis_since(since);
                }
            }
        }
    }
    leg.is_on_hold = paused_since.is_some();
}

/// A leg of the history, with what was reported about it during the call.
fn with_history(history: &HistoryLeg, live: Option<&Leg>) -> Leg {
    let mut leg = match live {
        Some(live) => live.clone(),
        None => Leg::new(&history.id, history.from.clone(), history.to.clone()),
    };
    leg.from = history.from.clone();
    leg.to = history.to.clone();
    if history.finished_at.is_some() {
        // The history replaces both times: a leg that has an end but no start was missed.
        leg.started_at.clone_from(&history.started_at);
        leg.finished_at.clone_from(&history.finished_at);
        leg.is_on_hold = false;
    } else if history.started_at.is_some() {
        leg.started_at.clone_from(&history.started_at);
        leg.finished_at = leg
            .finished_at
            .filter(|end| Some(end) >= history.started_at.as_ref());
    }
    let known = [&leg.first, &history.started_at, &history.finished_at];
    leg.first = known.into_iter().flatten().min().cloned();
    leg
}

/// Adds a recording to its leg.
fn add_recording(recording: &LegRecording, legs: &mut [Leg], live: &[Leg]) {
    let at = find(recording, legs).or_else(|| {
        // The history numbers its legs differently, so the recording is added to the leg of the same people at that
        // time.
        let lost = &live[find(recording, live)?];
        let likeness = |leg: &Leg| {
            let same = (&leg.from, &leg.to) == (&lost.from, &lost.to);
            (same, leg.overlap(lost))
        };
        let best = legs.iter().map(likeness).max()?;
        legs.iter().position(|leg| likeness(leg) == best)
    });
    if let Some(leg) = at.and_then(|at| legs.get_mut(at)) {
        leg.recordings.push(recording.recording.clone());
    }
}

/// The position of the leg that a recording names by its permanent id, else by its id during the call.
fn find(recording: &LegRecording, legs: &[Leg]) -> Option<usize> {
    let LegRecording {
        external_call_item_id: external,
        realtime_call_item_id: realtime,
        ..
    } = recording;
    let by_id = |id: &str| legs.iter().position(|leg| !id.is_empty() && leg.id == id);
    // Of legs that share an id during the call, the recording belongs to the one with a talk.
    let by_realtime = || {
        let named = legs
            .iter()
            .filter(|leg| leg.realtime_ids.contains(realtime));
        let talk = last_talk(named.clone()).or(named.clone().next())?;
        legs.iter().position(|leg| std::ptr::eq(leg, talk))
    };
    by_id(external)
        .or_else(by_realtime)
        .or_else(|| by_id(realtime))
}

impl Call {
    /// True if the leg that a recording names is known, live or from history.
    pub(super) fn knows_leg(&self, recording: &LegRecording) -> bool {
        find(recording, &self.live_legs()).is_some() || find(recording, &self.legs()).is_some()
    }

    /// True if some leg has this id, permanently or during the call.
    pub fn has_realtime_leg(&self, id: &str) -> bool {
        let has = |event: &Event| event.realtime_call_item_id == id || event.leg() == id;
        self.events.iter().any(has)
    }
}
