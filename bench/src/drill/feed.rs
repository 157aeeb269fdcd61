//! A page of fifty events at many offsets of the feed, for a short and for a long feed.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::{
    database::Engine,
    lab::Lab,
    report::{self, Figure, Report},
    server::Workspace,
    stats::{self, Summary},
};

const PAGE_SIZE: u32 = 50;
const BATCH: u64 = 1_000;
/// The time-out of filling the long feed.
const FILL_TIMEOUT: Duration = Duration::from_mins(15);

pub(super) fn run(lab: &Lab, engine: &Engine, report: &mut Report) -> Result<()> {
    let home = lab.home(engine)?;
    let server = home.start()?;
    let mut workspace = server.workspace("bench")?;
    let run = lab.next_run();
    let (mut made, mut raw, mut first) = (0, json!({}), None);
    for events in lab.size.feed {
        let begun = Instant::now();
        while made < events {
            ensure!(
                begun.elapsed() < FILL_TIMEOUT,
                "only {made} of {events} events were made within {FILL_TIMEOUT:?}"
            );
            let count = BATCH.min(events - made);
            let batch = workspace.create_batch(run, made, count);
            server
                .explain(batch)
                .with_context(|| format!("creating events {made} to {}", made + count))?;
            made += count;
        }
        let filled = begun.elapsed();
        let offsets = offsets(&mut workspace, events)?;
        let (mut times_ns, mut bytes) = (vec![], 0);
        for n in 0..lab.size.pages {
            // A prime step visits the whole feed in an order without locality.
            let offset = &offsets[n * 7_919 % offsets.len()];
            let (took_ns, length) = workspace.time_page(offset, PAGE_SIZE)?;
            times_ns.push(took_ns);
            bytes += length;
        }
        let summary = Summary::of(times_ns);
        raw[events.to_string()] = json!({
            "pageMs": summary, "meanPageBytes": bytes / lab.size.pages.max(1),
            "fillSeconds": filled.as_secs_f64(),
        });
        let multiple = stats::ratio(summary.p50, *first.get_or_insert(summary.p50));
        let longest = made == lab.size.feed[1];
        report.figure(Figure {
            what: format!("page of {PAGE_SIZE} from a feed of {events}: median; p99"),
            engine: engine.name().into(),
            value: format!("{}; {}", report::ms(summary.p50), report::ms(summary.p99)),
            wanted: String::new(),
            holds: None,
        });
        if longest {
            report.figure(Figure {
                what: "the same median as a multiple of the short feed's".into(),
                engine: engine.name().into(),
                value: format!("{multiple:.2}×"),
                wanted: "at most 1.5×".into(),
                holds: Some(multiple <= 1.5),
            });
        }
    }
    report.raw("feed", engine.name(), raw);
    server.stop()
}

/// Reads the whole feed and checks that it has all events. Returns offsets from all parts of the feed, each followed by
/// at least one whole page.
fn offsets(workspace: &mut Workspace, events: u64) -> Result<Vec<String>> {
    let (mut offsets, mut count) = (Vec::new(), 0);
    if events <= BATCH {
        let mut page = workspace.page("00000000-0000-0000-0000-000000000000", PAGE_SIZE)?;
        count += page.items.len();
        while page.has_more {
            offsets.push(page.last_offset.clone());
            page = workspace.page(&page.last_offset, PAGE_SIZE)?;
            count += page.items.len();
        }
    } else {
        workspace.read_feed(|page| {
            count += page.items.len();
            offsets.push(page.last_offset.clone());
        })?;
        offsets.pop();
    }
    // Less than a page may follow the last offset.
    offsets.pop();
    ensure!(
        count as u64 >= events,
        "the feed has {count} events, and {events} were made"
    );
    ensure!(!offsets.is_empty(), "the feed has no offsets to start from");
    Ok(offsets)
}
