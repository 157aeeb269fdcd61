//! Limits on connections: their number for an address, the memory of an endless head, and the timeout for a client that
//! does not read.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

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
    moves: Arc<AtomicU64>,
    of: Mutex<HashMap<IpAddr, Vec<TakenSlot>>>,
}

/// A slot with a connection.
struct TakenSlot {
    activity: Activity,
    /// Cancelled when the slot is given to another connection.
    lost: CancellationToken,
    /// True for an address without a limit: its connections are of many clients.
    is_trusted: bool,
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
            moves: Arc::default(),
            of: Mutex::default(),
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
        let mut all = self.lock();
        let held = all.get(&address).map_or(0, Vec::len);
        if held >= most {
            return None;
        }
        if all.values().map(Vec::len).sum::<usize>() >= self.0.most {
            displace_one(&mut all, if is_trusted { 0 } else { held })?;
        }
        let counted = CountedConnection {
            slots: self.clone(),
            address,
            activity: Activity::new(&self.0.moves),
            lost: CancellationToken::new(),
        };
        all.entry(address).or_default().push(TakenSlot {
            activity: counted.activity.clone(),
            lost: counted.lost.clone(),
            is_trusted,
        });
        Some(counted)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<TakenSlot>>> {
        self.0.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the idlest connection of the address with the most connections, if that address has more than `newcomer`, the
/// number of connections of the new connection's address.
fn displace_one(all: &mut HashMap<IpAddr, Vec<TakenSlot>>, newcomer: usize) -> Option<()> {
    let rivals = all
        .iter()
        .filter(|(_, taken)| taken.iter().all(|slot| !slot.is_trusted));
    let held = rivals.map(|(address, taken)| (taken.len(), *address));
    let (most, address) = held.max().filter(|(most, _)| *most > newcomer)?;
    let taken = all.get_mut(&address)?;
    let idlest = (0..most).min_by_key(|n| taken[*n].activity.idleness())?;
    let slot = taken.remove(idlest);
    if taken.is_empty() {
        all.remove(&address);
    }
    slot.lost.cancel();
    metrics::counter!("prichal_connections_displaced_total").increment(1);
    Some(())
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
        let mut all = self.slots.lock();
        if let Some(taken) = all.get_mut(&self.address) {
            taken.retain(|slot| !slot.activity.is(&self.activity));
            if taken.is_empty() {
                all.remove(&self.address);
            }
        }
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
    /// The last activity of the connection, as a value of the common counter.
    moved: AtomicU64,
    moves: Arc<AtomicU64>,
    /// The memory of the incoming head. A request that has begun has its own account.
    head: Mutex<Option<Hold>>,
}

/// A guard that keeps a connection busy while a body is read or an answer is made.
pub struct BusyGuard(Activity);

impl Activity {
    fn new(moves: &Arc<AtomicU64>) -> Self {
        let activity = Self(Arc::new(State {
            moves: moves.clone(),
            ..State::default()
        }));
        activity.moved();
        activity
    }

    /// Records activity of the connection.
    fn moved(&self) {
        let now = self.0.moves.fetch_add(1, Relaxed);
        self.0.moved.store(now, Relaxed);
    }

    /// The sort key of idleness: connections that are not busy come first, then those that have been inactive for
    /// longer.
    fn idleness(&self) -> (bool, u64) {
        (self.is_busy(), self.0.moved.load(Relaxed))
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn begin(&self) -> BusyGuard {
        self.0.busy.fetch_add(1, Relaxed);
        *self.head() = None;
        BusyGuard(self.clone())
    }

    fn head(&self) -> MutexGuard<'_, Option<Hold>> {
        self.0.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the connection as upgraded to another protocol.
    pub fn upgrade(&self) {
        self.0.busy.fetch_add(1, Relaxed);
    }

    fn is_busy(&self) -> bool {
        self.0.busy.load(Relaxed) > 0
    }
}

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Relaxed);
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
}

impl Stalled {
    fn new(clock: &Clock) -> Self {
        let clock = clock.clone();
        Self {
            over: Box::pin(async move { clock.sleep(STALL_TIMEOUT).await }),
            read: 0,
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
            let clock = &self.clock;
            let stalled = self.stalled.get_or_insert_with(|| Stalled::new(clock));
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

    /// A step in the life of a small number of slots, by addresses and connections.
    #[derive(Clone, Debug)]
    enum Move {
        Enter(u8),
        Act(usize),
        Leave(usize),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            3 => (0..4_u8).prop_map(Move::Enter),
            2 => (0..8_usize).prop_map(Move::Act),
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
            let mut model: Vec<(u8, CountedConnection)> = Vec::new();
            for one in all {
                match one {
                    Move::Act(n) if n < model.len() => {
                        let acted = model.remove(n);
                        acted.1.activity.moved();
                        model.push(acted);
                    }
                    Move::Leave(n) if n < model.len() => drop(model.remove(n)),
                    Move::Act(_) | Move::Leave(_) => {}
                    Move::Enter(of) => {
                        let count = |of: u8| model.iter().filter(|(other, _)| *other == of).count();
                        let held = count(of);
                        let richest = (0..4_u8).max_by_key(|of| (count(*of), *of)).unwrap();
                        let is_full = model.len() == SLOTS;
                        let expected = held < EACH && (!is_full || count(richest) > held);
                        let entered = slots.enter(address(of), EACH, false);
                        prop_assert_eq!(entered.is_some(), expected);
                        if let Some(counted) = entered {
                            if is_full {
                                let idlest = model.iter().position(|(of, _)| *of == richest).unwrap();
                                let (_, gone) = model.remove(idlest);
                                prop_assert!(gone.lost.is_cancelled());
                            }
                            model.push((of, counted));
                        }
                    }
                }
                prop_assert!(model.len() <= SLOTS);
                prop_assert!(model.iter().all(|(_, counted)| !counted.lost.is_cancelled()));
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
