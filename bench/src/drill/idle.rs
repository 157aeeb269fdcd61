//! Processor time at rest: with one webhook, and with many.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    process::{Processor, memory},
    report::{Figure, Report, megabytes},
    sink::Sink,
};

const SETTLE_TIME: Duration = Duration::from_secs(5);
/// A difference in ten seconds that is not measurable: 0.2 % of one processor.
const MAX_NOISE: Duration = Duration::from_millis(20);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;
    let [few, _, many] = lab.size.hooks;
    let (mut raw, mut first) = (json!({}), None);
    for hooks in [few, many] {
        let added = workspace.add_quiet_hooks(&sink, hooks - 1);
        server
            .explain(added)
            .with_context(|| format!("registering {hooks} webhooks"))?;
        thread::sleep(SETTLE_TIME);
        let [own, all] = [vec![server.pid], server.processes()];
        let before = [&own, &all].map(|pids| Processor::of(pids));
        thread::sleep(lab.size.idle);
        let used = [&own, &all].map(|pids| Processor::of(pids));
        let [own, all] = [0, 1].map(|i| used[i].since(&before[i]));
        let resident = memory(server.pid).resident;
        raw[hooks.to_string()] = json!({
            "serverMs": own.as_secs_f64() * 1e3, "withDatabaseMs": all.as_secs_f64() * 1e3,
            "resident": resident,
        });
        let beside = first.map(|first: Duration| own <= first + MAX_NOISE);
        first.get_or_insert(own);
        let database = match engine {
            Engine::Postgres(server) if server.pid.is_some() => {
                format!(" (with the database's {:.0} ms)", all.as_secs_f64() * 1e3)
            }
            _ => String::new(),
        };
        report.figure(Figure {
            what: format!(
                "processor time in {:?} at rest with {hooks} webhooks",
                lab.size.idle
            ),
            engine: engine.name().into(),
            value: format!(
                "{:.1} ms{database}, {}",
                own.as_secs_f64() * 1e3,
                megabytes(resident)
            ),
            wanted: beside.map_or_else(String::new, |_| "not measurable beside 1".into()),
            holds: beside,
        });
    }
    report.raw("idle", engine.name(), raw);
    server.stop()
}
