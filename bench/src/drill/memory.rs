//! Resident memory of the server at rest, and after many events.

use std::{thread, time::Duration};

use anyhow::Result;
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    load::Load,
    process::{Memory, memory},
    report::{Figure, Report, megabytes},
    sink::Sink,
};

const SETTLE_TIME: Duration = Duration::from_secs(5);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    thread::sleep(SETTLE_TIME);
    let idle = memory(server.pid);
    let mut workspace = server.workspace("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;
    let load = Load {
        count: lab.size.events,
        ..workspace.load(lab.next_run(), 32, Duration::from_mins(5))?
    };
    let run = lab.measure(&load, &sink, &server.processes())?;
    run.warn(report, &format!("memory, {}", engine.name()));
    thread::sleep(SETTLE_TIME);
    let after = memory(server.pid);
    let bytes = |memory: Memory| json!({ "resident": memory.resident, "peak": memory.peak });
    report.raw(
        "memory",
        engine.name(),
        json!({ "idle": bytes(idle), "after": bytes(after), "run": run.to_json() }),
    );
    let mut figure = |what: String, memory: Memory, megabytes_wanted: u64, good: bool| {
        report.figure(Figure {
            what,
            engine: engine.name().into(),
            value: format!(
                "{} (peak {})",
                megabytes(memory.resident),
                megabytes(memory.peak)
            ),
            wanted: format!("under {megabytes_wanted} MB"),
            holds: Some(good && memory.resident < megabytes_wanted * 1_000_000),
        });
    };
    figure("memory, idle after the start".into(), idle, 30, true);
    let all = run.flaw().is_none() && run.counts.unique >= lab.size.events;
    figure(
        format!("memory after {} events", run.counts.unique),
        after,
        100,
        all,
    );
    server.stop()
}
