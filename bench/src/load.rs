//! The load generator: posts stamped messages over keep-alive connections, as fast as the answers
//! come (closed loop) or at a steady rate whatever the answers do (open loop).

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
    client::{self, Line},
    clock::{between, now_ns},
    stamp::Template,
    stats::{self, Summary},
};

/// How long one request may take.
const ANSWER: Duration = Duration::from_secs(30);
/// The wait after a connection was refused.
const REFUSED: Duration = Duration::from_millis(20);

/// What to send, where, and for how long. Every load is bounded by a count and by a time.
#[derive(Clone)]
pub struct Load {
    pub address: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Template,
    /// Stamped into each message, so that a receiver tells this run's from an earlier one's.
    pub run: u32,
    pub connections: usize,
    /// Messages a second; `None` is a closed loop.
    pub rate: Option<f64>,
    pub count: u64,
    pub time: Duration,
}

/// What became of a load.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Which ids were answered with a status of 200 to 299.
    pub accepted: Vec<u64>,
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without an answer.
    pub errors: u64,
    /// The first unwanted answer or error.
    pub complaint: Option<String>,
    pub started_ns: u64,
    pub took: Duration,
    pub answer: Summary,
    /// The longest that an open loop was behind its own pace.
    pub late: Duration,
}

impl Outcome {
    pub fn accepted(&self) -> u64 {
        self.accepted.len().try_into().unwrap_or(u64::MAX)
    }

    /// All that was sent was accepted.
    pub fn is_clean(&self) -> bool {
        self.complaint.is_none()
    }

    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "accepted": self.accepted(),
            "acceptedPerSecond": stats::rate(self.accepted(), self.took),
            "seconds": self.took.as_secs_f64(),
            "statuses": self.statuses.iter().map(|(status, n)| (status.to_string(), *n)).collect::<BTreeMap<_, _>>(),
            "errors": self.errors,
            "complaint": self.complaint,
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
            complaint: total.complaint,
            started_ns,
            took: between(started_ns, now_ns()),
            answer: Summary::of(total.answers_ns),
            late: total.late,
        })
    }
}

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
    complaint: Option<String>,
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
        self.complaint = self.complaint.take().or(other.complaint);
        self.answers_ns.extend(other.answers_ns);
        self.late = self.late.max(other.late);
    }

    fn complain(&mut self, text: impl FnOnce() -> String) {
        self.complaint.get_or_insert_with(text);
    }
}

async fn worker(job: Arc<Job>) -> Tally {
    let mut tally = Tally::default();
    let mut line = None;
    while let Some(id) = job.take(&mut tally).await {
        send(&job.load, id, &mut line, &mut tally).await;
    }
    tally
}

impl Job {
    /// The next id, when its time has come.
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

/// Sends one message once. A message whose answer was lost is not sent again: it may have been
/// accepted, and the two would be counted as one delivered twice.
async fn send(load: &Load, id: u64, line: &mut Option<Line>, tally: &mut Tally) {
    if line.as_ref().is_none_or(Line::is_closed) {
        *line = match Line::open(&load.address).await {
            Ok(line) => Some(line),
            Err(error) => {
                tally.errors += 1;
                tally.complain(|| format!("{error:#}"));
                sleep(REFUSED).await;
                return;
            }
        };
    }
    let Some(open) = line.as_mut() else { return };
    let sent_ns = now_ns();
    let error = match timeout(ANSWER, open.send(request(load, id))).await {
        Ok(Ok((status, answer))) => {
            tally.answers_ns.push(now_ns() - sent_ns);
            *tally.statuses.entry(status.as_u16()).or_default() += 1;
            if status.is_success() {
                tally.accepted.push(id);
            } else {
                tally.complain(|| format!("{status}: {:.300}", String::from_utf8_lossy(&answer)));
            }
            return;
        }
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => format!("no answer within {ANSWER:?}"),
    };
    *line = None;
    tally.errors += 1;
    tally.complain(|| error);
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

/// The headers of each message to `address`, with a bearer token where one is needed.
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
