//! The memory budget of bodies, answers and frames, so that many small allowances make no large sum. Memory is
//! counted as it grows and given back when it is dropped.

use std::{
    collections::HashMap,
    future::pending,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    time::Duration,
};

use axum::http::Extensions;
use bytes::Bytes;
use prichal_core::{id::WorkspaceId, network, time::Timestamp};
use prichal_store::tenant;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    platform::clock::Clock,
};

/// The size up to which a body or frame is not counted: it is part of a connection's cost.
pub const SMALL: usize = 8 << 10;
/// The maximum wait for memory that others give back.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The minimum time between two log lines about requests that were turned away.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The uses of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Body,
    Answer,
    Frame,
}

impl Use {
    const ALL: [Self; 3] = [Self::Body, Self::Answer, Self::Frame];

    fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Answer => "answer",
            Self::Frame => "frame",
        }
    }
}

/// The account on which memory is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Account {
    Workspace(WorkspaceId),
    /// A token, an integration or a channel.
    Credential(Uuid),
    /// An address whose credentials are not known yet.
    Address(IpAddr),
}

impl Account {
    /// The maximum bytes that the account may hold.
    fn share(self, limit: usize) -> usize {
        match self {
            Self::Workspace(_) => limit / 2,
            Self::Credential(_) => limit / 4,
            Self::Address(_) => limit / 8,
        }
    }
}

/// The memory budget of all requests.
#[derive(Clone)]
pub struct Budget(Arc<Pool>);

struct Pool {
    limit: usize,
    used: AtomicUsize,
    by_use: [AtomicUsize; Use::ALL.len()],
    accounts: Mutex<HashMap<Account, usize>>,
    freed: Notify,
    clock: Clock,
    turned_away: Mutex<TurnedAway>,
}

/// Requests that were turned away. Clients may cause any number of them.
#[derive(Default)]
struct TurnedAway {
    since_told: u64,
    quiet_until: Timestamp,
}

impl Budget {
    pub fn new(limit: usize, clock: Clock) -> Self {
        Self(Arc::new(Pool {
            limit,
            used: AtomicUsize::new(0),
            by_use: Default::default(),
            accounts: Mutex::default(),
            freed: Notify::new(),
            clock,
            turned_away: Mutex::default(),
        }))
    }

    /// The bytes that are held.
    pub fn used(&self) -> usize {
        self.0.used.load(Relaxed)
    }

    /// Publishes the metrics of held memory, by use.
    pub fn report(&self) {
        for of in Use::ALL {
            let held = self.0.by_use[of as usize].load(Relaxed);
            #[expect(clippy::cast_precision_loss, reason = "a gauge")]
            metrics::gauge!("prichal_memory_budget_bytes", "use" => of.name()).set(held as f64);
        }
    }

    /// Takes more memory for a hold of `own` bytes, if the accounts have room.
    fn try_take(&self, accounts: [Option<Account>; 2], of: Use, own: usize, bytes: usize) -> bool {
        let Pool { limit, .. } = *self.0;
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= limit);
        if self.0.used.fetch_update(AcqRel, Relaxed, fits).is_err() {
            return false;
        }
        let mut held = self.accounts();
        let has_room = accounts.into_iter().flatten().all(|account| {
            // A single body always fits, however small the share.
            let before = held.get(&account).copied().unwrap_or(0);
            before <= own || before + bytes <= account.share(limit)
        });
        if !has_room {
            drop(held);
            self.0.used.fetch_sub(bytes, AcqRel);
            return false;
        }
        for account in accounts.into_iter().flatten() {
            *held.entry(account).or_default() += bytes;
        }
        self.0.by_use[of as usize].fetch_add(bytes, Relaxed);
        true
    }

    /// Takes more memory without regard to the limits.
    fn force(&self, accounts: [Option<Account>; 2], of: Use, bytes: usize) {
        let mut held = self.accounts();
        for account in accounts.into_iter().flatten() {
            *held.entry(account).or_default() += bytes;
        }
        drop(held);
        self.0.used.fetch_add(bytes, AcqRel);
        self.0.by_use[of as usize].fetch_add(bytes, Relaxed);
    }

    /// True if all together or one of the accounts hold more than they may.
    fn is_over(&self, accounts: [Option<Account>; 2]) -> bool {
        let used = self.used();
        if used == 0 {
            return false;
        }
        let held = self.accounts();
        let is_over = |account: Account| {
            let now = held.get(&account).copied().unwrap_or(0);
            now > account.share(self.0.limit)
        };
        used > self.0.limit || accounts.into_iter().flatten().any(is_over)
    }

    fn give_back(&self, accounts: [Option<Account>; 2], of: Use, bytes: usize) {
        let mut held = self.accounts();
        for account in accounts.into_iter().flatten() {
            if let Some(now) = held.get_mut(&account) {
                *now -= bytes;
                if *now == 0 {
                    held.remove(&account);
                }
            }
        }
        drop(held);
        self.0.by_use[of as usize].fetch_sub(bytes, Relaxed);
        self.0.used.fetch_sub(bytes, AcqRel);
        self.0.freed.notify_waiters();
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Account, usize>> {
        self.0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory that is held until this is dropped.
pub struct Hold {
    budget: Budget,
    accounts: [Option<Account>; 2],
    of: Use,
    bytes: usize,
    /// The counted part of `bytes`: 0 for a small thing.
    counted: usize,
}

impl Hold {
    /// Takes more memory; false if there is no room now.
    pub fn try_grow(&mut self, more: usize) -> bool {
        // An account over its share receives no further bodies, however small.
        let is_new = self.of == Use::Body && self.bytes == 0;
        if is_new && self.budget.is_over(self.accounts) {
            return false;
        }
        let bytes = self.bytes.saturating_add(more);
        let wanted = if bytes > SMALL { bytes } else { 0 };
        let missing = wanted.saturating_sub(self.counted);
        if missing > 0 && !self.take(missing) {
            return false;
        }
        self.counted += missing;
        self.bytes = bytes;
        true
    }

    /// Takes more memory for data that can no longer be refused. It counts against the next request.
    pub fn force(&mut self, more: usize) {
        self.bytes = self.bytes.saturating_add(more);
        if self.bytes > SMALL {
            let missing = self.bytes.saturating_sub(self.counted);
            self.budget.force(self.accounts, self.of, missing);
            self.counted += missing;
        }
    }

    fn take(&self, more: usize) -> bool {
        let Self { accounts, of, .. } = *self;
        self.budget.try_take(accounts, of, self.counted, more)
    }

    /// Takes more memory, waiting up to [`MAX_WAIT`] for others to give some back.
    pub async fn grow(&mut self, more: usize) -> Result<()> {
        if self.try_grow(more) {
            return Ok(());
        }
        let pool = self.budget.0.clone();
        let waited = async {
            loop {
                let freed = pool.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.try_grow(more) {
                    return;
                }
                freed.await;
            }
        };
        let waited = tokio::time::timeout(MAX_WAIT, waited).await;
        waited.map_err(|_| {
            metrics::counter!("prichal_memory_refused_total").increment(1);
            Error::Busy
        })
    }

    /// Gives back the memory beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.bytes = self.bytes.min(bytes);
        let wanted = if self.bytes > SMALL { self.bytes } else { 0 };
        let spare = self.counted.saturating_sub(wanted);
        if spare > 0 {
            self.budget.give_back(self.accounts, self.of, spare);
            self.counted -= spare;
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

/// Bytes that hold their memory until the last reference is dropped.
struct Held {
    bytes: Bytes,
    _hold: Hold,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Ties the hold to the bytes that it was taken for.
pub fn tie(bytes: Bytes, hold: Hold) -> Bytes {
    if hold.counted == 0 {
        return bytes;
    }
    Bytes::from_owner(Held { bytes, _hold: hold })
}

/// The account of a request: its address until its credentials are known.
#[derive(Clone)]
pub struct Payer(Arc<Paying>);

struct Paying {
    budget: Budget,
    address: Option<IpAddr>,
    known: OnceLock<[Option<Account>; 2]>,
    /// The memory of the request's body, held until the answer.
    body: tokio::sync::Mutex<Option<Hold>>,
}

impl Payer {
    pub fn new(budget: Budget, address: Option<IpAddr>) -> Self {
        Self(Arc::new(Paying {
            budget,
            address,
            known: OnceLock::new(),
            body: tokio::sync::Mutex::new(None),
        }))
    }

    /// The payer of a request that came over a connection.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get::<Self>().cloned()
    }

    /// Sets the sender of the request. From here on its memory is on the account of the workspace and the credential,
    /// and its reads take the turns of the workspace.
    pub fn name(extensions: &Extensions, workspace: Option<WorkspaceId>, credential: Uuid) {
        if let Some(workspace) = workspace {
            tenant::name(workspace);
        }
        if let Some(payer) = extensions.get::<Self>() {
            let workspace = workspace.map(Account::Workspace);
            let accounts = [workspace, Some(Account::Credential(credential))];
            // The first call decides; later ones change nothing.
            let _ = payer.0.known.set(accounts);
        }
    }

    /// Counts a request that is turned away. Returns the number since the last log line when it is time for another
    /// one.
    pub fn turned_away(&self) -> Option<u64> {
        let pool = &self.0.budget.0;
        let turned_away = pool.turned_away.lock();
        let mut turned_away = turned_away.unwrap_or_else(PoisonError::into_inner);
        turned_away.since_told += 1;
        let now = pool.clock.now();
        if now < turned_away.quiet_until {
            return None;
        }
        turned_away.quiet_until = now + LOG_INTERVAL;
        Some(std::mem::take(&mut turned_away.since_told))
    }

    pub fn clock(&self) -> &Clock {
        &self.0.budget.0.clock
    }

    /// An empty hold that can grow.
    pub fn hold(&self, of: Use) -> Hold {
        let unknown = [
            self.0.address.map(network::customer).map(Account::Address),
            None,
        ];
        Hold {
            budget: self.0.budget.clone(),
            accounts: self.0.known.get().copied().unwrap_or(unknown),
            of,
            bytes: 0,
            counted: 0,
        }
    }

    /// Takes memory for the body of the request, held until the request is answered.
    pub async fn take(&self, more: usize) -> Result<()> {
        let mut body = self.0.body.lock().await;
        let hold = body.get_or_insert_with(|| self.hold(Use::Body));
        hold.grow(more).await
    }

    /// Gives back what the body of the request holds.
    pub async fn release(&self) {
        drop(self.0.body.lock().await.take());
    }
}

/// The minimum speed of incoming data: never silent for longer than `silence`, and on average at least `rate` bytes
/// per second, with a delay of at most `grace`. A quick beginning earns no further delay.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub silence: Duration,
    pub grace: Duration,
    pub rate: u64,
}

/// A stream of incoming data that has to keep a pace.
pub struct Timed {
    clock: Option<Clock>,
    pace: Pace,
    /// The delay that is left, as of a time.
    left: Duration,
    at: Timestamp,
}

impl Timed {
    /// Without a clock, no pace is too slow.
    pub fn new(clock: Option<Clock>, pace: Pace) -> Self {
        let at = clock.as_ref().map(Clock::now).unwrap_or_default();
        Self {
            clock,
            pace,
            left: pace.grace,
            at,
        }
    }

    /// The next piece; `None` if it does not come in time.
    pub async fn next<T>(&mut self, piece: impl Future<Output = T>) -> Option<T> {
        let late = async {
            match &self.clock {
                Some(clock) => {
                    let left = self.left_at(clock.now());
                    clock.sleep(left.min(self.pace.silence)).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            piece = piece => Some(piece),
            () = late => None,
        }
    }

    fn left_at(&self, now: Timestamp) -> Duration {
        self.left.saturating_sub(now.since(self.at))
    }

    /// Takes bytes that came into account.
    pub fn count(&mut self, bytes: usize) {
        let Some(clock) = &self.clock else {
            return;
        };
        let now = clock.now();
        let earned = (bytes as u64).saturating_mul(1_000_000_000) / self.pace.rate.max(1);
        let left = self.left_at(now) + Duration::from_nanos(earned);
        (self.left, self.at) = (left.min(self.pace.grace), now);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use prichal_core::time::Timestamp;

    use super::*;

    fn payer(budget: &Budget, workspace: u128, credential: u128) -> Payer {
        let mut extensions = Extensions::new();
        let address = IpAddr::from([127, 0, 0, 1]);
        extensions.insert(Payer::new(budget.clone(), Some(address)));
        if credential > 0 {
            let workspace = WorkspaceId(Uuid::from_u128(workspace));
            Payer::name(&extensions, Some(workspace), Uuid::from_u128(credential));
        }
        Payer::of(&extensions).unwrap()
    }

    fn budget(limit: usize) -> Budget {
        Budget::new(limit, Clock::manual(Timestamp::default()))
    }

    #[test]
    fn small_holds_are_free_and_large_ones_count_in_full() {
        let budget = budget(100 * SMALL);
        let mut hold = payer(&budget, 1, 1).hold(Use::Body);
        assert!(hold.try_grow(SMALL));
        assert_eq!(budget.used(), 0);
        assert!(hold.try_grow(1));
        assert_eq!(budget.used(), SMALL + 1);
        hold.shrink_to(SMALL);
        assert_eq!(budget.used(), 0);
        assert!(hold.try_grow(SMALL));
        drop(hold);
        assert_eq!(budget.used(), 0);
        assert!(budget.accounts().is_empty());
    }

    #[test]
    fn an_account_has_at_most_its_share() {
        let limit = 80 * SMALL;
        for (workspace, credential, share) in [(1, 1, limit / 4), (1, 0, limit / 8)] {
            let budget = budget(limit);
            let payer = payer(&budget, workspace, credential);
            let (mut one, mut other) = (payer.hold(Use::Body), payer.hold(Use::Answer));
            assert!(one.try_grow(share - 2 * SMALL));
            assert!(!other.try_grow(2 * SMALL + 1));
            assert!(other.try_grow(2 * SMALL));
            drop(one);
            assert!(other.try_grow(SMALL));
        }
        let budget = budget(limit);
        let mut holds: Vec<Hold> = (1..=4)
            .map(|credential| payer(&budget, 1, credential).hold(Use::Body))
            .collect();
        let taken = holds.iter_mut().map(|hold| hold.try_grow(limit / 4 - 1));
        assert_eq!(taken.collect::<Vec<_>>(), [true, true, false, false]);
        assert!(payer(&budget, 2, 9).hold(Use::Body).try_grow(limit / 4));
    }

    #[test]
    fn a_single_hold_may_exceed_the_share() {
        let budget = budget(10 * SMALL);
        let payer = payer(&budget, 1, 1);
        let mut hold = payer.hold(Use::Body);
        assert!((0..10).all(|_| hold.try_grow(SMALL)));
        assert!(!hold.try_grow(1));
        assert!(!payer.hold(Use::Body).try_grow(SMALL + 1));
    }

    #[test]
    fn forced_memory_counts_for_the_next() {
        let budget = budget(16 * SMALL);
        let payer = payer(&budget, 1, 1);
        let mut answer = payer.hold(Use::Answer);
        answer.force(5 * SMALL);
        assert_eq!(budget.used(), 5 * SMALL);
        assert!(!payer.hold(Use::Body).try_grow(1));
        assert!(payer.hold(Use::Answer).try_grow(1));
        drop(answer);
        assert!(payer.hold(Use::Body).try_grow(1));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn memory_is_waited_for_until_it_is_given_back() {
        let budget = budget(4 * SMALL);
        let payer = payer(&budget, 1, 1);
        let mut first = payer.hold(Use::Body);
        first.grow(4 * SMALL).await.unwrap();
        let (taken, ()) = tokio::join!(payer.take(2 * SMALL), async {
            tokio::task::yield_now().await;
            drop(first);
        });
        taken.unwrap();
        assert_eq!(budget.used(), 2 * SMALL);
        payer.release().await;
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn bytes_hold_their_memory_until_the_last_reference_is_dropped() {
        let budget = budget(4 * SMALL);
        let mut hold = payer(&budget, 1, 1).hold(Use::Answer);
        assert!(hold.try_grow(2 * SMALL));
        let mut bytes = tie(Bytes::from(vec![1; 2 * SMALL]), hold);
        let part = bytes.split_to(5);
        drop(bytes);
        assert_eq!(budget.used(), 2 * SMALL);
        drop(part);
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn slow_streams_are_cut_off() {
        let clock = Clock::manual(Timestamp::default());
        let pace = Pace {
            silence: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            rate: 100,
        };
        let mut timed = Timed::new(Some(clock.clone()), pace);
        // The seconds since the piece before, the size of the piece, and the milliseconds left.
        for (secs, bytes, left) in [
            (0, 1_000_000, 30_000),
            (9, 100, 22_000),
            (9, 50, 13_500),
            (9, 0, 4_500),
            (9, 700, 7_000),
            (2, 99_999, 30_000),
        ] {
            clock.advance(Duration::from_secs(secs));
            timed.count(bytes);
            assert_eq!(timed.left.as_millis(), left, "{bytes}");
        }
        let mut timed = Timed::new(Some(clock.clone()), pace);
        assert_eq!(timed.next(async { 1 }).await, Some(1));
        let (late, ()) = tokio::join!(timed.next(pending::<()>()), async {
            clock.advance(Duration::from_secs(10));
        });
        assert_eq!(late, None);
    }
}
