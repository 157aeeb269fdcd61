//! `prichal simulate-pbx`: a telephone exchange's connector that tells a server about calls.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use prichal_core::id::generate;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};

use super::{
    client::{http, url, url_flag},
    say,
    serve::stop_signal,
};
use crate::{
    cli::pbx::{
        answer::{Manner, SystemCall, router},
        plan::{Call, Chaos, Message},
        play::{Player, Sent, Server, ask, install, verify},
    },
    platform::clock::Clock,
};

/// The maximum number of system calls that wait to be played.
const MAX_WAITING: usize = 64;

pub(super) fn command() -> Command {
    let share = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("SHARE")
            .default_value("0")
            .value_parser(share)
            .help(help)
    };
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(u64))
            .help(help)
    };
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("simulate-pbx")
        .about("Play a telephone exchange: tell a server about calls, and take its system calls")
        .arg(url_flag())
        .arg(text("workspace", "NAME", "The workspace").required(true))
        .arg(text("token", "TOKEN", "A workspace administrator's token: makes the integration, reads users, and checks every call in the end"))
        .arg(text("api-key", "KEY", "The API key of an integration that is there; else one is made with --token"))
        .arg(text("name", "NAME", "The integration's name: of the one that is made, or of that with the --api-key").default_value("pbx"))
        .arg(text("listen", "ADDRESS", "Where CALL and HANGUP are taken").default_value("127.0.0.1:0"))
        .arg(number("calls", "20", "How many calls"))
        .arg(number("concurrency", "8", "How many at a time"))
        .arg(number("seed", "1", "The same seed plays the same calls"))
        .arg(share("shuffle", "The share of calls whose messages come in any order, 0 to 1"))
        .arg(share("duplicate", "The share of messages that come twice"))
        .arg(share("drop", "The share of messages that are lost at first"))
        .arg(number("delay", "0", "The longest wait before a message, in milliseconds"))
        .arg(
            Arg::new("serve")
                .long("serve")
                .action(ArgAction::SetTrue)
                .help("Go on taking system calls until Ctrl-C"),
        )
        .arg(
            Arg::new("manner")
                .long("manner")
                .value_name("MANNER")
                .default_value("good")
                .value_parser(["good", "no-echo", "refuse"])
                .help("How system calls are answered"),
        )
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text
        .parse()
        .map_err(|_| "a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("a number from 0 to 1".to_owned())
    }
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let stopped = stop_signal()?;
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let number = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(0);
    let share = |name: &str| matches.get_one::<f64>(name).copied().unwrap_or(0.0);
    let url = url(matches)?;
    let listen = text("listen").unwrap_or_default();
    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let mut server = Server {
        client: http().build()?,
        url,
        workspace: text("workspace").unwrap_or_default(),
        api_key: text("api-key").unwrap_or_default(),
    };
    let (token, name) = (text("token"), text("name").unwrap_or_default());
    if server.api_key.is_empty() {
        let token = token
            .as_deref()
            .context("either --api-key or --token is needed")?;
        server.api_key = install(&server, token, &name, &base_url)
            .await
            .with_context(|| format!("cannot make the integration `{name}`"))?;
        say(&format!(
            "made the integration {name}; its API key is {}",
            server.api_key
        ));
    }
    say(&format!("system calls are taken at {base_url}"));
    let users = match &token {
        Some(token) => users(&server, token).await?,
        None => Vec::new(),
    };

    let chaos = Chaos {
        shuffle: share("shuffle"),
        duplicate: share("duplicate"),
        drop: share("drop"),
        delay: Duration::from_millis(number("delay")),
    };
    let pause = Duration::from_millis(100);
    let player = Arc::new(Player::new(server.clone(), chaos, pause).await?);
    let manner = match text("manner").as_deref() {
        Some("no-echo") => Manner::NoEcho,
        Some("refuse") => Manner::Refuse,
        _ => Manner::Good,
    };
    let (calls, desk) = mpsc::channel(MAX_WAITING);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router(manner, calls)).await });
    tasks.spawn(attend(player.clone(), desk));

    let (seed, now) = (number("seed"), Clock::System.now());
    let planned: Vec<Call> = (0..number("calls"))
        .map(|n| Call::random(seed, n, now, &users))
        .collect();
    let concurrency = usize::try_from(number("concurrency")).unwrap_or(1);
    let telling = player.tell_all(planned.clone(), concurrency, seed);
    let mut stopped = std::pin::pin!(stopped);
    tokio::select! {
        () = telling => {}
        () = &mut stopped => bail!("stopped before all calls were sent"),
    }
    let wrong = match &token {
        Some(token) => Some(verify(&server, token, &name, &planned).await?),
        None => None,
    };
    let tally = player.tally();
    for line in tally
        .complaints
        .iter()
        .chain(wrong.iter().flatten().take(20))
    {
        say(line);
    }
    let checked = match &wrong {
        Some(wrong) => format!("{} of them wrong", wrong.len()),
        None => "not checked, since there is no --token".to_owned(),
    };
    say(&format!(
        "{} calls told in {} messages, {} sent again, answers {:?}; {checked}",
        tally.calls, tally.taken, tally.again, tally.statuses
    ));
    if matches.get_flag("serve") {
        say("taking system calls until Ctrl-C");
        stopped.await;
    }
    if tally.complaints.is_empty() && wrong.is_none_or(|wrong| wrong.is_empty()) {
        Ok(())
    } else {
        bail!("the server's records differ from the calls")
    }
}

/// The ids of the workspace's users.
async fn users(server: &Server, token: &str) -> Result<Vec<String>> {
    let url = format!(
        "{}/api/v1/{}/users?limit=1000",
        server.url, server.workspace
    );
    let list = ask(server.client.get(url).bearer_auth(token)).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let ids = items.iter().filter_map(|user| user["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// Executes system calls: a call is made and answered, and a hang-up ends it.
async fn attend(player: Arc<Player>, mut desk: mpsc::Receiver<SystemCall>) -> std::io::Result<()> {
    while let Some(call) = desk.recv().await {
        let messages = match call {
            SystemCall::Call(body) => {
                say(&format!("CALL {body}"));
                dialled(&body)
            }
            SystemCall::HangUp { id, body } => {
                say(&format!("HANGUP {id} {body}"));
                hung_up(&id, &body)
            }
        };
        for message in messages {
            if let Sent::Never(why) = player.send(&message).await {
                say(&why);
            }
        }
    }
    Ok(())
}

/// The messages about a call by a user: the other side rings and answers.
fn dialled(body: &Value) -> Vec<Message> {
    let now = Clock::System.now();
    let external_id = generate(now).to_string();
    let after = |seconds| (now + Duration::from_secs(seconds)).to_string();
    let to = match body.get("toUserId") {
        Some(user) => json!({ "type": "user", "userId": user }),
        None => json!({ "type": "client" }),
    };
    let is_internal = body.get("toUserId").is_some();
    let from = json!({ "type": "user", "userId": body["fromUserId"] });
    let event = |kind: &str, at: String| Message {
        name: "call-event",
        body: json!({
            "communicationId": body["communicationId"], "externalId": external_id,
            "externalCallItemId": external_id, "realtimeCallItemId": external_id,
            "timestamp": at, "type": kind, "from": from, "to": to,
        }),
    };
    let started = Message {
        name: "call-started",
        body: json!({
            "communicationId": body["communicationId"], "externalId": external_id, "timestamp": after(0),
            "externalVatsPhone": "79229929292", "clientPhone": body.get("clientPhone"),
            "direction": if is_internal { "internal" } else { "outbound" },
        }),
    };
    vec![
        started,
        event("appeared", after(1)),
        event("connected", after(2)),
    ]
}

/// The messages about a hang-up by a user.
fn hung_up(id: &str, body: &Value) -> Vec<Message> {
    let at = Clock::System.now().to_string();
    let leg = &body["realtimeCallItemId"];
    let ended = Message {
        name: "call-event",
        body: json!({
            "communicationId": id, "externalCallItemId": leg, "realtimeCallItemId": leg, "timestamp": at,
            "type": "disconnected", "from": { "type": "user", "userId": body.get("userId") }, "to": { "type": "client" },
        }),
    };
    let finished = Message {
        name: "call-finished",
        body: json!({ "communicationId": id, "timestamp": at }),
    };
    vec![ended, finished]
}
