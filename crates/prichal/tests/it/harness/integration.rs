//! An integration that is installed in a workspace.

use serde_json::{Value, json};

use crate::harness::hub::{Answer, Caller, eventually};

pub(crate) struct Integration {
    /// An administrator of the workspace.
    pub(crate) space: Caller,
    pub(crate) id: String,
}

impl Integration {
    /// Makes a private integration and installs it.
    pub(crate) async fn install(space: &Caller, name: &str, base_url: &str) -> Self {
        let manifest = json!({ "name": name, "version": "1.0", "baseUrl": base_url });
        let id = space
            .post("/private-integrations", manifest)
            .await
            .ok()
            .str("id");
        space
            .post(&format!("/integrations/{id}/install"), json!({}))
            .await
            .ok();
        Self {
            space: space.clone(),
            id,
        }
    }

    pub(crate) fn instance(&self) -> String {
        format!("/integrations/instances/{}", self.id)
    }

    pub(crate) async fn patch(&self, operations: Value) -> Answer {
        self.space.patch(&self.instance(), operations).await
    }

    /// Adds a webhook and returns its id.
    pub(crate) async fn add_hook(&self, hook: Value) -> String {
        self.patch(json!([{ "op": "add", "path": "/webHooks", "value": hook }]))
            .await
            .ok();
        let instance = self.space.get(&self.instance()).await.ok();
        let hooks = instance["webHooks"].as_array().expect("webhooks").clone();
        hooks
            .last()
            .and_then(|hook| hook["id"].as_str())
            .expect("a webhook")
            .to_owned()
    }

    /// Subscribes to everything that happens to companies.
    pub(crate) async fn subscribe(&self) -> String {
        self.add_hook(entity_hook(
            "/callbacks",
            json!([{ "entityType": "company" }]),
        ))
        .await
    }

    pub(crate) async fn status(&self) -> String {
        self.space.get(&self.instance()).await.ok().str("status")
    }

    /// Waits until the instance shows this status.
    pub(crate) async fn wait_for_status(&self, status: &str) {
        eventually(&format!("status {status}"), || async {
            (self.status().await == status).then_some(())
        })
        .await;
    }

    /// The attempts of the instance, newest first, as soon as there are `count` of them.
    pub(crate) async fn attempts(&self, count: usize) -> Vec<Value> {
        let path = format!("{}/deliveries?limit=1000", self.instance());
        eventually(&format!("{count} attempts"), || async {
            let items = self.space.get(&path).await.ok()["items"]
                .as_array()
                .expect("items")
                .clone();
            (items.len() >= count).then_some(items)
        })
        .await
    }

    /// A new access key.
    pub(crate) async fn access_key(&self) -> String {
        let api_key = self
            .space
            .post(&format!("/integrations/{}/api-key", self.id), json!({}))
            .await
            .ok()
            .str("apiKey");
        let caller = self
            .space
            .at("/api/v1")
            .header("x-xcom-integration-apikey", &api_key);
        let answer = caller
            .post("/authorization/authorize-private-integration", json!({}))
            .await
            .ok();
        answer.str("accessKey")
    }
}

pub(crate) fn entity_hook(url: &str, items: Value) -> Value {
    json!({ "relativeUrl": url, "triggerType": "entityEvent", "filter": { "items": items }, "disabled": false })
}

pub(crate) fn schedule_hook(url: &str, period: &str) -> Value {
    json!({ "relativeUrl": url, "triggerType": "schedule", "schedule": { "period": period }, "disabled": false })
}

/// Makes a company and returns its id.
pub(crate) async fn company(space: &Caller, name: &str) -> String {
    space
        .post("/companies", json!({ "name": name }))
        .await
        .ok()
        .str("id")
}
