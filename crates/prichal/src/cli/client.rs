//! The administration API from the command line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, ArgMatches};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prichal_core::integration::is_http_url;
use reqwest::Method;
use serde_json::{Value, json};

/// The flags that say which server, and as whom.
pub(super) fn flags() -> Vec<Arg> {
    vec![
        Arg::new("url")
            .long("url")
            .value_name("URL")
            .default_value("http://127.0.0.1:8080")
            .env_like("PRICHAL_URL", "The server"),
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
                "Where the file admin-token is; prichal-data unless given",
            ),
        Arg::new("json")
            .long("json")
            .action(ArgAction::SetTrue)
            .help("Print the answer as it came"),
    ]
}

trait EnvLike {
    fn env_like(self, variable: &str, help: &str) -> Self;
}

impl EnvLike for Arg {
    /// Says in the help which variable counts when the flag is absent.
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
        let given = |name: &str, variable: &str| {
            let flag = matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine);
            let flag = flag
                .then(|| matches.get_one::<String>(name).cloned())
                .flatten();
            flag.or_else(|| {
                std::env::var(variable)
                    .ok()
                    .filter(|value| !value.is_empty())
            })
        };
        let url = given("url", "PRICHAL_URL")
            .or_else(|| matches.get_one::<String>("url").cloned())
            .unwrap_or_default();
        if !is_http_url(&url) {
            bail!("--url: `{url}` is not allowed; it takes an http or https URL");
        }
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
            url: url.trim_end_matches('/').to_owned(),
            token,
            json: matches.get_flag("json"),
        })
    }

    /// Sends a request and returns the answer, null when it has no body. A refusal is an error with what
    /// the server says.
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

    /// All of a list, page by page.
    pub(super) async fn list(&self, path: &str) -> Result<Value> {
        let mut items = Vec::new();
        loop {
            let page = format!("{path}?offset={}&limit={PAGE}", items.len());
            let page = self.send(Method::GET, &page, None).await?;
            let found = page["items"].as_array().map_or(&[][..], Vec::as_slice);
            items.extend_from_slice(found);
            if found.len() < PAGE {
                return Ok(json!({ "count": items.len(), "items": items }));
            }
        }
    }

    /// Prints an answer: as it came, or by `lines` for people.
    pub(super) fn show(&self, answer: &Value, lines: impl Fn(&Value) -> String) {
        if self.json {
            super::say(&answer.to_string());
        } else {
            super::say(&lines(answer));
        }
    }
}

/// The most items that the server gives at once.
const PAGE: usize = 1000;
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client for our own servers.
pub(super) fn http() -> reqwest::ClientBuilder {
    // Whoever was first has set the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
}

/// A word as one segment of a path, whatever is in it.
pub(super) fn segment(word: &str) -> String {
    utf8_percent_encode(word, NON_ALPHANUMERIC).to_string()
}

/// The text of a member, empty when it has none.
pub(super) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// A line for each item of a list.
pub(super) fn each(list: &Value, line: impl Fn(&Value) -> String) -> String {
    let items = list["items"].as_array().into_iter().flatten();
    items.map(line).collect::<Vec<_>>().join("\n")
}
