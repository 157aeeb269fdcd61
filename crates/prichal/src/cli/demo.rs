//! `prichal demo`: a server on a fresh data directory with everything that there is to see, and a link to look at it.

mod caller;
mod calls;
mod channel;
mod deliveries;
mod documents;
mod pdf;
mod receivers;
mod recording;

use std::{os::unix::fs::DirBuilderExt as _, time::Duration};

use anyhow::{Context as _, Result};
use clap::{Arg, ArgMatches, Command};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

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
    platform::{clock::Clock, telemetry, vault::random_token},
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
    let token = random_token();
    config.admin_token = Some(token.clone().into());
    let _logs = telemetry::start_logs(&config)?;

    let url = format!("http://{}", config.listen);
    let app = app::open(config, Clock::System).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(show(url, token));
    let seconds = matches.get_one::<u64>("seconds").copied();
    let signal = async {
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
struct Folder(std::path::PathBuf);

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

/// Makes everything over HTTP, as integrators would, and then changes a deal every second.
async fn show(url: String, admin_token: String) -> Result<()> {
    let now = Clock::System.now();
    let receivers = Receivers::start().await?;
    let admin = Caller::new(&url, &admin_token)?;
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
        calls::seed(&space, &receivers.url, &manager, now),
        channel::seed(&ours),
        documents::seed(&admin, [&ours, &theirs], now),
    )?;
    let link = admin.post("/admin/v1/login-links", json!({})).await?;
    introduce(&url, &member(&link, "url")?, &token);
    deliveries::change(&space, &deal).await
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

fn introduce(url: &str, link: &str, token: &str) {
    say(&format!(
        "Prichal is at work with made-up companies, calls and documents. Ctrl-C ends it and removes everything.
The link signs you in once, within ten minutes.

  look at it   {link}
  the API      {url}/docs
  with curl    curl -H 'Authorization: Bearer {token}' '{url}/api/v1/demo/deliveries?status=exhausted'
"
    ));
}
