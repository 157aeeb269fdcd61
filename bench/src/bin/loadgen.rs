//! The load generator as a separate program: one load, one line of JSON.
#![expect(clippy::print_stdout, reason = "its result goes to standard output")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use hyper::header::{HeaderName, HeaderValue};
use prichal_bench::{
    client::{Api, split_url},
    clock,
    load::{self, Load},
    stamp::Template,
    stats,
};
use serde_json::{Value, json};

/// Posts stamped messages to a URL on this machine and prints the result as JSON.
#[derive(Parser)]
#[command(name = "loadgen")]
struct Arguments {
    /// Target of the requests: http://127.0.0.1:PORT/PATH
    #[arg(long)]
    url: String,
    /// Further header of each request, as 'Name: value'; may be repeated
    #[arg(long)]
    header: Vec<String>,
    /// The body; {{payload}} in it is replaced with a JSON object with the stamp
    #[arg(long, default_value = "{{payload}}")]
    body: String,
    /// The length of each body in bytes
    #[arg(long, default_value_t = 500)]
    bytes: usize,
    /// Open connections
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Messages per second, independent of the answers; without it a connection sends when it has its answer
    #[arg(long)]
    rate: Option<f64>,
    /// Stop after this number of messages
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Stop after this number of seconds
    #[arg(long, default_value_t = 55)]
    seconds: u64,
    /// The sink that finally receives the messages: http://127.0.0.1:PORT; waits until it has all of them
    #[arg(long)]
    sink: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (address, path) = split_url(&arguments.url)?;
    let mut headers = load::headers(&address, None)?;
    for header in &arguments.header {
        let (name, value) = header.split_once(':').context("--header 'Name: value'")?;
        headers.insert(
            name.trim().parse::<HeaderName>()?,
            HeaderValue::from_str(value.trim())?,
        );
    }
    let load = Load {
        address,
        path,
        headers,
        body: Template::new(&arguments.body, arguments.bytes)?,
        run: u32::try_from(clock::now_ns() / 1_000_000 % 1_000_000_000)?,
        connections: arguments.connections,
        rate: arguments.rate,
        count: arguments.count,
        time: Duration::from_secs(arguments.seconds),
    };
    let mut sink = arguments.sink.as_deref().map(ask_sink).transpose()?;
    if let Some(sink) = &mut sink {
        let _: Value = sink.get(&format!("/__begin?run={}", load.run))?;
    }
    let begun = Instant::now();
    let outcome = load.run(&Arc::default())?;
    let mut result = json!({ "run": load.run, "sent": outcome.to_json() });
    if let Some(sink) = &mut sink {
        let end = begun + Duration::from_secs(arguments.seconds);
        result["delivered"] = delivered(sink, &outcome, end)?;
    }
    println!("{result}");
    Ok(())
}

fn ask_sink(url: &str) -> Result<Api> {
    Api::new(split_url(url)?.0, "")
}

/// Waits until the sink has received everything that was accepted, or until `end`.
fn delivered(sink: &mut Api, outcome: &load::Outcome, end: Instant) -> Result<Value> {
    loop {
        let mut counts: Value = sink.get("/__counts")?;
        let unique = counts["unique"].as_u64().unwrap_or(0);
        if unique >= outcome.accepted() || Instant::now() >= end {
            let last_ns = counts["lastNs"].as_u64().unwrap_or(0);
            let time = clock::between(outcome.started_ns, last_ns);
            counts["perSecond"] = json!(stats::rate(unique, time));
            counts["latencyMs"] = sink.get("/__latency")?;
            return Ok(counts);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
