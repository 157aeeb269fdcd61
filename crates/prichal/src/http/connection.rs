//! Limits on connections: their number for an address, the memory of an endless head, and the timeout for a client that
//! does not read.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use hyper::body::{Frame, SizeHint};
use prichal_core::network;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::platform::{
    clock::Clock,
    memory::{Hold, Payer, Use},
};

/// The time in which a client has to read [`MIN_READ_BYTES`] of an answer.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const MIN_READ_BYTES: usize = 30 << 10;

/// The slots for connections, and the connections of each address (of IPv6, of each /64 network). If all slots are
/// taken, a new connection displaces one of the address with the most connections, unless its own address has as many.
#[derive(Clone)]
pub struct ConnectionSlots(Arc<Shared>);

struct Shared {
    most: usize,
    /// A counter of activity on all connections. It orders them by their last activity.
    moves: AtomicU64,
    held: Mutex<Held>,
}

/// The taken slots. The next one to give up is found without a look at all of them: slots are ordered by what was last
/// seen of them, and the first is looked at anew. Each look that changes the order is paid for by an activity.
#[derive(Default)]
struct Held {
    total: usize,
    addresses: HashMap<IpAddr, AddressSlots>,
    /// The addresses without a trusted slot: those with the most slots first, among them the one whose idlest slot is
    /// the idlest.
    rivals: BTreeSet<(Reverse<usize>, Idleness, IpAddr)>,
}

/// The slots of one address, the idlest first.
#[derive(Default)]
struct AddressSlots {
    all: BTreeMap<Idleness, TakenSlot>,
    trusted: usize,
}

/// A slot with a connection.
struct TakenSlot {
    activity: Activity,
    /// Cancelled when the slot is given to another connection.
    lost: CancellationToken,
    /// True for an address without a limit: its connections are of many clients.
    is_trusted: bool,
}

/// The idleness of a connection, where less is idler: connections without a request come before others, and those
/// inactive for longer before those. No two connections share a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Idleness(u64);

impl Idleness {
    /// The bit for a connection with a request.
    const BUSY: u64 = 1 << 63;

    fn new(is_busy: bool, moved: u64) -> Self {
        Self(moved | if is_busy { Self::BUSY } else { 0 })
    }
}

/// One counted connection of an address.
pub struct CountedConnection {
    slots: ConnectionSlots,
    address: IpAddr,
    activity: Activity,
    lost: CancellationToken,
}

impl ConnectionSlots {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Shared {
            most,
            moves: AtomicU64::default(),
            held: Mutex::default(),
        }))
    }

    /// Admits one more connection. `None` if the address has `most` already, or all slots are taken and none is given
    /// up. A trusted address gives up none and competes for others' slots as if it had no connections.
    pub fn enter(
        &self,
        address: IpAddr,
        most: usize,
        is_trusted: bool,
    ) -> Option<CountedConnection> {
        let address = network::customer(address);
        let mut held = self.0.lock();
        let count = held
            .addresses
            .get(&address)
            .map_or(0, |taken| taken.all.len());
        if count >= most {
            return None;
        }
        if held.total >= self.0.most {
            held.displace_one(if is_trusted { 0 } else { count })?;
        }
        let counted = CountedConnection {
            slots: self.clone(),
            address,
            activity: Activity::new(&self.0, address),
            lost: CancellationToken::new(),
        };
        let slot = TakenSlot {
            activity: counted.activity.clone(),
            lost: counted.lost.clone(),
            is_trusted,
        };
        held.insert(address, slot);
        Some(counted)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// Closes the idlest connection of an address with the most, if that is more than the newcomer's address has.
    fn displace_one(&mut self, newcomer: usize) -> Option<()> {
        for _ in 0..self.total {
            let (address, seen) = self.next(newcomer)?;
            if self.look(address, seen) == Some(seen) {
                break;
            }
        }
        let (address, seen) = self.next(newcomer)?;
        self.remove(address, seen)?.lost.cancel();
        metrics::counter!("prichal_connections_displaced_total").increment(1);
        Some(())
    }

    /// The slot to give up to an address with so many.
    fn next(&self, newcomer: usize) -> Option<(IpAddr, Idleness)> {
        let (Reverse(most), idlest, address) = self.rivals.first()?;
        (*most > newcomer).then_some((*address, *idlest))
    }

    /// Brings the place of a slot in the order up to date. Returns its idleness.
    fn look(&mut self, address: IpAddr, seen: Idleness) -> Option<Idleness> {
        let activity = self
            .addresses
            .get(&address)?
            .all
            .get(&seen)?
            .activity
            .clone();
        let now = activity.idleness();
        if now != seen {
            let slot = self.remove(address, seen)?;
            self.insert_as(address, slot, now);
        }
        Some(now)
    }

    fn insert(&mut self, address: IpAddr, slot: TakenSlot) {
        let idleness = slot.activity.idleness();
        self.insert_as(address, slot, idleness);
    }

    fn insert_as(&mut self, address: IpAddr, slot: TakenSlot, idleness: Idleness) {
        slot.activity.0.seen.store(idleness.0, Relaxed);
        self.change(address, |taken| {
            taken.trusted += usize::from(slot.is_trusted);
            taken.all.insert(idleness, slot);
        });
        self.total += 1;
    }

    fn remove(&mut self, address: IpAddr, seen: Idleness) -> Option<TakenSlot> {
        let slot = self.change(address, |taken| {
            taken
                .all
                .remove(&seen)
                .inspect(|slot| taken.trusted -= usize::from(slot.is_trusted))
        })?;
        self.total -= 1;
        Some(slot)
    }

    /// Changes the slots of an address, and its place among the rivals.
    fn change<T>(&mut self, address: IpAddr, change: impl FnOnce(&mut AddressSlots) -> T) -> T {
        let taken = self.addresses.entry(address).or_default();
        if let Some((count, idlest)) = taken.rank() {
            self.rivals.remove(&(count, idlest, address));
        }
        let done = change(taken);
        if let Some((count, idlest)) = taken.rank() {
            self.rivals.insert((count, idlest, address));
        }
        if taken.all.is_empty() {
            self.addresses.remove(&address);
        }
        done
    }
}

impl AddressSlots {
    /// The place among the rivals. `None` if there is a trusted slot.
    fn rank(&self) -> Option<(Reverse<usize>, Idleness)> {
        let (idlest, _) = self.all.first_key_value()?;
        (self.trusted == 0).then_some((Reverse(self.all.len()), *idlest))
    }
}

impl CountedConnection {
    pub fn activity(&self) -> Activity {
        self.activity.clone()
    }

    /// Cancelled when the slot is given to another connection.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut held = self.slots.0.lock();
        held.remove(self.address, self.activity.seen());
    }
}

/// The activity of a connection. It is busy while a request is read or answered, and after an upgrade. Otherwise
/// incoming bytes are the head of a request.
#[derive(Clone, Default)]
pub struct Activity(Arc<State>);

#[derive(Default)]
struct State {
    /// The number of reasons for which the connection is busy.
    busy: AtomicUsize,
    /// The number of guards that keep the connection from being idle.
    active: AtomicUsize,
    /// The last activity of the connection, as a value of the common counter.
    moved: AtomicU64,
    place: Option<(Arc<Shared>, IpAddr)>,
    /// The [`Idleness`] by which its slot is ordered. It changes under the lock of the slots.
    seen: AtomicU64,
    /// True if the slot is ordered as busy, so that the end of the activity must be told.
    is_seen_busy: AtomicBool,
    /// The memory of the incoming head. A request that has begun has its own account.
    head: Mutex<Option<Hold>>,
}

/// A guard that keeps a connection busy while a body is read or an answer is made.
pub struct BusyGuard(Active);

/// A guard that keeps a connection active while an answer is sent.
pub struct Active(Activity);

impl Activity {
    fn new(places: &Arc<Shared>, address: IpAddr) -> Self {
        let activity = Self(Arc::new(State {
            place: Some((places.clone(), address)),
            ..State::default()
        }));
        activity.moved();
        activity
    }

    /// Records activity of the connection.
    fn moved(&self) {
        if let Some((places, _)) = &self.0.place {
            let now = places.moves.fetch_add(1, Relaxed);
            self.0.moved.store(now, Relaxed);
        }
    }

    /// The present idleness. If the connection is busy, its slot is told of the end.
    fn idleness(&self) -> Idleness {
        // The flag comes first: an activity that ends in between then finds it.
        self.0.is_seen_busy.store(true, SeqCst);
        let is_busy = self.0.active.load(SeqCst) > 0;
        if !is_busy {
            self.0.is_seen_busy.store(false, SeqCst);
        }
        Idleness::new(is_busy, self.0.moved.load(Relaxed))
    }

    /// The idleness by which the slot is ordered.
    fn seen(&self) -> Idleness {
        Idleness(self.0.seen.load(Relaxed))
    }

    pub fn begin(&self) -> BusyGuard {
        self.0.busy.fetch_add(1, Relaxed);
        *self.head() = None;
        BusyGuard(self.send())
    }

    /// Marks the connection as busy with an answer.
    pub fn send(&self) -> Active {
        self.0.active.fetch_add(1, SeqCst);
        Active(self.clone())
    }

    fn head(&self) -> MutexGuard<'_, Option<Hold>> {
        self.0.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the connection as upgraded to another protocol.
    pub fn upgrade(&self) {
        self.0.busy.fetch_add(1, Relaxed);
        self.0.active.fetch_add(1, SeqCst);
    }

    fn is_busy(&self) -> bool {
        self.0.busy.load(Relaxed) > 0
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        let Self(Active(activity)) = self;
        activity.0.busy.fetch_sub(1, Relaxed);
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Self(activity) = self;
        if activity.0.active.fetch_sub(1, SeqCst) > 1
            || !activity.0.is_seen_busy.swap(false, SeqCst)
        {
            return;
        }
        if let Some((places, address)) = &activity.0.place {
            let mut held = places.lock();
            held.look(*address, activity.seen());
        }
    }
}

/// The body of an answer. Its connection is busy until the end of it.
pub struct Answer {
    body: Body,
    _active: Active,
}

impl Answer {
    pub fn new(body: Body, activity: &Activity) -> Self {
        Self {
            body,
            _active: activity.send(),
        }
    }
}

impl HttpBody for Answer {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that counts the memory of a request's head, and fails if the client does not read.
pub struct MeteredStream<T> {
    io: T,
    clock: Clock,
    payer: Payer,
    activity: Activity,
    stalled: Option<Stalled>,
}

struct Stalled {
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The bytes that the client has read since the last progress check.
    read: usize,
    /// The end of an answer is still sent when its body is gone.
    _active: Active,
}

impl Stalled {
    fn new(clock: &Clock, activity: &Activity) -> Self {
        let clock = clock.clone();
        Self {
            over: Box::pin(async move { clock.sleep(STALL_TIMEOUT).await }),
            read: 0,
            _active: activity.send(),
        }
    }
}

impl<T> MeteredStream<T> {
    pub fn new(io: T, payer: Payer, activity: Activity) -> Self {
        Self {
            io,
            clock: payer.clock().clone(),
            payer,
            activity,
            stalled: None,
        }
    }

    /// Counts received bytes of a head.
    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.activity.moved();
        if self.activity.is_busy() {
            return Ok(());
        }
        let mut head = self.activity.head();
        let head = head.get_or_insert_with(|| self.payer.hold(Use::Body));
        if head.try_grow(bytes) {
            return Ok(());
        }
        metrics::counter!("prichal_memory_refused_total").increment(1);
        Err(io::ErrorKind::OutOfMemory.into())
    }

    /// Records the outcome of a write of `length` bytes.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                self.activity.moved();
                if count >= length {
                    self.stalled = None;
                } else if let Some(stalled) = &mut self.stalled {
                    stalled.read += count;
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(failed) => Poll::Ready(failed),
            Poll::Pending => self.stall(cx),
        }
    }

    fn stall(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let (clock, activity) = (&self.clock, &self.activity);
            let stalled = self
                .stalled
                .get_or_insert_with(|| Stalled::new(clock, activity));
            ready!(stalled.over.as_mut().poll(cx));
            if stalled.read < MIN_READ_BYTES {
                let why = "the client does not read";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)));
            }
            self.stalled = None;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for MeteredStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.count(read)?;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for MeteredStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.wrote(cx, written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        let length = bufs.iter().map(|buf| buf.len()).sum();
        self.wrote(cx, written, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use prichal_core::time::Timestamp;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::platform::memory::{Budget, SMALL};

    fn metered<T>(io: T, limit: usize) -> (MeteredStream<T>, Clock, Activity) {
        let clock = Clock::manual(Timestamp::default());
        let payer = Payer::new(Budget::new(limit, clock.clone()), None);
        let activity = Activity::default();
        (
            MeteredStream::new(io, payer, activity.clone()),
            clock,
            activity,
        )
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn an_address_has_a_bounded_number_of_connections() {
        let slots = ConnectionSlots::new(100);
        let (one, other) = (address(1), address(2));
        let first = slots.enter(one, 2, false);
        let _second = slots.enter(one, 2, false).unwrap();
        assert!(slots.enter(one, 2, false).is_none());
        assert!(slots.enter(other, 2, false).is_some());
        drop(first);
        assert!(slots.enter(one, 2, false).is_some());
    }

    #[test]
    fn a_trusted_address_gives_up_no_slot() {
        let slots = ConnectionSlots::new(3);
        let enter = |last, trusted| slots.enter(address(last), usize::MAX, trusted);
        let proxy = [enter(1, true).unwrap(), enter(1, true).unwrap()];
        let direct = enter(2, false).unwrap();
        assert!(enter(2, false).is_none(), "as many as the newcomer has");
        let third = enter(1, true).unwrap();
        assert!(direct.lost.is_cancelled() && !third.lost.is_cancelled());
        assert!(enter(3, false).is_none(), "only trusted ones are left");
        assert!(proxy.iter().all(|counted| !counted.lost.is_cancelled()));
    }

    #[test]
    fn a_connection_with_a_request_is_spared() {
        let slots = ConnectionSlots::new(2);
        let busy = slots.enter(address(1), 9, false).unwrap();
        let idle = slots.enter(address(1), 9, false).unwrap();
        let _request = busy.activity().begin();
        let _newcomer = slots.enter(address(2), 9, false).unwrap();
        assert!(idle.lost.is_cancelled() && !busy.lost.is_cancelled());
    }

    #[test]
    fn among_equal_addresses_the_idlest_connection_gives_way() {
        let slots = ConnectionSlots::new(3);
        let busy = slots.enter(address(200), 9, false).unwrap();
        let request = busy.activity().begin();
        let idle = [1, 2].map(|last| slots.enter(address(last), 9, false).unwrap());
        let newcomer = slots.enter(address(3), 9, false).unwrap();
        assert!(idle[0].lost.is_cancelled() && !busy.lost.is_cancelled());
        let answer = busy.activity().send();
        drop((request, idle));
        let _others = [4, 5].map(|last| slots.enter(address(last), 9, false).unwrap());
        assert!(newcomer.lost.is_cancelled() && !busy.lost.is_cancelled());
        drop((newcomer, answer));
        let _last = slots.enter(address(6), 9, false).unwrap();
        assert!(busy.lost.is_cancelled(), "its answer has ended");
    }

    /// A step in the life of a small number of slots, by addresses and connections.
    #[derive(Clone, Debug)]
    enum Move {
        Enter(u8),
        Act(usize),
        /// Begins a request, or ends the one in progress.
        Activity(usize),
        Leave(usize),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            3 => (0..4_u8).prop_map(Move::Enter),
            2 => (0..8_usize).prop_map(Move::Act),
            2 => (0..8_usize).prop_map(Move::Activity),
            1 => (0..8_usize).prop_map(Move::Leave),
        ];
        prop::collection::vec(one, 0..80)
    }

    proptest! {
        /// Compared with a list of all connections, the last active one at the end.
        #[test]
        fn slots_move_from_the_largest_address_to_smaller_ones(all in moves()) {
            const SLOTS: usize = 6;
            const EACH: usize = 5;
            let slots = ConnectionSlots::new(SLOTS);
            let mut model: Vec<(u8, CountedConnection, Option<BusyGuard>)> = Vec::new();
            for one in all {
                match one {
                    Move::Act(n) if n < model.len() => {
                        let acted = model.remove(n);
                        acted.1.activity.moved();
                        model.push(acted);
                    }
                    Move::Activity(n) if n < model.len() => {
                        let (_, counted, request) = &mut model[n];
                        *request = request.is_none().then(|| counted.activity.begin());
                    }
                    Move::Leave(n) if n < model.len() => drop(model.remove(n)),
                    Move::Act(_) | Move::Activity(_) | Move::Leave(_) => {}
                    Move::Enter(of) => {
                        let count = |of: u8| model.iter().filter(|(other, ..)| *other == of).count();
                        let held = count(of);
                        let most = (0..4_u8).map(count).max().unwrap();
                        let is_full = model.len() == SLOTS;
                        let expected = held < EACH && (!is_full || most > held);
                        let rivals = model.iter().enumerate().filter(|(_, (of, ..))| count(*of) == most);
                        let idlest = rivals.min_by_key(|(n, (.., request))| (request.is_some(), *n));
                        let idlest = idlest.map(|(n, _)| n);
                        let entered = slots.enter(address(of), EACH, false);
                        prop_assert_eq!(entered.is_some(), expected);
                        if let Some(counted) = entered {
                            if is_full {
                                let (_, gone, _) = model.remove(idlest.unwrap());
                                prop_assert!(gone.lost.is_cancelled());
                            }
                            model.push((of, counted, None));
                        }
                    }
                }
                prop_assert!(model.len() <= SLOTS);
                prop_assert!(model.iter().all(|(_, counted, _)| !counted.lost.is_cancelled()));
                let held = slots.0.lock();
                prop_assert_eq!(held.total, model.len());
                prop_assert_eq!(held.rivals.len(), held.addresses.len());
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_dropped() {
        let (here, _there) = duplex(64);
        let (mut metered, clock, _) = metered(here, SMALL);
        let (failed, ()) = tokio::join!(metered.write_all(&[0; 100]), async {
            tokio::task::yield_now().await;
            clock.advance(STALL_TIMEOUT);
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_is_waited_for() {
        let (here, mut there) = duplex(64);
        let (mut metered, clock, _) = metered(here, SMALL);
        let all = vec![0; 2 * MIN_READ_BYTES];
        let (sent, ()) = tokio::join!(metered.write_all(&all), async {
            let mut part = vec![0; MIN_READ_BYTES + 64];
            there.read_exact(&mut part).await.unwrap();
            clock.advance(STALL_TIMEOUT);
            let mut rest = vec![0; MIN_READ_BYTES - 64];
            there.read_exact(&mut rest).await.unwrap();
        });
        sent.unwrap();
    }

    /// Requests that follow each other on one connection.
    #[tokio::test]
    async fn a_head_is_given_back_when_its_request_begins() {
        let (here, mut there) = duplex(8 * SMALL);
        let (mut metered, _, activity) = metered(here, 3 * SMALL);
        let mut head = vec![0; 2 * SMALL];
        for _ in 0..100 {
            there.write_all(&head).await.unwrap();
            metered.read_exact(&mut head).await.unwrap();
            drop(activity.begin());
            assert!(activity.head().is_none());
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_counted_and_a_body_is_not() {
        let (here, mut there) = duplex(8 * SMALL);
        let (mut metered, _, activity) = metered(here, 2 * SMALL);
        there.write_all(&vec![0; 6 * SMALL]).await.unwrap();
        let mut part = vec![0; SMALL];
        metered.read_exact(&mut part).await.unwrap();
        metered.read_exact(&mut part).await.unwrap();
        assert!(metered.read_exact(&mut part).await.is_err());
        let busy = activity.begin();
        metered.read_exact(&mut part).await.unwrap();
        assert!(activity.head().is_none());
        metered.read_exact(&mut part).await.unwrap();
        drop(busy);
        metered.read_exact(&mut part).await.unwrap();
    }
}
