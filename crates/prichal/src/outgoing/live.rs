//! One open HTTP/1.1 connection and one exchange on it.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::{Answer, CallError, Phase, within};

/// How much of a body is read so that the connection can be used again. Past that, a new connection
/// is cheaper, and a body without an end must end somewhere.
const MOST_BODY: usize = 64 * 1024;

type Driver = Connection<TokioIo<Heard>, Full<Bytes>>;

/// A connection with its driver, which does the reading and writing when it is polled. hyper means
/// it to be a task of its own; here whoever waits for the answer polls it.
pub(super) struct Live {
    sender: SendRequest<Full<Bytes>>,
    /// Dropped when it is done: that ends the futures that wait for it.
    driver: Option<Driver>,
    heard: Arc<AtomicBool>,
    /// An answer was left half read.
    spoilt: bool,
}

impl Live {
    pub(super) async fn new(http: &Builder, stream: Stream) -> Result<Box<Self>, CallError> {
        let heard = Arc::new(AtomicBool::new(false));
        let io = TokioIo::new(Heard {
            stream,
            heard: Arc::clone(&heard),
        });
        let (sender, driver) = http
            .handshake(io)
            .await
            .map_err(|error| fault(&error, Phase::Connect))?;
        Ok(Box::new(Self {
            sender,
            driver: Some(driver),
            heard,
            spoilt: false,
        }))
    }

    /// Whether the last exchange brought any byte from the peer.
    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether the next request can be sent.
    pub(super) fn is_ready(&mut self) -> bool {
        // Sees that the peer has closed, or has sent what nobody asked for, as far as the runtime
        // knows by now. The one who uses the connection next polls again with a real waker.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        !self.spoilt && self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends `request` and reads the answer with at most `keep` bytes of its body.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        keep: usize,
        mut timeout: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Answer, CallError> {
        self.spoilt = true;
        self.heard.store(false, Ordering::Relaxed);
        let head = within(timeout.as_mut(), Phase::Answer, self.head(request)).await?;
        let (head, body) = head.into_parts();
        let (body, truncated) = within(timeout, Phase::Body, self.body(body, keep)).await?;
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            truncated,
        })
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
        .map_err(|error| fault(&error, Phase::Answer))
    }

    /// The first `keep` bytes of the body, and whether there is more.
    ///
    /// A body that says its length, up to what we would read anyway, must come whole: less is half
    /// an answer. From any other, `keep` bytes are enough, and we do not wait for the rest.
    async fn body(&mut self, mut body: Incoming, keep: usize) -> Result<(Bytes, bool), CallError> {
        let most = MOST_BODY.max(keep) as u64;
        let length = body.size_hint().exact();
        let patient = length.is_some_and(|length| length <= most);
        let mut kept = BytesMut::new();
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
        .map_err(|error| fault(&error, Phase::Body))?;
        if whole && length.is_some_and(|length| seen < length) {
            return Err(CallError::Closed { phase: Phase::Body });
        }
        self.spoilt = !whole;
        Ok((kept.freeze(), !whole || seen > keep as u64))
    }

    fn poll_frame(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        // Asking for a frame is what makes the driver read one.
        let frame = Pin::new(&mut *body).poll_frame(cx);
        if frame.is_ready() {
            return frame;
        }
        drive(&mut self.driver, cx);
        Pin::new(body).poll_frame(cx)
    }
}

/// Lets the driver do what it can.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(cx).is_ready()
    {
        // Its error, if any, has gone to whoever waits for the answer.
        *driver = None;
    }
}

fn fault(error: &hyper::Error, phase: Phase) -> CallError {
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

/// A stream that remembers that it brought something.
struct Heard {
    stream: Stream,
    heard: Arc<AtomicBool>,
}

impl AsyncRead for Heard {
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
        if buf.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Heard {
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
