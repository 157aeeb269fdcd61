//! Start and stop: the long-lived tasks of a server. When one ends, all end.

use std::{pin::pin, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    delivery,
    dialect::{self, idocs},
    domain::{channel, document, journal, rotation, telephony},
    http,
    platform::{bus, telemetry},
    retention,
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
        app.abort.clone().drop_guard(),
    );
    let (ready, is_ready) = oneshot::channel();
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener, app.clone(), ready, accept.clone()));
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
        app.abort.cancel();
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

/// Serves every path of the server.
async fn serve(
    listener: TcpListener,
    app: App,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = dialect::router(app.clone());
    http::serve(listener, app.platform.clone(), router, ready, stop).await
}

/// Starts the long-lived tasks, those that do durable work among them.
fn begin(app: &App, work: &CancellationToken, tasks: &mut JoinSet<anyhow::Result<()>>) {
    tasks.spawn(journal::run(app.domain.clone(), work.clone()));
    tasks.spawn(delivery::run(app.clone(), work.clone()));
    tasks.spawn(delivery::schedule::run(app.clone(), work.clone()));
    tasks.spawn(listen(app.clone(), work.clone()));
    tasks.spawn(retention::run(app.clone(), work.clone()));
    tasks.spawn(rotation::run(app.domain.clone(), work.clone()));
    tasks.spawn(telemetry::run(app.platform.clone(), work.clone()));
    tasks.spawn(telephony::timeouts::run(app.domain.clone(), work.clone()));
    tasks.spawn(telephony::rekey::run(app.domain.clone(), work.clone()));
    tasks.spawn(channel::queue::run(app.domain.clone(), work.clone()));
    tasks.spawn(channel::sockets::run(app.domain.clone(), work.clone()));
    tasks.spawn(document::recheck::run(app.domain.clone(), work.clone()));
    let elements = idocs::routes::Elements(app.clone());
    tasks.spawn(document::bulk::run(
        app.domain.clone(),
        elements,
        work.clone(),
    ));
}

/// Hands the messages of other nodes to the parts that wait for them.
async fn listen(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let on_news = |news: bus::News| {
        app.dispatch.heard(news);
        app.telephony.call_streams.heard(news.workspace);
        app.channels.sockets.heard(news.workspace);
    };
    let on_frame = |frame: bus::Frame| {
        let sockets = &app.channels.sockets;
        sockets.send_here(frame.lane, frame.connection, &frame.text);
    };
    bus::run(app.platform.clone(), on_news, on_frame, stop).await
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
