//! Events per second with more and more webhooks of the same workspace whose filters do not match.

use std::{thread, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    report::{self, Figure, Report},
    sink::Sink,
    stats,
};

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;
    let warm_up = workspace.load(lab.next_run(), 32, Duration::from_secs(1))?;
    lab.measure(&warm_up, &sink, &server.processes())?;
    let (mut raw, mut first) = (json!({}), None);
    for hooks in lab.size.hooks {
        let added = workspace.add_quiet_hooks(&sink, hooks - 1);
        server
            .explain(added)
            .with_context(|| format!("registering {hooks} webhooks"))?;
        thread::sleep(Duration::from_secs(1));
        let (mut rates, mut rounds) = (vec![], vec![]);
        for _ in 0..lab.size.rounds {
            let load = workspace.load(lab.next_run(), 32, lab.size.load)?;
            let run = lab.measure(&load, &sink, &server.processes())?;
            run.warn(
                report,
                &format!("growth, {}, {hooks} webhooks", engine.name()),
            );
            rates.push(run.rate());
            rounds.push(run.to_json());
        }
        raw[hooks.to_string()] = json!(rounds);
        let rate = stats::median(&rates);
        let share = stats::ratio(rate, *first.get_or_insert(rate));
        report.figure(Figure {
            what: format!("delivered with {hooks} webhooks registered, one matching"),
            engine: engine.name().into(),
            value: format!("{}, {share:.2} of the first", report::per_second(rate)),
            wanted: String::new(),
            holds: None,
        });
    }
    report.raw("growth", engine.name(), raw);
    server.stop()
}
