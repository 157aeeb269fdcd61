//! The conversation before TLS (RFC 3207), and the connection after it.
//!
//! The server greets before TLS only, while `lettre` expects a greeting on each connection. So one is read before the
//! first bytes of the server. Nothing else that was said before TLS is kept: somebody on the way may have said it.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use lettre::transport::smtp::{client::AsyncTokioStream, extension::ClientId};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

use super::{Fault, clean};

/// The maximum bytes of an answer.
const MAX_REPLY_BYTES: usize = 16 * 1024;

/// Asks the server to set up TLS.
pub(super) async fn ask(tcp: &mut TcpStream, name: &ClientId) -> Result<(), Fault> {
    expect(tcp, 220).await?;
    say(tcp, &format!("EHLO {name}\r\n")).await?;
    let known = expect(tcp, 250).await?;
    let is_offered = known
        .lines()
        .filter_map(|line| line.get(4..))
        .any(|word| word.trim().eq_ignore_ascii_case("STARTTLS"));
    if !is_offered {
        let reason = "the SMTP server offers no STARTTLS, and nothing is sent without it";
        return Err(Fault::Temporary(reason.to_owned()));
    }
    say(tcp, "STARTTLS\r\n").await?;
    expect(tcp, 220).await?;
    Ok(())
}

async fn say(tcp: &mut TcpStream, words: &str) -> Result<(), Fault> {
    tcp.write_all(words.as_bytes()).await.map_err(|_| broken())
}

fn broken() -> Fault {
    Fault::Temporary("the connection to the SMTP server broke".to_owned())
}

/// Reads one answer, which has to have this code. Nothing may follow it, since the server speaks only when it is asked.
async fn expect(tcp: &mut TcpStream, code: u16) -> Result<String, Fault> {
    let mut read = Vec::with_capacity(512);
    loop {
        if tcp.read_buf(&mut read).await.map_err(|_| broken())? == 0 {
            return Err(broken());
        }
        match reply(&read) {
            Reply::Whole(found) if found == code => {
                return Ok(String::from_utf8_lossy(&read).into_owned());
            }
            Reply::Whole(_) => {
                let text = clean(&String::from_utf8_lossy(&read));
                return Err(Fault::Temporary(format!("the SMTP server answered {text}")));
            }
            Reply::Part if read.len() < MAX_REPLY_BYTES => {}
            Reply::Part | Reply::Bad => {
                let reason = "the answer of the SMTP server is not SMTP";
                return Err(Fault::Temporary(reason.to_owned()));
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Reply {
    Whole(u16),
    Part,
    Bad,
}

/// Parses the lines of one answer: `250-` begins each but the last, which begins with `250` and a space or nothing.
fn reply(read: &[u8]) -> Reply {
    let mut code = None;
    let mut rest = read;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        let Some((digits, mark)) = line.split_at_checked(3) else {
            return Reply::Bad;
        };
        let found = str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u16>().ok());
        if found.is_none() || code.is_some_and(|code| Some(code) != found) {
            return Reply::Bad;
        }
        code = found;
        match (mark.first(), after) {
            (Some(b'-'), _) => rest = after,
            (Some(b' ' | b'\r' | b'\n'), []) => return found.map_or(Reply::Bad, Reply::Whole),
            _ => return Reply::Bad,
        }
    }
    Reply::Part
}

/// The greeting that is read before the first bytes after TLS.
const GREETING: &[u8] = b"220 ready\r\n";

/// A connection with TLS.
pub(super) struct Secured {
    greeting: &'static [u8],
    tls: TlsStream<TcpStream>,
}

impl Secured {
    /// `is_greeted` is true if the server has greeted before TLS.
    pub(super) fn new(tls: TlsStream<TcpStream>, is_greeted: bool) -> Self {
        let greeting = if is_greeted { GREETING } else { &[] };
        Self { greeting, tls }
    }
}

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secured")
    }
}

impl AsyncTokioStream for Secured {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tls.get_ref().0.peer_addr()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.greeting.is_empty() {
            return Pin::new(&mut self.tls).poll_read(cx, buf);
        }
        let (now, later) = self
            .greeting
            .split_at(self.greeting.len().min(buf.remaining()));
        buf.put_slice(now);
        self.greeting = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_with_its_last_line() {
        for (read, expected) in [
            ("220 mail.example ESMTP\r\n", Reply::Whole(220)),
            ("220\r\n", Reply::Whole(220)),
            (
                "250-mail.example\r\n250-STARTTLS\r\n250 OK\r\n",
                Reply::Whole(250),
            ),
            ("250-mail.example\n250 OK\n", Reply::Whole(250)),
            ("", Reply::Part),
            ("220 mail.exam", Reply::Part),
            ("250-mail.example\r\n", Reply::Part),
            ("250-mail.example\r\n250 O", Reply::Part),
            ("250-mail.example\r\n220 OK\r\n", Reply::Bad),
            // Bytes that somebody on the way has added.
            ("220 go ahead\r\n250 injected\r\n", Reply::Bad),
            ("220 go ahead\r\n2", Reply::Bad),
            ("HTTP/1.1 400 Bad Request\r\n", Reply::Bad),
            ("22\r\n", Reply::Bad),
            ("+20 x\r\n", Reply::Bad),
            ("220x\r\n", Reply::Bad),
            ("\r\n", Reply::Bad),
        ] {
            assert_eq!(reply(read.as_bytes()), expected, "{read:?}");
        }
    }
}
