//! The console: its pages beside the calls of the API behind them, and what two hundred open consoles cost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
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
const PAGES: [(&str, &str); 7] = [
    ("/now", "/api/v1/bench/webhooks?state=true"),
    ("/deliveries", "/api/v1/bench/deliveries?limit=50"),
    (
        "/deliveries?status=delivered",
        "/api/v1/bench/deliveries?limit=50&status=delivered",
    ),
    ("/events", "/api/v1/bench/log?limit=50"),
    (
        "/calls",
        "/api/v1/bench/communications?include=facts&limit=50&cursor=start",
    ),
    (
        "/documents?folder=drafts",
        "/documents/v1/documents?folder=drafts&limit=50",
    ),
    ("/integrations", "/api/v1/bench/integrations?limit=50"),
];
/// The events of a batch.
const BATCH: u64 = 1_000;
const FILL_TIMEOUT: Duration = Duration::from_mins(15);
const SETTLE_TIME: Duration = Duration::from_secs(3);
/// The interval at which a console reads its list again while changes do not cease (`BUSY_GAP` of `console.js`).
const REREAD: Duration = Duration::from_secs(8);
/// The connections that fill the workspace with calls.
const CONNECTIONS: usize = 32;
/// The consoles that sign in with one token. The server bounds the sessions of one holder.
const CONSOLES_OF_TOKEN: usize = 40;
const BULK_TIMEOUT: Duration = Duration::from_mins(1);
const MAX_MULTIPLE: f64 = 3.0;
const MAX_BYTES: u64 = 60_000_000;
const MIN_SHARE: f64 = 0.95;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.company("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;
    let mut browser = server.explain(workspace.sign_in(&workspace.token))?;
    let mut raw = json!({ "consoles": consoles(lab, engine, report, &server, &workspace, &sink)? });
    fill(lab, &server, &mut workspace, &sink)?;
    raw["calls"] = fill_calls(lab, &server, &mut workspace, &sink)?.into();
    fill_documents(lab, &server, &mut workspace)?;
    for (page, call) in PAGES {
        let (mut pages, mut calls) = (Vec::new(), Vec::new());
        let path = format!("/console/bench{page}");
        for _ in 0..lab.size.pages {
            calls.push(server.explain(workspace.time_path(call))?);
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

/// Begins calls until there are enough. Returns their number.
fn fill_calls(lab: &Lab, server: &Server, workspace: &mut Workspace, sink: &Sink) -> Result<u64> {
    let key = workspace.exchange(sink)?;
    let (mut made, begun) = (0, Instant::now());
    while made < lab.size.log[1] / 10 {
        ensure!(
            begun.elapsed() < FILL_TIMEOUT,
            "only {made} calls were begun"
        );
        let load = workspace.calls(&key, lab.next_run(), CONNECTIONS, lab.size.load)?;
        made += server.explain(load.run(&Arc::default()))?.accepted();
    }
    Ok(made)
}

fn fill_documents(lab: &Lab, server: &Server, workspace: &mut Workspace) -> Result<()> {
    let blob = workspace.upload_document(b"%PDF-1.7")?;
    for _ in 0..(lab.size.log[1] / 10).div_ceil(BATCH) {
        let done = workspace.bulk_documents(&blob, BATCH, |_| 1_600_000_000, BULK_TIMEOUT);
        server.explain(done)?;
    }
    Ok(())
}

fn show(report: &mut Report, engine: &Engine, page: &str, pages: &Summary, calls: &Summary) {
    let multiple = stats::ratio(pages.p50, calls.p50);
    report.figure(Figure {
        what: format!("console, page {page}: median of the page; of the call behind it"),
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
        let load = workspace.load(lab.next_run(), CONNECTIONS, lab.size.load)?;
        anyhow::Ok(lab.measure(&load, sink, &server.processes())?.rate())
    };
    // Consoles are opened before the first load: its rest in the allocator would hide their cost.
    thread::sleep(SETTLE_TIME);
    let before = memory(server.pid);
    let (mut alone, mut beside, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let mut open = Vec::new();
    let mut token = String::new();
    for n in 0..lab.size.consoles {
        if n % CONSOLES_OF_TOKEN == 0 {
            token = server.make_token(&workspace.name)?;
        }
        let browser = server.explain(workspace.sign_in(&token))?;
        let stream = server.explain(browser.listen("/console/bench/live"))?;
        open.push((browser, stream));
    }
    for (browser, _) in &mut open {
        server.explain(browser.time_page("/console/bench/deliveries"))?;
    }
    thread::sleep(SETTLE_TIME);
    let after = memory(server.pid);
    rate()?;
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
