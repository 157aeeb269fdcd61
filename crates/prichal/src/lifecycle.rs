//! Start and stop: the long-lived tasks of a server. When one ends, all end.

use std::{pin::pin, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    delivery,
    dialect::{self, idocs},
    domain::{channel, document, journal, mail, rotation, stream::topic::Topic, telephony},
    http,
    platform::{audit, bus, telemetry, token_use},
    retention,
};

/// The maximum duration of a graceful stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// The time within a stop for which other tasks wait for requests and scripts. A slow client must not cost those
/// tasks the time to write their state and to hand their webhooks to other nodes.
const REQUEST_STOP_TIMEOUT: Duration = Duration::from_secs(7);

/// Serves on `listener` until `signal`. Then no connection is accepted, requests in flight are finished, and pending
/// state is written. A task that fails stops the others and is the error.
///
/// A drop of the future stops everything at once, as a kill of the process would.
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
        // The server is reachable before durable work starts, even if that work ends the process.
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
    // Requests may still write, and their events may still be sent. So the other tasks stop after them.
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
            () = app.clock.sleep(REQUEST_STOP_TIMEOUT) => {}
        }
        app.abort.cancel();
        work.cancel();
        end(&mut tasks).await
    };
    let all = async { tokio::join!(requests, others) };
    if let Ok((requests, others)) = tokio::time::timeout(STOP_TIMEOUT, all).await {
        failed = failed.or(requests).or(others);
    } else {
        tracing::warn!(
            timeout_seconds = STOP_TIMEOUT.as_secs(),
            "stop of the server timed out: unfinished work is dropped"
        );
    }
    if is_asked {
        app.journal.close();
    }
    failed.map_or(Ok(()), Err)
}

/// Serves all paths of the server.
async fn serve(
    listener: TcpListener,
    app: App,
    ready: oneshot::Sender<()>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let router = dialect::router(app.clone());
    http::serve(listener, app.platform.clone(), router, ready, stop).await
}

/// Starts the long-lived tasks, including those for durable work.
fn begin(app: &App, work: &CancellationToken, tasks: &mut JoinSet<anyhow::Result<()>>) {
    tasks.spawn(audit::run(app.platform.clone(), work.clone()));
    tasks.spawn(journal::run(app.domain.clone(), work.clone()));
    tasks.spawn(delivery::run(app.clone(), work.clone()));
    tasks.spawn(delivery::schedule::run(app.clone(), work.clone()));
    tasks.spawn(delivery::watch::run(app.clone(), work.clone()));
    tasks.spawn(listen(app.clone(), work.clone()));
    tasks.spawn(retention::run(app.clone(), work.clone()));
    tasks.spawn(rotation::run(app.domain.clone(), work.clone()));
    tasks.spawn(telemetry::run(app.platform.clone(), work.clone()));
    tasks.spawn(token_use::run(app.platform.clone(), work.clone()));
    tasks.spawn(telephony::timeouts::run(app.domain.clone(), work.clone()));
    tasks.spawn(telephony::rekey::run(app.domain.clone(), work.clone()));
    tasks.spawn(channel::queue::run(app.domain.clone(), work.clone()));
    tasks.spawn(channel::sockets::run(app.domain.clone(), work.clone()));
    tasks.spawn(document::recheck::run(app.domain.clone(), work.clone()));
    tasks.spawn(mail::digest::run(app.domain.clone(), work.clone()));
    tasks.spawn(mail::sender::run(app.domain.clone(), work.clone()));
    let elements = idocs::routes::Elements(app.clone());
    tasks.spawn(document::bulk::run(
        app.domain.clone(),
        elements,
        work.clone(),
    ));
}

/// Passes the messages of other nodes on to the parts that wait for them.
async fn listen(app: App, stop: CancellationToken) -> anyhow::Result<()> {
    let on_news = |news: bus::News| {
        app.dispatch.on_news(news);
        app.telephony.call_streams.wake(news.workspace);
        app.channels.sockets.workspace_changed(news.workspace);
        app.streams.wake(news.workspace, news.last);
    };
    let on_frame = |frame: bus::Frame| {
        let sockets = &app.channels.sockets;
        sockets.send_here(frame.lane, frame.connection, &frame.text);
    };
    let on_told = |told: bus::Told| {
        if let Some(topic) = Topic::ALL.get(usize::from(told.topic)) {
            app.streams.send(told.workspace, *topic, told.text);
        }
    };
    let on_pulse = |pulse: bus::Pulse| {
        let (pulses, workspace) = (&app.streams.pulses, pulse.workspace);
        if pulse.topics != 0 {
            pulses.told(workspace, pulse.topics);
            return;
        }
        let topics = pulses.answer(workspace, app.clock.now());
        if topics != 0 {
            app.bus.tell_pulse(bus::Pulse { workspace, topics });
        }
    };
    let on = bus::Handlers {
        on_news,
        on_queues: || app.dispatch.on_queues(),
        on_frame,
        on_told,
        on_listener: |workspace| app.streams.note_elsewhere(workspace, app.clock.now()),
        on_pulse,
    };
    bus::run(app.platform.clone(), on, stop).await
}

/// Waits for the first task to end, which is always too early, and returns the reason.
async fn ended(tasks: &mut JoinSet<anyhow::Result<()>>) -> Option<anyhow::Error> {
    match tasks.join_next().await {
        Some(ended) => failure(ended)
            .or_else(|| Some(anyhow::anyhow!("a task of the server has ended by itself"))),
        None => std::future::pending().await,
    }
}

/// Waits for all tasks; returns the first failure.
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
