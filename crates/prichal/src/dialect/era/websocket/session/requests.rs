//! The requests of a client that take a while: REST requests, scripts, frames for the channel's own script.

use std::time::Duration;

use prichal_core::schema::Object;
use prichal_script::Outcome;
use prichal_store::{run::Kind, tenant};
use serde_json::{Value, value::RawValue};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

use super::Session;
use crate::{
    dialect::era::{
        svcscript_runtimes::{load, read_start},
        websocket::{
            frame::{Content, Done, Qid, ScriptResult, answered},
            inbox::{InboundFrame, MAX_QUEUED_FRAMES, run_all},
            params::{MAX_PARAMS, MAX_SCRIPT_TIMEOUT_MS, TIMEOUT},
            rest::{self, Answer, said},
        },
    },
    domain::channel::{
        request::{Request, START},
        run::{ImmediateRun, run_now, value},
        sockets::Frame,
    },
    error::Result,
    platform::{
        memory::{Hold, Payer},
        writes,
    },
};

const DEFAULT_SCRIPT_TIMEOUT: Duration = Duration::from_secs(10);

impl Session {
    pub(super) fn rest(&mut self, asked: Object, qid: Qid, hold: Hold) -> Option<String> {
        let (app, mut queued) = (self.app.clone(), self.queued("rest"));
        let (again, payer) = (qid.clone(), self.payer.clone());
        let work = async move {
            let answer: Answer = match queued.refresh().await {
                Ok(()) => {
                    let (handle, rights) = (queued.handle, queued.standing.rights);
                    rest::ask(app, handle, rights, payer.clone(), &asked).await
                }
                Err(refused) => Err(refused),
            };
            drop(hold);
            let text = answered("rest", qid.as_deref(), answer.map(Content::of));
            Some(answer_frame("rest", qid.as_deref(), text, &payer))
        };
        let seen = self.seen();
        match self
            .in_flight
            .spawn_request(async move { seen.by(work).await })
        {
            Ok(()) => None,
            Err(error) => Some(answered("rest", again.as_deref(), Err::<Done, _>(error))),
        }
    }

    pub(super) async fn start(
        &mut self,
        asked: &Object,
        qid: Qid,
        hold: Hold,
    ) -> Result<(), (i64, String)> {
        let admitted = writes::admit(&self.app, self.handle.workspace);
        admitted.map_err(|error| said(&error))?;
        let (code, params) = read_start(asked, MAX_PARAMS).map_err(|error| said(&error))?;
        let time = match asked.get(TIMEOUT.name) {
            None | Some(Value::Null) => DEFAULT_SCRIPT_TIMEOUT,
            Some(given) => given
                .as_u64()
                .filter(|millis| (1..=MAX_SCRIPT_TIMEOUT_MS.unsigned_abs()).contains(millis))
                .map(Duration::from_millis)
                .ok_or_else(|| {
                    let why =
                        format!("The timeout must be 1 to {MAX_SCRIPT_TIMEOUT_MS} milliseconds");
                    (1400, why)
                })?,
        };
        let loaded = load(&self.app, self.handle.workspace, &code)
            .await
            .map_err(|error| said(&error))?;
        let (abort, again) = (CancellationToken::new(), qid.clone());
        let payer = self.payer.clone();
        let (app, stop, id) = (self.app.clone(), abort.clone(), self.id);
        let mut queued = self.queued("svcscript");
        let work = async move {
            if let Err(error) = queued.refresh().await {
                let refused = Err::<Done, _>(error);
                let text = answered("start_svcscript", qid.as_deref(), refused);
                return Some(answer_frame(
                    "start_svcscript",
                    qid.as_deref(),
                    text,
                    &payer,
                ));
            }
            let handle = queued.handle.clone();
            let may_repeat = || queued.still_may();
            let now = ImmediateRun {
                handle: Some(&handle),
                workspace: handle.workspace,
                kind: Kind::Socket,
                loaded: &loaded,
                request: Request {
                    method: START.to_owned(),
                    params,
                    ..Request::default()
                },
                connection: Some(id),
                author: handle.author(),
                time,
                may_repeat: Some(&may_repeat),
            };
            let outcome = run_now(&app, now, stop.cancelled()).await;
            drop(hold);
            if stop.is_cancelled() {
                return None;
            }
            let answer = match outcome {
                Err(error) => Err(said(&error)),
                Ok(Outcome {
                    failure: Some(failure),
                    ..
                }) => Err((
                    if failure.stopped { 1504 } else { 1500 },
                    failure.to_string(),
                )),
                Ok(outcome) => Ok(ScriptResult::of(value(outcome.variables.as_deref()))),
            };
            let text = answered("start_svcscript", qid.as_deref(), answer);
            Some(answer_frame(
                "start_svcscript",
                qid.as_deref(),
                text,
                &payer,
            ))
        };
        let seen = self.seen();
        let work = async move { seen.by(Box::pin(work)).await };
        self.in_flight.spawn_script(&again, abort, work)
    }

    /// Starts the task that runs the channel's own script.
    fn start_inbox(&mut self) -> mpsc::Sender<InboundFrame> {
        let (inbox, frames) = mpsc::channel(MAX_QUEUED_FRAMES);
        let queued = self.queued("msg");
        let work = Box::pin(run_all(queued, self.id, frames, self.closed.clone()));
        let seen = self.seen();
        let work = async move { seen.by(work).await };
        let workspace = Some(self.handle.workspace);
        self.reading.spawn(tenant::scope(workspace, work));
        inbox
    }

    /// Queues a frame for the channel's own script, which takes one at a time.
    pub(super) fn receive(&mut self, asked: InboundFrame) -> Option<String> {
        if let Err(error) = writes::admit(&self.app, self.handle.workspace) {
            let qid = asked.qid.as_deref();
            return Some(answered(&asked.method, qid, Err::<Done, _>(said(&error))));
        }
        let inbox = match self.inbox.take() {
            Some(inbox) => inbox,
            None => self.start_inbox(),
        };
        let sent = self.inbox.insert(inbox).try_send(asked);
        let TrySendError::Full(asked) = sent.err()? else {
            return None;
        };
        let why = format!("More than {MAX_QUEUED_FRAMES} frames wait for the script");
        Some(answered(
            &asked.method,
            asked.qid.as_deref(),
            Err::<Done, _>((1503, why)),
        ))
    }
}

/// An answer on the client's account, or a short error if the account lacks the memory.
fn answer_frame(method: &str, qid: Option<&RawValue>, text: String, payer: &Payer) -> Frame {
    Frame::paid(text, payer).unwrap_or_else(|| {
        metrics::counter!("prichal_memory_refused_total").increment(1);
        let why = "The server has no memory for the answer now".to_owned();
        answered(method, qid, Err::<Done, _>((1503, why))).into()
    })
}
