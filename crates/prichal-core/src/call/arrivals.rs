//! The times at which the messages of a call arrived, beside the times that they name.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The arrivals of a call's events, in the order of the events; in microseconds since 1970. Events of older records have
/// none.
///
/// All are equal: a message that arrives again, or in another order, is the same evidence.
#[derive(Clone, Debug, Default, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arrivals(Vec<Option<i64>>);

impl PartialEq for Arrivals {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Arrivals {
    pub(super) fn are_unknown(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Adds an event at a place among `count` others.
    pub(super) fn insert(&mut self, place: usize, at: Option<Timestamp>, count: usize) {
        self.0.resize(count, None);
        self.0.insert(place.min(count), at.map(Timestamp::micros));
    }

    /// Removes one of `count` events.
    pub(super) fn remove(&mut self, place: usize, count: usize) {
        self.0.resize(count, None);
        if place < count {
            self.0.remove(place);
        }
    }

    /// The places of the events whose arrival is known, with its time, in the order of arrival.
    pub fn in_order(&self) -> Vec<(usize, Timestamp)> {
        let known = self.0.iter().enumerate();
        let known = known.filter_map(|(place, at)| Some((place, Timestamp::from_micros((*at)?))));
        let mut found: Vec<_> = known.collect();
        found.sort_by_key(|(place, at)| (*at, *place));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_follow_their_events() {
        let at = Timestamp::from_micros;
        let mut arrivals = Arrivals::default();
        arrivals.insert(1, Some(at(5)), 1);
        arrivals.insert(0, Some(at(9)), 2);
        assert_eq!(arrivals.in_order(), [(2, at(5)), (0, at(9))]);
        arrivals.remove(1, 3);
        assert_eq!(arrivals.in_order(), [(1, at(5)), (0, at(9))]);
        assert!(!arrivals.are_unknown());
        let mut older = Arrivals::default();
        older.remove(0, 2);
        assert!(older.are_unknown());
    }
}
