//! The load generator. It posts stamped messages over keep-alive connections, either as fast as answers come (closed
//! loop) or at a steady rate (open loop).

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request,
    header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    client::{self, Connection},
    clock::{between, now_ns},
    stamp::Template,
    stats::{self, Summary},
};

/// The time-out of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause after a refused connection.
const RETRY_DELAY: Duration = Duration::from_millis(20);

/// The requests of a load. Every load is bounded by a count and by a time.
#[derive(Clone)]
pub struct Load {
    pub address: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Template,
    /// The run number in each stamp, which separates the messages of this run from earlier ones.
    pub run: u32,
    pub connections: usize,
    /// Messages per second. `None` is a closed loop.
    pub rate: Option<f64>,
    pub count: u64,
    pub time: Duration,
}

/// The outcome of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The ids that were answered with a status of 200 to 299.
    pub accepted: Vec<u64>,
    pub statuses: BTreeMap<u16, u64>,
    /// The number of requests without an answer.
    pub errors: u64,
    /// The first unexpected answer or error.
    pub first_error: Option<String>,
    pub started_ns: u64,
    pub took: Duration,
    pub answer: Summary,
    /// The largest delay of an open loop behind its schedule.
    pub late: Duration,
}

impl Outcome {
    pub fn accepted(&self) -> u64 {
        self.accepted.len().try_into().unwrap_or(u64::MAX)
    }

    /// True if everything that was sent was accepted.
    pub fn is_clean(&self) -> bool {
        self.first_error.is_none()
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "accepted": self.accepted(),
            "acceptedPerSecond": stats::rate(self.accepted(), self.took),
            "seconds": self.took.as_secs_f64(),
            "statuses": self.statuses.iter().map(|(status, n)| (status.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "errors": self.errors,
            "firstError": self.first_error,
            "answerMs": self.answer,
            "latestStartMs": self.late.as_secs_f64() * 1e3,
        })
    }
}

impl Load {
    /// Runs the load on the calling thread until its count or its time is up, or `stop` is set.
    pub fn run(&self, stop: &Arc<AtomicBool>) -> Result<Outcome> {
        client::runtime()?.block_on(self.drive(stop))
    }

    async fn drive(&self, stop: &Arc<AtomicBool>) -> Result<Outcome> {
        let job = Arc::new(Job {
            load: self.clone(),
            next: AtomicU64::new(0),
            stop: stop.clone(),
            start: Instant::now(),
        });
        let started_ns = now_ns();
        let mut workers = JoinSet::new();
        for _ in 0..self.connections {
            workers.spawn(worker(job.clone()));
        }
        let mut total = Tally::default();
        while let Some(tally) = workers.join_next().await {
            total.add(tally.context("a connection's task ended early")?);
        }
        Ok(Outcome {
            accepted: total.accepted,
            statuses: total.statuses,
            errors: total.errors,
            first_error: total.first_error,
            started_ns,
            took: between(started_ns, now_ns()),
            answer: Summary::of(total.answers_ns),
            late: total.late,
        })
    }
}

/// The state of a load that its workers share.
struct Job {
    load: Load,
    next: AtomicU64,
    stop: Arc<AtomicBool>,
    start: Instant,
}

#[derive(Default)]
struct Tally {
    accepted: Vec<u64>,
    statuses: BTreeMap<u16, u64>,
    errors: u64,
    first_error: Option<String>,
    answers_ns: Vec<u64>,
    late: Duration,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        for (status, n) in other.statuses {
            *self.statuses.entry(status).or_default() += n;
        }
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.answers_ns.extend(other.answers_ns);
        self.late = self.late.max(other.late);
    }

    fn record_error(&mut self, text: impl FnOnce() -> String) {
        self.first_error.get_or_insert_with(text);
    }
}

async fn worker(job: Arc<Job>) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    while let Some(id) = job.take(&mut tally).await {
        send(&job.load, id, &mut connection, &mut tally).await;
    }
    tally
}

impl Job {
    /// Returns the next id at its scheduled time.
    async fn take(&self, tally: &mut Tally) -> Option<u64> {
        let end = self.start + self.load.time;
        let id = self.next.fetch_add(1, Relaxed);
        if id >= self.load.count || self.stop.load(Relaxed) {
            return None;
        }
        if let Some(rate) = self.load.rate {
            let due = self.start + Duration::from_secs_f64(stats::float(id) / rate);
            if due >= end {
                return None;
            }
            sleep_until(due).await;
            tally.late = tally.late.max(due.elapsed());
        }
        (Instant::now() < end && !self.stop.load(Relaxed)).then_some(id)
    }
}

/// Sends a message once. A message without an answer is not repeated: it may have been accepted, and would then count
/// as a duplicate delivery.
async fn send(load: &Load, id: u64, connection: &mut Option<Connection>, tally: &mut Tally) {
    if connection.as_ref().is_none_or(Connection::is_closed) {
        *connection = match Connection::open(&load.address).await {
            Ok(connection) => Some(connection),
            Err(error) => {
                tally.errors += 1;
                tally.record_error(|| format!("{error:#}"));
                sleep(RETRY_DELAY).await;
                return;
            }
        };
    }
    let Some(open) = connection.as_mut() else {
        return;
    };
    let sent_ns = now_ns();
    let error = match timeout(REQUEST_TIMEOUT, open.send(request(load, id))).await {
        Ok(Ok((status, answer))) => {
            tally.answers_ns.push(now_ns() - sent_ns);
            *tally.statuses.entry(status.as_u16()).or_default() += 1;
            if status.is_success() {
                tally.accepted.push(id);
            } else {
                tally.record_error(|| {
                    format!("{status}: {:.300}", String::from_utf8_lossy(&answer))
                });
            }
            return;
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer within {REQUEST_TIMEOUT:?}"),
    };
    *connection = None;
    tally.errors += 1;
    tally.record_error(|| error);
}

fn request(load: &Load, id: u64) -> Request<Full<Bytes>> {
    let body = Bytes::from(load.body.fill(load.run, id));
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = load
        .path
        .parse()
        .expect("was checked when the load was made");
    *request.headers_mut() = load.headers.clone();
    request
}

/// The headers of the messages to `address`, with a bearer token if there is one.
pub fn headers(address: &str, token: Option<&str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(address)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        headers.insert(hyper::header::AUTHORIZATION, value);
    }
    Ok(headers)
}
