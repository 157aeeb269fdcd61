//! Frames for the channel's own script, `recv_svcscriptcode_ws`: one at a time, in their order.

use prichal_core::json;
use prichal_store::run::Kind;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    frame::{Data, Qid, answered},
    rest::said,
    session::Queued,
};
use crate::{
    dialect::era::{
        error_response::{SCRIPT_FAILED, TIMED_OUT},
        svcscript_runtimes::load,
    },
    domain::channel::{
        self,
        request::Request,
        run::{ImmediateRun, run_now},
    },
    platform::memory::Hold,
};

/// The maximum number of frames of a connection that wait for the script.
pub(super) const MAX_QUEUED_FRAMES: usize = 64;
/// The code for a method without a script.
const NO_METHOD: i64 = 1404;

/// A frame for the channel's own script.
pub(super) struct InboundFrame {
    pub(super) method: String,
    pub(super) qid: Qid,
    /// The whole frame, as it came.
    pub(super) text: String,
    /// The memory of the frame, until its script has run.
    pub(super) hold: Hold,
}

/// Runs the receiving script on one frame after the other, until the connection is closed.
pub(super) async fn run_all(
    mut queued: Queued,
    connection: Uuid,
    mut frames: mpsc::Receiver<InboundFrame>,
    closed: CancellationToken,
) {
    while let Some(Some(frame)) = closed.run_until_cancelled(frames.recv()).await {
        let answer = match queued.refresh().await {
            Ok(()) => receive(&queued, connection, &frame, &closed).await,
            Err(refused) => Err(refused),
        };
        let InboundFrame {
            method, qid, hold, ..
        } = frame;
        drop(hold);
        let qid = qid.as_deref();
        let answer = match answer {
            Ok(Some(data)) => Ok(Data::of(data)),
            // The script gave no answer.
            Ok(None) => continue,
            // A frame without `qid` gets no answer, except for the error about a missing script.
            Err((code, _)) if qid.is_none() && code != NO_METHOD => continue,
            Err(error) => Err(error),
        };
        if answer.is_ok() && qid.is_none() {
            continue;
        }
        queued.app.channels.sockets.send_here(
            queued.handle.lane(),
            Some(connection),
            &answered(&method, qid, answer),
        );
    }
}

async fn receive(
    queued: &Queued,
    connection: Uuid,
    frame: &InboundFrame,
    closed: &CancellationToken,
) -> Result<Option<Value>, (i64, String)> {
    let app = &queued.app;
    // The channel may have another script by now.
    let handle = channel::by_id(app, queued.handle.lane())
        .await
        .map_err(|error| said(&error))?;
    let Some(handle) = handle else {
        return Err((1404, "The channel is gone".to_owned()));
    };
    let code = handle.channel.text("recv_svcscriptcode_ws");
    if code.is_empty() {
        let shown: String = frame.method.chars().take(64).collect();
        let what =
            format!("There is no method {shown}, and the channel has no `recv_svcscriptcode_ws`");
        return Err((NO_METHOD, what));
    }
    let loaded = load(app, handle.workspace, code)
        .await
        .map_err(|error| said(&error))?;
    let may_repeat = || queued.still_may();
    let now = ImmediateRun {
        handle: Some(&handle),
        workspace: handle.workspace,
        kind: Kind::Socket,
        loaded: &loaded,
        request: Request {
            method: "WEBSOCKET".to_owned(),
            url: "/ws/token/v1".to_owned(),
            text: frame.text.clone(),
            is_json: true,
            protocol: "ws".to_owned(),
            ..Request::default()
        },
        connection: Some(connection),
        author: handle.author(),
        time: handle.channel.timeout(),
        may_repeat: Some(&may_repeat),
    };
    let outcome = run_now(app, now, closed.cancelled())
        .await
        .map_err(|error| said(&error))?;
    match outcome.failure {
        Some(failure) if failure.stopped => Err((1504, TIMED_OUT.to_owned())),
        Some(_) => Err((1500, SCRIPT_FAILED.to_owned())),
        None => Ok(outcome.response.map(|response| {
            let parsed = json::parse(response.body.as_bytes());
            parsed.unwrap_or_else(|_| response.body.clone().into())
        })),
    }
}
