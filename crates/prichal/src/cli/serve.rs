//! `prichal serve`.

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{load, setting_flags};
use crate::{app::App, clock::Clock, config::Config, data_dir::DataDir, lifecycle, telemetry};

pub(super) fn command() -> Command {
    let check = Arg::new("check")
        .long("check")
        .action(ArgAction::SetTrue)
        .help("Only check the settings and the data directory");
    Command::new("serve")
        .about("Run the server")
        .arg(check)
        .args(setting_flags())
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let config = load(matches)?;
    if matches.get_flag("check") {
        DataDir::check(&config)?;
        super::say("The settings are good.");
        return Ok(());
    }
    telemetry::start_logs(&config)?;
    let (app, listener) = open(config).await?;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "listening");
    let tried = app.clone();
    let served = lifecycle::run(app, listener, stop_signal()?);
    let (served, ()) = tokio::join!(served, tried.scripts.try_out());
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Opens everything a server needs. The address first: it is what most often is taken.
pub(super) async fn open(config: Config) -> Result<(App, TcpListener)> {
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    Ok((App::open(config, Clock::System).await?, listener))
}

/// Waits for the first SIGTERM or SIGINT. A second one ends the process at once.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; what is in flight has ten seconds");
        // Its own thread: nothing that the runtime does can keep it from hearing the second one.
        std::thread::spawn(move || {
            let heard = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            if let Ok(runtime) = heard {
                runtime.block_on(async {
                    tokio::select! {
                        _ = terminate.recv() => {}
                        _ = interrupt.recv() => {}
                    }
                });
                std::process::exit(130);
            }
        });
    })
}
