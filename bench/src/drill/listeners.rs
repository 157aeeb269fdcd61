//! The memory of streams of server-sent events: of listeners that wait, and of those that do not read what is sent.

use std::{thread, time::Duration};

use anyhow::Result;
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    process::memory,
    report::{Figure, Report, megabytes},
};

const SETTLE_TIME: Duration = Duration::from_secs(3);
const TOPICS: &str = "events,deliveries,states,calls,documents,runs";
const MAX_BYTES: u64 = 150_000_000;
/// The events that are sent to listeners who do not read.
const EVENTS: u64 = 1_000;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    thread::sleep(SETTLE_TIME);
    let before = memory(server.pid);
    let open = (0..lab.size.listeners).map(|_| workspace.follow(TOPICS));
    let open = server.explain(open.collect::<Result<Vec<_>>>())?;
    thread::sleep(SETTLE_TIME);
    let waiting = memory(server.pid);
    let created = workspace.create_batch(lab.next_run(), 0, EVENTS);
    server.explain(created)?;
    thread::sleep(SETTLE_TIME);
    let unread = memory(server.pid);
    for (what, after) in [
        ("that wait", waiting),
        ("that do not read 1 000 events", unread),
    ] {
        report.figure(Figure {
            what: format!("memory with {} listeners {what}", open.len()),
            engine: engine.name().into(),
            value: format!(
                "{} (before: {})",
                megabytes(after.resident),
                megabytes(before.resident)
            ),
            wanted: "under 150 MB".into(),
            holds: Some(after.resident < MAX_BYTES),
        });
    }
    report.raw(
        "listeners",
        engine.name(),
        json!({
            "before": before.resident, "waiting": waiting.resident, "unread": unread.resident,
            "peak": unread.peak, "listeners": open.len(),
        }),
    );
    drop(open);
    server.stop()
}
