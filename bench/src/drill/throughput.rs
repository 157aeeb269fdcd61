//! Accepted, committed and delivered events per second, as a share of the throughput of generator and sink without a
//! server. The measurements alternate, so that a slow moment of the machine affects both.

use std::time::Duration;

use anyhow::Result;
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
    let mut raw = json!({});
    for (connections, share_wanted) in [
        (32, wanted(engine, 0.15, 0.06)),
        (64, wanted(engine, 0.20, 0.08)),
    ] {
        let (mut limits, mut rates, mut shares) = (vec![], vec![], vec![]);
        let (mut rounds, mut flawed) = (vec![], false);
        for _ in 0..lab.size.rounds {
            let direct = lab.direct(&sink, connections, lab.size.direct, None)?;
            let load = workspace.load(lab.next_run(), connections, lab.size.load)?;
            let delivered = lab.measure(&load, &sink, &server.processes())?;
            direct.warn(report, &format!("limit, {connections} connections"));
            delivered.warn(
                report,
                &format!("throughput, {}, {connections} connections", engine.name()),
            );
            flawed |= delivered.flaw().is_some();
            limits.push(direct.rate());
            rates.push(delivered.rate());
            shares.push(stats::ratio(delivered.rate(), direct.rate()));
            rounds.push(json!({ "direct": direct.to_json(), "delivered": delivered.to_json() }));
        }
        raw[connections.to_string()] = json!(rounds);
        let figure = |what: &str, value, wanted, holds| Figure {
            what: format!("{what}, {connections} connections"),
            engine: engine.name().into(),
            value,
            wanted,
            holds,
        };
        let per_second = |rates: &[f64]| report::per_second(stats::median(rates));
        report.figure(figure(
            "limit: generator straight to sink",
            per_second(&limits),
            String::new(),
            None,
        ));
        report.figure(figure(
            "accepted, committed and delivered",
            per_second(&rates),
            String::new(),
            None,
        ));
        report.figure(figure(
            "the same as a share of the limit",
            report::spread(&shares, 3),
            format!("at least {share_wanted:.2}"),
            Some(!flawed && stats::median(&shares) >= share_wanted),
        ));
    }
    report.raw("throughput", engine.name(), raw);
    server.stop()
}

fn wanted(engine: &Engine, sqlite: f64, postgres: f64) -> f64 {
    match engine {
        Engine::Sqlite => sqlite,
        Engine::Postgres(_) => postgres,
    }
}
