//! A webhook without a limit, alone and beside many that are limited to ten calls a second. All want the same events,
//! so the events of the others pile up in the log.

use anyhow::Result;
use serde_json::json;

use crate::{
    database::Engine,
    lab::{Lab, Measured},
    report::{self, Figure, Report},
    server::{Server, Workspace},
    sink::Sink,
    stats,
};

const CONNECTIONS: usize = 32;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let what = format!("limits, {}", engine.name());
    let (mut alone, mut beside, mut shares) = (vec![], vec![], vec![]);
    let (mut rounds, mut flawed) = (vec![], false);
    for _ in 0..lab.size.rounds {
        // A new server each time, because the events that wait for the others would take part in the next round.
        let (free, limited) = (Sink::local()?, Sink::local()?);
        let home = lab.home(engine)?;
        let server = home.start()?;
        let mut workspace = server.workspace("bench")?;
        workspace.subscribe(&server, &free, lab.next_run())?;
        let first = measure(lab, &server, &workspace, &free)?;
        let settings = json!({ "rateLimit": { "count": 10, "per": "second" } });
        let count = lab.size.limited;
        workspace.receiver("bench.limited", &limited, count, "company", &settings)?;
        let second = measure(lab, &server, &workspace, &free)?;
        for measured in [&first, &second] {
            measured.warn(report, &what);
            flawed |= measured.flaw().is_some();
        }
        alone.push(first.rate());
        beside.push(second.rate());
        shares.push(stats::ratio(second.rate(), first.rate()));
        rounds.push(json!({
            "alone": first.to_json(), "beside": second.to_json(), "limited": limited.counts(),
        }));
        // Dropped without a graceful stop, for which many events would wait.
        drop(server);
    }
    let count = lab.size.limited;
    let beside_what = format!("the same beside {count} webhooks with 10 calls a second each");
    for (what, rates) in [
        ("a webhook without a limit, alone", &alone),
        (beside_what.as_str(), &beside),
    ] {
        report.figure(Figure {
            what: format!("{what}, {CONNECTIONS} connections"),
            engine: engine.name().into(),
            value: report::per_second(stats::median(rates)),
            wanted: String::new(),
            holds: None,
        });
    }
    report.figure(Figure {
        what: "the same as a share of that alone".into(),
        engine: engine.name().into(),
        value: report::spread(&shares, 2),
        wanted: "at least 0.90".into(),
        holds: Some(!flawed && stats::median(&shares) >= 0.9),
    });
    report.raw("limits", engine.name(), json!({ "rounds": rounds }));
    Ok(())
}

fn measure(lab: &Lab, server: &Server, workspace: &Workspace, sink: &Sink) -> Result<Measured> {
    let load = workspace.load(lab.next_run(), CONNECTIONS, lab.size.load)?;
    lab.measure(&load, sink, &server.processes())
}
