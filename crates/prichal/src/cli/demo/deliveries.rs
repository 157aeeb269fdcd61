//! Webhooks: one whose receiver works, and some whose receiver does not.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::{
    caller::{Caller, member},
    receivers::{ACCOUNTING, Receivers, WAREHOUSE},
};

/// The interval between two changes of the deal.
pub(super) const CHANGE_INTERVAL: Duration = Duration::from_secs(20);

/// Installs an integration and returns its id.
pub(super) async fn install(space: &Caller, name: &str, base_url: &str) -> Result<String> {
    let manifest = json!({ "name": name, "version": "1.0", "baseUrl": base_url });
    let id = space.create("/private-integrations", manifest).await?;
    space
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await?;
    Ok(id)
}

/// Adds a webhook for the changes of one kind of entity, and returns the instance.
async fn add_webhook(
    space: &Caller,
    integration: &str,
    path: &str,
    entity: &str,
    settings: Value,
) -> Result<Value> {
    let hook = json!({
        "relativeUrl": path, "triggerType": "entityEvent",
        "filter": { "items": [{ "entityType": entity }] }, "settings": settings,
    });
    let operations = json!({ "operations": [{ "op": "add", "path": "/webHooks", "value": hook }] });
    let path = format!("/integrations/instances/{integration}");
    Ok(space.patch(&path, operations).await?["result"].take())
}

/// Connects both receivers, and makes the events that the warehouse refuses: two are given up after a second, others
/// wait for their next attempt. A third one given up would switch the webhook off.
pub(super) async fn seed(space: &Caller, receivers: &Receivers) -> Result<()> {
    let url = |name: &str| format!("{}{name}", receivers.url);
    let accounting = install(space, "Accounting", &url(ACCOUNTING)).await?;
    let instance = add_webhook(space, &accounting, "/deals", "deal", json!({})).await?;
    let secrets = instance["secrets"].as_array();
    let signing = secrets
        .into_iter()
        .flatten()
        .find(|secret| secret["id"] == "webhook.signingSecret")
        .context("no signing secret")?;
    receivers.secret.set(member(signing, "value")?)?;

    let warehouse = install(space, "Warehouse", &url(WAREHOUSE)).await?;
    let soon = json!({ "retrySchedule": ["1s"] });
    add_webhook(space, &warehouse, "/orders", "contact", soon).await?;
    add_webhook(space, &warehouse, "/suppliers", "company", json!({})).await?;
    for (first, last) in [("Pyotr", "Lagin"), ("Saule", "Omarova")] {
        let contact = json!({ "name": format!("{first} {last}") });
        space.create("/contacts", contact).await?;
    }
    let kinds = json!({ "failing": { "minutes": 1 } });
    space
        .patch("/alert-settings", json!({ "kinds": kinds }))
        .await?;
    switched_off(space, &warehouse).await
}

/// A webhook that somebody has switched off, which is an alert.
async fn switched_off(space: &Caller, integration: &str) -> Result<()> {
    let instance = add_webhook(space, integration, "/returns", "company", json!({})).await?;
    let hook = instance["webHooks"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|hook| hook["relativeUrl"] == "/returns")
        .context("the webhook was not added")?;
    let path = format!("/webHooks/{}/disabled", member(hook, "id")?);
    let operations = json!({ "operations": [{ "op": "replace", "path": path, "value": true }] });
    let path = format!("/integrations/instances/{integration}");
    space.patch(&path, operations).await.map(drop)
}

/// Moves the deal to a stage.
pub(super) async fn change(space: &Caller, deal: &str, stage: u32) -> Result<()> {
    let operations =
        json!({ "operations": [{ "op": "replace", "path": "/stageId", "value": stage }] });
    space
        .patch(&format!("/deals/{deal}"), operations)
        .await
        .map(drop)
}
