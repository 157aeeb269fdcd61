//! Channels, types, scripts and runs as the API tells them.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::SERVICE;
use crate::{
    answer::Fault,
    api::segment,
    moment::{self, Moment},
    parts::{State, Tone, visible},
    visit::Visit,
    words,
};

/// A channel, without its tokens.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Point {
    pub(super) id: String,
    pub(super) code: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) url: String,
    pub(super) recv_svcscriptcode: String,
    pub(super) recv_svcscriptcode_ws: String,
    pub(super) send_svcscriptcode: String,
    pub(super) send_svcscriptcode_ws: String,
    pub(super) opts: Options,
    pub(super) ext: Times,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub(super) title: String,
    pub(super) comment: String,
    pub(super) issync: bool,
    pub(super) recv_timeout: i64,
    pub(super) ip_mask: Vec<String>,
    pub(super) roles: Vec<String>,
    pub(super) as_admin: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Times {
    pub(super) lwt: String,
}

/// A type of channels. What it does not fix is absent.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Type {
    pub(super) id: String,
    #[serde(rename = "type")]
    pub(super) name: String,
    pub(super) url: Option<String>,
    pub(super) recv_svcscriptcode: Option<String>,
    pub(super) recv_svcscriptcode_ws: Option<String>,
    pub(super) send_svcscriptcode: Option<String>,
    pub(super) send_svcscriptcode_ws: Option<String>,
    pub(super) issync: Option<bool>,
    pub(super) recv_timeout: Option<i64>,
    pub(super) quota: Option<i64>,
    pub(super) ext: Times,
}

/// A script. Lists leave its source out.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Script {
    pub(super) id: String,
    pub(super) code: String,
    pub(super) name: String,
    pub(super) scriptdata: Source,
    pub(super) lwt: String,
    pub(super) opts: Options,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Source {
    pub(super) source: String,
}

/// A run of a script, or the sending of a message.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) id: String,
    #[serde(default)]
    pub(super) node: String,
    #[serde(default)]
    pub(super) code: String,
    pub(super) kind: Kind,
    #[serde(default)]
    pub(super) integration_point_id: Option<String>,
    pub(super) status: Status,
    pub(super) attempts: i64,
    #[serde(default)]
    pub(super) due_at: Option<String>,
    #[serde(default)]
    pub(super) started_at: Option<String>,
    #[serde(default)]
    pub(super) duration_ms: Option<i64>,
    #[serde(default)]
    pub(super) log: Vec<String>,
    #[serde(default)]
    pub(super) result: Value,
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// The request or message that has started a run (`GET …/{id}/request`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    pub(super) size: usize,
    pub(super) is_cut: bool,
    pub(super) is_text: bool,
    pub(super) ip: String,
    pub(super) params: Vec<Value>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    Hook,
    Send,
    Start,
    Socket,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    Queued,
    Running,
    Deferred,
    Finished,
    Failed,
}

impl Run {
    /// True if the server keeps the request: until the run succeeds. Runs of websockets have none of their own.
    pub(super) fn has_request(&self) -> bool {
        self.kind != Kind::Socket && self.status != Status::Finished
    }
}

impl Kind {
    pub(super) const fn word(self, w: &words::Channels) -> &'static str {
        match self {
            Self::Hook => w.hook,
            Self::Send => w.send,
            Self::Start => w.start,
            Self::Socket => w.socket,
        }
    }
}

impl Status {
    pub(super) const fn state(self, w: &words::Channels) -> State {
        let (tone, word) = match self {
            Self::Queued => (Tone::Waiting, w.queued),
            Self::Running => (Tone::Waiting, w.running),
            Self::Deferred => (Tone::Waiting, w.deferred),
            Self::Finished => (Tone::Good, w.finished),
            Self::Failed => (Tone::Bad, w.failed),
        };
        State { tone, word }
    }
}

/// A line of a list of runs.
pub(super) struct RunRow {
    pub(super) href: String,
    pub(super) state: State,
    pub(super) at: Option<Moment>,
    pub(super) code: String,
    pub(super) kind: &'static str,
    pub(super) attempts: i64,
    pub(super) duration: String,
    pub(super) error: String,
}

impl RunRow {
    pub(super) fn new(run: &Run, visit: &Visit, w: &words::Channels) -> Self {
        let at = run.started_at.as_ref().or(run.due_at.as_ref());
        Self {
            href: visit.page(&format!("channels/runs/{}", segment(&run.id))),
            state: run.status.state(w),
            at: at.and_then(|at| Moment::parse(at, &visit.workspace.zone)),
            code: visible(&run.code),
            kind: run.kind.word(w),
            attempts: run.attempts,
            duration: run
                .duration_ms
                .map_or_else(String::new, |ms| moment::span(ms, visit.language)),
            error: visible(run.error.as_deref().unwrap_or_default()),
        }
    }
}

/// Reads an entity of a collection.
pub(super) async fn find<T: serde::de::DeserializeOwned>(
    visit: &Visit,
    collection: &str,
    id: &str,
) -> Result<T, Fault> {
    let path = format!("{SERVICE}/{collection}/{}", segment(id));
    Ok(visit.get(&path).await?)
}

/// A member of a body: a text that may be empty.
pub(super) fn set(body: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    body.insert(name.to_owned(), value.into());
}
