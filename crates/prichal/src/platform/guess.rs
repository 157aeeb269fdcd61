//! Protection against guessing: wrong credentials are counted by address, and an address with too many failures
//! waits, longer each time.
//!
//! Credentials made by the server (tokens, API keys, access keys, local tokens of channels) are too long to be
//! guessed. So is an admin token from the settings, which must be long. A valid credential of these kinds is always
//! accepted, however many failures its address has: nobody can be locked out by others behind the same address.
//!
//! A secret of an instance is chosen by people and might be guessed. While an address waits, secrets from it are
//! refused unchecked. A secret that was valid from the same address before is still checked, until too many guesses
//! come from the waiting address.
//!
//! If an integration is attacked from many addresses, each of them waits after its first failure at the integration. An
//! address without such a failure is not affected. All tables are bounded, and each node counts for itself.

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
    platform::security::{self, Event, REQUEST},
};

/// The maximum number of addresses, of integrations and of pairs that are remembered.
const MAX_ENTRIES: usize = 10_000;
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_mins(15);
/// The time for which a valid credential of an address is remembered.
const KNOWN_LIFETIME: Duration = Duration::from_hours(24);
/// The number of failures of all addresses, each less than [`MAX_WAIT`] after the last, from which an integration is
/// under attack.
const ATTACK_FAILURES: u32 = 50;
/// The number of unchecked guesses by a waiting address from which its remembered secrets are refused as well.
const MAX_UNCHECKED: u32 = 100;
/// The failures allowed to a network of many customers (/48), as a multiple of those allowed to one customer's (/64).
const SITE_FACTOR: u32 = 16;
/// The values of secrets that a workspace may try for one integration. Each try reveals if the value is another
/// workspace's.
const VALUE_RATE: Rate = Rate {
    most: 60,
    period: Duration::from_hours(1),
};

/// The network that failures are counted for: an IPv4 address, or the /64 network of an IPv6 address, which is one
/// customer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    network: IpAddr,
    prefix: u32,
}

impl Source {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => Self::network(address, 64),
            network @ IpAddr::V4(_) => Self {
                network,
                prefix: 32,
            },
        }
    }

    fn network(address: Ipv6Addr, prefix: u32) -> Self {
        let bits = address.to_bits() & !(u128::MAX >> prefix);
        Self {
            network: Ipv6Addr::from_bits(bits).into(),
            prefix,
        }
    }

    /// The network of many customers (/48) that contains the source. `None` for IPv4.
    fn site(self) -> Option<Self> {
        match self.network {
            IpAddr::V6(address) => Some(Self::network(address, 48)),
            IpAddr::V4(_) => None,
        }
    }
}

/// The failures of one address or at one integration.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    /// The guesses that were refused unchecked.
    unchecked: u32,
    last: Timestamp,
    until: Timestamp,
}

impl Failures {
    /// Adds one failure. Each beyond `most` doubles the wait.
    fn add(&mut self, most: u32, period: Duration, now: Timestamp) {
        if self.is_over(period, now) {
            *self = Self::default();
        }
        self.count = self.count.saturating_add(1);
        self.last = now;
        if let Some(excess) = self.count.checked_sub(most).filter(|excess| *excess > 0) {
            let wait = Duration::from_secs(1 << (excess - 1).min(10)).min(MAX_WAIT);
            self.until = self.until.max(now + wait);
        }
    }

    /// True if the failures no longer count.
    fn is_over(&self, period: Duration, now: Timestamp) -> bool {
        let wait = self.until.since(self.last);
        now >= self.last + period.max(wait + wait)
    }

    /// Counts a guess that was refused unchecked.
    fn add_unchecked(&mut self, period: Duration, now: Timestamp) {
        if self.is_over(period, now) {
            *self = Self::default();
        }
        self.unchecked = self.unchecked.saturating_add(1);
        self.last = now;
    }

    fn wait(&self, now: Timestamp) -> Option<Duration> {
        (now < self.until).then(|| self.until.since(now))
    }
}

#[derive(Default)]
struct Tables {
    sources: HashMap<Source, Failures>,
    targets: HashMap<IntegrationId, Failures>,
    pairs: HashMap<(Source, IntegrationId), Failures>,
    /// The valid credentials that an address has shown, by their hash.
    known: HashMap<(Source, [u8; 32]), Timestamp>,
    values: HashMap<(WorkspaceId, IntegrationId), (Timestamp, u32)>,
}

impl Tables {
    fn pair(&mut self, pair: (Source, IntegrationId), rate: Rate, now: Timestamp) -> &mut Failures {
        make_room(
            &mut self.pairs,
            |found| !found.is_over(rate.period, now),
            |found| found.last,
        );
        self.pairs.entry(pair).or_default()
    }

    /// The time for which an address still has to wait at an integration.
    fn wait(&self, source: Source, target: IntegrationId, now: Timestamp) -> Option<Duration> {
        let waits = [
            self.sources.get(&source),
            source.site().and_then(|site| self.sources.get(&site)),
            self.pairs.get(&(source, target)),
        ];
        let waits = waits.into_iter().flatten();
        waits.filter_map(|found| found.wait(now)).max()
    }
}

/// Makes room in a full table: expired entries go first, then the oldest tenth.
fn make_room<K: Hash + Eq, V>(
    table: &mut HashMap<K, V>,
    keep: impl Fn(&V) -> bool,
    age: impl Fn(&V) -> Timestamp,
) {
    if table.len() < MAX_ENTRIES {
        return;
    }
    table.retain(|_, value| keep(value));
    if table.len() < MAX_ENTRIES {
        return;
    }
    let mut ages: Vec<Timestamp> = table.values().map(&age).collect();
    let (_, limit, _) = ages.select_nth_unstable(MAX_ENTRIES / 10);
    let (limit, mut room) = (*limit, MAX_ENTRIES / 10);
    table.retain(|_, value| {
        let goes = room > 0 && age(value) <= limit;
        room -= usize::from(goes);
        !goes
    });
}

/// The failures that this node has counted.
#[derive(Default)]
pub struct Guesses(Mutex<Tables>);

impl Guesses {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a wrong credential. Returns the wait if the address has shown too many.
    pub fn failed(&self, source: Source, rate: Rate, now: Timestamp) -> Option<Duration> {
        if rate.most == 0 {
            return None;
        }
        let mut tables = self.lock();
        let site = source
            .site()
            .map(|site| (site, rate.most.saturating_mul(SITE_FACTOR)));
        let counted = site.into_iter().chain([(source, rate.most)]);
        let waits = counted.filter_map(|(source, most)| {
            make_room(
                &mut tables.sources,
                |found| !found.is_over(rate.period, now),
                |found| found.last,
            );
            let found = tables.sources.entry(source).or_default();
            found.add(most, rate.period, now);
            found.wait(now)
        });
        waits.max()
    }

    /// Counts a wrong secret of an integration, beside [`Self::failed`].
    pub fn failed_at(&self, source: Source, target: IntegrationId, rate: Rate, now: Timestamp) {
        if rate.most == 0 {
            return;
        }
        let mut tables = self.lock();
        make_room(
            &mut tables.targets,
            |found| !found.is_over(MAX_WAIT, now),
            |found| found.last,
        );
        let all = tables.targets.entry(target).or_default();
        if all.is_over(MAX_WAIT, now) {
            *all = Failures::default();
        }
        all.count = all.count.saturating_add(1);
        all.last = now;
        let most = if all.count > ATTACK_FAILURES {
            0
        } else {
            rate.most
        };
        let pair = tables.pair((source, target), rate, now);
        pair.add(most, rate.period, now);
    }

    /// Admits a credential that might be guessed. The error is the remaining wait.
    pub fn admits(
        &self,
        source: Source,
        target: IntegrationId,
        credential: &str,
        rate: Rate,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let mut tables = self.lock();
        let Some(wait) = tables.wait(source, target, now) else {
            return Ok(());
        };
        let known = tables.known.get(&(source, digest(credential)));
        let is_known = known.is_some_and(|since| now < *since + KNOWN_LIFETIME);
        let pair = tables.pair((source, target), rate, now);
        if is_known && (pair.unchecked < MAX_UNCHECKED || pair.is_over(rate.period, now)) {
            return Ok(());
        }
        if !is_known {
            pair.add_unchecked(rate.period, now);
        }
        Err(wait)
    }

    /// Remembers a valid credential of an address.
    pub fn remember(&self, source: Source, credential: &str, now: Timestamp) {
        let mut tables = self.lock();
        make_room(
            &mut tables.known,
            |since| now < *since + KNOWN_LIFETIME,
            |since| *since,
        );
        tables.known.insert((source, digest(credential)), now);
    }

    /// Counts values of secrets that a workspace tries for an integration. The error is the wait after too many.
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
        make_room(
            &mut tables.values,
            |(since, _)| now < *since + VALUE_RATE.period,
            |(since, _)| *since,
        );
        let (since, used) = tables
            .values
            .entry((workspace, integration))
            .or_insert((now, 0));
        if now >= *since + VALUE_RATE.period {
            (*since, *used) = (now, 0);
        }
        match used
            .checked_add(count)
            .filter(|used| *used <= VALUE_RATE.most)
        {
            Some(now_used) => {
                *used = now_used;
                Ok(())
            }
            None => Err((*since + VALUE_RATE.period).since(now)),
        }
    }
}

fn digest(credential: &str) -> [u8; 32] {
    Sha256::digest(credential).into()
}

/// The error for a credential that is refused unchecked for a while.
pub fn throttled(wait: Duration) -> Error {
    let after = wait.as_millis().div_ceil(1000);
    Error::Throttled {
        after: u64::try_from(after).unwrap_or(u64::MAX),
    }
}

/// Marks the request of this task as a guess, because it names a secret link or token that does not exist.
pub fn mark_guess() {
    let _ = REQUEST.try_with(|request| request.set_guessing());
}

/// Marks the credential of this task's request as expired or revoked. Such a credential is not a guess.
pub fn mark_expired() {
    let _ = REQUEST.try_with(|request| request.set_known());
}

/// Counts an error of an answer if it refuses a credential, and replaces it by [`Error::Throttled`] after too many. All
/// refusals pass through this function to the security log.
pub fn count_refusal(error: Arc<Error>) -> Arc<Error> {
    let wrong = matches!(*error, Error::Unauthenticated);
    let missed = REQUEST
        .try_with(|request| request.takes_guess(wrong))
        .unwrap_or(false);
    if missed && let Some(wait) = counted() {
        security::record(Event::Throttled, None, "");
        return Arc::new(throttled(wait));
    }
    security::refused(&error, None);
    error
}

fn counted() -> Option<Duration> {
    let count = |request: &Arc<security::Request>| {
        let source = Source::of(request.address?);
        let app = &request.app;
        app.guesses
            .failed(source, app.config.guess_limit, app.clock.now())
    };
    REQUEST.try_with(count).ok().flatten()
}

/// Refuses a credential chosen by people, unchecked, while its address has to wait.
pub fn check(target: IntegrationId, credential: &str) -> Result<(), Error> {
    let admits = |request: &Arc<security::Request>| {
        let Some(address) = request.address else {
            return Ok(());
        };
        let (app, source) = (&request.app, Source::of(address));
        let rate = app.config.guess_limit;
        app.guesses
            .admits(source, target, credential, rate, app.clock.now())
    };
    match REQUEST.try_with(admits) {
        Ok(Err(wait)) => Err(throttled(wait)),
        _ => Ok(()),
    }
}

/// Records the outcome of checking a credential chosen by people.
pub fn record_outcome(target: IntegrationId, credential: &str, was_right: bool) {
    let _ = REQUEST.try_with(|request| {
        let Some(address) = request.address else {
            return;
        };
        let (app, source, now) = (&request.app, Source::of(address), request.app.clock.now());
        if was_right {
            app.guesses.remember(source, credential, now);
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

    fn integration() -> IntegrationId {
        IntegrationId(Uuid::from_u128(1))
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
        let later = now + MAX_WAIT + MAX_WAIT;
        assert_eq!(guesses.failed(one, RATE, later), None, "it is forgotten");
    }

    #[test]
    fn an_ipv6_customer_is_one_address() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
    }

    #[test]
    fn an_address_with_a_known_credential_is_admitted_despite_failures() {
        let guesses = Guesses::default();
        let (one, target) = (source("192.0.2.1"), integration());
        guesses.remember(one, "right", at(0));
        for _ in 0..5 {
            guesses.failed(one, RATE, at(1));
        }
        let admits = |credential, secs| guesses.admits(one, target, credential, RATE, at(secs));
        assert!(admits("right", 1).is_ok());
        assert!(admits("other", 1).is_err());
        assert!(admits("other", 3).is_ok());
    }

    #[test]
    fn known_credentials_wait_after_too_many_unchecked_guesses() {
        let guesses = Guesses::default();
        let (one, target) = (source("192.0.2.1"), integration());
        guesses.remember(one, "right", at(0));
        for _ in 0..5 {
            guesses.failed(one, RATE, at(1));
        }
        let admits = |credential, secs| guesses.admits(one, target, credential, RATE, at(secs));
        for _ in 0..MAX_UNCHECKED {
            assert_eq!(admits("other", 1), Err(Duration::from_secs(2)));
        }
        assert_eq!(admits("right", 1), Err(Duration::from_secs(2)));
        assert_eq!(admits("right", 3), Ok(()), "the wait is over");
        let other = IntegrationId(Uuid::from_u128(2));
        assert!(guesses.admits(one, other, "right", RATE, at(1)).is_ok());
    }

    #[test]
    fn an_attacked_integration_gives_each_address_one_guess() {
        let guesses = Guesses::default();
        let target = integration();
        for n in 0..=ATTACK_FAILURES {
            let from = source(&format!("192.0.{n}.1"));
            guesses.failed_at(from, target, RATE, at(0));
        }
        let next = source("198.51.100.1");
        assert!(guesses.admits(next, target, "x", RATE, at(0)).is_ok());
        guesses.failed_at(next, target, RATE, at(0));
        assert!(guesses.admits(next, target, "x", RATE, at(0)).is_err());
        let clean = source("198.51.100.2");
        assert!(guesses.admits(clean, target, "right", RATE, at(0)).is_ok());
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
    fn tables_are_bounded_and_lose_the_oldest() {
        let guesses = Guesses::default();
        let one = source("192.0.2.1");
        for _ in 0..=12 {
            guesses.failed(one, RATE, at(1));
        }
        for n in 0..MAX_ENTRIES as u128 {
            let address = Ipv6Addr::from_bits(n << 80);
            guesses.failed(Source::of(address.into()), RATE, at(0));
        }
        assert!(guesses.lock().sources.len() <= MAX_ENTRIES);
        let wait = guesses.lock().wait(one, integration(), at(2));
        assert!(wait.is_some(), "it is not the oldest");
    }

    #[test]
    fn the_networks_of_one_site_are_counted_together() {
        let guesses = Guesses::default();
        let most = u128::from(RATE.most * SITE_FACTOR);
        let site = source("2001:db8::").network;
        let IpAddr::V6(site) = site else {
            unreachable!("it is of IPv6")
        };
        let fail = |n: u128| {
            let address = Ipv6Addr::from_bits(site.to_bits() | (n << 64));
            guesses.failed(Source::of(address.into()), RATE, at(0))
        };
        assert_eq!((0..most).find_map(fail), None);
        assert_eq!(fail(most), Some(Duration::from_secs(1)));
        assert_eq!(guesses.failed(source("2001:db8:1::"), RATE, at(0)), None);
    }
}
