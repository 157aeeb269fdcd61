//! The environment of all drills: program, folders, sizes and durations, and one measured run of a load.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cleanup::Cleanup,
    clock,
    database::Engine,
    load::{Load, Outcome},
    process::Meter,
    report::Report,
    server::{Home, load_to},
    sink::{Counts, Sink},
    stats::{self, Summary},
};

pub struct Lab {
    /// The measured server.
    pub program: PathBuf,
    /// The folder of the servers' data during a drill.
    pub folder: PathBuf,
    pub size: Size,
    pub cleanup: Cleanup,
    runs: AtomicU32,
}

/// The amounts and durations of the drills.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The number of rounds for each pair of measurements.
    pub rounds: u32,
    pub direct: Duration,
    pub load: Duration,
    /// The length of a measurement at a steady rate.
    pub steady: Duration,
    /// The time-out of the remaining deliveries after a load.
    pub drain: Duration,
    /// The number of events that wait for the hanging receiver.
    pub waiting: u64,
    /// The number of events before the memory is read.
    pub events: u64,
    pub hooks: [usize; 3],
    pub idle: Duration,
    /// The numbers of events in the short and in the long feed.
    pub feed: [u64; 2],
    pub pages: usize,
    /// The number of contacts with a phone.
    pub contacts: u64,
    /// The number of idle websockets.
    pub sockets: usize,
    /// The numbers of calls in the short and in the long delivery log.
    pub log: [u64; 2],
    /// The number of given-up events that are sent again.
    pub given_up: u64,
    /// The number of streams of server-sent events.
    pub listeners: usize,
    /// The number of open consoles.
    pub consoles: usize,
    /// The number of webhooks with a rate limit.
    pub limited: usize,
}

impl Size {
    pub const FULL: Self = Self {
        rounds: 3,
        direct: Duration::from_secs(3),
        load: Duration::from_secs(5),
        steady: Duration::from_secs(10),
        drain: Duration::from_mins(2),
        waiting: 2_000,
        events: 200_000,
        hooks: [1, 100, 10_000],
        idle: Duration::from_secs(10),
        feed: [1_000, 1_000_000],
        pages: 1_000,
        contacts: 1_000_000,
        sockets: 5_000,
        log: [1_000, 1_000_000],
        given_up: 100_000,
        listeners: 1_000,
        consoles: 200,
        limited: 100,
    };

    /// A smoke test of two minutes. Its figures have no meaning.
    pub const QUICK: Self = Self {
        rounds: 1,
        direct: Duration::from_secs(1),
        load: Duration::from_secs(1),
        steady: Duration::from_secs(3),
        drain: Duration::from_mins(1),
        waiting: 200,
        events: 5_000,
        hooks: [1, 10, 300],
        idle: Duration::from_secs(2),
        feed: [1_000, 20_000],
        pages: 100,
        contacts: 5_000,
        sockets: 200,
        log: [1_000, 10_000],
        given_up: 600,
        listeners: 100,
        consoles: 20,
        limited: 10,
    };
}

/// A load and its arrivals.
pub struct Measured {
    pub sent: Outcome,
    pub counts: Counts,
    pub latencies_ns: Vec<u64>,
    /// The share of processor time used by other processes.
    pub others: f64,
}

impl Measured {
    /// Messages per second, from the first request to the last arrival.
    pub fn rate(&self) -> f64 {
        let time = clock::between(self.sent.started_ns, self.counts.last_ns);
        stats::rate(self.counts.unique, time)
    }

    /// The reason for which the figures of this run are worthless, if any.
    pub fn flaw(&self) -> Option<String> {
        if let Some(first_error) = &self.sent.first_error {
            return Some(format!("some messages were not accepted: {first_error}"));
        }
        let missing = self.sent.accepted().saturating_sub(self.counts.unique);
        (missing > 0).then(|| {
            format!(
                "{missing} of {} did not arrive in time",
                self.sent.accepted()
            )
        })
    }

    pub fn to_json(&self) -> Value {
        json!({
            "sent": self.sent.to_json(), "arrived": self.counts, "perSecond": self.rate(),
            "latencyMs": Summary::of(self.latencies_ns.clone()), "others": self.others,
        })
    }

    /// Adds notes to the report that its reader must know about this run.
    pub fn warn(&self, report: &mut Report, what: &str) {
        if let Some(flaw) = self.flaw() {
            report.note(format!("{what}: {flaw}"));
        }
        if self.counts.duplicates > 0 {
            let n = self.counts.duplicates;
            report.note(format!(
                "{what}: {n} messages arrived twice without a crash"
            ));
        }
        if self.others > 0.1 {
            let share = self.others * 100.0;
            report.note(format!(
                "{what}: other programs had {share:.0} % of the used processor time"
            ));
        }
    }
}

impl Lab {
    pub fn new(program: PathBuf, folder: PathBuf, size: Size, cleanup: Cleanup) -> Self {
        let first = u32::try_from(clock::unix_seconds() % 100_000 * 1_000).unwrap_or(0);
        Self {
            program,
            folder,
            size,
            cleanup,
            runs: AtomicU32::new(first),
        }
    }

    /// A run number that is unique within this program.
    pub fn next_run(&self) -> u32 {
        self.runs.fetch_add(1, Relaxed)
    }

    pub fn home(&self, engine: &Engine) -> Result<Home> {
        Home::new(self, engine)
    }

    /// Runs `load`, waits for the resulting deliveries, and returns the result.
    pub fn measure(&self, load: &Load, sink: &Sink, processes: &[u32]) -> Result<Measured> {
        sink.begin(load.run);
        let meter = Meter::start(processes);
        let sent = load.run(&Arc::default())?;
        sink.wait(self.size.drain, |counts| counts.unique >= sent.accepted());
        Ok(Measured {
            others: meter.others(),
            counts: sink.counts(),
            latencies_ns: sink.latencies_ns(),
            sent,
        })
    }

    /// The limit: the same messages sent straight to the sink.
    pub fn direct(
        &self,
        sink: &Sink,
        connections: usize,
        time: Duration,
        rate: Option<f64>,
    ) -> Result<Measured> {
        let address = sink.address().to_string();
        let load = Load {
            rate,
            ..load_to(address, self.next_run(), connections, time)?
        };
        self.measure(&load, sink, &[])
    }
}
