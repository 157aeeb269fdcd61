//! Start and stop: the long-lived tasks of a server. When one ends, all end.

use std::time::Duration;

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{app::App, bus, dispatch, http, retention};

/// How long what is in flight has to finish.
const GRACE: Duration = Duration::from_secs(10);

/// Serves on `listener` until `signal`: then nothing new is accepted, what is in flight is finished, and
/// what is known is written. A task that fails stops the rest and is the error.
///
/// Dropped before its end, everything stops at once, as when the process is killed.
pub async fn run(
    app: App,
    listener: TcpListener,
    signal: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (accept, work) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(dispatch::run(app.clone(), work.clone()));
    tasks.spawn(dispatch::ticks::run(app.clone(), work.clone()));
    tasks.spawn(bus::run(app.clone(), work.clone()));
    tasks.spawn(retention::run(app.clone(), work.clone()));
    let mut serving = JoinSet::new();
    serving.spawn(http::serve(listener, app.clone(), accept.clone()));

    let mut failed = tokio::select! {
        () = signal => None,
        Some(ended) = tasks.join_next() => failure(ended),
        Some(ended) = serving.join_next() => failure(ended),
    };
    accept.cancel();
    // Requests may still write, and what they write may still be sent: the rest stops after them.
    let drain = async {
        while let Some(ended) = serving.join_next().await {
            failed = failed.take().or(failure(ended));
        }
        app.background.close();
        app.background.wait().await;
        work.cancel();
        while let Some(ended) = tasks.join_next().await {
            failed = failed.take().or(failure(ended));
        }
    };
    if tokio::time::timeout(GRACE, drain).await.is_err() {
        tracing::warn!("something was still running after {GRACE:?} and is dropped");
    }
    failed.map_or(Ok(()), Err)
}

fn failure(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> Option<anyhow::Error> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(error) => Some(error.into()),
    }
}
