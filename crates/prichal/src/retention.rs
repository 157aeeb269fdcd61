//! What is removed when its time is over.

use tokio_util::sync::CancellationToken;

use crate::app::App;

pub async fn run(_app: App, stop: CancellationToken) -> anyhow::Result<()> {
    stop.cancelled().await;
    Ok(())
}
