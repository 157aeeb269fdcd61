//! SIGKILL under load with a backlog, then a new process on the same data: lost messages, duplicate messages, and the
//! pause of deliveries.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::{
    clock,
    database::Engine,
    lab::Lab,
    report::{self, Figure, Report},
    server::Workspace,
    sink::Sink,
    stamp::Stamp,
};

/// The delay of the receiver, which builds up a backlog.
const RECEIVER_DELAY: Duration = Duration::from_millis(200);
const LOAD_TIME: Duration = Duration::from_secs(3);
const FIRST_DELIVERY_TIMEOUT: Duration = Duration::from_mins(1);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let sink = Sink::local()?;
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    workspace.subscribe(&server, &sink, lab.next_run())?;

    sink.delay(RECEIVER_DELAY);
    let run = lab.next_run();
    sink.begin(run);
    let load = workspace.load(run, 32, LOAD_TIME * 3)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (sent, in_flight) = thread::scope(|scope| {
        let sending = scope.spawn(|| load.run(&stop));
        thread::sleep(LOAD_TIME);
        let in_flight = sink.in_flight();
        let killed = server.kill();
        stop.store(true, Relaxed);
        let sent = sending.join().expect("the generator does not panic")?;
        killed?;
        anyhow::Ok((sent, in_flight))
    })?;
    let before = sink.counts();
    let backlog = sent.accepted().saturating_sub(before.unique);
    // Messages that are still in the sockets arrive during this time.
    thread::sleep(Duration::from_millis(500));
    sink.mark();

    let server = home.start()?;
    let ready = clock::between(server.started_ns, clock::now_ns());
    sink.wait(FIRST_DELIVERY_TIMEOUT, |counts| {
        counts.after_mark_ns.is_some()
    });
    let first_ns = sink.counts().after_mark_ns;
    let rest = first_ns.map(|first_ns| clock::between(server.started_ns, first_ns));
    sink.delay(Duration::ZERO);
    let lost = wait_for_all(&sink, &sent.accepted, lab.size.drain);
    // Duplicates may arrive late.
    thread::sleep(Duration::from_secs(2));
    let after = sink.counts();
    let mut workspace = server.open(&workspace.name, &workspace.token)?;
    let (feed_lost, feed_twice) =
        server.explain(check_feed(&mut workspace, run, &sent.accepted))?;
    report.raw(
        "crash",
        engine.name(),
        json!({
            "sent": sent.to_json(), "atTheKill": before, "inFlightAtTheKill": in_flight, "backlog": backlog,
            "readySeconds": ready.as_secs_f64(), "firstSeconds": rest.map(|rest| rest.as_secs_f64()),
            "lost": lost, "atTheEnd": after, "feedLost": feed_lost, "feedTwice": feed_twice,
        }),
    );
    let mut figure = |what: &str, value, wanted: &str, holds| {
        report.figure(Figure {
            what: format!("kill -9 under load: {what}"),
            engine: engine.name().into(),
            value,
            wanted: wanted.into(),
            holds: Some(holds),
        });
    };
    figure(
        "accepted, not delivered after the restart",
        format!(
            "{lost} of {}, {backlog} of them waiting at the kill",
            sent.accepted()
        ),
        "0",
        lost == 0 && backlog > 0,
    );
    figure(
        "delivered twice",
        after.duplicates.to_string(),
        &format!("at most the {in_flight} in flight"),
        after.duplicates <= u64::try_from(in_flight)?,
    );
    figure(
        "accepted, missing in the feed; twice in the feed",
        format!("{feed_lost}; {feed_twice}"),
        "0; 0",
        feed_lost == 0 && feed_twice == 0,
    );
    figure(
        "from the restart to the first delivery",
        rest.map_or_else(
            || format!("none within {FIRST_DELIVERY_TIMEOUT:?}"),
            |rest| report::ms(rest.as_secs_f64() * 1e3),
        ),
        "at most 1 s",
        rest.is_some_and(|rest| rest <= Duration::from_secs(1)),
    );
    server.stop()
}

/// Waits until all of `ids` have arrived or the time is up. Returns the number of missing ones.
fn wait_for_all(sink: &Sink, ids: &[u64], timeout: Duration) -> usize {
    let end = Instant::now() + timeout;
    loop {
        let missing = sink.count_missing(ids);
        if missing == 0 || Instant::now() >= end {
            return missing;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// Returns the number of accepted messages missing in the feed, and the number of messages that occur more than once.
fn check_feed(workspace: &mut Workspace, run: u32, accepted: &[u64]) -> Result<(usize, usize)> {
    let mut seen: HashMap<u64, u32> = HashMap::new();
    workspace
        .read_feed(|page| {
            let stamps = page
                .items
                .iter()
                .filter_map(|item| Stamp::find(item.get().as_bytes()));
            for stamp in stamps.filter(|stamp| stamp.run == run) {
                *seen.entry(stamp.id).or_default() += 1;
            }
        })
        .context("reading the feed")?;
    let lost = accepted.iter().filter(|id| !seen.contains_key(id)).count();
    Ok((lost, seen.values().filter(|times| **times > 1).count()))
}
