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

/// The highest rate of a resend over all webhooks, in events per second.
const MAX_RATE: u64 = 1_000;
/// The number of webhooks that give events up. Each of them makes one call at a time.
const HOOKS: u64 = 10;
/// The events of one batch.
const BATCH: u64 = 1_000;
/// Of so many events one is accepted, and the others are given up: three in a row would switch the webhook off.
const ACCEPTED: u64 = 3;
/// The time-out of giving the events up, and of sending them again.
const FILL_TIMEOUT: Duration = Duration::from_mins(15);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let (own, others, other) = (Sink::local()?, Sink::local()?, Sink::local()?);
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    // One call at a time, so that events are given up in their order.
    let settings = json!({ "retrySchedule": [], "maxConcurrency": 1 });
    let receiver = workspace.receiver("bench.receiver", &own, 1, "company", &settings)?;
    let count = usize::try_from(HOOKS - 1)?;
    let crowd = workspace.receiver("bench.crowd", &others, count, "company", &settings)?;
    let filled = give_up(lab, &server, &mut workspace, [&own, &others])?;
    let settings = json!({ "retrySchedule": null, "maxConcurrency": null });
    for hook in receiver.hooks.iter().chain(&crowd.hooks) {
        workspace.set(hook, &settings)?;
    }
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
    let resend = json!({ "deadLetters": true, "rate": rate.div_ceil(HOOKS) });
    let resend = server.explain(workspace.resend(&resend))?;
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
            "of a webhook with a resend",
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

/// Makes events and refuses them until the drill has enough that were given up, over all webhooks. Returns the time that
/// it took.
fn give_up(
    lab: &Lab,
    server: &Server,
    workspace: &mut Workspace,
    sinks: [&Sink; 2],
) -> Result<Duration> {
    let begun = Instant::now();
    let run = lab.next_run();
    for sink in sinks {
        sink.begin(run);
        sink.refuse(|id, _| id % ACCEPTED != ACCEPTED - 1);
    }
    let given_up = lab.size.given_up.div_ceil(HOOKS);
    let total = given_up.div_ceil(ACCEPTED - 1) * ACCEPTED;
    let mut made = 0;
    while made < total {
        let count = BATCH.min(total - made);
        workspace.create_batch(run, made, count)?;
        made += count;
    }
    for (sink, hooks) in sinks.into_iter().zip([1, HOOKS - 1]) {
        let wanted = hooks * total / ACCEPTED;
        let is_done = sink.wait(FILL_TIMEOUT, |counts| counts.hits >= wanted);
        let hits = sink.counts().hits;
        let fault = || format!("only {hits} of {wanted} calls were accepted");
        server.explain(is_done.then_some(()).with_context(fault))?;
    }
    sinks.iter().for_each(|sink| sink.refuse(|_, _| false));
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
