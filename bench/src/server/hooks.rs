//! Receivers of a workspace: integrations with webhooks, and what happens to their deliveries.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{ENTITY, ENTITY_BYTES, NO_ID, Server, Workspace};
use crate::{clock, sink::Sink, stamp::Template};

/// The time-out of a new webhook's first call.
const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// The number of webhooks of one integration, and of one PATCH.
const HOOKS_PER_INTEGRATION: usize = 100;
/// The change of an entity that [`Workspace::patch_company`] makes.
const PATCH: &str =
    r#"{"operations":[{"op":"replace","path":"/customFields","value":{{payload}}}]}"#;

/// An integration with webhooks.
pub struct Receiver {
    pub integration: String,
    pub hooks: Vec<String>,
}

/// A page of the delivery log.
#[derive(Deserialize)]
pub struct LogPage {
    pub items: Vec<Box<RawValue>>,
    pub next: Option<String>,
}

/// The progress of a resend.
#[derive(Clone, Debug, Deserialize)]
pub struct Resend {
    pub id: String,
    pub state: String,
    pub selected: u64,
    pub waiting: u64,
}

impl Workspace {
    /// Installs an integration whose receiver is `sink`, with a webhook for all events of companies, and waits until
    /// the sink has received a first event.
    pub fn subscribe(&mut self, server: &Server, sink: &Sink, run: u32) -> Result<()> {
        sink.begin(run);
        let receiver = self.receiver("bench.receiver", sink, 1, "company", &json!({}))?;
        self.await_first_call(server, sink, run, &receiver.integration)
    }

    /// Installs an integration whose receiver is `sink`, with `count` webhooks for all events of entities of one type.
    pub fn receiver(
        &mut self,
        name: &str,
        sink: &Sink,
        count: usize,
        entity_type: &str,
        settings: &Value,
    ) -> Result<Receiver> {
        let integration = self.install(name, sink)?;
        self.add_hooks(&integration, count, entity_type, settings)?;
        let path = self.path(&format!("integrations/instances/{integration}"));
        let instance: Value = self.api.get(&path)?;
        let hooks = instance["webHooks"].as_array().into_iter().flatten();
        let hooks: Vec<String> = hooks
            .filter_map(|hook| hook["id"].as_str().map(str::to_owned))
            .collect();
        ensure!(hooks.len() == count, "the integration has {hooks:?}");
        Ok(Receiver { integration, hooks })
    }

    /// Creates a company and waits until `sink` has received its event.
    pub fn await_first_call(
        &mut self,
        server: &Server,
        sink: &Sink,
        run: u32,
        integration: &str,
    ) -> Result<()> {
        let body = Template::new(ENTITY, ENTITY_BYTES)?.fill(run, 0);
        self.api
            .call(&Method::POST, &self.path("companies"), body.into())?;
        if !sink.wait(FIRST_CALL_TIMEOUT, |counts| counts.unique >= 1) {
            let path = self.path(&format!(
                "integrations/instances/{integration}/deliveries?limit=1"
            ));
            let attempts = self.api.get::<Value>(&path);
            let attempts =
                attempts.map_or_else(|error| format!("{error:#}"), |list| list.to_string());
            let error = anyhow::anyhow!(
                "the webhook was not called within {FIRST_CALL_TIMEOUT:?}; its attempts: {attempts}"
            );
            return server.explain(Err(error));
        }
        Ok(())
    }

    /// Registers webhooks for deals, which are never created, until there are `total`.
    pub fn add_quiet_hooks(&mut self, sink: &Sink, total: usize) -> Result<()> {
        while self.quiet < total {
            let count = HOOKS_PER_INTEGRATION.min(total - self.quiet);
            let integration = self.install(&format!("bench.quiet{}", self.quiet), sink)?;
            self.add_hooks(&integration, count, "deal", &json!({}))?;
            self.quiet += count;
        }
        Ok(())
    }

    pub(super) fn install(&mut self, name: &str, sink: &Sink) -> Result<String> {
        let base_url = format!("http://{}", sink.address());
        let manifest = json!({ "name": name, "version": "1.0", "baseUrl": base_url });
        let made = self
            .api
            .post(&self.path("private-integrations"), &manifest)?;
        let id = made["id"].as_str().context("the integration has no id")?;
        let path = self.path(&format!("integrations/{id}/install"));
        self.api.post(&path, &json!({}))?;
        Ok(id.into())
    }

    fn add_hooks(
        &mut self,
        integration: &str,
        count: usize,
        entity_type: &str,
        settings: &Value,
    ) -> Result<()> {
        let hook = json!({
            "id": NO_ID, "relativeUrl": "hook", "triggerType": "entityEvent",
            "filter": { "items": [{ "entityType": entity_type }] }, "schedule": {}, "disabled": false,
            "settings": settings,
        });
        let add = json!({ "op": "add", "path": "/webHooks", "value": hook });
        let path = self.path(&format!("integrations/instances/{integration}"));
        self.api
            .patch(&path, &json!({ "operations": vec![add; count] }))?;
        Ok(())
    }

    /// Changes settings of a webhook.
    pub fn set(&mut self, hook: &str, settings: &Value) -> Result<()> {
        let path = self.path(&format!("webhooks/{hook}"));
        self.api.patch(&path, &json!({ "settings": settings }))?;
        Ok(())
    }

    /// Creates a script.
    pub fn script(&mut self, code: &str, source: &str) -> Result<()> {
        let data = json!({ "language": "javascript", "source": source });
        let script = json!({ "code": code, "name": code, "scriptdata": data });
        self.api.post("/rest/v1/service/svcscripts", &script)?;
        Ok(())
    }

    /// Creates a company and returns its id.
    pub fn create_company(&mut self, run: u32, id: u64) -> Result<String> {
        let body = Template::new(ENTITY, ENTITY_BYTES)?.fill(run, id);
        let body: Value = serde_json::from_str(&body)?;
        let made = self.api.post(&self.path("companies"), &body)?;
        let id = made["id"].as_str().context("the company has no id")?;
        Ok(id.to_owned())
    }

    /// Changes a company.
    pub fn patch_company(&mut self, company: &str, run: u32, id: u64) -> Result<()> {
        let body = Template::new(PATCH, ENTITY_BYTES)?.fill(run, id);
        let path = self.path(&format!("companies/{company}"));
        self.api.call(&Method::PATCH, &path, body.into())?;
        Ok(())
    }

    /// Reads a page of the delivery log and returns the nanoseconds until the whole answer, and the page.
    pub fn time_log_page(
        &mut self,
        filter: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<(u64, LogPage)> {
        let before = before.map_or_else(String::new, |id| format!("&before={id}"));
        let path = self.path(&format!("deliveries?limit={limit}{filter}{before}"));
        let begun_ns = clock::now_ns();
        let body = self.api.call(&Method::GET, &path, Bytes::new())?;
        let took_ns = clock::now_ns() - begun_ns;
        let page =
            serde_json::from_slice(&body).with_context(|| format!("the answer of GET {path}"))?;
        Ok((took_ns, page))
    }

    /// Begins a resend.
    pub fn resend(&mut self, request: &Value) -> Result<Resend> {
        let begun = self.api.post(&self.path("resends"), request)?;
        Ok(serde_json::from_value(begun)?)
    }

    /// Reads the progress of a resend.
    pub fn resend_progress(&mut self, id: &str) -> Result<Resend> {
        self.api.get(&self.path(&format!("resends/{id}")))
    }

    /// Opens a stream of the workspace and waits for the beginning of the answer.
    pub fn follow(&self, topics: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let head = format!(
            "GET {}?topics={topics} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\r\n",
            self.path("stream"),
            self.token
        );
        stream.write_all(head.as_bytes())?;
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer)?;
        let answer = &answer[..read];
        if !answer.starts_with(b"HTTP/1.1 200") {
            let text = String::from_utf8_lossy(answer);
            bail!("the server refused a stream: {text:.300}");
        }
        Ok(stream)
    }
}
