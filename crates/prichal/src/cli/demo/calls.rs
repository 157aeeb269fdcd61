//! Telephone calls: one that nobody has answered, one with a recording, one that goes on, and those that are asked for.

use std::time::Duration;

use anyhow::{Result, ensure};
use prichal_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    caller::{Caller, File, member},
    deliveries::install,
    receivers::Receivers,
    recording,
};
use crate::platform::clock::Clock;

/// The company's own line.
const LINE: &str = "77172700000";
/// The numbers of the clients: of the missed call, of the recorded one, of the one that goes on.
pub(super) const CLIENTS: [&str; 3] = ["77011112233", "77022223344", "77033334455"];

/// The time after which the other side answers, and that after which it hangs up.
const RINGING: Duration = Duration::from_secs(4);
const TALK: Duration = Duration::from_mins(1);

/// Reports the calls as an exchange does. `user` is the employee whose telephone rings.
pub(super) async fn seed(
    space: &Caller,
    receivers: &Receivers,
    user: &str,
    now: Timestamp,
) -> Result<()> {
    let integration = install(space, "Telephony", &receivers.url).await?;
    let features =
        json!({ "op": "replace", "path": "/features", "value": { "call": true, "hangup": true } });
    let path = format!("/integrations/instances/{integration}");
    space
        .patch(&path, json!({ "operations": [features] }))
        .await?;
    let key = space
        .post(&format!("/integrations/{integration}/api-key"), json!({}))
        .await?;
    let key = space
        .below("")
        .with_header("x-xcom-integration-apikey", member(&key, "apiKey")?);
    let access = key
        .post(
            "/api/v1/authorization/authorize-private-integration",
            json!({}),
        )
        .await?;
    let exchange = space.with_header("x-xcom-accesskey", member(&access, "accessKey")?);
    let is_first = receivers.exchange.caller.set(exchange.clone()).is_ok();
    ensure!(is_first, "there are two exchanges");

    let ago = |seconds: u64| now - Duration::from_secs(seconds);
    let missed = leg("1-1", user, None, ago(1140), &json!([]));
    report(&exchange, "1", CLIENTS[0], ago(1165), &missed).await?;

    let bytes = recording::wav();
    let file = File {
        name: "conversation.wav",
        media_type: "audio/wav",
        bytes: &bytes,
    };
    let uploaded = exchange.upload("/files", "file", &file).await?;
    let recordings = json!([{
        "fileId": member(&uploaded, "fileId")?, "fileName": file.name, "contentType": file.media_type,
        "contentLength": bytes.len().to_string(),
    }]);
    let ended = ago(600);
    let began = ended - Duration::from_secs(recording::SECONDS);
    let answered = leg("2-1", user, Some(began), ended, &recordings);
    report(&exchange, "2", CLIENTS[1], ago(615), &answered).await?;

    begin(&exchange, user, [ago(12), ago(11), ago(6)]).await
}

/// A leg of a call, from the client to a user. A leg that was not answered has no beginning.
fn leg(
    id: &str,
    user: &str,
    began: Option<Timestamp>,
    ended: Timestamp,
    recordings: &Value,
) -> Value {
    let mut leg = json!({
        "id": id, "from": { "type": "client" }, "to": { "type": "user", "userId": user },
        "finishedAt": ended.to_string(), "recordings": recordings,
    });
    if let Some(began) = began {
        leg["startedAt"] = began.to_string().into();
    }
    leg
}

/// Reports a call that is over.
async fn report(
    exchange: &Caller,
    id: &str,
    client: &str,
    created: Timestamp,
    leg: &Value,
) -> Result<()> {
    let call = json!({
        "externalId": id, "externalCreatedAt": created.to_string(), "direction": "inbound",
        "externalVatsPhone": LINE, "clientPhone": client, "items": [leg],
    });
    tell(exchange, "register-call", call).await
}

/// Reports a call that has come, has rung and was answered at these times.
async fn begin(
    exchange: &Caller,
    user: &str,
    [came, rang, answered]: [Timestamp; 3],
) -> Result<()> {
    let call = json!({
        "externalId": "3", "timestamp": came.to_string(), "direction": "inbound", "externalVatsPhone": LINE,
        "clientPhone": CLIENTS[2],
    });
    tell(exchange, "call-started", call).await?;
    for (kind, at) in [("appeared", rang), ("connected", answered)] {
        let event = json!({
            "externalId": "3", "externalCallItemId": "3-1", "realtimeCallItemId": "3-1", "timestamp": at.to_string(),
            "type": kind, "from": { "type": "client" }, "to": { "type": "user", "userId": user },
        });
        tell(exchange, "call-event", event).await?;
    }
    Ok(())
}

/// Reports a call that a user has asked for: it rings, is answered, and ends.
pub(super) async fn make(exchange: &Caller, asked: &Value) -> Result<()> {
    let id = member(asked, "communicationId")?;
    let user = asked["fromUserId"].as_str().unwrap_or_default();
    let call = json!({
        "communicationId": id, "externalId": id, "timestamp": Clock::System.now().to_string(), "direction": "outbound",
        "externalVatsPhone": LINE, "clientPhone": asked["clientPhone"],
    });
    tell(exchange, "call-started", call).await?;
    report_leg(exchange, &id, &id, user, "appeared").await?;
    tokio::time::sleep(RINGING).await;
    report_leg(exchange, &id, &id, user, "connected").await?;
    tokio::time::sleep(TALK).await;
    end(exchange, &id, &id, user).await
}

/// Reports the end of a call.
pub(super) async fn end(exchange: &Caller, call: &str, leg: &str, user: &str) -> Result<()> {
    report_leg(exchange, call, leg, user, "disconnected").await?;
    let at = Clock::System.now().to_string();
    let over = json!({ "communicationId": call, "timestamp": at });
    tell(exchange, "call-finished", over).await
}

async fn report_leg(
    exchange: &Caller,
    call: &str,
    leg: &str,
    user: &str,
    kind: &str,
) -> Result<()> {
    let from = if user.is_empty() {
        json!({ "type": "user" })
    } else {
        json!({ "type": "user", "userId": user })
    };
    let event = json!({
        "communicationId": call, "externalCallItemId": leg, "realtimeCallItemId": leg,
        "timestamp": Clock::System.now().to_string(), "type": kind, "from": from, "to": { "type": "client" },
    });
    tell(exchange, "call-event", event).await
}

async fn tell(exchange: &Caller, name: &str, body: Value) -> Result<()> {
    let path = format!("/communications/callbacks/telephony/{name}");
    exchange.post(&path, body).await.map(drop)
}
