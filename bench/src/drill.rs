//! The drills. Each starts a new server, measures one thing, and cleans up.

mod calls;
mod channels;
mod console;
mod crash;
mod documents;
mod feed;
mod growth;
mod idle;
mod latency;
mod limits;
mod listeners;
mod log;
mod memory;
mod neighbour;
mod resend;
mod rows;
mod throughput;
mod transform;

use anyhow::Result;
use clap::ValueEnum;

use crate::{database::Engine, lab::Lab, report::Report};

/// The rate of the drills with a steady load, in messages per second.
const RATE: f64 = 50.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drill {
    /// Events per second, compared with the limit of generator and sink
    Throughput,
    /// Time from request to receiver at 50 per second, compared with direct calls and single commits
    Latency,
    /// One webhook beside another whose receiver hangs
    Neighbour,
    /// SIGKILL under load, and the restart
    Crash,
    /// Memory at rest and after many events
    Memory,
    /// Events per second with many webhooks that do not match
    Growth,
    /// Processor time at rest with many webhooks
    Idle,
    /// The time to read a page of a long feed
    Feed,
    /// Telephony: callbacks per second, and the look-up of a caller among many contacts
    Calls,
    /// Channels: accepted hooks and script runs per second, and idle websockets
    Channels,
    /// E-documents: creations per second, bulk calls, pages of queries, memory of uploads
    Documents,
    /// The time to read a page of a long delivery log, by filter
    Log,
    /// New events beside a resend of many that were given up
    Resend,
    /// Pages of the console, and the cost of open ones
    Console,
    /// The memory of streams of server-sent events
    Listeners,
    /// Events per second of a webhook beside many with a rate limit
    Limits,
    /// Deliveries per second through a script
    Transform,
}

impl Drill {
    pub fn run(self, lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
        match self {
            Self::Throughput => throughput::run(lab, engine, report),
            Self::Latency => latency::run(lab, engine, report),
            Self::Neighbour => neighbour::run(lab, engine, report),
            Self::Crash => crash::run(lab, engine, report),
            Self::Memory => memory::run(lab, engine, report),
            Self::Growth => growth::run(lab, engine, report),
            Self::Idle => idle::run(lab, engine, report),
            Self::Feed => feed::run(lab, engine, report),
            Self::Calls => calls::run(lab, engine, report),
            Self::Channels => channels::run(lab, engine, report),
            Self::Documents => documents::run(lab, engine, report),
            Self::Log => log::run(lab, engine, report),
            Self::Console => console::run(lab, engine, report),
            Self::Resend => resend::run(lab, engine, report),
            Self::Listeners => listeners::run(lab, engine, report),
            Self::Limits => limits::run(lab, engine, report),
            Self::Transform => transform::run(lab, engine, report),
        }
    }
}
