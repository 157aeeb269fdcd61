//! `prichal demo`: a server on a fresh data directory with everything that there is to see, and a link to look at it.

mod caller;
mod calls;
mod channel;
mod deliveries;
mod documents;
mod pdf;
mod receivers;
mod recording;

use std::{
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use self::{
    caller::{Caller, member},
    documents::{COMPANIES, Company},
    receivers::Receivers,
};
use super::{
    say,
    serve::{bind, stop_signal},
};
use crate::{
    app,
    config::Config,
    lifecycle,
    platform::{clock::Clock, telemetry},
};

pub(super) fn command() -> Command {
    Command::new("demo")
        .about("Show it at work: a server with made-up deliveries, calls, documents and channels")
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .default_value("127.0.0.1:8080")
                .help("The address to listen at; a free port if it is taken"),
        )
        .arg(
            Arg::new("seconds")
                .long("seconds")
                .value_name("N")
                .value_parser(clap::value_parser!(u64))
                .help("End after this number of seconds"),
        )
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    // The signal is caught from the beginning, so that the folder is always removed.
    let stopped = stop_signal()?;
    let folder = Folder::new()?;
    let listen = matches
        .get_one::<String>("listen")
        .map_or("", String::as_str);
    let listener = bind_near(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let mut config = Config::for_data_dir(folder.0.join("data"));
    config.listen = listener.local_addr()?.to_string();
    config.allow_private_targets = true;
    "warn".clone_into(&mut config.log_level);
    let _logs = telemetry::start_logs(&config)?;

    let url = format!("http://{}", config.listen);
    let app = app::open(config, Clock::System).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(show(url, folder.0.clone()));
    let seconds = matches.get_one::<u64>("seconds").copied();
    // The requests end before the server does.
    let signal = async move {
        let over = async {
            match seconds {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopped => None,
            () = over => None,
            Some(ended) = tasks.join_next() => Some(ended),
        }
    };
    let mut failed = None;
    lifecycle::run(app, listener, async { failed = signal.await }).await?;
    match failed {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

/// Listens on the address, or on a free port of the same host if the address is in use.
async fn bind_near(listen: &str) -> std::io::Result<TcpListener> {
    match bind(listen).await {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
            bind(&format!("{host}:0")).await
        }
        bound => bound,
    }
}

/// A folder that is removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("prichal-demo-{}", uuid::Uuid::new_v4()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make `{}`", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes everything over HTTP, as integrators would. Then changes a deal now and then, and gives a new link to whoever
/// presses Enter.
async fn show(url: String, folder: PathBuf) -> Result<()> {
    let now = Clock::System.now();
    let receivers = Receivers::start().await?;
    let admin_token = std::fs::read_to_string(folder.join("data/admin-token"))?;
    let admin = Caller::new(&url, admin_token.trim())?;
    let [us, them] = &COMPANIES;
    let (token, their_token) = tokio::try_join!(workspace(&admin, us), workspace(&admin, them))?;
    let (ours, theirs) = (admin.with_token(&token), admin.with_token(&their_token));
    let space = ours.below("/api/v1/demo");
    deliveries::seed(&space, &receivers).await?;
    let manager =
        json!({ "login": "dana", "firstName": "Dana", "lastName": "Karimova", "status": "active" });
    let manager = space.create("/users", manager).await?;
    let deal = clients(&space, &manager).await?;
    tokio::try_join!(
        calls::seed(&space, &receivers, &manager, now),
        channel::seed(&ours),
        documents::seed(&admin, [&ours, &theirs], &folder, now),
    )?;
    let mut enter = enter_presses();
    let first = link(&admin).await?;
    introduce(&url, &first, &token, &folder, enter.is_some());
    let mut changes = tokio::time::interval(deliveries::CHANGE_INTERVAL);
    changes.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stage = 1;
    loop {
        let done = tokio::select! {
            _ = changes.tick() => {
                stage += 1;
                deliveries::change(&space, &deal, stage).await
            }
            Some(()) = pressed(&mut enter) => {
                link(&admin).await.map(|link| say(&format!("  look at it   {link}\n")))
            }
        };
        if let Err(error) = done {
            tracing::warn!(
                error = format!("{error:#}"),
                "the demonstration goes on without a change"
            );
        }
    }
}

/// A link that signs in once.
async fn link(admin: &Caller) -> Result<String> {
    let link = admin.post("/admin/v1/login-links", json!({})).await?;
    member(&link, "url")
}

/// The lines of the input. None if the terminal is another job's: reading it would stop this one.
fn enter_presses() -> Option<mpsc::Receiver<()>> {
    let input = std::io::stdin();
    let is_ours = rustix::termios::tcgetpgrp(&input)
        .map_or(true, |group| group == rustix::process::getpgrp());
    let (sender, receiver) = mpsc::channel(1);
    // A thread of its own, because nothing ends a read that goes on.
    let read = move || {
        for line in input.lines() {
            if line.is_err() || sender.blocking_send(()).is_err() {
                break;
            }
        }
    };
    is_ours.then(|| {
        std::thread::spawn(read);
        receiver
    })
}

/// The next press; None when no more can come.
async fn pressed(presses: &mut Option<mpsc::Receiver<()>>) -> Option<()> {
    presses.as_mut()?.recv().await
}

/// Creates a company's workspace and returns an administrator's token.
async fn workspace(admin: &Caller, company: &Company) -> Result<String> {
    let Company {
        name, title, bin, ..
    } = company;
    let workspace = json!({ "name": name, "title": title, "bin": bin, "companyName": title });
    admin.post("/admin/v1/workspaces", workspace).await?;
    let token = json!({ "name": "demo", "role": "admin" });
    let path = format!("/admin/v1/workspaces/{name}/tokens");
    member(&admin.post(&path, token).await?, "token")
}

/// Creates the clients whose calls are shown, and the deal of the one who is on the line. Returns the deal's id.
async fn clients(space: &Caller, manager: &str) -> Result<String> {
    let mut last = String::new();
    for (name, phone) in ["Horns and Hooves", "Altyn Bakery", "Tengri Travel"]
        .into_iter()
        .zip(calls::CLIENTS)
    {
        let company = json!({ "name": name, "phones": [{ "value": phone }] });
        last = space.create("/companies", company).await?;
    }
    let deal = json!({ "name": "A ship comes in", "stageId": 1, "assignedToUserId": manager });
    let deal = space.create("/deals", deal).await?;
    let link = json!({ "companyId": last, "dealId": deal });
    space.post("/links", link).await?;
    Ok(deal)
}

fn introduce(url: &str, link: &str, token: &str, folder: &Path, takes_enter: bool) {
    let program = std::env::current_exe().unwrap_or_else(|_| "prichal".into());
    let (program, folder) = (program.display(), folder.display());
    let enter = if takes_enter {
        "Enter prints a new one"
    } else {
        "the last line prints a new one"
    };
    say(&format!(
        "Prichal is at work with made-up companies, calls and documents. Ctrl-C ends it and removes everything.
The link signs you in once, within ten minutes; {enter}.

  look at it   {link}
  the API      {url}/docs
  with curl    curl -H 'Authorization: Bearer {token}' '{url}/api/v1/demo/deliveries?status=exhausted'
  to sign      openssl cms -sign -binary -cades -md sha256 -in content.zip -signer '{folder}/ahmet.pem' -outform DER -out signature.cms
  a new link   '{program}' login-link --url {url} --data-dir '{folder}/data'
"
    ));
}
