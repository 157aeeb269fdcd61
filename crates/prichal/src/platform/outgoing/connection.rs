//! One open HTTP/1.1 connection and one exchange on it.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::tls::Asked;
use super::{Answer, CallError, MAX_HEAD_BYTES, Phase, lenient, tls, within};

/// The maximum bytes of a body that are read to reuse the connection. Beyond that a new connection is cheaper, and an
/// endless body must end somewhere.
const MAX_BODY_BYTES: usize = 64 * 1024;

type Driver = Connection<TokioIo<Recording>, Full<Bytes>>;

/// A connection with its driver, which reads and writes when it is polled. hyper intends the driver to be a task of
/// its own. Here the caller that waits for the answer polls it.
pub(super) struct Live {
    sender: SendRequest<Full<Bytes>>,
    /// Dropped when the driver is done, which ends the futures that wait for it.
    driver: Option<Driver>,
    received: Arc<Mutex<Sent>>,
    /// True if an answer was left half read.
    spoilt: bool,
    /// The request of the host for a certificate, until it has answered a request.
    asked: Asked,
}

impl Live {
    /// `asked` tells if the handshake asked for a client certificate.
    pub(super) async fn new(
        http: &Builder,
        stream: Stream,
        asked: Asked,
    ) -> Result<Box<Self>, CallError> {
        let received = Arc::<Mutex<Sent>>::default();
        let io = TokioIo::new(Recording {
            stream,
            received: Arc::clone(&received),
        });
        let (sender, driver) = http
            .handshake(io)
            .await
            .map_err(|error| fault(&error, Phase::Connect, asked))?;
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            received,
            spoilt: false,
            asked,
        }))
    }

    /// True if the last exchange brought any byte from the peer.
    pub(super) fn has_received(&self) -> bool {
        !self.sent().head.is_empty()
    }

    /// True if the next request can be sent.
    pub(super) fn is_ready(&mut self) -> bool {
        // Notices a close or unexpected bytes of the peer, as far as the runtime knows by now. The next user of the
        // connection polls again with a real waker.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        !self.spoilt && self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends `request` and reads the answer with at most `keep` bytes of its body. Notes the time from `began` until the
    /// head of the answer.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        keep: usize,
        mut timeout: Pin<&mut impl Future<Output = ()>>,
        (began, first_byte): (Instant, &mut Option<Duration>),
    ) -> Result<Answer, CallError> {
        self.spoilt = true;
        self.sent().begin();
        let head = within(timeout.as_mut(), Phase::Answer, self.head(request)).await;
        *first_byte = Some(began.elapsed());
        let head = match head {
            Ok(head) => head,
            Err(error) => return self.look_again(error, keep),
        };
        self.asked = Asked::No;
        let (head, body) = head.into_parts();
        let mut kept = BytesMut::new();
        let read = within(timeout, Phase::Body, self.body(body, keep, &mut kept)).await;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: kept.freeze(),
            truncated: *read.as_ref().unwrap_or(&true),
            broken: read.err(),
        })
    }

    /// Returns the received head of an answer that violates the standard, or else the error.
    fn look_again(&self, error: CallError, keep: usize) -> Result<Answer, CallError> {
        let sent = self.sent();
        let Some((status, headers, length)) = lenient::head(&sent.head) else {
            return Err(error);
        };
        let rest = &sent.head[length..];
        Ok(Answer {
            status: status.as_u16(),
            headers,
            body: Bytes::copy_from_slice(&rest[..rest.len().min(keep)]),
            truncated: true,
            broken: Some(error),
        })
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn head(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, CallError> {
        let mut response = pin!(self.sender.send_request(request));
        poll_fn(|cx| {
            drive(&mut self.driver, cx);
            response.as_mut().poll(cx)
        })
        .await
        .map_err(|error| match fault(&error, Phase::Answer, self.asked) {
            closed @ CallError::Closed { .. } if !self.has_received() => {
                match self.asked.reason_of_close() {
                    Some(reason) => CallError::Tls { reason },
                    None => closed,
                }
            }
            error => error,
        })
    }

    /// Reads the first `keep` bytes of the body. The flag is true if there is more.
    ///
    /// A body of a declared length, up to the maximum that is read anyway, must be complete: less is half an answer.
    /// From any other body, `keep` bytes are enough and the rest is not awaited.
    async fn body(
        &mut self,
        mut body: Incoming,
        keep: usize,
        kept: &mut BytesMut,
    ) -> Result<bool, CallError> {
        let most = MAX_BODY_BYTES.max(keep) as u64;
        let length = body.size_hint().exact();
        let patient = length.is_some_and(|length| length <= most);
        let mut seen = 0_u64;
        let whole = poll_fn(|cx| {
            loop {
                let Poll::Ready(frame) = self.poll_frame(&mut body, cx) else {
                    if !patient && seen > keep as u64 {
                        return Poll::Ready(Ok(false));
                    }
                    return Poll::Pending;
                };
                let Some(frame) = frame.transpose()? else {
                    return Poll::Ready(Ok(true));
                };
                let Some(data) = frame.data_ref() else {
                    continue;
                };
                let room = keep.saturating_sub(kept.len()).min(data.len());
                kept.extend_from_slice(&data[..room]);
                seen += data.len() as u64;
                if seen > most {
                    return Poll::Ready(Ok(false));
                }
            }
        })
        .await
        .map_err(|error| fault(&error, Phase::Body, Asked::No))?;
        if whole && length.is_some_and(|length| seen < length) {
            return Err(CallError::Closed { phase: Phase::Body });
        }
        self.spoilt = !whole;
        Ok(!whole || seen > keep as u64)
    }

    fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        // The request for a frame makes the driver read one.
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if frame.is_ready() {
            return frame;
        }
        drive(&mut self.driver, cx);
        Pin::new(body).poll_frame(cx)
    }
}

/// Polls the driver once.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(cx).is_ready()
    {
        // Its error, if any, has gone to the waiter for the answer.
        *driver = None;
    }
}

fn fault(error: &hyper::Error, phase: Phase, asked: Asked) -> CallError {
    if let Some(failure) = tls::failure(error) {
        return CallError::Tls {
            reason: tls::explain(failure, asked),
        };
    }
    let malformed = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| {
            use io::ErrorKind::{InvalidData, InvalidInput};
            matches!(source.kind(), InvalidData | InvalidInput)
        });
    if error.is_parse_too_large() {
        CallError::TooLargeHead
    } else if error.is_parse() || malformed {
        CallError::BadAnswer { phase }
    } else {
        CallError::Closed { phase }
    }
}

pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// The bytes that a peer has sent in answer to the current request: the head, and the bytes read along with it.
#[derive(Default)]
struct Sent {
    head: Vec<u8>,
    is_whole: bool,
}

impl Sent {
    fn begin(&mut self) {
        self.head.clear();
        self.head.shrink_to(1024);
        self.is_whole = false;
    }

    fn add(&mut self, bytes: &[u8]) {
        if self.is_whole {
            return;
        }
        let looked = self.head.len().saturating_sub(3);
        let room = MAX_HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // An informational answer is followed by another head.
        let is_final = self.head.get(9) != Some(&b'1');
        let new = &self.head[looked..];
        let ends = |mark: &[u8]| memchr::memmem::find(new, mark).is_some();
        self.is_whole = is_final && (ends(b"\n\r\n") || ends(b"\n\n"));
    }
}

/// A stream that records received bytes.
struct Recording {
    stream: Stream,
    received: Arc<Mutex<Sent>>,
}

impl AsyncRead for Recording {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        })?;
        let mut sent = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        sent.add(&buf.filled()[before..]);
        drop(sent);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recording {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }
}
