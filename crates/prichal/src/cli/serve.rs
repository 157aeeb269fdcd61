//! `prichal serve`.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgAction, ArgMatches, Command};
use tokio::{
    net::{TcpListener, lookup_host},
    signal::unix::{SignalKind, signal},
};

use super::{check, load, with_settings};
use crate::{
    app::{self, App},
    config::{Config, LogFormat, unknown_variables},
    lifecycle,
    platform::{
        access::Caller,
        clock::Clock,
        session::{self, Holder},
        telemetry,
    },
};

pub(super) fn command() -> Command {
    let check = Arg::new("check")
        .long("check")
        .action(ArgAction::SetTrue)
        .help("Only try whether a server could start: the settings, the data directory, and the address, files and servers that they name");
    // The texts come last, since the comments of the settings would replace those of the command.
    with_settings(Command::new("serve"))
        .about("Run the server")
        .long_about(None)
        .arg(check)
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let config = load(matches)?;
    let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unknown = unknown_variables(variables);
    if matches.get_flag("check") {
        for variable in unknown {
            super::complain(&anyhow::anyhow!(
                "the environment variable {variable} is set but is not a setting"
            ));
        }
        check::run(&config).await?;
        super::say("The settings are valid, and everything they name can be used.");
        return Ok(());
    }
    let _logs = telemetry::start_logs(&config)?;
    for variable in unknown {
        tracing::warn!(
            variable,
            "environment variable {variable} looks like a setting but is not one"
        );
    }
    let (app, listener) = open(config).await?;
    tracing::info!(address = %listener.local_addr()?, version = env!("CARGO_PKG_VERSION"), "server is listening");
    if app.is_first_start {
        introduce(&app).await;
    }
    let tried = app.clone();
    let served = lifecycle::run(app, listener, stop_signal()?);
    let (served, ()) = tokio::join!(served, tried.scripts.try_out());
    served?;
    tracing::info!("server has stopped");
    Ok(())
}

/// Prints a link to the console of a new server on standard error. Logs in JSON are collected, so the link, which is a
/// secret, is not among them.
async fn introduce(app: &App) {
    if app.config.log_format == LogFormat::Json {
        tracing::info!("`prichal login-link` prints a link to the console");
        return;
    }
    match session::create_link(app, &Caller::Admin, Holder::operator()).await {
        Ok(link) => {
            let _ = writeln!(
                io::stderr(),
                "Sign in at the console within ten minutes: {}\n`prichal login-link` prints another link.",
                link.url
            );
        }
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "cannot make a link to the console; `prichal login-link` makes one"
        ),
    }
}

/// Opens everything that a server needs, first the address, which most often fails.
pub(super) async fn open(config: Config) -> Result<(App, TcpListener)> {
    let listener = bind(&config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    Ok((app::open(config, Clock::System).await?, listener))
}

/// Listens at the first address of a name, IPv4 before IPv6. Others are not tried: a client that knows the name would
/// reach another server at the first.
pub(super) async fn bind(listen: &str) -> io::Result<TcpListener> {
    let found = lookup_host(listen).await?;
    let first = found.min_by_key(SocketAddr::is_ipv6);
    let first = first.ok_or_else(|| io::Error::other("the name has no address"))?;
    TcpListener::bind(first).await
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
        tracing::info!("server is stopping; requests in flight have ten seconds");
        // The second signal is handled in a thread of its own, which the runtime cannot block.
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
