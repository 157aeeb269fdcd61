//! The receiver as a separate program. It runs until it is stopped.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::{Result, ensure};
use clap::Parser;
use prichal_bench::sink::Sink;

/// Answers every POST with 200 and its X-XCOM-Integration-Echo, counts, and measures.
///
/// GET /__counts and /__latency return the messages since GET /__begin?run=N; GET /__delay?ms=N sets the delay of the
/// answers.
#[derive(Parser)]
#[command(name = "sink")]
struct Arguments {
    /// Listening address; loopback only
    #[arg(long, default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Delay of each answer in milliseconds
    #[arg(long, default_value_t = 0)]
    delay_ms: u64,
    /// Never answer
    #[arg(long)]
    hang: bool,
    /// Stop after this number of seconds
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!(
        arguments.listen.ip().is_loopback(),
        "only loopback addresses"
    );
    let sink = Sink::start(arguments.listen)?;
    sink.delay(Duration::from_millis(arguments.delay_ms));
    if arguments.hang {
        sink.hang();
    }
    eprintln!("sink on http://{}", sink.address());
    thread::sleep(Duration::from_secs(arguments.seconds));
    Ok(())
}
