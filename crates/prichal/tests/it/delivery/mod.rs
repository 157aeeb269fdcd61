//! Deliveries to the receivers of webhooks.

mod alert_kinds;
mod alerts;
mod attempts;
mod call_settings;
mod egress;
mod failures;
mod lifecycle;
mod limits;
mod log;
mod receiver_answers;
mod resends;
mod schedules;
mod settings;
mod states;
mod tls;
mod transformations;
mod webhooks;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::harness::{
    hub::{Caller, Hub},
    integration::Integration,
    receiver::{Call, Receiver},
};

/// A server with one workspace and an integration that is subscribed to companies.
async fn hub_with_hook(receiver: &Receiver) -> (Hub, Caller, Integration, String) {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let hook = integration.subscribe().await;
    (hub, space, integration, hook)
}

fn expected_signature(secret: &str, call: &Call) -> String {
    let key = STANDARD
        .decode(secret.strip_prefix("whsec_").expect("a signing secret"))
        .expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    let (id, at) = (
        call.header("webhook-id").expect("an id"),
        call.header("webhook-timestamp").expect("a time"),
    );
    mac.update(format!("{id}.{at}.{}", call.body).as_bytes());
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

async fn signing_secrets(integration: &Integration) -> Vec<String> {
    let instance = integration.space.get(&integration.instance()).await.ok();
    let secrets = instance["secrets"].as_array().expect("secrets").clone();
    let signing = secrets
        .iter()
        .find(|secret| secret["id"] == "webhook.signingSecret")
        .expect("a signing secret");
    let values = signing["values"]
        .as_array()
        .cloned()
        .unwrap_or_else(|| vec![signing["value"].clone()]);
    values
        .iter()
        .map(|value| value.as_str().expect("text").to_owned())
        .collect()
}

fn change(call: &Call) -> String {
    let event = call.json();
    let ids = event["entityIds"].as_object().expect("ids");
    let kind = ids
        .keys()
        .next()
        .and_then(|member| member.strip_suffix("Id"))
        .expect("an id");
    format!(
        "{kind} {}",
        event["changeData"]["type"].as_str().expect("a change")
    )
}
