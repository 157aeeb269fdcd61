//! The account of the memory that an incoming message takes, which may come in many frames.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::platform::memory::{Hold, Payer, SMALL, Use};

/// The memory of a message of which a part has come.
#[derive(Clone)]
pub(super) struct Received {
    payer: Payer,
    hold: Arc<Mutex<Hold>>,
}

impl Received {
    pub(super) fn new(payer: Payer) -> Self {
        let hold = Arc::new(Mutex::new(payer.hold(Use::Frame)));
        Self { payer, hold }
    }

    /// Returns the memory of the message that is whole now, and begins a new one.
    pub(super) fn take(&self) -> Hold {
        std::mem::replace(&mut *self.lock(), self.payer.hold(Use::Frame))
    }

    /// Subtracts a control frame: a ping or a pong belongs to no message.
    pub(super) fn forget(&self, bytes: usize) {
        let mut hold = self.lock();
        let rest = hold.bytes().saturating_sub(bytes);
        hold.shrink_to(rest);
    }

    /// True if a large part of a message is there, but not all of it.
    pub(super) fn is_partial(&self) -> bool {
        self.lock().bytes() > SMALL
    }

    fn count(&self, bytes: usize) -> io::Result<()> {
        if self.lock().try_grow(bytes) {
            return Ok(());
        }
        metrics::counter!("prichal_memory_refused_total").increment(1);
        Err(io::ErrorKind::OutOfMemory.into())
    }

    fn lock(&self) -> MutexGuard<'_, Hold> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that counts the bytes read from it.
pub(super) struct Counted<T> {
    io: T,
    received: Received,
}

impl<T> Counted<T> {
    pub(super) fn new(io: T, received: Received) -> Self {
        Self { io, received }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.received.count(buf.filled().len() - before)?;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
