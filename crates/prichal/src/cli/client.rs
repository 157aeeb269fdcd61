//! The administration API from the command line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prichal_core::integration::is_http_url;
use reqwest::Method;
use serde_json::{Value, json};

/// The flags for the server and the credentials.
pub(super) fn flags() -> Vec<Arg> {
    vec![
        url_flag(),
        Arg::new("admin-token")
            .long("admin-token")
            .value_name("TOKEN")
            .env_like(
                "PRICHAL_ADMIN_TOKEN",
                "The administrator's token; else it is read from the data directory",
            ),
        Arg::new("data-dir")
            .long("data-dir")
            .value_name("FOLDER")
            .env_like(
                "PRICHAL_DATA_DIR",
                "The folder of the file admin-token; default: prichal-data",
            ),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print the answer unchanged"),
    ]
}

/// The flag for the server.
pub(super) fn url_flag() -> Arg {
    Arg::new("url")
        .long("url")
        .value_name("URL")
        .default_value("http://127.0.0.1:8080")
        .env_like("PRICHAL_URL", "The server")
}

/// The server's URL without a slash at its end.
pub(super) fn url(matches: &ArgMatches) -> Result<String> {
    let url = given(matches, "url", "PRICHAL_URL")
        .or_else(|| matches.get_one::<String>("url").cloned())
        .unwrap_or_default();
    if !is_http_url(&url) {
        bail!("--url: `{url}` is not allowed; it takes an http or https URL");
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// The value of a flag, or else of the variable that applies when the flag is absent.
fn given(matches: &ArgMatches, name: &str, variable: &str) -> Option<String> {
    let flag = matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
    let flag = flag
        .then(|| matches.get_one::<String>(name).cloned())
        .flatten();
    flag.or_else(|| {
        std::env::var(variable)
            .ok()
            .filter(|value| !value.is_empty())
    })
}

trait EnvLike {
    fn env_like(self, variable: &str, help: &str) -> Self;
}

impl EnvLike for Arg {
    /// Names in the help the variable that applies when the flag is absent.
    fn env_like(self, variable: &str, help: &str) -> Self {
        self.help(format!("{help} [env: {variable}]"))
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
    json: bool,
}

impl Client {
    pub(super) fn new(matches: &ArgMatches) -> Result<Self> {
        let given = |name: &str, variable: &str| given(matches, name, variable);
        let token = if let Some(token) = given("admin-token", "PRICHAL_ADMIN_TOKEN") {
            token
        } else {
            let folder =
                given("data-dir", "PRICHAL_DATA_DIR").unwrap_or_else(|| "prichal-data".to_owned());
            let path = std::path::Path::new(&folder).join("admin-token");
            let text = std::fs::read_to_string(&path);
            let text = text.with_context(|| {
                format!(
                    "no --admin-token is given, and `{}` cannot be read",
                    path.display()
                )
            })?;
            text.trim().to_owned()
        };
        Ok(Self {
            http: http().build()?,
            url: url(matches)?,
            token,
            json: matches.get_flag("json"),
        })
    }

    /// Sends a request and returns the answer, null if it has no body. A refusal is an error with the server's
    /// message.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let request = self
            .http
            .request(method, format!("{}/admin/v1{path}", self.url))
            .bearer_auth(&self.token);
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        };
        let answer = request.send().await.map_err(reqwest::Error::without_url);
        let answer = answer.with_context(|| format!("cannot reach the server at {}", self.url))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            let problem: Value = serde_json::from_str(&text).unwrap_or_default();
            bail!(
                "{}",
                problem["detail"]
                    .as_str()
                    .unwrap_or(status.canonical_reason().unwrap_or("the server refused"))
            );
        }
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Reads a whole list, page by page.
    pub(super) async fn list(&self, path: &str) -> Result<Value> {
        let mut items = Vec::new();
        loop {
            let page = format!("{path}?offset={}&limit={PAGE_SIZE}", items.len());
            let page = self.send(Method::GET, &page, None).await?;
            let found = page["items"].as_array().map_or(&[][..], Vec::as_slice);
            items.extend_from_slice(found);
            if found.len() < PAGE_SIZE {
                return Ok(json!({ "count": items.len(), "items": items }));
            }
        }
    }

    /// Prints an answer, unchanged or formatted by `lines` for people.
    pub(super) fn show(&self, answer: &Value, lines: impl Fn(&Value) -> String) {
        if self.json {
            super::say(&answer.to_string());
        } else {
            super::say(&lines(answer));
        }
    }
}

/// The maximum number of items in one answer of the server.
const PAGE_SIZE: usize = 1000;
/// The timeout for an answer of the server.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// An HTTP client for servers of Prichal.
pub(super) fn http() -> reqwest::ClientBuilder {
    // A provider that was installed before is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_TIMEOUT)
}

/// A word encoded as one segment of a path.
pub(super) fn segment(word: &str) -> String {
    utf8_percent_encode(word, NON_ALPHANUMERIC).to_string()
}

/// The text of a member; empty if it has none.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// Formats a line for each item of a list.
pub(super) fn each(list: &Value, line: impl Fn(&Value) -> String) -> String {
    let items = list["items"].as_array().into_iter().flatten();
    items.map(line).collect::<Vec<_>>().join("\n")
}
