//! The cost of connections: their number for one customer of the net, the memory of a head that does not end,
//! and the patience with a client that does not read.

use std::{
    collections::HashMap,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use prichal_core::network;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    clock::Clock,
    memory::{Hold, Payer, Use},
};

/// The time that a client which is being written to has to read [`LEAST`] bytes.
pub const STALL: Duration = Duration::from_secs(30);
const LEAST: usize = 30 << 10;

/// The number of connections of each address; of IPv6, of each /64.
#[derive(Clone, Default)]
pub struct Crowd(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection among those of its address.
pub struct Member {
    crowd: Crowd,
    address: IpAddr,
}

impl Crowd {
    /// One more; nothing when the address has `most` already.
    pub fn enter(&self, address: IpAddr, most: usize) -> Option<Member> {
        let address = network::customer(address);
        let mut all = self.lock();
        let count = all.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Member {
            crowd: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut all = self.crowd.lock();
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

/// Marks that a request is being read or answered, or that the connection has become something else than HTTP. Else
/// what comes is the head of a request.
#[derive(Clone, Default)]
pub struct Turn(Arc<State>);

#[derive(Default)]
struct State {
    on: AtomicUsize,
    /// The memory of the head that is coming. A request that begins has its own account.
    head: Mutex<Option<Hold>>,
}

/// A body that is being read, or an answer that is being made.
pub struct Busy(Turn);

impl Turn {
    pub fn begin(&self) -> Busy {
        self.0.on.fetch_add(1, Relaxed);
        *self.head() = None;
        Busy(self.clone())
    }

    fn head(&self) -> MutexGuard<'_, Option<Hold>> {
        self.0.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on the connection speaks something else.
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

/// A stream that counts the memory of a request's head, and gives up a client that does not read.
pub struct Wire<T> {
    io: T,
    clock: Clock,
    payer: Payer,
    turn: Turn,
    stalled: Option<Stalled>,
}

struct Stalled {
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The bytes that the client has read meanwhile.
    read: usize,
}

impl Stalled {
    fn new(clock: &Clock) -> Self {
        let clock = clock.clone();
        Self {
            over: Box::pin(async move { clock.sleep(STALL).await }),
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

    /// Counts what has come of a head.
    fn count(&mut self, bytes: usize) -> io::Result<()> {
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

    /// Takes in the outcome of a write of `length` bytes.
    fn wrote(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
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
            if stalled.read < LEAST {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::memory::{Budget, SMALL};

    fn wire<T>(io: T, limit: usize) -> (Wire<T>, Clock, Turn) {
        let clock = Clock::manual(Timestamp::default());
        let payer = Payer::new(Budget::new(limit, clock.clone()), None);
        let turn = Turn::default();
        (Wire::new(io, payer, turn.clone()), clock, turn)
    }

    #[test]
    fn an_address_has_a_bounded_number_of_connections() {
        let crowd = Crowd::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = crowd.enter(one, 2);
        let _second = crowd.enter(one, 2).unwrap();
        assert!(crowd.enter(one, 2).is_none());
        assert!(crowd.enter(other, 2).is_some());
        drop(first);
        assert!(crowd.enter(one, 2).is_some());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up() {
        let (here, _there) = duplex(64);
        let (mut wire, clock, _) = wire(here, SMALL);
        let (failed, ()) = tokio::join!(wire.write_all(&[0; 100]), async {
            tokio::task::yield_now().await;
            clock.advance(STALL);
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_reads_is_waited_for() {
        let (here, mut there) = duplex(64);
        let (mut wire, clock, _) = wire(here, SMALL);
        let all = vec![0; 2 * LEAST];
        let (sent, ()) = tokio::join!(wire.write_all(&all), async {
            let mut part = vec![0; LEAST + 64];
            there.read_exact(&mut part).await.unwrap();
            clock.advance(STALL);
            let mut rest = vec![0; LEAST - 64];
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
    async fn a_head_that_does_not_end_is_counted_and_a_body_is_not() {
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
