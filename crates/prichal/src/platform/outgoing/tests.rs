//! Calls to receivers written by hand, byte by byte. No test sleeps: a receiver decides when the caller's deadline is
//! reached.

use std::future::pending;
use std::io::ErrorKind;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::coop::poll_proceed;

use super::connections::Connections;
use super::guard::{Guard, Kind};
use super::names::Requester;
use super::*;

mod proxy;
mod tls;

const BODY: &[u8] = br#"{"test":1}"#;

/// A listener that knows its URL.
struct Receiver {
    listener: TcpListener,
    url: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/hook?a=b", listener.local_addr().expect("bound"));
        Self { listener, url }
    }

    fn target(&self) -> Target {
        Target::parse(&self.url).expect("a target")
    }

    /// The same receiver behind a name.
    fn named(&self, scheme: &str) -> Target {
        let port = self.listener.local_addr().expect("bound").port();
        Target::parse(&format!("{scheme}://localhost:{port}/hook?a=b")).expect("a target")
    }

    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.expect("a connection").0
    }
}

/// Reads one request and returns its head.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut request = Vec::new();
    while !request.ends_with(BODY) {
        let byte = stream.read_u8().await.expect("a request");
        request.push(byte);
    }
    request.truncate(request.len() - BODY.len());
    String::from_utf8(request).expect("text")
}

/// Accepts, reads one request, writes `answer`, and returns the open connection.
async fn answer(receiver: &Receiver, answer: &[u8]) -> TcpStream {
    let mut stream = receiver.accept().await;
    read_request(&mut stream).await;
    stream.write_all(answer).await.expect("an open connection");
    stream
}

fn connections(most: usize) -> Connections {
    Connections::new(most, Requester::Server)
}

fn connector(roots: &[CertificateDer<'static>]) -> Connector {
    let guard = Guard {
        allow_private: true,
    };
    Connector::new(guard, Route::default(), roots).expect("a connector")
}

fn post() -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert("x-test", "1".parse().expect("a value"));
    Outgoing {
        method: Method::POST,
        headers,
        body: Bytes::from_static(BODY),
        keep: LOGGED_BYTES,
    }
}

/// The outcome of one call whose receiver answers with `bytes` and closes.
async fn outcome(bytes: &[u8]) -> Result<Answer, CallError> {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, ()) = tokio::join!(call, async {
        drop(answer(&receiver, bytes).await);
    });
    assert_eq!(connections.idle(), 0, "a closed connection is not kept");
    outcome
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_given() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (answer, head) = tokio::join!(call, async {
        let mut stream = receiver.accept().await;
        let head = read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nX-Echo: 7\r\nContent-Length: 2\r\n\r\nOK";
        stream.write_all(answer).await.expect("open");
        head
    });
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["x-echo"], "7");
    assert_eq!(answer.body, "OK");
    assert!(!answer.truncated);
    let host = receiver.url.split('/').nth(2).expect("a host");
    let expected = format!(
        "POST /hook?a=b HTTP/1.1\r\nx-test: 1\r\nhost: {host}\r\ncontent-length: 10\r\n\r\n"
    );
    assert_eq!(head, expected);
}

#[tokio::test]
async fn every_status_is_an_answer_and_no_redirect_is_followed() {
    let statuses: [(&[u8], u16); 5] = [
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", 500),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (
            b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            301,
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
            410,
        ),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200),
    ];
    for (bytes, status) in statuses {
        let answer = outcome(bytes).await.expect("an answer");
        assert_eq!(answer.status, status);
        assert!(!answer.truncated);
    }
}

#[tokio::test]
async fn an_answer_whose_head_is_cut_off_is_an_error() {
    let answer = Phase::Answer;
    let cut: [(&[u8], CallError); 4] = [
        (b"", CallError::Closed { phase: answer }),
        (
            b"HTTP/1.1 200 OK\r\nContent-Le",
            CallError::Closed { phase: answer },
        ),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            CallError::BadAnswer { phase: answer },
        ),
        (
            b"HTTP/1.1 2000 OK\r\n\r\n",
            CallError::BadAnswer { phase: answer },
        ),
    ];
    for (bytes, expected) in cut {
        let error = outcome(bytes).await.expect_err("no answer");
        assert_eq!(error, expected, "{}", String::from_utf8_lossy(bytes));
        assert_eq!(error.phase(), expected.phase());
    }
}

#[tokio::test]
async fn a_head_counts_even_if_the_body_fails() {
    let closed = || CallError::Closed { phase: Phase::Body };
    let bad = || CallError::BadAnswer { phase: Phase::Body };
    let cut: [(&[u8], &[u8], CallError); 5] = [
        (b"Content-Length: 5\r\n\r\n", b"", closed()),
        (b"Content-Length: 5\r\n\r\nhalf", b"half", closed()),
        (b"Content-Length: 5000\r\n\r\nhalf", b"half", closed()),
        (
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n",
            b"whole",
            closed(),
        ),
        (
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\nx\r\n",
            b"whole",
            bad(),
        ),
    ];
    for (rest, body, broken) in cut {
        let bytes = [b"HTTP/1.1 200 OK\r\nX-Echo: 7\r\n", rest].concat();
        let answer = outcome(&bytes).await.expect("an answer");
        assert_eq!(
            (answer.status, &answer.headers["x-echo"]),
            (200, &"7".parse().expect("a value"))
        );
        assert_eq!(answer.body, body);
        assert!(answer.truncated);
        assert_eq!(
            answer.broken,
            Some(broken),
            "{}",
            String::from_utf8_lossy(rest)
        );
    }
}

#[tokio::test]
async fn an_answer_that_other_clients_take_is_taken_whole() {
    for head in [
        "HTTP/1.1 200\r\nX-Echo: 7\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\nX-Echo: 7\nContent-Length: 2\n\n",
        "HTTP/1.0 200 OK\r\nX-Echo: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=\x01b\x7f\r\nX-Echo: 7\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nSet-Cookie: имя=значение\r\nX-Echo: 7\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\nX-Echo:\r\n 7\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Echo : 7\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno header at all\r\nX-Echo: 7\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nX-Echo: 1\r\n\r\nHTTP/1.1 200 OK\r\nX-Echo: 7\r\nContent-Length: 2\r\n\r\n",
    ] {
        let answer = outcome(format!("{head}OK").as_bytes()).await;
        let answer = answer.expect("an answer");
        assert_eq!((answer.status, answer.broken), (200, None), "{head:?}");
        assert_eq!(answer.headers["x-echo"], "7", "{head:?}");
        assert_eq!(answer.body, "OK", "{head:?}");
    }
}

#[tokio::test]
async fn the_head_of_an_answer_that_is_no_good_counts() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\nX-Echo: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\nX-Echo: 7\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nX-Echo: 7\r\n\r\n",
        "http/1.1 200 OK\r\nX-Echo: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-Odd: \0\r\nX-Echo: 7\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1  200 OK\r\nX-Echo: 7\r\n\r\n",
    ] {
        let answer = outcome(format!("{head}OK").as_bytes()).await;
        let answer = answer.expect("an answer");
        assert_eq!(
            (answer.status, answer.body.as_ref()),
            (200, &b"OK"[..]),
            "{head:?}"
        );
        assert_eq!(answer.headers["x-echo"], "7", "{head:?}");
        assert!(answer.truncated && answer.broken.is_some(), "{head:?}");
    }
}

#[tokio::test]
async fn many_headers_are_no_fault_within_reason() {
    let answer = async |headers: usize| {
        let mut many = b"HTTP/1.1 200 OK\r\n".to_vec();
        for n in 1..headers {
            many.extend(format!("X-{n}: 1\r\n").bytes());
        }
        many.extend(b"Content-Length: 0\r\n\r\n");
        outcome(&many).await
    };
    let most = answer(MAX_HEADERS).await.expect("an answer");
    assert_eq!((most.headers.len(), most.broken), (MAX_HEADERS, None));
    let more = answer(3000).await;
    assert_eq!(more.err(), Some(CallError::TooLargeHead));
}

#[tokio::test]
async fn an_endless_head_is_an_error() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, ()) = tokio::join!(call, async {
        let mut stream = answer(&receiver, b"HTTP/1.1 200 OK\r\nX-Endless: ").await;
        // Ends when the caller hangs up.
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    });
    assert_eq!(outcome.err(), Some(CallError::TooLargeHead));
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_dropped() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
    ] {
        let receiver = Receiver::start().await;
        let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
        let call = connector.call(&connections, &target, post(), pending());
        let (outcome, ()) = tokio::join!(call, async {
            let mut stream = answer(&receiver, head.as_bytes()).await;
            while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        });
        let answer = outcome.expect("an answer");
        assert_eq!(answer.body, vec![b'x'; LOGGED_BYTES]);
        assert!(answer.truncated);
        assert_eq!(connections.idle(), 0);
    }
}

#[tokio::test]
async fn a_body_that_stalls_after_the_kept_bytes_does_not_delay_the_call() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, mut stream) = tokio::join!(call, async {
        let mut stream = answer(&receiver, b"HTTP/1.1 200 OK\r\n\r\n").await;
        stream
            .write_all(&[b'x'; LOGGED_BYTES + 1])
            .await
            .expect("open");
        stream
    });
    assert!(outcome.expect("an answer").truncated);
    assert_eq!(stream.read(&mut [0]).await.expect("closed"), 0);
}

#[tokio::test]
async fn a_long_answer_is_read_to_its_end_and_its_connection_kept() {
    for (length, truncated) in [
        (LOGGED_BYTES, false),
        (LOGGED_BYTES + 1, true),
        (64 * 1024, true),
    ] {
        let receiver = Receiver::start().await;
        let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
        let call = connector.call(&connections, &target, post(), pending());
        let (outcome, _stream) = tokio::join!(call, async {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let mut stream = answer(&receiver, head.as_bytes()).await;
            stream.write_all(&vec![b'x'; length]).await.expect("open");
            stream
        });
        let answer = outcome.expect("an answer");
        assert_eq!(answer.body.len(), LOGGED_BYTES);
        assert_eq!(answer.truncated, truncated);
        assert_eq!(connections.idle(), 1);
    }
}

#[tokio::test]
async fn a_caller_may_keep_more() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let length = 1024 * 1024;
    let request = Outgoing {
        keep: length,
        ..post()
    };
    let call = connector.call(&connections, &target, request, pending());
    let (outcome, _stream) = tokio::join!(call, async {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let mut stream = answer(&receiver, head.as_bytes()).await;
        stream.write_all(&vec![b'x'; length]).await.expect("open");
        stream
    });
    let answer = outcome.expect("an answer");
    assert_eq!(answer.body.len(), length);
    assert!(!answer.truncated);
    assert_eq!(connections.idle(), 1);
}

/// The outcome of a call whose deadline is reached once the receiver has written `bytes`.
async fn late(bytes: &[u8]) -> Result<Answer, CallError> {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let time_is_up = Notify::new();
    let call = connector.call(&connections, &target, post(), time_is_up.notified());
    let (outcome, mut stream) = tokio::join!(call, async {
        let mut stream = answer(&receiver, b"").await;
        for byte in bytes {
            stream.write_all(&[*byte]).await.expect("open");
            tokio::task::yield_now().await;
        }
        time_is_up.notify_one();
        stream
    });
    let rest = stream.read(&mut [0]).await;
    assert!(matches!(rest, Ok(0) | Err(_)), "the caller has hung up");
    assert_eq!(connections.idle(), 0);
    outcome
}

#[tokio::test]
async fn one_deadline_covers_the_answer_and_its_body() {
    let timeout = |phase| Some(CallError::Timeout { phase });
    assert_eq!(late(b"").await.err(), timeout(Phase::Answer));
    assert_eq!(
        late(b"HTTP/1.1 200 OK\r\nX-Slow: yes").await.err(),
        timeout(Phase::Answer)
    );
    for rest in [
        "Content-Length: 9\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "\r\nhalf",
    ] {
        let answer = late(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes()).await;
        let answer = answer.expect("its head was there");
        assert_eq!((answer.status, answer.body.as_ref()), (200, &b"half"[..]));
        assert_eq!(answer.broken, timeout(Phase::Body));
    }
}

#[tokio::test]
async fn one_deadline_covers_connecting_and_tls() {
    let receiver = Receiver::start().await;
    let (connector, connections) = (connector(&[]), connections(8));
    // No task accepts, yet the system completes the connection, so that TLS hangs.
    let target = receiver.named("https");
    let time_is_up = Notify::new();
    let call = connector.call(&connections, &target, post(), time_is_up.notified());
    let (outcome, _stream) = tokio::join!(call, async {
        let mut stream = receiver.accept().await;
        stream.read_u8().await.expect("a greeting");
        time_is_up.notify_one();
        stream
    });
    assert_eq!(
        outcome.err(),
        Some(CallError::Timeout { phase: Phase::Tls })
    );

    let outcome = connector
        .call(&connections, &target, post(), async {})
        .await;
    let phase = Phase::Resolve;
    assert!(
        matches!(outcome, Err(CallError::Timeout { .. })),
        "{outcome:?}"
    );
    // A cached name decides which of the two it is.
    assert!([phase, Phase::Connect].contains(&outcome.expect_err("no answer").phase()));
}

#[tokio::test]
async fn a_slow_head_is_fine_within_the_deadline() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, _stream) = tokio::join!(call, async {
        let mut stream = answer(&receiver, b"").await;
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK" {
            stream.write_all(&[*byte]).await.expect("open");
            tokio::task::yield_now().await;
        }
        stream
    });
    assert_eq!(outcome.expect("an answer").body, "OK");
    assert_eq!(connections.idle(), 1);
}

#[tokio::test]
async fn a_deadline_fires_when_the_budget_of_the_task_is_used_up() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    // Like a timer, which is not ready without budget.
    let timeout = poll_fn(|cx| poll_proceed(cx).map(|budget| budget.made_progress()));
    let mut call = pin!(connector.call(&connections, &target, post(), timeout));
    let mut polls = 0;
    // Like a receiver that floods us: reading takes the whole budget, every time.
    let outcome = poll_fn(|cx| {
        polls += 1;
        assert!(polls < 100, "the deadline is not heard");
        while let Poll::Ready(budget) = poll_proceed(cx) {
            budget.made_progress();
        }
        call.as_mut().poll(cx)
    });
    assert!(matches!(outcome.await, Err(CallError::Timeout { .. })));
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

#[tokio::test]
async fn a_connection_is_used_again() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let answers: [&[u8]; 4] = [
        OK,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nOK\r\n0\r\n\r\n",
        OK,
    ];
    let calls = async {
        for _ in answers {
            let call = connector.call(&connections, &target, post(), pending());
            call.await.expect("an answer");
            assert_eq!(connections.idle(), 1);
        }
    };
    let ((), _stream) = tokio::join!(calls, async {
        let mut stream = receiver.accept().await;
        for answer in answers {
            read_request(&mut stream).await;
            stream.write_all(answer).await.expect("open");
        }
        stream
    });
}

#[tokio::test]
async fn concurrent_calls_have_connections_of_their_own() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(1), receiver.target());
    let call = || connector.call(&connections, &target, post(), pending());
    let (first, second, _streams) = tokio::join!(call(), call(), async {
        let (mut one, mut two) = (receiver.accept().await, receiver.accept().await);
        for stream in [&mut one, &mut two] {
            read_request(stream).await;
        }
        for stream in [&mut one, &mut two] {
            stream.write_all(OK).await.expect("open");
        }
        (one, two)
    });
    first.expect("an answer");
    second.expect("an answer");
    assert_eq!(connections.idle(), 1, "no more than were asked for");
}

#[tokio::test]
async fn a_connection_that_says_close_is_not_kept() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nOK";
    let (outcome, _stream) = tokio::join!(call, answer(&receiver, closing));
    outcome.expect("an answer");
    assert_eq!(connections.idle(), 0);
}

#[tokio::test]
async fn a_connection_with_an_answer_too_many_is_not_used_again() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let twice = [OK, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat();
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, _first) = tokio::join!(call, answer(&receiver, &twice));
    assert_eq!(outcome.expect("an answer").body, "OK");
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, _second) = tokio::join!(call, answer(&receiver, OK));
    assert_eq!(outcome.expect("an answer").body, "OK");
}

#[tokio::test]
async fn a_connection_that_went_stale_is_replaced() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let calls = async {
        for _ in 0..2 {
            let call = connector.call(&connections, &target, post(), pending());
            assert_eq!(call.await.expect("an answer").body, "OK");
        }
    };
    let ((), second) = tokio::join!(calls, async {
        // Closed after the second request has come in: the caller could not know before.
        let mut stream = answer(&receiver, OK).await;
        let first = read_request(&mut stream).await;
        drop(stream);
        let mut stream = receiver.accept().await;
        let again = read_request(&mut stream).await;
        assert_eq!(first, again);
        stream.write_all(OK).await.expect("open");
        stream
    });
    drop(second);
}

#[tokio::test]
async fn a_call_is_repeated_once_and_only_if_nothing_was_received() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = || connector.call(&connections, &target, post(), pending());
    let calls = async {
        call().await.expect("an answer");
        let heard = call().await.expect_err("half an answer");
        assert_eq!(
            heard,
            CallError::Closed {
                phase: Phase::Answer
            }
        );
        call().await.expect("an answer");
        let twice = call().await.expect_err("the new connection is closed, too");
        assert_eq!(
            twice,
            CallError::Closed {
                phase: Phase::Answer
            }
        );
    };
    tokio::join!(calls, async {
        let mut stream = answer(&receiver, OK).await;
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 2").await.expect("open");
        drop(stream);
        let mut stream = answer(&receiver, OK).await;
        read_request(&mut stream).await;
        drop(stream);
        drop(answer(&receiver, b"").await);
    });
    assert_eq!(
        receiver
            .listener
            .into_std()
            .expect("std")
            .accept()
            .map(drop)
            .map_err(|e| e.kind()),
        Err(ErrorKind::WouldBlock),
        "nobody else has called"
    );
}

#[tokio::test]
async fn idle_connections_are_closed_after_a_while() {
    let receiver = Receiver::start().await;
    let (connector, connections, target) = (connector(&[]), connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, mut stream) = tokio::join!(call, answer(&receiver, OK));
    outcome.expect("an answer");
    connections.sweep(Instant::now() + Duration::from_secs(20));
    assert_eq!(connections.idle(), 1);
    connections.sweep(Instant::now() + Duration::from_secs(30));
    assert_eq!(connections.idle(), 0);
    assert_eq!(stream.read(&mut [0]).await.expect("closed"), 0);
}

#[tokio::test]
async fn a_connection_serves_its_own_destination_only() {
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let (connector, connections) = (connector(&[]), connections(8));
    for receiver in [&one, &two] {
        let target = receiver.target();
        let call = connector.call(&connections, &target, post(), pending());
        let (outcome, _stream) = tokio::join!(call, answer(receiver, OK));
        outcome.expect("an answer");
    }
}

#[tokio::test]
async fn the_guard_refuses_addresses_and_names_that_lead_to_them() {
    let receiver = Receiver::start().await;
    let guard = Guard {
        allow_private: false,
    };
    let connector = Connector::new(guard, Route::default(), &[]).expect("a connector");
    let connections = connections(8);
    let call = async |target: &Target| {
        let call = connector.call(&connections, target, post(), pending());
        call.await.expect_err("refused").to_string()
    };
    assert_eq!(
        call(&receiver.target()).await,
        "refused: loopback address 127.0.0.1"
    );
    let behind = "refused: loopback address behind the host name";
    assert_eq!(call(&receiver.named("http")).await, behind);
    assert_eq!(call(&receiver.named("https")).await, behind);
    let metadata = Target::parse("http://0xa9fea9fe/latest/meta-data/").expect("a target");
    assert_eq!(
        call(&metadata).await,
        "refused: metadata address 169.254.169.254"
    );
    let mapped = Target::parse("http://[::ffff:10.0.0.1]/").expect("a target");
    assert_eq!(
        call(&mapped).await,
        "refused: private address ::ffff:10.0.0.1"
    );
    let accepted = receiver.listener.into_std().expect("std").accept();
    assert_eq!(accepted.expect_err("nobody").kind(), ErrorKind::WouldBlock);
}

#[test]
fn one_forbidden_address_condemns_the_others() {
    let guard = Guard {
        allow_private: false,
    };
    let connector = Connector::new(guard, Route::default(), &[]).expect("a connector");
    let addresses = ["8.8.8.8:80", "10.0.0.1:80"].map(|text| text.parse().expect("an address"));
    let refusal = Refusal {
        kind: Kind::Private,
        address: None,
    };
    assert_eq!(
        connector.check(&addresses, None),
        Err(CallError::Refused(refusal))
    );
    assert_eq!(connector.check(&addresses[..1], None), Ok(()));
}

#[tokio::test]
async fn a_name_may_lead_anywhere_when_that_is_allowed() {
    let receiver = Receiver::start().await;
    let (connector, connections) = (connector(&[]), connections(8));
    let target = receiver.named("http");
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, _stream) = tokio::join!(call, answer(&receiver, OK));
    assert_eq!(outcome.expect("an answer").status, 200);
}

#[tokio::test]
async fn a_name_that_means_nothing_and_a_port_that_is_shut() {
    let (connector, connections) = (connector(&[]), connections(8));
    // Reserved by RFC 6761: never resolves.
    let nowhere = Target::parse("http://nowhere.invalid/").expect("a target");
    let outcome = connector
        .call(&connections, &nowhere, post(), pending())
        .await;
    assert_eq!(outcome.err(), Some(CallError::Dns));

    let target = Receiver::start().await.target();
    let outcome = connector
        .call(&connections, &target, post(), pending())
        .await;
    let refused = CallError::Connect {
        reason: "refused by the host",
    };
    assert_eq!(outcome.err(), Some(refused));
}

#[test]
fn a_call_can_move_between_threads_and_is_small() {
    fn check(future: &impl Send) {
        let size = size_of_val(future);
        assert!(size < 4096, "{size} bytes");
    }
    let (connector, connections) = (connector(&[]), connections(8));
    let target = Target::parse("http://a.example/").expect("a target");
    check(&connector.call(&connections, &target, post(), pending()));
}
