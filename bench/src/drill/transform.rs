//! Deliveries per second through a script that sends the event as it is, compared with those without a script.

use anyhow::Result;
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    report::{self, Figure, Report},
    sink::Sink,
    stats,
};

const CONNECTIONS: usize = 32;
const SCRIPT: &str = "send({ body: request.body })";
const MIN_RATE: f64 = 3_000.0;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    workspace.script("bench", SCRIPT)?;
    let receiver = workspace.receiver("bench.receiver", &sink, 1, "company", &json!({}))?;
    let hook = &receiver.hooks[0];
    let what = format!("transform, {}", engine.name());
    let (mut plain, mut scripted) = (vec![], vec![]);
    let (mut rounds, mut flawed) = (vec![], false);
    for _ in 0..lab.size.rounds {
        let mut round = json!({});
        for (name, script, rates) in [
            ("plain", json!(null), &mut plain),
            ("scripted", json!("bench"), &mut scripted),
        ] {
            workspace.set(hook, &json!({ "script": script }))?;
            let run = lab.next_run();
            sink.begin(run);
            // The first call starts the processes of scripts.
            workspace.await_first_call(&server, &sink, run, &receiver.integration)?;
            let load = workspace.load(lab.next_run(), CONNECTIONS, lab.size.load)?;
            let measured = lab.measure(&load, &sink, &server.processes())?;
            measured.warn(report, &what);
            flawed |= measured.flaw().is_some();
            rates.push(measured.rate());
            round[name] = measured.to_json();
        }
        rounds.push(round);
    }
    let rate = stats::median(&scripted);
    let mut figure = |what: &str, rate, wanted: &str, holds| {
        report.figure(Figure {
            what: format!("{what}, {CONNECTIONS} connections"),
            engine: engine.name().into(),
            value: report::per_second(rate),
            wanted: wanted.into(),
            holds,
        });
    };
    figure(
        "delivered without a script",
        stats::median(&plain),
        "",
        None,
    );
    figure(
        "delivered through a trivial script",
        rate,
        "at least 3 000/s",
        Some(!flawed && rate >= MIN_RATE),
    );
    report.raw("transform", engine.name(), json!({ "rounds": rounds }));
    server.stop()
}
