//! `prichal login`: a token of a workspace for somebody whom the company's OpenID provider confirms, by the device flow
//! (RFC 8628). The person confirms the sign-in in a browser, on this machine or on another.

use std::{io::Write as _, time::Duration};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{http, segment, text, url, url_flag};

/// The pause between two questions at the provider, unless it says otherwise (RFC 8628 §3.2).
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The lifetime of a code, unless the provider tells it.
const CODE_LIFETIME: Duration = Duration::from_mins(10);
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) fn command() -> Command {
    let workspace = Arg::new("workspace")
        .value_name("WORKSPACE")
        .required(true)
        .help("The workspace's name or id");
    let json = Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Print the answer unchanged");
    Command::new("login")
        .about("Sign in with the company's OpenID provider, and print a token that is valid for twelve hours")
        .arg(workspace)
        .arg(url_flag())
        .arg(json)
}

pub(super) async fn run(matches: &ArgMatches) -> Result<()> {
    let http = http().build()?;
    let server = url(matches)?;
    let workspace = matches.get_one::<String>("workspace");
    let workspace = segment(workspace.map(String::as_str).unwrap_or_default());
    let exchange = format!("{server}/api/v1/{workspace}/oidc");
    let settings = get(&http, &exchange).await?;
    let issuer = text(&settings, "issuer").trim_end_matches('/');
    let description = format!("{issuer}/.well-known/openid-configuration");
    let provider = get(&http, &description).await?;
    let id_token = sign_in(&http, &settings, &provider).await?;
    let body = json!({ "idToken": id_token }).to_string();
    let request = http
        .post(exchange)
        .header("content-type", "application/json")
        .body(body);
    let made = read(request.send().await.map_err(reqwest::Error::without_url)?).await;
    let made = made.context("the server gives no token")?;
    if matches.get_flag("json") {
        super::say(&made.to_string());
    } else {
        super::say(text(&made, "token"));
    }
    Ok(())
}

/// Waits until the person has confirmed the sign-in, and returns the ID token.
async fn sign_in(http: &Client, settings: &Value, provider: &Value) -> Result<String> {
    let client = text(settings, "clientId");
    let scopes = settings["scopes"].as_array().into_iter().flatten();
    let scopes = scopes.filter_map(Value::as_str);
    let scope = std::iter::once("openid").chain(scopes).collect::<Vec<_>>();
    let at = text(provider, "device_authorization_endpoint");
    if at.is_empty() {
        bail!("the provider has no device flow");
    }
    let form = [("client_id", client), ("scope", &scope.join(" "))];
    let begun = read(post(http, at, &form).await?).await;
    let begun = begun.context("the provider begins no sign-in")?;
    let whole = text(&begun, "verification_uri_complete");
    let page = Some(whole).filter(|page| !page.is_empty());
    let page = page.unwrap_or_else(|| text(&begun, "verification_uri"));
    let code = text(&begun, "user_code");
    // The token alone is on standard output.
    let _ = writeln!(
        std::io::stderr(),
        "Open {page} and confirm the code {code}."
    );
    let seconds =
        |member: &str, default| begun[member].as_u64().map_or(default, Duration::from_secs);
    let deadline = Instant::now() + seconds("expires_in", CODE_LIFETIME);
    let mut pause = seconds("interval", POLL_INTERVAL);
    let form = [
        ("client_id", client),
        ("grant_type", GRANT),
        ("device_code", text(&begun, "device_code")),
    ];
    while Instant::now() < deadline {
        sleep(pause).await;
        let answer = post(http, text(provider, "token_endpoint"), &form).await?;
        let status = answer.status();
        let answer: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
        if status.is_success() {
            let token = text(&answer, "id_token").to_owned();
            return Some(token)
                .filter(|token| !token.is_empty())
                .context("the provider gives no ID token");
        }
        match text(&answer, "error") {
            "authorization_pending" => {}
            "slow_down" => pause += POLL_INTERVAL,
            "access_denied" => bail!("the sign-in was refused"),
            "expired_token" => break,
            other => bail!("the provider refuses the sign-in: {status} {other}"),
        }
    }
    bail!("nobody has confirmed the sign-in in time")
}

async fn get(http: &Client, url: &str) -> Result<Value> {
    let answer = http.get(url).send().await;
    let answer = answer.with_context(|| format!("cannot reach {url}"))?;
    read(answer)
        .await
        .with_context(|| format!("{url} has no settings of a sign-in"))
}

/// Sends a form. Its URL has no secret.
async fn post(http: &Client, url: &str, fields: &[(&str, &str)]) -> Result<Response> {
    let form = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    let request = http
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    request
        .send()
        .await
        .with_context(|| format!("cannot reach {url}"))
}

/// The answer to a request, unless it is a refusal.
async fn read(answer: Response) -> Result<Value> {
    let status = answer.status();
    let body: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
    if status.is_success() {
        return Ok(body);
    }
    let reasons = ["detail", "error_description", "error"];
    let reason = reasons.iter().map(|member| text(&body, member));
    let reason = reason.into_iter().find(|reason| !reason.is_empty());
    bail!("{status} {}", reason.unwrap_or_default())
}
