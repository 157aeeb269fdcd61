//! The last use of tokens, as their list shows it.

use std::time::Duration;

use serde_json::Value;

use crate::harness::hub::{Hub, eventually};

async fn listed(hub: &Hub) -> Value {
    let list = hub.admin().get("/admin/v1/workspaces/acme/tokens").await;
    list.ok()["items"][0].clone()
}

#[tokio::test]
async fn a_token_shows_when_and_from_where_it_was_last_used() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let token = listed(&hub).await;
    assert_eq!(
        (&token["lastUsedAt"], &token["lastUsedFrom"]),
        (&Value::Null, &Value::Null)
    );

    space.get("/settings").await.ok();
    let first = eventually("the first use is noted", || async {
        Some(listed(&hub).await).filter(|token| token["lastUsedAt"].is_string())
    })
    .await;
    assert_eq!(first["lastUsedFrom"], "127.0.0.1");

    // A use within a minute is not noted again, a later one is.
    hub.advance(Duration::from_secs(59));
    space.get("/settings").await.ok();
    hub.advance(Duration::from_secs(2));
    space.get("/settings").await.ok();
    let second = eventually("the second use is noted", || async {
        Some(listed(&hub).await).filter(|token| token["lastUsedAt"] != first["lastUsedAt"])
    })
    .await;
    let seconds = |token: &Value| {
        let text = token["lastUsedAt"].as_str().expect("a time").to_owned();
        prichal_core::time::Timestamp::parse(&text)
            .expect("a time")
            .secs()
    };
    assert_eq!(seconds(&second) - seconds(&first), 61);
}
