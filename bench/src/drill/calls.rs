//! Telephony: callbacks per second, each for a new call, as a share of the limit; and the time to find the responsible
//! user of a caller among many contacts.

use anyhow::Result;
use serde_json::json;

use crate::{
    client::Api,
    database::Engine,
    lab::Lab,
    report::{self, Figure, Report},
    sink::Sink,
    stats::{self, Summary},
};

const CONNECTIONS: usize = 32;
const BATCH: u64 = 1_000;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    let key = workspace.exchange(&sink)?;
    let (mut rates, mut shares, mut rounds, mut flawed) = (vec![], vec![], vec![], false);
    for _ in 0..lab.size.rounds {
        let direct = lab.direct(&sink, CONNECTIONS, lab.size.direct, None)?;
        let load = workspace.calls(&key, lab.next_run(), CONNECTIONS, lab.size.load)?;
        let taken = load.run(&std::sync::Arc::default())?;
        direct.warn(report, "limit, calls");
        if let Some(first_error) = &taken.first_error {
            report.note(format!("calls, {}: {first_error}", engine.name()));
            flawed = true;
        }
        let rate = stats::rate(taken.accepted(), taken.took);
        rates.push(rate);
        shares.push(stats::ratio(rate, direct.rate()));
        rounds.push(json!({ "direct": direct.to_json(), "taken": taken.to_json() }));
    }
    let is_sqlite = matches!(engine, Engine::Sqlite);
    let figure = |what: String, value: String, wanted: &str, holds: Option<bool>| Figure {
        what,
        engine: engine.name().into(),
        value,
        wanted: wanted.into(),
        holds,
    };
    report.figure(figure(
        format!("callbacks taken, each another call, {CONNECTIONS} connections"),
        report::per_second(stats::median(&rates)),
        "",
        None,
    ));
    report.figure(figure(
        "the same as a share of the limit".into(),
        report::spread(&shares, 3),
        if is_sqlite { "at least 0.10" } else { "" },
        is_sqlite.then(|| !flawed && stats::median(&shares) >= 0.10),
    ));

    let contacts = lab.size.contacts;
    for first in (0..contacts).step_by(usize::try_from(BATCH)?) {
        server.explain(workspace.create_contacts(first, BATCH.min(contacts - first)))?;
    }
    let mut exchange = Api::with(workspace.address(), "x-xcom-accesskey", &key)?;
    let (mut redirects_ns, mut pages_ns) = (vec![], vec![]);
    for n in 0..lab.size.pages as u64 {
        // The two requests alternate, so that a slow moment of the machine affects both.
        redirects_ns.push(workspace.time_redirect(&mut exchange, n * 7_919 % contacts)?);
        pages_ns.push(
            workspace
                .time_page("00000000-0000-0000-0000-000000000000", 50)?
                .0,
        );
    }
    let (redirect, page) = (Summary::of(redirects_ns), Summary::of(pages_ns));
    let multiple = stats::ratio(redirect.p99, page.p99);
    report.figure(figure(
        format!("call-redirect among {contacts} contacts: median; p99"),
        format!("{}; {}", report::ms(redirect.p50), report::ms(redirect.p99)),
        "",
        None,
    ));
    report.figure(figure(
        "the same p99 as a multiple of a page of the feed's".into(),
        format!("{multiple:.1}×"),
        "at most 10×",
        Some(multiple <= 10.0),
    ));
    report.raw(
        "calls",
        engine.name(),
        json!({ "rounds": rounds, "redirectMs": redirect, "pageMs": page }),
    );
    server.stop()
}
