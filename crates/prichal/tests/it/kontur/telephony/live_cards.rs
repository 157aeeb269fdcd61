//! Live cards: the current calls of a user (`docs/contracts/kontur.md §4.4`).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    event_stream::EventStream,
    hub::{Caller, Installation},
    telephony_exchange::{TelephonyExchange, event, finished, started},
};

/// Follows the cards of a user.
async fn cards_of(caller: &Caller) -> EventStream {
    EventStream::open(caller, "/communications/live").await
}

fn ring(id: &str, leg: &str, kind: &str, user: &str, second: u32) -> Value {
    let mut body = event(id, leg, kind, second);
    body["to"]["userId"] = user.into();
    body
}

#[tokio::test]
async fn a_user_sees_the_calls_on_his_line() {
    let pbx = TelephonyExchange::new().await;
    let (masha, dima) = (pbx.user("masha").await, pbx.user("dima").await);
    let (of_masha, of_dima) = (
        pbx.hub.user_token("my-workspace", &masha).await,
        pbx.hub.user_token("my-workspace", &dima).await,
    );
    assert_eq!(
        pbx.space.get("/communications/live").await.status,
        403,
        "no user, no line"
    );
    let (mut first, mut second) = (cards_of(&of_masha).await, cards_of(&of_masha).await);
    let mut other = cards_of(&of_dima).await;
    let id = pbx
        .send("call-started", now_started(&pbx, "1"))
        .await
        .ok()
        .str("id");
    // A ring group: both users see the card, and the one who answers keeps it.
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    pbx.send("call-event", ring("1", "d", "appeared", &dima, 1))
        .await
        .ok();
    for cards in [&mut first, &mut second, &mut other] {
        let card = cards.next().await;
        assert_eq!(
            (card.name.as_str(), &card.data["id"]),
            ("opened", &json!(id))
        );
        assert_eq!(card.data["facts"]["state"], "ringing");
    }
    pbx.send("call-event", ring("1", "m", "connected", &masha, 3))
        .await
        .ok();
    pbx.send("call-event", ring("1", "d", "disconnected", &dima, 3))
        .await
        .ok();
    let mut last = String::new();
    for cards in [&mut first, &mut second] {
        loop {
            let card = cards.next().await;
            assert_eq!(card.name, "state");
            last = card.id;
            if card.data["facts"]["state"] == "talking" {
                break;
            }
        }
    }
    loop {
        let card = other.next().await;
        if card.name == "closed" {
            break;
        }
        assert_eq!(card.name, "state");
    }
    // A tab that opens now shows the card too.
    let mut late = cards_of(&of_masha).await;
    assert_eq!(late.next().await.data["id"], json!(id));
    pbx.send("call-finished", finished("1", 30)).await.ok();
    loop {
        let card = late.next().await;
        if card.name == "closed" {
            assert_eq!(card.data["status"], "sealed");
            break;
        }
    }
    // A stream that reconnects gets the end of the call.
    let mut back = cards_of(&of_masha.clone().header("last-event-id", &last)).await;
    assert_eq!(back.next().await.name, "closed");
    let bad = of_masha.header("last-event-id", "yesterday");
    assert_eq!(bad.get("/communications/live").await.status, 400);
}

/// A call that begins at the time of the test.
fn now_started(pbx: &TelephonyExchange, id: &str) -> Value {
    let mut body = started(id);
    body["timestamp"] = pbx.hub.app.clock.now().to_string().into();
    body
}

#[tokio::test]
async fn old_calls_open_no_card() {
    let pbx = TelephonyExchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    pbx.started("1").await.ok();
    pbx.send("call-event", ring("1", "m", "connected", &masha, 1))
        .await
        .ok();
    pbx.hub.advance(Duration::from_secs(61));
    let mut cards = cards_of(&of_masha).await;
    assert_eq!(
        cards.next().await.name,
        "state",
        "it is shown, but does not pop up"
    );
}

#[tokio::test]
async fn streams_end_with_the_server() {
    let pbx = TelephonyExchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = cards_of(&of_masha).await;
    pbx.hub.stop().await;
    cards.end().await;
}

#[tokio::test]
async fn a_stream_ends_after_ten_minutes_and_is_resumed() {
    let pbx = TelephonyExchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = cards_of(&of_masha).await;
    let started = now_started(&pbx, "1");
    let id = pbx.send("call-started", started).await.ok().str("id");
    let ring = ring("1", "m", "appeared", &masha, 1);
    pbx.send("call-event", ring).await.ok();
    let card = cards.next().await;
    assert_eq!(
        (card.name.as_str(), &card.data["id"]),
        ("opened", &json!(id))
    );
    pbx.hub.advance(Duration::from_mins(10));
    cards.end().await;
    pbx.send("call-finished", finished("1", 30)).await.ok();
    let mut resumed = cards_of(&of_masha.header("last-event-id", &card.id)).await;
    let card = resumed.next().await;
    assert_eq!(
        (card.name.as_str(), &card.data["id"]),
        ("closed", &json!(id))
    );
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn cards_are_the_same_on_every_node() {
    let installation = Installation::new(|_| ());
    let pbx = TelephonyExchange::on(installation.start().await, "https://my-integration.ru").await;
    let second = installation.second_node().start().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = cards_of(&second.adopt(&of_masha)).await;
    let id = pbx
        .send("call-started", now_started(&pbx, "1"))
        .await
        .ok()
        .str("id");
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    // Without a bus the other node looks once a second.
    let look = Duration::from_millis(125);
    let card = pbx.hub.advance_until(look, cards.next()).await;
    assert_eq!(
        (card.name.as_str(), &card.data["id"]),
        ("opened", &json!(id))
    );
}

#[tokio::test]
async fn delayed_messages_open_no_card() {
    let pbx = TelephonyExchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    pbx.hub.advance(Duration::from_secs(90));
    let mut cards = cards_of(&of_masha).await;
    pbx.started("1").await.ok();
    pbx.send("call-event", ring("1", "m", "appeared", &masha, 1))
        .await
        .ok();
    assert_eq!(cards.next().await.name, "state");
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let pbx = TelephonyExchange::new().await;
    let masha = pbx.user("masha").await;
    let of_masha = pbx.hub.user_token("my-workspace", &masha).await;
    let mut cards = cards_of(&of_masha).await;
    let tokens = "/admin/v1/workspaces/my-workspace/tokens";
    let list = pbx.hub.admin().get(tokens).await.ok();
    let of_user = list["items"].as_array().expect("items").iter();
    let token = of_user
        .filter(|token| token["userId"] == masha.as_str())
        .find_map(|token| token["id"].as_str())
        .expect("a token");
    pbx.hub.admin().delete(&format!("{tokens}/{token}")).await;
    cards.end().await;
}
