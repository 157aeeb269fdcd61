//! The console: its pages beside the calls of the API behind them, and what two hundred open consoles cost.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    process::memory,
    report::{self, Figure, Report, megabytes},
    server::{Browser, Server, Workspace},
    sink::Sink,
    stats::{self, Summary},
};

/// The pages, with the call of the API that most of their contents come from.
const PAGES: [(&str, &str); 4] = [
    ("deliveries", "deliveries?limit=50"),
    (
        "deliveries?status=delivered",
        "deliveries?limit=50&status=delivered",
    ),
    ("events", "events?limit=50"),
    ("integrations", "integrations?limit=50"),
];
/// The events of a batch.
const BATCH: u64 = 1_000;
const FILL_TIMEOUT: Duration = Duration::from_mins(15);
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// The interval at which a console reads its list again while there are changes.
const REREAD: Duration = Duration::from_secs(2);
const MAX_MULTIPLE: f64 = 3.0;
const MAX_BYTES: u64 = 60_000_000;
const MIN_SHARE: f64 = 0.95;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;
    let mut browser = server.explain(workspace.sign_in())?;
    let mut raw = json!({ "consoles": consoles(lab, engine, report, &server, &workspace, &sink)? });
    fill(lab, &server, &mut workspace, &sink)?;
    for (page, call) in PAGES {
        let (mut pages, mut calls) = (Vec::new(), Vec::new());
        let path = format!("/console/bench/{page}");
        for _ in 0..lab.size.pages {
            calls.push(workspace.time_get(call)?);
            let (took, _) = server.explain(browser.time_page(&path))?;
            pages.push(took);
        }
        let (page_times, call_times) = (Summary::of(pages), Summary::of(calls));
        raw[page] = json!({ "page": page_times, "call": call_times });
        show(report, engine, page, &page_times, &call_times);
    }
    report.raw("console", engine.name(), raw);
    server.stop()
}

fn fill(lab: &Lab, server: &Server, workspace: &mut Workspace, sink: &Sink) -> Result<()> {
    let (run, begun) = (lab.next_run(), Instant::now());
    let total = lab.size.log[1];
    sink.begin(run);
    let mut made = 0;
    while made < total {
        ensure!(
            begun.elapsed() < FILL_TIMEOUT,
            "only {made} of {total} events were made"
        );
        server.explain(workspace.create_batch(run, made, BATCH))?;
        made += BATCH;
    }
    let left = FILL_TIMEOUT.saturating_sub(begun.elapsed());
    let all = sink.wait(left, |counts| counts.unique >= total);
    server.explain(all.then_some(()).context("not all events were delivered"))
}

fn show(report: &mut Report, engine: &Engine, page: &str, pages: &Summary, calls: &Summary) {
    let multiple = stats::ratio(pages.p50, calls.p50);
    report.figure(Figure {
        what: format!("console, {page}: median of the page; of the call behind it"),
        engine: engine.name().into(),
        value: format!("{}; {}", report::ms(pages.p50), report::ms(calls.p50)),
        wanted: String::new(),
        holds: None,
    });
    report.figure(Figure {
        what: "the page as a multiple of the call".into(),
        engine: engine.name().into(),
        value: format!("{multiple:.1}×"),
        wanted: "at most 3×".into(),
        holds: Some(multiple <= MAX_MULTIPLE),
    });
}

/// Measures throughput and memory without consoles and with open ones, each of which follows the announcements and
/// reads its list again.
fn consoles(
    lab: &Lab,
    engine: &Engine,
    report: &mut Report,
    server: &Server,
    workspace: &Workspace,
    sink: &Sink,
) -> Result<serde_json::Value> {
    let rate = || {
        let load = workspace.load(lab.next_run(), 32, lab.size.load)?;
        anyhow::Ok(lab.measure(&load, sink, &server.processes())?.rate())
    };
    rate()?;
    thread::sleep(SETTLE_TIME);
    let before = memory(server.pid);
    let (mut alone, mut beside, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let mut open = Vec::new();
    for _ in 0..lab.size.consoles {
        let browser = server.explain(workspace.sign_in())?;
        let stream = server.explain(browser.listen("/console/bench/live"))?;
        open.push((browser, stream));
    }
    thread::sleep(SETTLE_TIME);
    let after = memory(server.pid);
    for _ in 0..lab.size.rounds {
        let quiet = rate()?;
        let is_over = AtomicBool::new(false);
        let busy = thread::scope(|scope| {
            let readers = scope.spawn(|| reread(&mut open, &is_over));
            let busy = rate();
            is_over.store(true, Relaxed);
            let read = readers
                .join()
                .map_err(|_| anyhow::anyhow!("a reader has panicked"))?;
            server.explain(read)?;
            busy
        })?;
        alone.push(quiet);
        beside.push(busy);
        shares.push(stats::ratio(busy, quiet));
    }
    let grown = after.resident.saturating_sub(before.resident);
    report.figure(Figure {
        what: format!("memory of {} open consoles", open.len()),
        engine: engine.name().into(),
        value: megabytes(grown),
        wanted: "under 60 MB".into(),
        holds: Some(grown < MAX_BYTES),
    });
    report.figure(Figure {
        what: "delivered beside them, as a share of without".into(),
        engine: engine.name().into(),
        value: report::spread(&shares, 3),
        wanted: "at least 0.95".into(),
        holds: Some(stats::median(&shares) >= MIN_SHARE),
    });
    Ok(json!({ "alone": alone, "beside": beside, "grown": grown }))
}

/// Lets each console read its list once in [`REREAD`], one after the other.
fn reread(open: &mut [(Browser, std::net::TcpStream)], is_over: &AtomicBool) -> Result<()> {
    let step = REREAD / u32::try_from(open.len().max(1))?;
    let begun = Instant::now();
    for n in 0_u32.. {
        if is_over.load(Relaxed) {
            break;
        }
        let count = open.len().max(1);
        let Some((browser, _)) = open.get_mut(n as usize % count) else {
            break;
        };
        browser.time_page("/console/bench/deliveries")?;
        let due = begun + step * (n + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
