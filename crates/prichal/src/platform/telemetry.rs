//! Logs to standard error, metrics for Prometheus.

use std::{
    cell::RefCell,
    fmt,
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use prichal_core::time::Timestamp;
use prichal_store::{backup, bulk, delivery, mail, quarantine, run, signature};
use tokio_util::sync::CancellationToken;
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::{FilterExt as _, filter_fn},
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{Config, LogFormat},
    error::Result,
    platform::{
        Platform,
        clock::Clock,
        log_writer::{LogGuard, LogWriter},
        quota, security,
    },
};

/// The writer of this process's logs.
static LOG_WRITER: OnceLock<LogWriter> = OnceLock::new();

/// Starts the logs of this process. The last lines are written when the guard is dropped.
pub fn start_logs(config: &Config) -> anyhow::Result<LogGuard> {
    // More detailed lines of libraries may contain tokens, bodies and frames.
    let is_safe = filter_fn(|about| {
        *about.level() <= Level::INFO || about.target().starts_with(env!("CARGO_PKG_NAME"))
    });
    let filter = EnvFilter::try_new(&config.log_level)?;
    let (writer, guard) = LogWriter::start(std::io::stderr())?;
    let _ = LOG_WRITER.set(writer.clone());
    let logs = tracing_subscriber::fmt::layer()
        .with_timer(LineTime)
        .with_writer(writer);
    let logs = match config.log_format {
        LogFormat::Text => logs.with_ansi(false).boxed(),
        LogFormat::Json => logs.json().flatten_event(true).boxed(),
    };
    let security = config.security_log.as_deref().map(security_file);
    let started = registry()
        .with(logs.with_filter(filter.and(is_safe)))
        .with(security.transpose()?)
        .try_init();
    started.map_err(|error| anyhow::anyhow!("cannot start the logs: {error}"))?;
    Ok(guard)
}

/// The time of a log line, in UTC. A thread formats the date and the second only when the second changes.
struct LineTime;

impl FormatTime for LineTime {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        thread_local! {
            static SECOND: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
        }
        let now = Clock::System.now();
        SECOND.with_borrow_mut(|(second, text)| {
            if text.is_empty() || *second != now.secs() {
                *second = now.secs();
                *text = to_second(now);
            }
            write!(line, "{text}.{:06}Z", now.micros().rem_euclid(1_000_000))
        })
    }
}

/// The date and the second of a moment in UTC, without the fraction.
fn to_second(at: Timestamp) -> String {
    let millis = at.to_millis();
    let (whole, _) = millis.split_once('.').unwrap_or((&millis, ""));
    whole.to_owned()
}

/// The layer that writes the security log to a file of its own, independent of other log settings.
fn security_file<S>(path: &Path) -> anyhow::Result<impl tracing_subscriber::Layer<S>>
where
    S: tracing::Subscriber + for<'a> registry::LookupSpan<'a>,
{
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    let file = file.with_context(|| format!("cannot write `{}`", path.display()))?;
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_writer(Mutex::new(file));
    Ok(lines.with_filter(filter_fn(|about| {
        about.is_span() || about.target() == security::TARGET
    })))
}

/// Histogram buckets in seconds, from a single request to the longest call.
const SECONDS_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const WRITES_BUCKETS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0];

/// The process's recorder. Servers that share a process, as in tests, share it.
pub fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        let builder =
            builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS_BUCKETS);
        let builder = builder.and_then(|builder| {
            builder
                .set_buckets_for_metric(Matcher::Suffix("_batch_size".to_owned()), WRITES_BUCKETS)
        });
        let recorder = builder
            .unwrap_or_else(|_| PrometheusBuilder::new())
            .build_recorder();
        let handle = recorder.handle();
        // A recorder that was installed by another library stays; ours then shows nothing.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

#[expect(clippy::too_many_lines, reason = "a list of all metrics")]
fn describe() {
    metrics::describe_histogram!(
        "prichal_request_seconds",
        "Time to answer a request, by face"
    );
    metrics::describe_counter!(
        "prichal_request_refusals_total",
        "Requests refused, by face"
    );
    metrics::describe_counter!(
        "prichal_request_faults_total",
        "Requests that failed because of the server, by face"
    );
    metrics::describe_gauge!(
        "prichal_quota_used_ratio",
        "How much of a quota is used up, by workspace, where it is more than 80 %"
    );
    metrics::describe_counter!(
        "prichal_security_events_total",
        "Lines of the security log, by event"
    );
    metrics::describe_histogram!("prichal_commit_batch_size", "Writes that shared one commit");
    metrics::describe_histogram!("prichal_delivery_seconds", "Time of a webhook call");
    metrics::describe_counter!(
        "prichal_delivery_attempts_total",
        "Webhook calls, by outcome"
    );
    metrics::describe_counter!(
        "prichal_schedule_calls_total",
        "Calls of schedule webhooks, by success"
    );
    metrics::describe_gauge!(
        "prichal_disk_free_bytes",
        "Free bytes of the disk with the data directory"
    );
    metrics::describe_gauge!(
        "prichal_last_backup_timestamp_seconds",
        "Unix time of the last backup that was reported; absent if none was"
    );
    metrics::describe_gauge!("prichal_webhooks", "Webhooks that this node has, by state");
    metrics::describe_gauge!(
        "prichal_feed_lag_events",
        "Events that a webhook has not handled yet: the maximum of all webhooks, by state"
    );
    metrics::describe_counter!(
        "prichal_runs_total",
        "Runs of scripts and messages, by kind and status"
    );
    metrics::describe_counter!(
        "prichal_transformations_total",
        "Runs of webhooks' scripts, by status"
    );
    metrics::describe_counter!(
        "prichal_mails_total",
        "Attempts to send mails, and mails that were left out, by outcome"
    );
    metrics::describe_gauge!(
        "prichal_mails_waiting",
        "Mails that wait, including those for a retry"
    );
    metrics::describe_gauge!(
        "prichal_runs_waiting",
        "Runs that wait, including those for a retry"
    );
    metrics::describe_gauge!(
        "prichal_bulk_waiting",
        "Elements of bulk calls that are not done yet"
    );
    metrics::describe_gauge!(
        "prichal_signatures_unchecked",
        "Signatures of documents that have to be checked again"
    );
    metrics::describe_counter!(
        "prichal_quarantined_total",
        "Durable work that went into quarantine, by kind"
    );
    metrics::describe_gauge!(
        "prichal_quarantined",
        "Durable work in quarantine: the server died each time it was under way"
    );
    metrics::describe_gauge!("prichal_websockets", "Websockets that this node holds");
    metrics::describe_gauge!(
        "prichal_scripts_running",
        "Scripts that run on this node or wait for their turn"
    );
    metrics::describe_gauge!(
        "prichal_memory_budget_bytes",
        "Memory held of the budget, by use"
    );
    metrics::describe_counter!(
        "prichal_memory_refused_total",
        "Requests, answers and frames for which the memory budget had no room"
    );
    metrics::describe_counter!(
        "prichal_connections_refused_total",
        "Connections of addresses that had too many"
    );
    metrics::describe_counter!(
        "prichal_log_lines_dropped_total",
        "Log lines that were dropped because standard error was not read fast enough"
    );
    metrics::describe_gauge!("prichal_deferred_events", "Events in the deferred queues");
    metrics::describe_gauge!(
        "prichal_deferred_oldest_seconds",
        "Time since the oldest deferred event was due; negative if it is not due yet"
    );
}

/// The interval at which histograms are summed up.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Bounds the memory of histograms, even if nobody reads them, until `stop`.
pub async fn run(app: Platform, stop: CancellationToken) -> anyhow::Result<()> {
    let wait = || app.clock.sleep(UPKEEP_INTERVAL);
    while stop.run_until_cancelled(wait()).await.is_some() {
        recorder().run_upkeep();
    }
    Ok(())
}

/// The metrics as they are now.
pub async fn render(app: &Platform) -> Result<String> {
    quota::watch(app).await?;
    let (depth, oldest) = app.db.read(delivery::queue_depth).await?;
    let now = app.clock.now();
    gauge("prichal_deferred_events", depth);
    gauge(
        "prichal_runs_waiting",
        app.db.read(run::count_waiting).await?,
    );
    gauge(
        "prichal_mails_waiting",
        app.db.read(mail::count_waiting).await?,
    );
    gauge(
        "prichal_bulk_waiting",
        app.db.read(bulk::count_waiting).await?,
    );
    gauge(
        "prichal_signatures_unchecked",
        app.db.read(signature::count_due).await?,
    );
    gauge(
        "prichal_quarantined",
        app.db.read(quarantine::count_held).await?,
    );
    if let Some(at) = app.db.read(backup::last).await? {
        gauge("prichal_last_backup_timestamp_seconds", at.secs());
    }
    app.memory.report();
    let dropped = LOG_WRITER.get().map_or(0, LogWriter::dropped);
    metrics::counter!("prichal_log_lines_dropped_total").absolute(dropped);
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    let since = oldest.map_or(0.0, |due| (now.micros() - due.micros()) as f64 / 1e6);
    metrics::gauge!("prichal_deferred_oldest_seconds").set(since);
    let recorder = recorder();
    recorder.run_upkeep();
    Ok(recorder.render())
}

#[expect(clippy::cast_precision_loss, reason = "a gauge")]
pub fn gauge(name: &'static str, value: i64) {
    metrics::gauge!(name).set(value as f64);
}
