//! The cost of connections: their number for one client address, the memory of an endless head, and the timeout for a
//! client that does not read.

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

/// The time in which a client that is being written to must read [`MIN_READ_BYTES`].
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const MIN_READ_BYTES: usize = 30 << 10;

/// The connections of each address; of IPv6, of each /64. If all slots are taken, the address with the most
/// connections gives one up to a newcomer whose address has fewer.
#[derive(Clone)]
pub struct Crowd(Arc<Places>);

struct Places {
    most: usize,
    /// A counter of activity on all connections, which orders them by time.
    moves: Arc<AtomicU64>,
    of: Mutex<HashMap<IpAddr, Vec<Seat>>>,
}

/// A taken slot.
struct Seat {
    turn: Turn,
    /// Cancelled when the slot is given to another connection.
    lost: CancellationToken,
    /// True for an address without a limit: its connections are of many clients.
    is_trusted: bool,
}

/// One counted connection of an address.
pub struct Member {
    crowd: Crowd,
    address: IpAddr,
    turn: Turn,
    lost: CancellationToken,
}

impl Crowd {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Places {
            most,
            moves: Arc::default(),
            of: Mutex::default(),
        }))
    }

    /// Admits one more connection. `None` if the address has `most` already, or all slots are taken and none is given
    /// up. A trusted address gives up none and competes for others' slots as if it had no connections.
    pub fn enter(&self, address: IpAddr, most: usize, is_trusted: bool) -> Option<Member> {
        let address = network::customer(address);
        let mut all = self.lock();
        let held = all.get(&address).map_or(0, Vec::len);
        if held >= most {
            return None;
        }
        if all.values().map(Vec::len).sum::<usize>() >= self.0.most {
            make_room(&mut all, if is_trusted { 0 } else { held })?;
        }
        let member = Member {
            crowd: self.clone(),
            address,
            turn: Turn::new(&self.0.moves),
            lost: CancellationToken::new(),
        };
        all.entry(address).or_default().push(Seat {
            turn: member.turn.clone(),
            lost: member.lost.clone(),
            is_trusted,
        });
        Some(member)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Seat>>> {
        self.0.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the idlest connection of the address with the most, if that is more than the newcomer's address has.
fn make_room(all: &mut HashMap<IpAddr, Vec<Seat>>, newcomer: usize) -> Option<()> {
    let rivals = all
        .iter()
        .filter(|(_, seats)| seats.iter().all(|seat| !seat.is_trusted));
    let held = rivals.map(|(address, seats)| (seats.len(), *address));
    let (most, address) = held.max().filter(|(most, _)| *most > newcomer)?;
    let seats = all.get_mut(&address)?;
    let idlest = (0..most).min_by_key(|n| seats[*n].turn.idleness())?;
    let seat = seats.remove(idlest);
    if seats.is_empty() {
        all.remove(&address);
    }
    seat.lost.cancel();
    metrics::counter!("prichal_connections_displaced_total").increment(1);
    Some(())
}

impl Member {
    pub fn turn(&self) -> Turn {
        self.turn.clone()
    }

    /// Cancelled when the slot is given to another connection.
    pub fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut all = self.crowd.lock();
        if let Some(seats) = all.get_mut(&self.address) {
            seats.retain(|seat| !seat.turn.is(&self.turn));
            if seats.is_empty() {
                all.remove(&self.address);
            }
        }
    }
}

/// The phase of a connection: a request is being read or answered, or the connection was upgraded. Otherwise incoming
/// bytes are the head of a request.
#[derive(Clone, Default)]
pub struct Turn(Arc<State>);

#[derive(Default)]
struct State {
    on: AtomicUsize,
    /// The last activity of the connection, as a value of the common counter.
    moved: AtomicU64,
    moves: Arc<AtomicU64>,
    /// The memory of the incoming head. A request that has begun has its own account.
    head: Mutex<Option<Hold>>,
}

/// A guard that exists while a body is read or an answer is made.
pub struct Busy(Turn);

impl Turn {
    fn new(moves: &Arc<AtomicU64>) -> Self {
        let turn = Self(Arc::new(State {
            moves: moves.clone(),
            ..State::default()
        }));
        turn.moved();
        turn
    }

    /// Records activity of the connection.
    fn moved(&self) {
        let now = self.0.moves.fetch_add(1, Relaxed);
        self.0.moved.store(now, Relaxed);
    }

    /// The idleness of the connection, where less is idler: connections without a request come before others, and
    /// those inactive for longer before those.
    fn idleness(&self) -> (bool, u64) {
        (self.is_on(), self.0.moved.load(Relaxed))
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn begin(&self) -> Busy {
        self.0.on.fetch_add(1, Relaxed);
        *self.head() = None;
        Busy(self.clone())
    }

    fn head(&self) -> MutexGuard<'_, Option<Hold>> {
        self.0.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks the connection as upgraded to another protocol.
    pub fn upgrade(&self) {
        self.0.on.fetch_add(1, Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.on.load(Relaxed) > 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.on.fetch_sub(1, Relaxed);
    }
}

/// A stream that counts the memory of a request's head, and drops a client that does not read.
pub struct Wire<T> {
    io: T,
    clock: Clock,
    payer: Payer,
    turn: Turn,
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

impl<T> Wire<T> {
    pub fn new(io: T, payer: Payer, turn: Turn) -> Self {
        Self {
            io,
            clock: payer.clock().clone(),
            payer,
            turn,
            stalled: None,
        }
    }

    /// Counts received bytes of a head.
    fn count(&mut self, bytes: usize) -> io::Result<()> {
        self.turn.moved();
        if self.turn.is_on() {
            return Ok(());
        }
        let mut head = self.turn.head();
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
                self.turn.moved();
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

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
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

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
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

    fn wire<T>(io: T, limit: usize) -> (Wire<T>, Clock, Turn) {
        let clock = Clock::manual(Timestamp::default());
        let payer = Payer::new(Budget::new(limit, clock.clone()), None);
        let turn = Turn::default();
        (Wire::new(io, payer, turn.clone()), clock, turn)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn an_address_has_a_bounded_number_of_connections() {
        let crowd = Crowd::new(100);
        let (one, other) = (address(1), address(2));
        let first = crowd.enter(one, 2, false);
        let _second = crowd.enter(one, 2, false).unwrap();
        assert!(crowd.enter(one, 2, false).is_none());
        assert!(crowd.enter(other, 2, false).is_some());
        drop(first);
        assert!(crowd.enter(one, 2, false).is_some());
    }

    #[test]
    fn a_trusted_address_gives_up_no_slot() {
        let crowd = Crowd::new(3);
        let enter = |last, trusted| crowd.enter(address(last), usize::MAX, trusted);
        let proxy = [enter(1, true).unwrap(), enter(1, true).unwrap()];
        let direct = enter(2, false).unwrap();
        assert!(enter(2, false).is_none(), "as many as the newcomer has");
        let third = enter(1, true).unwrap();
        assert!(direct.lost.is_cancelled() && !third.lost.is_cancelled());
        assert!(enter(3, false).is_none(), "only trusted ones are left");
        assert!(proxy.iter().all(|member| !member.lost.is_cancelled()));
    }

    #[test]
    fn a_connection_with_a_request_is_spared() {
        let crowd = Crowd::new(2);
        let busy = crowd.enter(address(1), 9, false).unwrap();
        let idle = crowd.enter(address(1), 9, false).unwrap();
        let _request = busy.turn().begin();
        let _newcomer = crowd.enter(address(2), 9, false).unwrap();
        assert!(idle.lost.is_cancelled() && !busy.lost.is_cancelled());
    }

    /// A step in the life of a small crowd, by addresses and connections.
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
            const PLACES: usize = 6;
            const EACH: usize = 5;
            let crowd = Crowd::new(PLACES);
            let mut model: Vec<(u8, Member)> = Vec::new();
            for one in all {
                match one {
                    Move::Act(n) if n < model.len() => {
                        let acted = model.remove(n);
                        acted.1.turn.moved();
                        model.push(acted);
                    }
                    Move::Leave(n) if n < model.len() => drop(model.remove(n)),
                    Move::Act(_) | Move::Leave(_) => {}
                    Move::Enter(of) => {
                        let count = |of: u8| model.iter().filter(|(other, _)| *other == of).count();
                        let held = count(of);
                        let richest = (0..4_u8).max_by_key(|of| (count(*of), *of)).unwrap();
                        let is_full = model.len() == PLACES;
                        let expected = held < EACH && (!is_full || count(richest) > held);
                        let entered = crowd.enter(address(of), EACH, false);
                        prop_assert_eq!(entered.is_some(), expected);
                        if let Some(member) = entered {
                            if is_full {
                                let idlest = model.iter().position(|(of, _)| *of == richest).unwrap();
                                let (_, gone) = model.remove(idlest);
                                prop_assert!(gone.lost.is_cancelled());
                            }
                            model.push((of, member));
                        }
                    }
                }
                prop_assert!(model.len() <= PLACES);
                prop_assert!(model.iter().all(|(_, member)| !member.lost.is_cancelled()));
            }
        }
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_dropped() {
        let (here, _there) = duplex(64);
        let (mut wire, clock, _) = wire(here, SMALL);
        let (failed, ()) = tokio::join!(wire.write_all(&[0; 100]), async {
            tokio::task::yield_now().await;
            clock.advance(STALL_TIMEOUT);
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_is_waited_for() {
        let (here, mut there) = duplex(64);
        let (mut wire, clock, _) = wire(here, SMALL);
        let all = vec![0; 2 * MIN_READ_BYTES];
        let (sent, ()) = tokio::join!(wire.write_all(&all), async {
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
        let (mut wire, _, turn) = wire(here, 3 * SMALL);
        let mut head = vec![0; 2 * SMALL];
        for _ in 0..100 {
            there.write_all(&head).await.unwrap();
            wire.read_exact(&mut head).await.unwrap();
            drop(turn.begin());
            assert!(turn.head().is_none());
        }
    }

    #[tokio::test]
    async fn an_endless_head_is_counted_and_a_body_is_not() {
        let (here, mut there) = duplex(8 * SMALL);
        let (mut wire, _, turn) = wire(here, 2 * SMALL);
        there.write_all(&vec![0; 6 * SMALL]).await.unwrap();
        let mut part = vec![0; SMALL];
        wire.read_exact(&mut part).await.unwrap();
        wire.read_exact(&mut part).await.unwrap();
        assert!(wire.read_exact(&mut part).await.is_err());
        let busy = turn.begin();
        wire.read_exact(&mut part).await.unwrap();
        assert!(turn.head().is_none());
        wire.read_exact(&mut part).await.unwrap();
        drop(busy);
        wire.read_exact(&mut part).await.unwrap();
    }
}
