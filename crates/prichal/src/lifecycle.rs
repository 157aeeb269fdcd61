//! Start and stop: the long-lived tasks of a server. When one ends, all end.

use std::time::Duration;

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App, bus, channel, dispatch, document, face::edo, http, retention, telemetry, telephony,
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
    let mut tasks = JoinSet::new();
    tasks.spawn(dispatch::run(app.clone(), work.clone()));
    tasks.spawn(dispatch::ticks::run(app.clone(), work.clone()));
    tasks.spawn(bus::run(app.clone(), work.clone()));
    tasks.spawn(retention::run(app.clone(), work.clone()));
    tasks.spawn(telemetry::run(app.clone(), work.clone()));
    tasks.spawn(telephony::watch::run(app.clone(), work.clone()));
    tasks.spawn(channel::queue::run(app.clone(), work.clone()));
    tasks.spawn(channel::sockets::run(app.clone(), work.clone()));
    tasks.spawn(document::recheck::run(app.clone(), work.clone()));
    tasks.spawn(document::bulk::run(
        app.clone(),
        edo::routes::Elements,
        work.clone(),
    ));
    let mut serving = JoinSet::new();
    serving.spawn(http::serve(listener, app.clone(), accept.clone()));

    let too_early = || Some(anyhow::anyhow!("a part of the server has ended by itself"));
    let mut failed = tokio::select! {
        () = signal => None,
        Some(ended) = tasks.join_next() => failure(ended).or_else(too_early),
        Some(ended) = serving.join_next() => failure(ended).or_else(too_early),
    };
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
    failed.map_or(Ok(()), Err)
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
