//! A page of fifty calls of the delivery log, for a short and for a long log: all calls, and those that each filter
//! finds. One call in twenty matches each filter.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    database::Engine,
    lab::Lab,
    report::{self, Figure, Report},
    server::{Server, Workspace},
    sink::Sink,
    stats::{self, Summary},
};

const PAGE_SIZE: usize = 50;
/// The events of a batch, and those among them that match the filter by webhook, and by type and entity.
const BATCH: u64 = 1_000;
const DEALS: u64 = 50;
const PATCHES: u64 = 50;
/// One message in so many is refused at its first call.
const REFUSED: u64 = 20;
/// The time-out of filling the long log.
const FILL_TIMEOUT: Duration = Duration::from_mins(15);
/// The most pages that a walk skips because they have fewer calls than fit on them.
const MAX_SHORT: usize = 1_000;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let (companies, deals) = (Sink::local()?, Sink::local()?);
    for sink in [&companies, &deals] {
        sink.refuse(|id, is_first| id % REFUSED == 7 && is_first);
    }
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    let settings = json!({ "retrySchedule": ["1s"] });
    workspace.receiver("bench.companies", &companies, 1, "company", &settings)?;
    let rare = workspace.receiver("bench.deals", &deals, 1, "deal", &settings)?;
    let run = lab.next_run();
    companies.begin(run);
    deals.begin(run);
    let company = workspace.create_company(run, 0)?;
    let filters = [
        ("all calls", String::new()),
        (
            "of a webhook",
            format!(
                "&integrationId={}&webHookId={}",
                rare.integration, rare.hooks[0]
            ),
        ),
        ("by status", "&status=deferred".to_owned()),
        (
            "by type of event",
            "&eventType=change&changeType=patch".to_owned(),
        ),
        ("by entity", format!("&entityId={company}")),
    ];
    let (mut made, mut raw) = (1, json!({}));
    let mut short: Vec<f64> = Vec::new();
    for calls in lab.size.log {
        let begun = Instant::now();
        while made < calls {
            ensure!(
                begun.elapsed() < FILL_TIMEOUT,
                "only {made} of {calls} events were made within {FILL_TIMEOUT:?}"
            );
            let batch = fill(&mut workspace, &company, run, made);
            server
                .explain(batch)
                .with_context(|| format!("creating the events from {made} on"))?;
            made += BATCH;
        }
        await_arrivals(&server, [&companies, &deals], made, begun)?;
        for (n, (what, filter)) in filters.iter().enumerate() {
            let times_ns = walk(&mut workspace, filter, lab.size.pages)?;
            let summary = Summary::of(times_ns);
            raw[calls.to_string()][*what] = json!(summary);
            let first = short.get(n).copied();
            show(report, engine, (*what, calls), &summary, first);
            if first.is_none() {
                short.push(summary.p50);
            }
        }
        raw[calls.to_string()]["fillSeconds"] = json!(begun.elapsed().as_secs_f64());
    }
    raw["nothing"] = nothing(lab, engine, report, &mut workspace)?;
    report.raw("log", engine.name(), raw);
    server.stop()
}

/// Creates a batch of events, each with an id of its own from `first` on.
fn fill(workspace: &mut Workspace, company: &str, run: u32, first: u64) -> Result<()> {
    let created = BATCH - DEALS - PATCHES;
    workspace.create_batch(run, first, created)?;
    workspace.create_entities("deals", run, first + created, DEALS)?;
    for id in first + created + DEALS..first + BATCH {
        workspace.patch_company(company, run, id)?;
    }
    Ok(())
}

fn await_arrivals(server: &Server, sinks: [&Sink; 2], made: u64, begun: Instant) -> Result<()> {
    let arrived = || sinks.iter().map(|sink| sink.counts().unique).sum::<u64>();
    let left = FILL_TIMEOUT.saturating_sub(begun.elapsed());
    let all = sinks[0].wait(left, |_| arrived() >= made);
    let arrived = arrived();
    server.explain(
        all.then_some(())
            .with_context(|| format!("only {arrived} of {made} events were delivered")),
    )
}

/// Reads `count` whole pages, from the newest to older ones and then again. Returns the nanoseconds of each.
fn walk(workspace: &mut Workspace, filter: &str, count: usize) -> Result<Vec<u64>> {
    let (mut times_ns, mut before, mut skipped) = (Vec::new(), None, 0);
    while times_ns.len() < count {
        let (took_ns, page) = workspace.time_log_page(filter, before.as_deref(), PAGE_SIZE)?;
        if page.items.len() == PAGE_SIZE {
            times_ns.push(took_ns);
        } else {
            skipped += 1;
            ensure!(
                skipped <= MAX_SHORT,
                "{skipped} pages have fewer than {PAGE_SIZE} calls, beside {} whole ones",
                times_ns.len()
            );
        }
        before = page.next;
    }
    Ok(times_ns)
}

fn show(
    report: &mut Report,
    engine: &Engine,
    (what, calls): (&str, u64),
    summary: &Summary,
    short: Option<f64>,
) {
    report.figure(Figure {
        what: format!("page of {PAGE_SIZE} from a delivery log of {calls}, {what}: median; p99"),
        engine: engine.name().into(),
        value: format!("{}; {}", report::ms(summary.p50), report::ms(summary.p99)),
        wanted: String::new(),
        holds: None,
    });
    if let Some(short) = short {
        let multiple = stats::ratio(summary.p50, short);
        report.figure(Figure {
            what: "the same median as a multiple of the short log's".into(),
            engine: engine.name().into(),
            value: format!("{multiple:.2}×"),
            wanted: "at most 1.5×".into(),
            holds: Some(multiple <= 1.5),
        });
    }
}

/// Pages of the long log that find nothing, which look at a bounded part of it.
fn nothing(
    lab: &Lab,
    engine: &Engine,
    report: &mut Report,
    workspace: &mut Workspace,
) -> Result<Value> {
    const UNKNOWN: &str = "01234567-89ab-7cde-8f01-23456789abcd";
    let mut raw = json!({});
    for (what, filter) in [
        ("entity", format!("&entityId={UNKNOWN}")),
        ("event", format!("&eventId={UNKNOWN}")),
        ("webhook", format!("&webHookId={UNKNOWN}")),
        (
            "status and type",
            "&status=exhausted&eventType=unlink".to_owned(),
        ),
    ] {
        let mut times_ns = vec![];
        for _ in 0..lab.size.rounds * 10 {
            let (took_ns, page) = workspace.time_log_page(&filter, None, PAGE_SIZE)?;
            ensure!(page.items.is_empty(), "the unknown {what} has calls");
            times_ns.push(took_ns);
        }
        let summary = Summary::of(times_ns);
        raw[what] = json!(summary);
        report.figure(Figure {
            what: format!("one page of the long log, by {what}, that finds nothing: median; p99"),
            engine: engine.name().into(),
            value: format!("{}; {}", report::ms(summary.p50), report::ms(summary.p99)),
            wanted: String::new(),
            holds: None,
        });
    }
    Ok(raw)
}
