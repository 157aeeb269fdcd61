//! The receiver. It answers each message with the sender's echo, counts messages and duplicates, and measures the
//! time from the sender's stamp to the arrival.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, header::HeaderName, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::oneshot, task::JoinSet};

use crate::{client, clock::now_ns, stamp::Stamp, stats::Summary};

const ECHO: HeaderName = HeaderName::from_static("x-xcom-integration-echo");
/// A delay that never ends.
const ENDLESS: u64 = u64::MAX;
/// The largest id of a message, which bounds the table of received ids.
const MAX_ID: u64 = 50_000_000;

/// A receiver on a separate thread. It stops on drop.
pub struct Sink {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The arrivals of the current run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub run: u32,
    /// The number of messages of this run, duplicates included.
    pub hits: u64,
    pub unique: u64,
    pub duplicates: u64,
    /// The number of messages of another run or without a stamp.
    pub foreign: u64,
    /// The number of messages that came after one with a higher id.
    pub out_of_order: u64,
    pub first_ns: u64,
    /// The arrival of the last message that was not a duplicate.
    pub last_ns: u64,
    /// The arrival of the first message after [`Sink::mark`].
    pub after_mark_ns: Option<u64>,
}

#[derive(Default)]
struct State {
    counts: Counts,
    seen: Vec<bool>,
    highest: u64,
    latencies_ns: Vec<u64>,
    /// The ids of the refused messages.
    refused: HashSet<u64>,
}

/// Tells whether to refuse a message by its id, and whether it is refused for the first time.
pub type Refuse = fn(id: u64, is_first: bool) -> bool;

struct Shared {
    state: Mutex<State>,
    refuse: Mutex<Refuse>,
    delay_ms: AtomicU64,
    in_flight: AtomicUsize,
}

impl Sink {
    /// Starts a receiver on `listen`. Port 0 selects a free port.
    pub fn start(listen: SocketAddr) -> Result<Self> {
        let listener =
            TcpListener::bind(listen).with_context(|| format!("listening on {listen}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            refuse: Mutex::new(|_, _| false),
            delay_ms: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        });
        let runtime = client::runtime()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("sink".into()).spawn({
            let shared = shared.clone();
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = accept(listener, shared) => {}
                        _ = stopped => {}
                    }
                });
            }
        })?;
        Ok(Self {
            shared,
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Starts a receiver on a free port of 127.0.0.1.
    pub fn local() -> Result<Self> {
        Self::start(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all counts and counts the messages of `run`.
    pub fn begin(&self, run: u32) {
        self.shared.begin(run);
    }

    /// Sets the delay of answers. Calls in progress are not affected.
    pub fn delay(&self, delay: Duration) {
        let millis = delay.as_millis().try_into().unwrap_or(ENDLESS);
        self.shared.delay_ms.store(millis, Relaxed);
    }

    /// Stops answering for good.
    pub fn hang(&self) {
        self.shared.delay_ms.store(ENDLESS, Relaxed);
    }

    /// Answers 503 from now on to the messages of the current run that `refuse` selects. They do not count as arrived.
    pub fn refuse(&self, refuse: Refuse) {
        *self.shared.refuse() = refuse;
    }

    /// The number of calls without an answer so far.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Relaxed)
    }

    /// Records the arrival of the next message in [`Counts::after_mark_ns`].
    pub fn mark(&self) {
        self.shared.state().counts.after_mark_ns = None;
    }

    pub fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// The number of `ids` that have not arrived.
    pub fn count_missing(&self, ids: &[u64]) -> usize {
        let state = self.shared.state();
        ids.iter().filter(|id| !state.has_seen(**id)).count()
    }

    /// The nanoseconds from the creation of each message to its first arrival.
    pub fn latencies_ns(&self) -> Vec<u64> {
        self.shared.state().latencies_ns.clone()
    }

    /// Waits until `done` returns true or the time is up. Returns the last result.
    pub fn wait(&self, timeout: Duration, done: impl Fn(&Counts) -> bool) -> bool {
        let end = Instant::now() + timeout;
        loop {
            if done(&self.counts()) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A panic of the receiver was printed to standard error.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no thread panics while holding it")
    }

    fn refuse(&self) -> MutexGuard<'_, Refuse> {
        self.refuse
            .lock()
            .expect("no thread panics while holding it")
    }

    fn begin(&self, run: u32) {
        let mut state = self.state();
        *state = State::default();
        state.counts.run = run;
    }
}

impl State {
    fn has_seen(&self, id: u64) -> bool {
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        self.seen.get(index).copied().unwrap_or(false)
    }

    /// Counts a message. Returns false if it is refused.
    fn arrive(&mut self, stamp: Option<Stamp>, now_ns: u64, refuse: Refuse) -> bool {
        self.counts.after_mark_ns.get_or_insert(now_ns);
        let ours = |stamp: &Stamp| stamp.run == self.counts.run && stamp.id < MAX_ID;
        let Some(stamp) = stamp.filter(ours) else {
            self.counts.foreign += 1;
            return true;
        };
        if refuse(stamp.id, !self.refused.contains(&stamp.id)) {
            self.refused.insert(stamp.id);
            return false;
        }
        self.counts.hits += 1;
        if self.counts.first_ns == 0 {
            self.counts.first_ns = now_ns;
        }
        if self.has_seen(stamp.id) {
            self.counts.duplicates += 1;
            return true;
        }
        let index = usize::try_from(stamp.id).unwrap_or(usize::MAX);
        if self.seen.len() <= index {
            self.seen.resize(index + 1024, false);
        }
        self.seen[index] = true;
        self.counts.unique += 1;
        self.counts.last_ns = now_ns;
        if stamp.id < self.highest {
            self.counts.out_of_order += 1;
        }
        self.highest = self.highest.max(stamp.id);
        self.latencies_ns.push(now_ns.saturating_sub(stamp.sent_ns));
        true
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("is not blocking");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, shared.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without this option, answers wait for the sender's acknowledgements. A failure only makes the measurement
    // slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| receive(request, shared.clone()));
    // A sender may close its connection at any time.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Counts a call as in flight until this is dropped, which happens early if the sender hangs up.
struct InFlight<'a>(&'a AtomicUsize);

impl<'a> InFlight<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn receive(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == Method::GET {
        return Ok(control(
            request.uri().path(),
            request.uri().query().unwrap_or(""),
            &shared,
        ));
    }
    let _in_flight = InFlight::new(&shared.in_flight);
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(Response::new(Full::default()));
    };
    let body = body.to_bytes();
    let now_ns = now_ns();
    let refuse = *shared.refuse();
    let is_accepted = shared.state().arrive(Stamp::find(&body), now_ns, refuse);
    match shared.delay_ms.load(Relaxed) {
        0 => {}
        ENDLESS => std::future::pending().await,
        delay => tokio::time::sleep(Duration::from_millis(delay)).await,
    }
    let mut answer = Response::new(Full::new(Bytes::from_static(b"ok")));
    if !is_accepted {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(answer);
    }
    if let Some(echo) = head.headers.get(ECHO) {
        answer.headers_mut().insert(ECHO, echo.clone());
    }
    Ok(answer)
}

/// The control interface of the program `sink`: `/__begin?run=N`, `/__counts`, `/__latency`, `/__delay?ms=N`.
fn control(path: &str, query: &str, shared: &Shared) -> Response<Full<Bytes>> {
    let number = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .filter(|(key, _)| *key == name)
            .find_map(|(_, value)| value.parse().ok())
    };
    let answer = match path {
        "/__begin" => {
            let run = number("run").unwrap_or(0);
            shared.begin(u32::try_from(run).unwrap_or(0));
            json!({})
        }
        "/__delay" => {
            shared.delay_ms.store(number("ms").unwrap_or(0), Relaxed);
            json!({})
        }
        "/__latency" => json!(Summary::of(shared.state().latencies_ns.clone())),
        "/__counts" => json!(shared.state().counts),
        // Any other path is a readiness check.
        _ => Value::Null,
    };
    Response::new(Full::new(Bytes::from(answer.to_string())))
}
