//! The facts of a call for statistics and lists (`docs/contracts/kontur.md §6.5`).

use std::cmp::Ordering;

use serde::Serialize;
use uuid::Uuid;

use super::{Call, Direction, Leg, Moment, PartyType, Status};
use crate::words::words;

words! {
    /// The state of a call, as users see it.
    State {
        /// Requested, without a report of the exchange.
        Dialing "dialing",
        Ringing "ringing",
        Talking "talking",
        OnHold "onHold",
        Ended "ended",
    }
}

/// Facts of a call. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    pub state: &'static str,
    /// An inbound call that ended without an answer.
    pub missed: bool,
    /// True if a user talked with the other side.
    pub answered: bool,
    /// The time from the first ring to the answer, or to the end of a call that was not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<i64>,
    /// The time of talking with the client, without hold.
    pub talk_ms: i64,
    pub hold_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub responsible_user_id: Option<Uuid>,
}

impl Call {
    pub fn state(&self) -> State {
        let legs = self.legs();
        state(self, &legs)
    }

    pub fn facts(&self) -> Facts {
        let legs = self.legs();
        let own: Vec<&Leg> = match self.direction() {
            Direction::Internal => legs.iter().collect(),
            _ => legs.iter().filter(|leg| leg.is_client()).collect(),
        };
        let is_over = self.status() == Status::Sealed;
        let answered = own.iter().any(|leg| leg.started_at.is_some());
        Facts {
            state: state(self, &legs).name(),
            missed: is_over && !answered && self.direction() == Direction::Inbound,
            answered,
            wait_ms: wait(&own, answered),
            talk_ms: own.iter().map(|leg| talk(leg)).sum(),
            hold_ms: own.iter().map(|leg| leg.hold_ms).sum(),
            responsible_user_id: responsible(&own),
        }
    }

    /// The time of the exchange's last report, by its own clock.
    pub fn last_reported_at(&self) -> Option<&Moment> {
        let event = self.events.last().map(|event| &event.timestamp);
        let notices = [&self.started, &self.finished].into_iter().flatten();
        notices.map(|notice| &notice.timestamp).chain(event).max()
    }

    /// The users of the open legs, who see the call's card (`docs/contracts/kontur.md §11`).
    pub fn users_on_line(&self) -> Vec<Uuid> {
        if self.status() == Status::Sealed {
            return Vec::new();
        }
        let mut users: Vec<Uuid> = match &self.dial {
            Some(dial) if self.is_dialling() => dial.from_user_id.into_iter().collect(),
            _ => on_line(&self.legs())
                .flat_map(|leg| [leg.from.user_id, leg.to.user_id])
                .flatten()
                .collect(),
        };
        users.sort_unstable();
        users.dedup();
        users
    }

    /// All users who take or took part in the call.
    pub fn participants(&self) -> Vec<Uuid> {
        let legs = self.legs();
        let dialled = self
            .dial
            .iter()
            .flat_map(|dial| [dial.from_user_id, dial.to_user_id]);
        let of_legs = legs
            .iter()
            .flat_map(|leg| [leg.from.user_id, leg.to.user_id]);
        let mut users: Vec<Uuid> = dialled.chain(of_legs).flatten().collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

fn state(call: &Call, legs: &[Leg]) -> State {
    if call.status() == Status::Sealed {
        return State::Ended;
    }
    if call.is_dialling() {
        return State::Dialing;
    }
    let open = || legs.iter().filter(|leg| leg.is_open());
    let mut connected = open().filter(|leg| leg.started_at.is_some()).peekable();
    if connected.peek().is_some() {
        return if connected.all(|leg| leg.is_on_hold) {
            State::OnHold
        } else {
            State::Talking
        };
    }
    if legs.is_empty() || open().next().is_some() {
        State::Ringing
    } else {
        State::Ended
    }
}

/// The open legs, without those that were ringing when another user answered the client: their users no longer take
/// part.
fn on_line(legs: &[Leg]) -> impl Iterator<Item = &Leg> {
    let talks = |leg: &&Leg| leg.is_open() && leg.is_client() && !leg.is_on_hold;
    let answered_at = legs
        .iter()
        .filter(talks)
        .filter_map(|leg| leg.started_at.as_ref())
        .max();
    legs.iter().filter(move |leg| {
        let rang_before = leg.started_at.is_none()
            && leg.is_client()
            && answered_at
                .is_some_and(|at| leg.appeared_at.as_ref().is_some_and(|rang| rang <= at));
        leg.is_open() && !rang_before
    })
}

fn wait(legs: &[&Leg], answered: bool) -> Option<i64> {
    let rang = legs
        .iter()
        .filter_map(|leg| leg.appeared_at.as_ref())
        .min()?;
    let until: Option<&Moment> = if answered {
        legs.iter().filter_map(|leg| leg.started_at.as_ref()).min()
    } else {
        legs.iter().filter_map(|leg| leg.finished_at.as_ref()).max()
    };
    until.map(|until| until.millis_since(rang))
}

fn talk(leg: &Leg) -> i64 {
    let times = leg.started_at.as_ref().zip(leg.finished_at.as_ref());
    times.map_or(0, |(from, to)| (to.millis_since(from) - leg.hold_ms).max(0))
}

/// The user who talked last with the other side, else the only user whose phone rang.
fn responsible(legs: &[&Leg]) -> Option<Uuid> {
    if let Some(talk) = last_talk(legs.iter().copied()) {
        return user(talk);
    }
    let mut rung: Vec<Uuid> = legs.iter().filter_map(|leg| user(leg)).collect();
    rung.sort_unstable();
    rung.dedup();
    <[Uuid; 1]>::try_from(rung).ok().map(|[only]| only)
}

/// The user whom the leg calls, or who calls with it.
fn user(leg: &Leg) -> Option<Uuid> {
    let parties = [&leg.to, &leg.from].into_iter();
    let mut users = parties.filter(|party| party.kind == PartyType::User);
    users.find_map(|party| party.user_id)
}

/// The leg that was answered last among those that no other leg outlives: the outliving leg keeps the caller. Of equal
/// legs, the one with the longer talk is taken, then the one that rang first, then the one with the lower ids.
pub(super) fn last_talk<'a>(legs: impl Iterator<Item = &'a Leg> + Clone) -> Option<&'a Leg> {
    let answered = legs.filter(|leg| leg.started_at.is_some());
    let others = answered.clone();
    let kept = answered.filter(|leg| !others.clone().any(|other| outlives(other, leg)));
    kept.max_by(|a, b| {
        let evidence = |leg: &Leg| (leg.started_at.clone(), talk(leg));
        let ring = |leg: &Leg| leg.appeared_at.clone();
        let tie = |leg: &Leg| (user(leg), leg.id.clone());
        let by_talk = evidence(a).cmp(&evidence(b));
        by_talk
            .then_with(|| by_earliest(ring(a), ring(b)))
            .then_with(|| tie(b).cmp(&tie(a)))
    })
}

/// True if `other` was answered before `leg` and ended after it. If both ended at once, `other` outlives `leg` only if
/// `leg` was already ringing when `other` was answered: that is no transfer, and the faster answer keeps the caller.
fn outlives(other: &Leg, leg: &Leg) -> bool {
    let ends = match (&other.finished_at, &leg.finished_at) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(other), Some(end)) => other.cmp(end),
    };
    let times = leg.appeared_at.as_ref().zip(other.started_at.as_ref());
    let rang_already = times.is_some_and(|(rang, answered)| rang <= answered);
    match other.started_at.cmp(&leg.started_at) {
        Ordering::Less => ends.is_gt() || (ends.is_eq() && rang_already),
        Ordering::Equal => ends.is_gt(),
        Ordering::Greater => false,
    }
}

/// Orders times so that an earlier time is greater, and an unknown time is the least.
fn by_earliest(one: Option<Moment>, other: Option<Moment>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => other.cmp(&one),
        (one, other) => one.is_some().cmp(&other.is_some()),
    }
}
