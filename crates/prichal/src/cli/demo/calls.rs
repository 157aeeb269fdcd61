//! Telephone calls: one that nobody has answered, one with a recording, one that goes on.

use std::time::Duration;

use anyhow::Result;
use prichal_core::time::Timestamp;
use serde_json::{Value, json};

use super::{
    caller::{Caller, File, member},
    deliveries::install,
    recording,
};

/// The company's own line.
const LINE: &str = "77172700000";
/// The numbers of the clients: of the missed call, of the recorded one, of the one that goes on.
pub(super) const CLIENTS: [&str; 3] = ["77011112233", "77022223344", "77033334455"];

/// Reports the calls as an exchange does. `user` is the employee whose telephone rings.
pub(super) async fn seed(space: &Caller, base_url: &str, user: &str, now: Timestamp) -> Result<()> {
    let integration = install(space, "Telephony", base_url).await?;
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

async fn tell(exchange: &Caller, name: &str, body: Value) -> Result<()> {
    let path = format!("/communications/callbacks/telephony/{name}");
    exchange.post(&path, body).await.map(drop)
}
