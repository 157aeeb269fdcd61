//! A forward proxy that opens tunnels by CONNECT, and does with each what the test prescribes.

use std::sync::{Arc, Mutex};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A request for a tunnel.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// The whole head of the request.
    pub(crate) head: String,
    /// The host and the port.
    pub(crate) destination: String,
}

/// The answer to a request for a tunnel.
pub(crate) enum Tunnel {
    /// A tunnel to this address, whatever the destination is.
    To(String),
    /// These bytes and the end of the connection.
    Say(&'static str),
}

type Script = dyn Fn(&Connect) -> Tunnel + Send + Sync;

pub(crate) struct ForwardProxy {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Connect>>>,
    _serving: JoinSet<()>,
}

impl ForwardProxy {
    /// A proxy that opens a tunnel to each destination.
    pub(crate) async fn open() -> Self {
        Self::start(|connect| Tunnel::To(connect.destination.clone())).await
    }

    pub(crate) async fn start(script: impl Fn(&Connect) -> Tunnel + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Mutex<Vec<Connect>>>::default();
        let (script, shared): (Arc<Script>, _) = (Arc::new(script), seen.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut tunnels = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                tunnels.spawn(serve(stream, shared.clone(), script.clone()));
            }
        });
        Self {
            url,
            seen,
            _serving: serving,
        }
    }

    /// The requests for tunnels so far.
    pub(crate) fn seen(&self) -> Vec<Connect> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(crate) fn destinations(&self) -> Vec<String> {
        let seen = self.seen().into_iter();
        seen.map(|connect| connect.destination).collect()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Connect>>>, script: Arc<Script>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).expect("text");
    let line = head.lines().next().unwrap_or_default();
    let destination = line
        .strip_prefix("CONNECT ")
        .and_then(|rest| rest.strip_suffix(" HTTP/1.1"))
        .unwrap_or_else(|| panic!("not CONNECT: {line}"))
        .to_owned();
    let connect = Connect { head, destination };
    let tunnel = script(&connect);
    seen.lock().expect("no panic").push(connect);
    let to = match tunnel {
        Tunnel::To(to) => to,
        Tunnel::Say(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            return;
        }
    };
    let Ok(mut host) = TcpStream::connect(to).await else {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
        return;
    };
    let good = b"HTTP/1.1 200 Connection established\r\n\r\n";
    if stream.write_all(good).await.is_ok() {
        let _ = copy_bidirectional(&mut stream, &mut host).await;
    }
}
