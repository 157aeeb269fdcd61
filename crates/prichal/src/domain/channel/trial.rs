//! Trials of scripts: a script is run on a request without effect.

use std::time::Duration;

use futures_util::future::BoxFuture;
use prichal_core::{
    channel::Tokens,
    id::{EntityId, WorkspaceId},
    json,
    script::Script,
};
use prichal_script::Presets;
use prichal_store::run::{Lane, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    by_id,
    host::{RunHost, author_of},
    request::Request,
    run::state,
};
use crate::{
    domain::{
        Domain,
        script::{Host, Job},
    },
    error::Result,
    platform::vault::sha256_hex,
};

/// The time limit of a trial, in which a request waits for it.
const MAX_TIME: Duration = Duration::from_secs(10);
/// The maximum number of effects that a trial tells, and of their bytes.
const MAX_EFFECTS: usize = 200;
const MAX_EFFECT_BYTES: usize = 1 << 20;

/// A change that a script would have made, or a frame that it would have sent.
#[derive(Serialize, ToSchema)]
pub struct TrialEffect {
    /// The function, such as `kv.set`.
    name: String,
    /// Its arguments.
    argument: Value,
}

/// The outcome of a trial.
pub struct Tried {
    pub state: State,
    pub effects: Vec<TrialEffect>,
}

/// Runs a script on a request. What it reads is real, and its changes are told instead of written.
pub async fn run(
    app: &Domain,
    workspace: WorkspaceId,
    script: &Script,
    channel: Option<EntityId>,
    request: &Request,
) -> Result<Tried> {
    let handle = match channel {
        Some(id) => by_id(app, Lane { workspace, id }).await?,
        None => None,
    };
    let handle = handle.as_ref();
    let channel = handle.map(|handle| &handle.channel);
    let time = channel.map_or(MAX_TIME, |channel| channel.timeout().min(MAX_TIME));
    let job = Job {
        key: &sha256_hex(script.source().as_bytes()),
        source: script.source(),
        presets: Presets::new(&request.show(channel), request.params(), script.variables()),
        time,
        is_awaited: true,
        not_before: &|| None,
        workspace,
        lane: handle.map_or(EntityId(script.id), |handle| handle.lane().id),
    };
    let author = author_of(handle.map(AsRef::as_ref));
    let inner = RunHost::new(
        app.clone(),
        workspace,
        handle.cloned(),
        author,
        request.depth,
    );
    let tokens = channel.map_or_else(Tokens::default, |channel| channel.tokens.clone());
    let mut host = TrialHost {
        inner: inner.with(script.authority()),
        tokens,
        effects: Vec::new(),
        bytes: 0,
    };
    let began = app.clock.now();
    let outcome = app.scripts.run(job, &mut host, app.abort.cancelled()).await;
    let state = state(&outcome, &host.tokens, 1, began, app.clock.now());
    Ok(Tried {
        state,
        effects: host.effects,
    })
}

/// The host of a trial: it collects changes as a run does, so that the script sees them, and then drops them.
struct TrialHost {
    inner: RunHost,
    tokens: Tokens,
    effects: Vec<TrialEffect>,
    bytes: usize,
}

impl TrialHost {
    fn note(&mut self, name: &str, argument: &str) {
        self.bytes += argument.len();
        if self.effects.len() >= MAX_EFFECTS || self.bytes > MAX_EFFECT_BYTES {
            return;
        }
        let argument = self.tokens.mask_json(argument.to_owned());
        self.effects.push(TrialEffect {
            name: name.to_owned(),
            argument: json::parse(argument.as_bytes()).unwrap_or_default(),
        });
    }
}

impl Host for TrialHost {
    async fn ask(&mut self, name: &str, argument: &str) -> Result<String, String> {
        if name == "channel.websocket.send" {
            self.note(name, argument);
            return Ok(r#"{"sent":0}"#.to_owned());
        }
        let answer = self.inner.ask(name, argument).await?;
        if !matches!(name, "clock" | "kv.get" | "entities.get") {
            self.note(name, argument);
        }
        Ok(answer)
    }

    fn begin(&mut self, name: &str, _: &str) -> BoxFuture<'static, Result<String, String>> {
        let refusal = format!("{name} is not called in a trial");
        Box::pin(async { Err(refusal) })
    }
}
