//! The script of a webhook, which decides what is sent of an event.
//!
//! It is run like the scripts of channels, in the webhook's own lane, but reaches nothing: it has no host to ask, so that
//! a repeated call does no harm.

use std::time::Duration;

use futures_util::future::BoxFuture;
use prichal_core::{
    id::{EntityId, WebhookId, WorkspaceId},
    transformation::{self, Transformed},
};
use prichal_script::Presets;
use serde_json::Value;

use crate::{
    domain::{
        Domain, channel,
        script::{Host, Job},
    },
    error::Result,
};

/// The time limit of a run.
const MAX_TIME: Duration = Duration::from_secs(10);
/// The bytes of a log that an attempt keeps.
const MAX_LOG_BYTES: usize = 4096;

/// A run of the script with this code.
pub struct Run<'a> {
    pub workspace: WorkspaceId,
    pub webhook: WebhookId,
    pub code: &'a str,
    /// The time for the whole call. A run has no more, even if a script may.
    pub timeout: Duration,
    /// True if a request waits for the run, so that its wait for a permit is part of its time.
    pub is_awaited: bool,
    /// The beginnings of headers that the server sets.
    pub reserved: &'a [&'a str],
}

/// The outcome of a run.
pub struct Ran {
    /// The error is the reason of the failure, for people.
    pub made: Result<Transformed, String>,
    pub log: Vec<String>,
}

/// The beginning of the reason of a call that failed because of the script.
pub const FAILED: &str = "the script failed: ";

/// The reason of a failure with the beginning of the log, for the log of attempts.
pub fn described(reason: &str, log: &[String]) -> String {
    let mut text = format!("{FAILED}{reason}");
    if !log.is_empty() {
        let lines = log.join("\n");
        text.push_str("\nits log:\n");
        text.push_str(&lines[..lines.floor_char_boundary(MAX_LOG_BYTES)]);
    }
    // PostgreSQL refuses NUL in texts.
    text.replace('\0', "\u{fffd}")
}

/// Runs the script for a call, shown to it as `request`. `None` if the server stops before the end.
pub async fn run(app: &Domain, run: Run<'_>, request: &Value) -> Result<Option<Ran>> {
    let Some(loaded) = channel::script(app, run.workspace, run.code).await? else {
        return Ok(Some(Ran {
            made: Err(format!("there is no script `{}`", run.code)),
            log: Vec::new(),
        }));
    };
    let job = Job {
        key: &loaded.key,
        source: loaded.script.source(),
        presets: Presets::of_webhook(request, loaded.script.variables()),
        time: run.timeout.min(MAX_TIME),
        is_awaited: run.is_awaited,
        not_before: &|| None,
        workspace: run.workspace,
        lane: EntityId(run.webhook.0),
    };
    let abort = app.abort.cancelled();
    let outcome = app.scripts.run(job, &mut NoHost, abort).await;
    let made = match outcome.failure {
        Some(failure) if failure.stopped && app.abort.is_cancelled() => return Ok(None),
        Some(failure) => Err(failure.to_string()),
        None => transformation::read(outcome.sent.as_deref(), run.reserved),
    };
    metrics::counter!("prichal_transformations_total", "status" => if made.is_ok() { "finished" } else { "failed" })
        .increment(1);
    Ok(Some(Ran {
        made,
        log: outcome.log,
    }))
}

/// The host of a script that reaches nothing.
struct NoHost;

impl Host for NoHost {
    async fn ask(&mut self, name: &str, _: &str) -> Result<String, String> {
        Err(refusal(name))
    }

    fn begin(&mut self, name: &str, _: &str) -> BoxFuture<'static, Result<String, String>> {
        let refusal = refusal(name);
        Box::pin(async { Err(refusal) })
    }
}

fn refusal(name: &str) -> String {
    format!("the script of a webhook has no {name}")
}
