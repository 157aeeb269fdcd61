//! `prichal demo`: the main function in one command. It runs a server on a fresh data directory, an integration whose
//! receiver is in the same process, a webhook, and a change every second.

use std::{os::unix::fs::DirBuilderExt as _, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Arg, ArgMatches, Command};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::{net::TcpListener, sync::OnceCell, task::JoinSet};

use super::{
    client::http,
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
        .about("Show it at work: a server, an integration and a webhook that fires every second")
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

/// Sets the workspace up over HTTP, as a partner would, and then makes a change every second.
async fn show(url: String, admin_token: String) -> Result<()> {
    let secret = Arc::new(OnceCell::new());
    let (receiver, _serving) = receive(secret.clone()).await?;
    let admin = Caller {
        // The server is in this process, which no proxy could reach.
        http: http().no_proxy().build()?,
        base: url.clone(),
        token: admin_token,
    };
    admin
        .send(
            Method::POST,
            "/admin/v1/workspaces",
            json!({ "name": "demo", "title": "Demo" }),
        )
        .await?;
    let link = admin
        .send(Method::POST, "/admin/v1/login-links", json!({}))
        .await?;
    let link = link["url"].as_str().context("no link")?.to_owned();
    let made = admin
        .send(
            Method::POST,
            "/admin/v1/workspaces/demo/tokens",
            json!({ "name": "demo", "role": "admin" }),
        )
        .await?;
    let token = made["token"].as_str().context("no token")?.to_owned();
    let space = Caller {
        base: format!("{url}/api/v1/demo"),
        token: token.clone(),
        ..admin
    };
    let manifest = json!({ "name": "demo.listener", "version": "1.0", "baseUrl": receiver });
    let integration = space
        .send(Method::POST, "/private-integrations", manifest)
        .await?;
    let id = integration["id"].as_str().context("no id")?.to_owned();
    space
        .send(
            Method::POST,
            &format!("/integrations/{id}/install"),
            json!({}),
        )
        .await?;
    let hook = json!({ "relativeUrl": "/callbacks", "triggerType": "entityEvent", "filter": { "items": [{ "entityType": "deal" }] } });
    let operations = json!({ "operations": [{ "op": "add", "path": "/webHooks", "value": hook }] });
    let instance = space
        .send(
            Method::PATCH,
            &format!("/integrations/instances/{id}"),
            operations,
        )
        .await?;
    let signing = instance["result"]["secrets"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|secret| secret["id"] == "webhook.signingSecret");
    let signing = signing
        .and_then(|secret| secret["value"].as_str())
        .context("no signing secret")?;
    secret.set(signing.to_owned())?;
    introduce(&url, &link, &token, &id, &receiver);
    change(&space).await
}

fn introduce(url: &str, link: &str, token: &str, id: &str, receiver: &str) {
    say(&format!(
        "Prichal is at work. A deal changes every second, and its webhook tells the receiver at {receiver}.

  the console              {link}
  the API in a browser     {url}/docs
  the feed                 {url}/api/v1/demo/events
  what came of each call   {url}/api/v1/demo/integrations/instances/{id}/deliveries
  metrics                  {url}/metrics

Try:
  curl -H 'Authorization: Bearer {token}' '{url}/api/v1/demo/events?limit=3'
  curl -H 'Authorization: Bearer {token}' '{url}/api/v1/demo/integrations/instances/{id}/deliveries?limit=3'
  curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{\"name\":\"Made by hand\"}}' {url}/api/v1/demo/deals

Ctrl-C ends it and removes what it made.
"
    ));
}

async fn change(space: &Caller) -> Result<()> {
    let deal = space
        .send(
            Method::POST,
            "/deals",
            json!({ "name": "A ship comes in", "stageId": 1 }),
        )
        .await?;
    let path = format!("/deals/{}", deal["id"].as_str().context("no id")?);
    for stage in 2.. {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let operations =
            json!({ "operations": [{ "op": "replace", "path": "/stageId", "value": stage }] });
        space.send(Method::PATCH, &path, operations).await?;
    }
    Ok(())
}

struct Caller {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Caller {
    async fn send(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(&self.token);
        let answer = request
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if !status.is_success() {
            return Err(anyhow!("{path} was answered {status}: {text}"));
        }
        Ok(serde_json::from_str(&text)?)
    }
}

/// Starts the receiver, which checks the signature, prints a line and returns the echo.
async fn receive(secret: Arc<OnceCell<String>>) -> Result<(String, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let callback = move |headers: HeaderMap, body: String| {
        let secret = secret.clone();
        async move {
            let echo = headers.get("x-xcom-integration-echo").cloned();
            match (secret.get(), echo) {
                (Some(secret), Some(echo)) if is_signed(&headers, &body, secret) => {
                    print(&body);
                    (StatusCode::OK, [("x-xcom-integration-echo", echo)]).into_response()
                }
                _ => StatusCode::FORBIDDEN.into_response(),
            }
        }
    };
    let router = Router::new().route("/callbacks", post(callback));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let _ = axum::serve(listener, router).await;
    });
    Ok((url, serving))
}

/// True if the Standard Webhooks signature is valid.
fn is_signed(headers: &HeaderMap, body: &str, secret: &str) -> bool {
    let header = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let key = secret
        .strip_prefix("whsec_")
        .and_then(|key| STANDARD.decode(key).ok())
        .unwrap_or_default();
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else {
        return false;
    };
    mac.update(
        format!(
            "{}.{}.{body}",
            header("webhook-id"),
            header("webhook-timestamp")
        )
        .as_bytes(),
    );
    let expected = mac.finalize().into_bytes();
    let signatures = header("webhook-signature")
        .split(' ')
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok());
    signatures
        .into_iter()
        .any(|signature| signature == expected.as_slice())
}

fn print(body: &str) {
    let event: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (change, new) = (
        text(&event["changeData"]["type"]),
        &event["changeData"]["new"],
    );
    let time = text(&event["createInfo"]["createdAt"]);
    let stage = match &new["stageId"] {
        Value::Null => String::new(),
        stage => format!(", stage {stage}"),
    };
    say(&format!(
        "delivered  {}  deal {change}{stage}",
        time.get(11..19).unwrap_or(&time)
    ));
}
