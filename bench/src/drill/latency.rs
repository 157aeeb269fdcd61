//! The time from a request's creation to its arrival at the receiver, at a steady 50 per second. It is compared with
//! calls without a server, and with single durable commits at the same rate.

use anyhow::Result;
use serde_json::json;

use super::RATE;
use crate::{
    commit::Probe,
    database::Engine,
    lab::Lab,
    load::Load,
    report::{self, Figure, Report},
    server::ENTITY_BYTES,
    sink::Sink,
    stats::{self, Summary},
};

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;
    let database = match engine {
        Engine::Sqlite => None,
        Engine::Postgres(postgres) => Some((postgres, postgres.create(&lab.cleanup)?)),
    };
    let mut probe = match &database {
        None => Probe::sqlite(home.folder())?,
        Some((postgres, (name, _))) => Probe::postgres(postgres, name)?,
    };
    let (mut direct, mut commits, mut delivered) = (vec![], vec![], vec![]);
    let (mut rounds, mut flawed) = (vec![], false);
    for round in 0..lab.size.rounds {
        let limit = lab.direct(&sink, 32, lab.size.steady, Some(RATE))?;
        let first = i64::from(round) * 1_000_000;
        commits.extend(probe.run(first, ENTITY_BYTES, RATE, lab.size.steady)?);
        let load = Load {
            rate: Some(RATE),
            ..workspace.load(lab.next_run(), 32, lab.size.steady)?
        };
        let run = lab.measure(&load, &sink, &server.processes())?;
        run.warn(report, &format!("latency, {}", engine.name()));
        flawed |= run.flaw().is_some();
        rounds.push(json!({ "direct": limit.to_json(), "delivered": run.to_json() }));
        direct.extend(limit.latencies_ns);
        delivered.extend(run.latencies_ns);
    }
    let [direct, commits, delivered] = [direct, commits, delivered].map(Summary::of);
    report.raw(
        "latency",
        engine.name(),
        json!({ "rounds": rounds, "directMs": direct, "commitMs": commits, "deliveredMs": delivered }),
    );
    let mut figure = |what: &str, value, wanted: &str, holds| {
        report.figure(Figure {
            what: format!("at {RATE:.0}/s: {what}"),
            engine: engine.name().into(),
            value,
            wanted: wanted.into(),
            holds,
        });
    };
    let (median, tail) = (
        stats::ratio(delivered.p50, direct.p50),
        stats::ratio(delivered.p99, commits.p99),
    );
    figure("direct, median; p99", median_and_p99(direct), "", None);
    figure(
        "one durable commit, median; p99",
        median_and_p99(commits),
        "",
        None,
    );
    figure(
        "request to receiver, median; p99",
        median_and_p99(delivered),
        "",
        None,
    );
    figure(
        "median as a multiple of direct",
        format!("{median:.1}×"),
        "at most 8×",
        Some(!flawed && median <= 8.0),
    );
    figure(
        "p99 as a multiple of one commit's p99",
        format!("{tail:.1}×"),
        "at most 2×",
        Some(!flawed && tail <= 2.0),
    );
    drop(probe);
    server.stop()
}

fn median_and_p99(summary: Summary) -> String {
    format!("{}; {}", report::ms(summary.p50), report::ms(summary.p99))
}
