//! The receiver of webhooks: an HTTP server that answers as the test prescribes, down to single bytes.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinSet,
};

use crate::harness::{hub::WAIT_TIMEOUT, messages};

/// A call that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The id of the event that was sent.
    pub(crate) fn event_id(&self) -> String {
        self.json()["id"].as_str().expect("an event").to_owned()
    }

    /// The value of a member of the entity as it is now.
    pub(crate) fn new_member(&self, member: &str) -> serde_json::Value {
        self.json()["changeData"]["new"][member].clone()
    }
}

/// The answer to a call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// 200 with the echo.
    Good,
    Status(u16),
    /// This status with the echo.
    Echoed(u16),
    NoEcho,
    WrongEcho,
    /// 301 to this place, with the echo.
    Redirect(String),
    /// The head with the echo, and half of the body it promises.
    Half,
    /// A body that never ends.
    Endless,
    /// No answer, and the connection stays open.
    Silence,
    /// 200 with these bytes.
    Body(Vec<u8>),
    /// The connection is closed without a word.
    Close,
    /// Good, once the test lets it pass.
    Held(Arc<Semaphore>),
    /// Bytes that are not HTTP.
    Noise,
    /// These bytes with the echo in the place of `{echo}`; then the connection is closed, or else stays open.
    Raw {
        bytes: &'static str,
        close: bool,
    },
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

pub(crate) struct Receiver {
    pub(crate) url: String,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

struct State {
    calls: Mutex<VecDeque<Call>>,
    arrived: Notify,
    script: Mutex<Arc<Script>>,
    /// The number of open calls, and its maximum so far.
    open: Mutex<(usize, usize)>,
    /// The ids of all entities that calls were about.
    entities: Mutex<HashSet<String>>,
}

impl Receiver {
    pub(crate) async fn good() -> Self {
        Self::start(|_| Reply::Good).await
    }

    pub(crate) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State {
            calls: Mutex::default(),
            arrived: Notify::new(),
            script: Mutex::new(Arc::new(script)),
            open: Mutex::default(),
            entities: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        let shared = state.clone();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, shared.clone()));
            }
        });
        Self {
            url,
            state,
            _serving: serving,
        }
    }

    /// Answers differently from now on.
    pub(crate) fn answer(&self, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) {
        *self.state.script.lock().expect("no panic") = Arc::new(script);
    }

    /// The next call, waited for. It is as the AsyncAPI description says.
    pub(crate) async fn next(&self) -> Call {
        let call = self.wait().await;
        messages::check_call(&call);
        call
    }

    async fn wait(&self) -> Call {
        let wait = async {
            loop {
                let arrived = self.state.arrived.notified();
                if let Some(call) = self.state.calls.lock().expect("no panic").pop_front() {
                    return call;
                }
                arrived.await;
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, wait)
            .await
            .expect("a call comes")
    }

    pub(crate) async fn take(&self, count: usize) -> Vec<Call> {
        let mut calls = Vec::new();
        for _ in 0..count {
            calls.push(self.next().await);
        }
        calls
    }

    /// The number of calls that the test has not taken. Meaningful only after a later effect of the server was seen.
    pub(crate) fn waiting(&self) -> usize {
        self.state.calls.lock().expect("no panic").len()
    }

    /// Returns true if any call so far was about the entity with this id.
    pub(crate) fn ever_saw(&self, id: &str) -> bool {
        self.state.entities.lock().expect("no panic").contains(id)
    }

    /// The maximum number of calls that were open at the same time.
    pub(crate) fn most_open(&self) -> usize {
        self.state.open.lock().expect("no panic").1
    }
}

impl Drop for Receiver {
    /// Checks the calls that the test has not taken.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let calls = self.state.calls.lock().expect("no panic");
            calls.iter().for_each(messages::check_call);
        }
    }
}

async fn converse(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(call) = read(&mut stream, &mut buffer).await {
        let script = state.script.lock().expect("no panic").clone();
        let reply = script(&call);
        {
            let mut open = state.open.lock().expect("no panic");
            open.0 += 1;
            open.1 = open.1.max(open.0);
        }
        let echo = call
            .header("x-xcom-integration-echo")
            .unwrap_or_default()
            .to_owned();
        if let Some(id) = serde_json::from_str::<serde_json::Value>(&call.body).unwrap_or_default()
            ["changeData"]["new"]["id"]
            .as_str()
        {
            state
                .entities
                .lock()
                .expect("no panic")
                .insert(id.to_owned());
        }
        state.calls.lock().expect("no panic").push_back(call);
        state.arrived.notify_one();
        let goes_on = answer(&mut stream, reply, &echo).await;
        state.open.lock().expect("no panic").0 -= 1;
        if !goes_on {
            return;
        }
    }
}

/// Reads one request; `None` if the peer has closed the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Call> {
    let head = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&buffer[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().expect("a length"));
    while buffer.len() < head + 4 + length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(buffer[head + 4..head + 4 + length].to_vec()).expect("text");
    buffer.drain(..head + 4 + length);
    Some(Call {
        method,
        path,
        headers,
        body,
    })
}

/// Answers; false if the connection is over.
async fn answer(stream: &mut TcpStream, reply: Reply, echo: &str) -> bool {
    let head = |status: u16, echo: &str, more: &str| {
        let echo = if echo.is_empty() {
            String::new()
        } else {
            format!("x-xcom-integration-echo: {echo}\r\n")
        };
        format!("HTTP/1.1 {status} X\r\n{echo}{more}\r\n")
    };
    let empty = "content-length: 0\r\n";
    let text = match reply {
        Reply::Good => head(200, echo, empty),
        Reply::Held(gate) => {
            gate.acquire().await.expect("it stays open").forget();
            head(200, echo, empty)
        }
        Reply::Status(status) => format!("{}sorry", head(status, "", "content-length: 5\r\n")),
        Reply::Echoed(status) => head(status, echo, empty),
        Reply::NoEcho => head(200, "", empty),
        Reply::WrongEcho => head(200, "not-the-echo", empty),
        Reply::Redirect(place) => head(301, echo, &format!("location: {place}\r\n{empty}")),
        Reply::Half => {
            let _ = stream
                .write_all(format!("{}12345", head(200, echo, "content-length: 10\r\n")).as_bytes())
                .await;
            return false;
        }
        Reply::Endless => {
            let _ = stream
                .write_all(head(200, echo, "transfer-encoding: chunked\r\n").as_bytes())
                .await;
            while stream.write_all(b"4\r\nwave\r\n").await.is_ok() {}
            return false;
        }
        Reply::Silence => {
            // Until the peer gives up.
            let _ = stream.read(&mut [0]).await;
            return false;
        }
        Reply::Body(bytes) => {
            let length = format!("content-length: {}\r\n", bytes.len());
            let whole = [head(200, echo, &length).as_bytes(), &bytes].concat();
            return stream.write_all(&whole).await.is_ok();
        }
        Reply::Close => return false,
        Reply::Raw { bytes, close } => {
            let bytes = bytes.replace("{echo}", echo);
            let sent = stream.write_all(bytes.as_bytes()).await.is_ok();
            if sent && !close {
                // Until the peer gives up.
                let _ = stream.read(&mut [0]).await;
            }
            return false;
        }
        Reply::Noise => "220 mail.example.com ESMTP\r\n".to_owned(),
    };
    stream.write_all(text.as_bytes()).await.is_ok()
}
