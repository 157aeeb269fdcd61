//! Start and stop: the long-lived tasks of a server. When one ends, all end.

use std::{pin::pin, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App, bus, channel, dispatch, document, face::edo, http, journal, retention, rotation,
    telemetry, telephony,
};

/// How long what is in flight has to finish.
const GRACE: Duration = Duration::from_secs(10);
/// How long requests and scripts have, and the other tasks wait for them. A client that is slow must not cost
/// those the time to write what they know and to hand their webhooks to other nodes.
const REQUESTS: Duration = Duration::from_secs(7);

/// Serves on `listener` until `signal`: then nothing new is accepted, what is in flight is finished, and
/// what is known is written. A task that fails stops the rest and is the error.
///
/// Dropped before its end, everything stops at once, as when the process is killed.
pub async fn run(
    app: App,
    listener: TcpListener,
    signal: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (accept, work) = (app.stopping.clone(), CancellationToken::new());
    let _dropped = (
        app.stopping.clone().drop_guard(),
        app.hurry.clone().drop_guard(),
    );
    let (ready, is_ready) = oneshot::channel();
    let mut serving = JoinSet::new();
    serving.spawn(http::serve(listener, app.clone(), ready, accept.clone()));
    let mut tasks = JoinSet::new();
    let mut signal = pin!(signal);
    let working = async {
        // Whatever durable work may do to this process, it has been reachable before.
        let _ = is_ready.await;
        journal::open(&app).await;
        begin(&app, &work, &mut tasks);
        ended(&mut tasks).await
    };
    let mut failed = tokio::select! {
        () = &mut signal => None,
        failed = working => failed,
        failed = ended(&mut serving) => failed,
    };
    let is_asked = failed.is_none();
    app.journal.stop();
    accept.cancel();
    // Requests may still write, and what they write may still be sent: the rest stops after them.
    let requests = async {
        let failed = end(&mut serving).await;
        app.background.close();
        app.background.wait().await;
        work.cancel();
        failed
    };
    let others = async {
        tokio::select! {
            () = work.cancelled() => {}
            () = app.clock.sleep(REQUESTS) => {}
        }
        app.hurry.cancel();
        work.cancel();
        end(&mut tasks).await
    };
    let all = async { tokio::join!(requests, others) };
    if let Ok((requests, others)) = tokio::time::timeout(GRACE, all).await {
        failed = failed.or(requests).or(others);
    } else {
        tracing::warn!("something was still running after {GRACE:?} and is dropped");
    }
    if is_asked {
        app.journal.close();
    }
    failed.map_or(Ok(()), Err)
}

/// Starts the long-lived tasks, those that do durable work among them.
fn begin(app: &App, work: &CancellationToken, tasks: &mut JoinSet<anyhow::Result<()>>) {
    tasks.spawn(journal::run(app.clone(), work.clone()));
    tasks.spawn(dispatch::run(app.clone(), work.clone()));
    tasks.spawn(dispatch::ticks::run(app.clone(), work.clone()));
    tasks.spawn(bus::run(app.clone(), work.clone()));
    tasks.spawn(retention::run(app.clone(), work.clone()));
    tasks.spawn(rotation::run(app.clone(), work.clone()));
    tasks.spawn(telemetry::run(app.clone(), work.clone()));
    tasks.spawn(telephony::watch::run(app.clone(), work.clone()));
    tasks.spawn(telephony::rekey::run(app.clone(), work.clone()));
    tasks.spawn(channel::queue::run(app.clone(), work.clone()));
    tasks.spawn(channel::sockets::run(app.clone(), work.clone()));
    tasks.spawn(document::recheck::run(app.clone(), work.clone()));
    let elements = edo::routes::Elements;
    tasks.spawn(document::bulk::run(app.clone(), elements, work.clone()));
}

/// Waits until one of them ends, which is too early, and says why.
async fn ended(tasks: &mut JoinSet<anyhow::Result<()>>) -> Option<anyhow::Error> {
    match tasks.join_next().await {
        Some(ended) => failure(ended)
            .or_else(|| Some(anyhow::anyhow!("a part of the server has ended by itself"))),
        None => std::future::pending().await,
    }
}

/// Waits for all of them; the first failure, if any.
async fn end(tasks: &mut JoinSet<anyhow::Result<()>>) -> Option<anyhow::Error> {
    let mut failed = None;
    while let Some(ended) = tasks.join_next().await {
        failed = failed.or(failure(ended));
    }
    failed
}

fn failure(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> Option<anyhow::Error> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(error) => Some(error.into()),
    }
}
