//! Two workspaces on one server. The receiver of one hangs with waiting events, which should not affect the
//! deliveries of the other.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use super::RATE;
use crate::{
    database::Engine,
    lab::Lab,
    load::Load,
    report::{self, Figure, Report},
    sink::Sink,
    stats::{self, Summary},
};

/// A delay that exceeds the server's time-out for an answer.
const HANG_TIME: Duration = Duration::from_secs(20);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let (slow, fast) = (Sink::local()?, Sink::local()?);
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut hanging = server.workspace("hanging")?;
    hanging.subscribe(&server, &slow, lab.next_run())?;
    let mut healthy = server.workspace("healthy")?;
    healthy.subscribe(&server, &fast, lab.next_run())?;
    let steady = |workspace: &crate::server::Workspace| {
        let load = Load {
            rate: Some(RATE),
            ..workspace.load(lab.next_run(), 32, lab.size.steady * lab.size.rounds)?
        };
        lab.measure(&load, &fast, &server.processes())
    };
    let quiet = steady(&healthy)?;

    slow.delay(HANG_TIME);
    let run = lab.next_run();
    slow.begin(run);
    let load = Load {
        count: lab.size.waiting,
        ..hanging.load(run, 32, Duration::from_mins(1))?
    };
    let waiting = load.run(&std::sync::Arc::default())?;
    let beside = steady(&healthy)?;
    let held = slow.in_flight();

    let what = format!("neighbour, {}", engine.name());
    quiet.warn(report, &what);
    beside.warn(report, &what);
    if let Some(first_error) = &waiting.first_error {
        report.note(format!(
            "{what}: some events for the hanging receiver were not accepted: {first_error}"
        ));
    }
    let flawed = quiet.flaw().or(beside.flaw()).is_some() || !waiting.is_clean();
    let [before, after] = [&quiet, &beside].map(|run| Summary::of(run.latencies_ns.clone()));
    let multiple = stats::ratio(after.p99, before.p99);
    report.raw(
        "neighbour",
        engine.name(),
        json!({
            "quiet": quiet.to_json(), "beside": beside.to_json(), "waiting": waiting.to_json(),
            "hanging": slow.counts(), "heldAtTheEnd": held,
        }),
    );
    let mut figure = |what: &str, value, wanted: &str, holds| {
        report.figure(Figure {
            what: what.into(),
            engine: engine.name().into(),
            value,
            wanted: wanted.into(),
            holds,
        });
    };
    figure(
        "healthy webhook at 50/s, quiet: p99",
        report::ms(before.p99),
        "",
        None,
    );
    figure(
        &format!(
            "beside a receiver that hangs, {} events waiting: p99",
            waiting.accepted()
        ),
        report::ms(after.p99),
        "",
        None,
    );
    figure(
        "the same as a multiple of the quiet p99",
        format!("{multiple:.1}×"),
        "at most 2×",
        Some(!flawed && multiple <= 2.0),
    );
    slow.delay(Duration::ZERO);
    // Dropped without a graceful stop, which hanging calls could delay and which is not measured here.
    drop(server);
    Ok(())
}
