//! New events at a steady rate, alone and beside a resend of many events that were given up: those of the webhook that
//! gets the resend, and those of another one.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::RATE;
use crate::{
    database::Engine,
    lab::{Lab, Measured},
    load::Load,
    report::{self, Figure, Report},
    server::{Resend, Server, Workspace},
    sink::Sink,
    stats::{self, Summary},
};

/// The highest rate of a resend, in events per second.
const MAX_RATE: u64 = 1_000;
/// The events of one batch.
const BATCH: u64 = 1_000;
/// Of so many events one is accepted, and the others are given up: three in a row would switch the webhook off.
const ACCEPTED: u64 = 3;
/// The time-out of giving the events up, and of sending them again.
const FILL_TIMEOUT: Duration = Duration::from_mins(15);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let (own, other) = (Sink::local()?, Sink::local()?);
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    // One call at a time, so that events are given up in their order.
    let settings = json!({ "retrySchedule": [], "maxConcurrency": 1 });
    let receiver = workspace.receiver("bench.receiver", &own, 1, "company", &settings)?;
    let filled = give_up(lab, &server, &mut workspace, &own)?;
    let settings = json!({ "retrySchedule": null, "maxConcurrency": null });
    workspace.set(&receiver.hooks[0], &settings)?;
    workspace.receiver("bench.other", &other, 1, "company", &json!({}))?;
    let sinks = [&own, &other];
    // The new webhook is at the end of the log once it gets an event.
    let run = lab.next_run();
    sinks.iter().for_each(|sink| sink.begin(run));
    workspace.await_first_call(&server, &other, run, &receiver.integration)?;

    let alone = steady(lab, &server, &workspace, sinks)?;
    let time = lab.size.steady * lab.size.rounds;
    // It lasts longer than the measurement beside it.
    let rate = (lab.size.given_up / (2 * time.as_secs()).max(1)).clamp(1, MAX_RATE);
    let begun = Instant::now();
    let resend = server.explain(workspace.resend(&json!({
        "integrationId": receiver.integration, "webHookId": receiver.hooks[0],
        "deadLetters": true, "rate": rate,
    })))?;
    let beside = steady(lab, &server, &workspace, sinks)?;
    let during = workspace.resend_progress(&resend.id)?;
    let done = await_end(&server, &mut workspace, &resend.id)?;
    let took = begun.elapsed();

    let what = format!("resend, {}", engine.name());
    if during.state == "done" {
        report.note(format!("{what}: it ended before the measurement beside it"));
    }
    let mut flawed = done.selected < lab.size.given_up;
    if flawed {
        report.note(format!(
            "{what}: it selected {} of {} events",
            done.selected, lab.size.given_up
        ));
    }
    for measured in [&alone.0, &beside.0] {
        measured.warn(report, &what);
        flawed |= measured.flaw().is_some();
    }
    report.raw(
        "resend",
        engine.name(),
        json!({
            "alone": alone.0.to_json(), "beside": beside.0.to_json(),
            "otherAloneMs": alone.1, "otherBesideMs": beside.1, "rate": rate,
            "selected": done.selected, "waitingAfterTheMeasurement": during.waiting,
            "fillSeconds": filled.as_secs_f64(), "seconds": took.as_secs_f64(),
        }),
    );
    for (whose, alone, beside) in [
        (
            "of the same webhook",
            Summary::of(alone.0.latencies_ns),
            Summary::of(beside.0.latencies_ns),
        ),
        ("of another webhook", alone.1, beside.1),
    ] {
        show(report, engine, whose, [&alone, &beside], flawed);
    }
    report.figure(Figure {
        what: format!(
            "events sent again, {} that were given up, at most {rate}/s",
            done.selected
        ),
        engine: engine.name().into(),
        value: report::per_second(stats::rate(done.selected, took)),
        wanted: String::new(),
        holds: None,
    });
    server.stop()
}

/// Has events given up until there are as many as the drill needs. Returns the time that it took.
fn give_up(lab: &Lab, server: &Server, workspace: &mut Workspace, sink: &Sink) -> Result<Duration> {
    let begun = Instant::now();
    let run = lab.next_run();
    sink.begin(run);
    sink.refuse(|id, _| id % ACCEPTED != ACCEPTED - 1);
    let total = lab.size.given_up.div_ceil(ACCEPTED - 1) * ACCEPTED;
    let mut made = 0;
    while made < total {
        let count = BATCH.min(total - made);
        workspace.create_batch(run, made, count)?;
        made += count;
    }
    let accepted = |unique: u64| unique >= total / ACCEPTED;
    let is_done = sink.wait(FILL_TIMEOUT, |counts| accepted(counts.unique));
    sink.refuse(|_, _| false);
    let arrived = sink.counts().unique;
    server.explain(is_done.then_some(()).with_context(|| {
        format!(
            "only {arrived} of {} events were accepted",
            total / ACCEPTED
        )
    }))?;
    Ok(begun.elapsed())
}

/// Measures a steady load at the first sink, and its latency at the second one.
fn steady(
    lab: &Lab,
    server: &Server,
    workspace: &Workspace,
    [own, other]: [&Sink; 2],
) -> Result<(Measured, Summary)> {
    let run = lab.next_run();
    let load = Load {
        rate: Some(RATE),
        ..workspace.load(run, 32, lab.size.steady * lab.size.rounds)?
    };
    other.begin(run);
    let measured = lab.measure(&load, own, &server.processes())?;
    let accepted = measured.sent.accepted();
    let all = other.wait(lab.size.drain, |counts| counts.unique >= accepted);
    ensure!(
        all,
        "the other webhook has got too few of {accepted} events"
    );
    Ok((measured, Summary::of(other.latencies_ns())))
}

fn await_end(server: &Server, workspace: &mut Workspace, id: &str) -> Result<Resend> {
    let end = Instant::now() + FILL_TIMEOUT;
    loop {
        let progress = workspace.resend_progress(id)?;
        if progress.state == "done" {
            return Ok(progress);
        }
        let goes_on = Instant::now() < end;
        server.explain(
            goes_on
                .then_some(())
                .with_context(|| format!("the resend is still {progress:?}")),
        )?;
        thread::sleep(Duration::from_millis(100));
    }
}

fn show(
    report: &mut Report,
    engine: &Engine,
    whose: &str,
    [alone, beside]: [&Summary; 2],
    flawed: bool,
) {
    let multiple = stats::ratio(beside.p99, alone.p99);
    for (when, summary) in [("alone", alone), ("beside a resend", beside)] {
        report.figure(Figure {
            what: format!("new events {whose} at 50/s, {when}: median; p99"),
            engine: engine.name().into(),
            value: format!("{}; {}", report::ms(summary.p50), report::ms(summary.p99)),
            wanted: String::new(),
            holds: None,
        });
    }
    report.figure(Figure {
        what: "the same p99 as a multiple of that alone".into(),
        engine: engine.name().into(),
        value: format!("{multiple:.1}×"),
        wanted: "at most 2×".into(),
        holds: Some(!flawed && multiple <= 2.0),
    });
}
