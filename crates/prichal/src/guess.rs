//! Guessing: wrong credentials are counted, and who shows too many waits, longer each time.
//!
//! Credentials that the server has made itself (tokens, API keys, access keys, local tokens of channels) is too long to be
//! guessed. Of those a right one is always let in, however many wrong ones its address has shown: nobody can
//! be locked out by others behind the same address. What people have chosen (a secret of an instance, an admin
//! token from the settings) might be guessed, so an address that has to wait is not even told whether it is
//! right, unless that very address has shown it before.
//!
//! A target that is guessed at from many addresses has each of them wait after its first failure there; an
//! address that has not failed there is heard all the same. All tables are bounded, and each node counts for
//! itself.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prichal_core::{
    id::{IntegrationId, WorkspaceId},
    time::Timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::{
    config::Rate,
    error::Error,
    security::{self, Event, REQUEST},
};

/// The most addresses, targets and pairs that are remembered, each.
const MOST: usize = 10_000;
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(15);
/// The time for which an address is known to have shown a right credential.
const KNOWN: Duration = Duration::from_hours(24);
/// The number of failures of all addresses that make a target one that is guessed at, in [`LONGEST`].
const ATTACKED: u32 = 50;
/// The values of secrets that a workspace may try for one integration in a time: each try tells
/// whether the value is another workspace's.
const VALUES: Rate = Rate {
    most: 60,
    period: Duration::from_hours(1),
};

/// That which credentials stand for, where it can be told from a wrong one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    Administration,
    /// The instances of an integration.
    Integration(IntegrationId),
}

/// An address as it is counted: of IPv6 the first half, which is one customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source(IpAddr);

impl Source {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = address.to_bits() & !u128::from(u64::MAX);
                Ipv6Addr::from_bits(network).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

/// The failures of one address or at one target.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Failures {
    /// Adds one. Beyond `most` each doubles the wait.
    fn add(&mut self, most: u32, period: Duration, now: Timestamp) {
        if self.is_over(period, now) {
            *self = Self::default();
        }
        self.count = self.count.saturating_add(1);
        self.last = now;
        if let Some(excess) = self.count.checked_sub(most).filter(|excess| *excess > 0) {
            let wait = Duration::from_secs(1 << (excess - 1).min(10)).min(LONGEST);
            self.until = self.until.max(now + wait);
        }
    }

    /// True of failures that count no more.
    fn is_over(&self, period: Duration, now: Timestamp) -> bool {
        let wait = self.until.since(self.last);
        now >= self.last + period.max(wait + wait)
    }

    fn wait(&self, now: Timestamp) -> Option<Duration> {
        (now < self.until).then(|| self.until.since(now))
    }
}

#[derive(Default)]
struct Tables {
    sources: HashMap<Source, Failures>,
    targets: HashMap<Target, Failures>,
    pairs: HashMap<(Source, Target), Failures>,
    /// Credentials, by their hash, that an address has shown and that were right.
    known: HashMap<(Source, [u8; 32]), Timestamp>,
    values: HashMap<(WorkspaceId, IntegrationId), (Timestamp, u32)>,
}

/// Makes room for one more. What is over goes first, then everything.
fn make_room<K: Hash + Eq, V>(table: &mut HashMap<K, V>, keep: impl Fn(&V) -> bool) {
    if table.len() >= MOST {
        table.retain(|_, value| keep(value));
        if table.len() >= MOST {
            table.clear();
        }
    }
}

/// The wrong credentials that this node knows of.
#[derive(Default)]
pub struct Guesses(Mutex<Tables>);

impl Guesses {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a wrong credential. The wait, when the address has shown too many.
    pub fn failed(&self, source: Source, rate: Rate, now: Timestamp) -> Option<Duration> {
        if rate.most == 0 {
            return None;
        }
        let mut tables = self.lock();
        make_room(&mut tables.sources, |found| {
            !found.is_over(rate.period, now)
        });
        let found = tables.sources.entry(source).or_default();
        found.add(rate.most, rate.period, now);
        found.wait(now)
    }

    /// Counts a wrong credential for a target, beside [`Self::failed`].
    pub fn failed_at(&self, source: Source, target: Target, rate: Rate, now: Timestamp) {
        if rate.most == 0 {
            return;
        }
        let mut tables = self.lock();
        make_room(&mut tables.targets, |found| !found.is_over(LONGEST, now));
        let all = tables.targets.entry(target).or_default();
        if all.is_over(LONGEST, now) {
            *all = Failures::default();
        }
        all.count = all.count.saturating_add(1);
        all.last = now;
        let most = if all.count > ATTACKED { 0 } else { rate.most };
        make_room(&mut tables.pairs, |found| !found.is_over(rate.period, now));
        let pair = tables.pairs.entry((source, target)).or_default();
        pair.add(most, rate.period, now);
    }

    /// Admits a credential that might be guessed; else the wait is the error.
    pub fn admits(
        &self,
        source: Source,
        target: Target,
        credential: &str,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let tables = self.lock();
        let known = tables.known.get(&(source, digest(credential)));
        if known.is_some_and(|since| now < *since + KNOWN) {
            return Ok(());
        }
        let waits = [
            tables.sources.get(&source),
            tables.pairs.get(&(source, target)),
        ];
        let wait = waits
            .into_iter()
            .flatten()
            .filter_map(|found| found.wait(now));
        wait.max().map_or(Ok(()), Err)
    }

    /// Remembers that an address has shown a right credential.
    pub fn right(&self, source: Source, credential: &str, now: Timestamp) {
        let mut tables = self.lock();
        make_room(&mut tables.known, |since| now < *since + KNOWN);
        tables.known.insert((source, digest(credential)), now);
    }

    /// Counts values of secrets that a workspace tries for an integration. The wait, when they are too many.
    pub fn try_values(
        &self,
        workspace: WorkspaceId,
        integration: IntegrationId,
        count: usize,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if count == 0 {
            return Ok(());
        }
        let mut tables = self.lock();
        make_room(&mut tables.values, |(since, _)| {
            now < *since + VALUES.period
        });
        let (since, used) = tables
            .values
            .entry((workspace, integration))
            .or_insert((now, 0));
        if now >= *since + VALUES.period {
            (*since, *used) = (now, 0);
        }
        match used.checked_add(count).filter(|used| *used <= VALUES.most) {
            Some(now_used) => {
                *used = now_used;
                Ok(())
            }
            None => Err((*since + VALUES.period).since(now)),
        }
    }
}

fn digest(credential: &str) -> [u8; 32] {
    Sha256::digest(credential).into()
}

/// The error of a credential that is not looked at for a while.
pub fn throttled(wait: Duration) -> Error {
    let after = wait.as_millis().div_ceil(1000);
    Error::Throttled {
        after: u64::try_from(after).unwrap_or(u64::MAX),
    }
}

/// Marks the request of this task as one that has named something that is known only to those told of it, and that it
/// is not there.
pub fn missed() {
    let _ = REQUEST.try_with(security::Request::set_guessing);
}

/// Marks the credential of this task's request as one that was good once: it is over, and no guess.
pub fn outlived() {
    let _ = REQUEST.try_with(security::Request::set_known);
}

/// Looks at an error that leaves the server: a refused credential counts, and one too many is answered that
/// way. All refusals come by here, so here the security log hears of them.
pub fn judged(error: Arc<Error>) -> Arc<Error> {
    let wrong = matches!(*error, Error::Unauthenticated);
    let missed = REQUEST
        .try_with(|request| request.takes_guess(wrong))
        .unwrap_or(false);
    if missed && let Some(wait) = counted() {
        security::record(Event::Throttled, None, "");
        return Arc::new(throttled(wait));
    }
    match *error {
        Error::Unauthenticated => security::record(Event::Unauthenticated, None, ""),
        Error::Throttled { .. } => security::record(Event::Throttled, None, ""),
        Error::Forbidden(why) => security::record(Event::Forbidden, None, why),
        Error::Refused(ref refusal) if refusal.status == "PERMISSION_ERROR" => {
            security::record(Event::Forbidden, None, "");
        }
        _ => {}
    }
    error
}

fn counted() -> Option<Duration> {
    let count = |request: &security::Request| {
        let source = Source::of(request.address?);
        let app = &request.app;
        app.guesses
            .failed(source, app.config.guess_limit, app.clock.now())
    };
    REQUEST.try_with(count).ok().flatten()
}

/// Refuses to look at a credential that people have chosen while its address has to wait.
pub fn check(target: Target, credential: &str) -> Result<(), Error> {
    let admits = |request: &security::Request| {
        let Some(address) = request.address else {
            return Ok(());
        };
        let (app, source) = (&request.app, Source::of(address));
        app.guesses
            .admits(source, target, credential, app.clock.now())
    };
    match REQUEST.try_with(admits) {
        Ok(Err(wait)) => Err(throttled(wait)),
        _ => Ok(()),
    }
}

/// Remembers the outcome of such a credential.
pub fn tell(target: Target, credential: &str, was_right: bool) {
    let _ = REQUEST.try_with(|request| {
        let Some(address) = request.address else {
            return;
        };
        let (app, source, now) = (&request.app, Source::of(address), request.app.clock.now());
        if was_right {
            app.guesses.right(source, credential, now);
        } else {
            app.guesses
                .failed_at(source, target, app.config.guess_limit, now);
        }
    });
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const RATE: Rate = Rate {
        most: 3,
        period: Duration::from_mins(1),
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    fn source(text: &str) -> Source {
        Source::of(text.parse().expect("an address"))
    }

    #[test]
    fn waits_grow_up_to_a_quarter_of_an_hour() {
        let guesses = Guesses::default();
        let one = source("192.0.2.1");
        let mut waits = Vec::new();
        let mut now = at(0);
        for _ in 0..16 {
            let wait = guesses.failed(one, RATE, now);
            waits.push(wait.map_or(0, |wait| wait.as_secs()));
            now = now + wait.unwrap_or_default();
        }
        let expected = [
            0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900,
        ];
        assert_eq!(waits, expected);
        assert_eq!(guesses.failed(source("192.0.2.2"), RATE, now), None);
        let later = now + LONGEST + LONGEST;
        assert_eq!(guesses.failed(one, RATE, later), None, "it is forgotten");
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }

    #[test]
    fn who_has_shown_the_right_one_is_heard_although_others_have_not() {
        let guesses = Guesses::default();
        let (one, target) = (source("192.0.2.1"), Target::Administration);
        guesses.right(one, "right", at(0));
        for _ in 0..5 {
            guesses.failed(one, RATE, at(1));
        }
        assert!(guesses.admits(one, target, "right", at(1)).is_ok());
        assert!(guesses.admits(one, target, "other", at(1)).is_err());
        assert!(guesses.admits(one, target, "other", at(3)).is_ok());
    }

    #[test]
    fn a_target_that_is_guessed_at_from_everywhere_gives_each_address_one_guess() {
        let guesses = Guesses::default();
        let target = Target::Integration(IntegrationId(Uuid::from_u128(1)));
        for n in 0..=ATTACKED {
            let from = source(&format!("192.0.{n}.1"));
            guesses.failed_at(from, target, RATE, at(0));
        }
        let next = source("198.51.100.1");
        assert!(guesses.admits(next, target, "x", at(0)).is_ok());
        guesses.failed_at(next, target, RATE, at(0));
        assert!(guesses.admits(next, target, "x", at(0)).is_err());
        let clean = source("198.51.100.2");
        assert!(guesses.admits(clean, target, "right", at(0)).is_ok());
    }

    #[test]
    fn values_of_secrets_are_tried_slowly() {
        let guesses = Guesses::default();
        let (workspace, id) = (
            WorkspaceId(Uuid::from_u128(1)),
            IntegrationId(Uuid::from_u128(2)),
        );
        let take = |count, secs| guesses.try_values(workspace, id, count, at(secs));
        assert_eq!(take(40, 0), Ok(()));
        assert_eq!(take(21, 600), Err(Duration::from_mins(50)));
        assert_eq!(take(20, 600), Ok(()));
        assert_eq!(take(0, 601), Ok(()));
        assert_eq!(take(1, 3600), Ok(()));
    }

    #[test]
    fn tables_are_bounded() {
        let guesses = Guesses::default();
        for n in 0..3 * MOST as u128 {
            let address = Ipv6Addr::from_bits(n << 64);
            guesses.failed(Source::of(address.into()), RATE, at(0));
        }
        assert!(guesses.lock().sources.len() <= MOST);
    }
}
