//! E-documents: creations per second as a share of the limit; a bulk call compared with writes of the same rows by the
//! store alone; a page of a query over many documents; memory during uploads of large files.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::rows;
use crate::{
    database::Engine,
    lab::Lab,
    process::memory,
    report::{self, Figure, Report, megabytes},
    server::{Server, Workspace},
    sink::Sink,
    stats::{self, Summary},
};

const CONNECTIONS: usize = 32;
/// The number of elements of a bulk call.
const BULK_ELEMENTS: u64 = 1_000;
/// The time-outs of a bulk call and of filling the archive.
const BULK_TIMEOUT: Duration = Duration::from_mins(1);
const FILL_TIMEOUT: Duration = Duration::from_mins(15);
const LARGE_FILE_BYTES: usize = 15 << 20;
/// The number of concurrent large uploads, and of rounds.
const CONCURRENT_UPLOADS: usize = 4;
const UPLOAD_ROUNDS: usize = 4;
const DAY_SECS: u64 = 86_400;
const FIRST_DAY: u64 = 1_600_000_000 / DAY_SECS;

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    create(lab, engine, report)?;
    bulk(lab, engine, report)?;
    pages(lab, engine, report)?;
    uploads(lab, engine, report)
}

fn figure(
    engine: &Engine,
    what: String,
    value: String,
    wanted: &str,
    holds: Option<bool>,
) -> Figure {
    Figure {
        what,
        engine: engine.name().into(),
        value,
        wanted: wanted.into(),
        holds,
    }
}

fn create(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.company("bench")?;
    let blob = workspace.upload_document(b"%PDF-1.7")?;
    let (mut rates, mut shares, mut rounds, mut flawed) = (vec![], vec![], vec![], false);
    for _ in 0..lab.size.rounds {
        let direct = lab.direct(&sink, CONNECTIONS, lab.size.direct, None)?;
        let load = workspace.documents(&blob, lab.next_run(), CONNECTIONS, lab.size.load)?;
        let created = load.run(&Arc::default())?;
        direct.warn(report, "limit, documents");
        if let Some(first_error) = &created.first_error {
            report.note(format!("documents, {}: {first_error}", engine.name()));
            flawed = true;
        }
        let rate = stats::rate(created.accepted(), created.took);
        rates.push(rate);
        shares.push(stats::ratio(rate, direct.rate()));
        rounds.push(json!({ "direct": direct.to_json(), "created": created.to_json() }));
    }
    let is_sqlite = matches!(engine, Engine::Sqlite);
    report.figure(figure(
        engine,
        format!("documents created, {CONNECTIONS} connections"),
        report::per_second(stats::median(&rates)),
        "",
        None,
    ));
    report.figure(figure(
        engine,
        "the same as a share of the limit".into(),
        report::spread(&shares, 3),
        if is_sqlite { "at least 0.08" } else { "" },
        is_sqlite.then(|| !flawed && stats::median(&shares) >= 0.08),
    ));
    report.raw("documents", engine.name(), json!(rounds));
    server.stop()
}

fn bulk(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.company("bench")?;
    let blob = workspace.upload_document(b"%PDF-1.7")?;
    // The first call warms up the server.
    workspace.bulk_documents(&blob, BULK_ELEMENTS, |_| FIRST_DAY * DAY_SECS, BULK_TIMEOUT)?;
    let (mut alone, mut through, mut ratios) = (vec![], vec![], vec![]);
    for _ in 0..(2 * lab.size.rounds).max(1) {
        let store = rows::write(lab, engine, BULK_ELEMENTS)?;
        let begun = Instant::now();
        workspace.bulk_documents(&blob, BULK_ELEMENTS, |_| FIRST_DAY * DAY_SECS, BULK_TIMEOUT)?;
        let took = begun.elapsed();
        alone.push(store.as_secs_f64() * 1e3);
        through.push(took.as_secs_f64() * 1e3);
        ratios.push(took.as_secs_f64() / store.as_secs_f64());
    }
    let ratio = stats::median(&ratios);
    report.figure(figure(
        engine,
        format!("a bulk call of {BULK_ELEMENTS} creates, until all are done; the same rows through the store alone"),
        format!("{}; {}", report::ms(stats::median(&through)), report::ms(stats::median(&alone))),
        "",
        None,
    ));
    report.figure(figure(
        engine,
        "the one as a multiple of the other".into(),
        format!("{}×", report::spread(&ratios, 2)),
        "at most 2×",
        Some(ratio <= 2.0),
    ));
    server.stop()
}

/// Creates documents until there are `count`, with dates of a thousand days.
fn fill(
    server: &Server,
    workspace: &mut Workspace,
    blob: &str,
    made: &mut u64,
    count: u64,
) -> Result<()> {
    let begun = Instant::now();
    while *made < count {
        ensure!(
            begun.elapsed() < FILL_TIMEOUT,
            "only {made} of {count} documents were made within {FILL_TIMEOUT:?}"
        );
        let first = *made;
        let batch = BULK_ELEMENTS.min(count - first);
        let date = |n: u64| (FIRST_DAY + (first + n) % 1_000) * DAY_SECS;
        let done = workspace.bulk_documents(blob, batch, date, BULK_TIMEOUT);
        server
            .explain(done)
            .with_context(|| format!("creating documents from {first}"))?;
        *made += batch;
    }
    Ok(())
}

fn pages(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.company("bench")?;
    let blob = workspace.upload_document(b"%PDF-1.7")?;
    let path = "/api/v3/sync/external/documents-query/outbox";
    let (mut made, mut first) = (0, None);
    let mut raw = json!({});
    let sizes = match engine {
        Engine::Sqlite => lab.size.feed,
        // PostgreSQL takes long to create them.
        Engine::Postgres(_) => lab.size.feed.map(|most| most.min(100_000)),
    };
    for documents in sizes {
        fill(&server, &mut workspace, &blob, &mut made, documents)?;
        // All documents, the documents of two statuses, and the documents of a period, which are about half of all.
        let period = json!([FIRST_DAY * DAY_SECS, (FIRST_DAY + 500) * DAY_SECS - 1]);
        let queries = [
            json!({ "skip": 0, "top": 10 }),
            json!({ "documentStatuses": ["DRAFT", "FINISHED"], "top": 10 }),
            json!({ "documentDateFrom": period[0], "documentDateTo": period[1], "top": 10 }),
        ];
        let mut times_ns: Vec<Vec<u64>> = vec![vec![]; queries.len()];
        for _ in 0..lab.size.pages {
            for (query, times_ns) in queries.iter().zip(&mut times_ns) {
                times_ns.push(workspace.time_post(path, query)?.0);
            }
        }
        let found = workspace.time_post(path, &queries[0])?.1;
        let found: Value = serde_json::from_slice(&found)?;
        ensure!(
            found["response"]["totalSize"] == documents,
            "the query finds {found}"
        );
        let summaries: Vec<Summary> = times_ns.into_iter().map(Summary::of).collect();
        let medians: Vec<f64> = summaries.iter().map(|one| one.p50).collect();
        raw[documents.to_string()] = json!(summaries);
        report.figure(figure(
            engine,
            format!("page of 10 of {documents} documents: all; by status; by period: medians"),
            medians
                .iter()
                .map(|one| report::ms(*one))
                .collect::<Vec<_>>()
                .join("; "),
            "",
            None,
        ));
        let first: &Vec<f64> = first.get_or_insert_with(|| medians.clone());
        if documents == sizes[1] {
            let multiples: Vec<f64> = medians
                .iter()
                .zip(first)
                .map(|(many, few)| stats::ratio(*many, *few))
                .collect();
            report.figure(figure(
                engine,
                "the same as multiples of those of few".into(),
                multiples
                    .iter()
                    .map(|one| format!("{one:.2}×"))
                    .collect::<Vec<_>>()
                    .join("; "),
                "at most 1.5×",
                Some(multiples.iter().all(|one| *one <= 1.5)),
            ));
        }
    }
    report.raw("document pages", engine.name(), raw);
    server.stop()
}

fn uploads(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.company("bench")?;
    workspace.upload_document(b"%PDF-1.7")?;
    thread::sleep(Duration::from_secs(1));
    let before = memory(server.pid);
    let senders: Vec<_> = (0..CONCURRENT_UPLOADS)
        .map(|n| {
            let (name, token) = (workspace.name.clone(), workspace.token.clone());
            let mut sender = server.open(&name, &token)?;
            Ok(thread::spawn(move || {
                for turn in 0..UPLOAD_ROUNDS {
                    let mut large = vec![b'x'; LARGE_FILE_BYTES];
                    let mark = format!("%PDF-{n}-{turn}");
                    large[..mark.len()].copy_from_slice(mark.as_bytes());
                    sender.upload_document(&large)?;
                }
                anyhow::Ok(())
            }))
        })
        .collect::<Result<_>>()?;
    for sender in senders {
        sender.join().expect("a sender does not panic")?;
    }
    let after = memory(server.pid);
    let grown = after.peak.saturating_sub(before.resident);
    report.figure(figure(
        engine,
        format!(
            "memory's growth to its peak while {} files of 15 MB come in, {CONCURRENT_UPLOADS} at once",
            CONCURRENT_UPLOADS * UPLOAD_ROUNDS
        ),
        megabytes(grown),
        "well under one file",
        Some(grown < 15_000_000),
    ));
    server.stop()
}
