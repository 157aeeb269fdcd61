//! Calls through a proxy that is written by hand, and from a given address.

use super::super::proxy::{Proxy, ProxyFault};
use super::tls::certificate;
use super::*;

/// A connector whose calls go through a listener as their proxy.
async fn proxied(roots: &[CertificateDer<'static>]) -> (Connector, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("bound");
    let proxy = Proxy::new((Host::Address(at.ip()), at.port()), None, vec![], vec![]);
    let route = Route {
        proxy: Some(proxy),
        ..Route::default()
    };
    let guard = Guard {
        allow_private: true,
    };
    (
        Connector::new(guard, route, roots).expect("a connector"),
        listener,
    )
}

/// Accepts a connection and reads the head of a request for a tunnel.
async fn connect(proxy: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = proxy.accept().await.expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a request"));
    }
    (stream, String::from_utf8(head).expect("text"))
}

#[tokio::test]
async fn tls_is_made_with_the_host_behind_the_proxy() {
    let (root, acceptor) = certificate("localhost");
    let (connector, proxy) = proxied(&[root]).await;
    let (connections, target) = (connections(8), Target::parse("https://localhost/hook"));
    let target = target.expect("a target");
    let calls = async {
        for _ in 0..2 {
            let call = connector.call(&connections, &target, post(), pending());
            assert_eq!(call.await.expect("an answer").body, "OK");
        }
    };
    tokio::join!(calls, async {
        let (mut stream, head) = connect(&proxy).await;
        // The address that was checked, not the name.
        assert!(
            head.starts_with("CONNECT 127.0.0.1:443 ") || head.starts_with("CONNECT [::1]:443 "),
            "{head}"
        );
        let good = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n";
        stream.write_all(good).await.expect("open");
        let mut stream = acceptor.accept(stream).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.server_name(), Some("localhost"));
        for _ in 0..2 {
            let head = read_request(&mut stream).await;
            assert!(head.contains("host: localhost\r\n"), "{head}");
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";
            stream.write_all(answer).await.expect("open");
            stream.flush().await.expect("open");
        }
    });
}

#[tokio::test]
async fn the_deadline_covers_the_proxy() {
    let (connector, proxy) = proxied(&[]).await;
    let (connections, over) = (connections(8), Notify::new());
    let target = Target::parse("http://127.0.0.1/").expect("a target");
    let call = connector.call(&connections, &target, post(), over.notified());
    let (outcome, _stream) = tokio::join!(call, async {
        let open = connect(&proxy).await;
        over.notify_one();
        open
    });
    let phase = Phase::Proxy;
    assert_eq!(outcome.err(), Some(CallError::Timeout { phase }));
}

#[tokio::test]
async fn the_next_address_is_tried_if_the_proxy_does_not_reach_one() {
    let (connector, proxy) = proxied(&[]).await;
    let way = connector.route.proxy.as_ref().expect("a proxy");
    let destinations = ["[2001:db8::1]:80", "192.0.2.1:80"].map(str::to_owned);
    for (second, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n", None),
        (
            "HTTP/1.1 504 Gateway Timeout\r\n\r\n",
            Some(ProxyFault::Unreachable(504)),
        ),
        ("HTTP/1.1 403 No\r\n\r\n", Some(ProxyFault::Denied)),
    ] {
        let tunnel = connector.tunnel(way, &destinations);
        let (outcome, ()) = tokio::join!(tunnel, async {
            for (destination, answer) in
                destinations.iter().zip(["HTTP/1.1 502 No\r\n\r\n", second])
            {
                let (mut stream, head) = connect(&proxy).await;
                assert!(head.contains(destination), "{head}");
                stream.write_all(answer.as_bytes()).await.expect("open");
            }
        });
        assert_eq!(outcome.err(), expected.map(CallError::Proxy));
    }
}

#[tokio::test]
async fn an_endless_head_of_the_proxy_is_an_error() {
    let (connector, proxy) = proxied(&[]).await;
    let target = Target::parse("http://127.0.0.1/").expect("a target");
    let connections = connections(8);
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, ()) = tokio::join!(call, async {
        let (mut stream, _) = connect(&proxy).await;
        let start = b"HTTP/1.1 200 OK\r\nX-Endless: ";
        stream.write_all(start).await.expect("open");
        // Ends when the caller hangs up.
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    });
    let error = CallError::Proxy(ProxyFault::BadAnswer);
    assert_eq!(outcome.err(), Some(error));
}

#[tokio::test]
async fn calls_come_from_the_given_address() {
    let source = IpAddr::from([127, 0, 0, 7]);
    let route = || Route {
        sources: vec![source],
        proxy: None,
    };
    let guard = Guard {
        allow_private: true,
    };
    let connector = Connector::new(guard, route(), &[]).expect("a connector");
    let receiver = Receiver::start().await;
    let (connections, target) = (connections(8), receiver.target());
    let call = connector.call(&connections, &target, post(), pending());
    let (outcome, peer) = tokio::join!(call, async {
        let (mut stream, peer) = receiver.listener.accept().await.expect("a connection");
        read_request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.expect("open");
        peer
    });
    outcome.expect("an answer");
    assert_eq!(peer.ip(), source);
    // A family without an address of its own is not called.
    let target = Target::parse("http://[::1]:1/").expect("a target");
    let outcome = connector.call(&connections, &target, post(), pending());
    let reason = "the host has no address that can be called from here";
    assert_eq!(outcome.await.err(), Some(CallError::Connect { reason }));
}
