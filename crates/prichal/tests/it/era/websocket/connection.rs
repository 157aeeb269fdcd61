//! Connections: how they are set up, kept alive and closed.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest as _, protocol::frame::coding::CloseCode,
    },
};

use super::error;
use crate::harness::{
    channel_workspace::{ChannelWorkspace, CreatedChannel, POINTS},
    hub::{Installation, WAIT_TIMEOUT, eventually},
    websocket_client::{WebsocketClient, address},
};

#[tokio::test]
async fn a_connection_is_set_up() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({ "type": "telegram" })).await;
    let mut client = WebsocketClient::open(&era.hub, &channel).await;
    let early = client.ask("test", json!({ "qid": "a" })).await;
    assert_eq!(
        early,
        error(json!("a"), 1403, "The capability test is not set up")
    );
    let setup = json!({ "qid": "q", "capabilities": [{ "key": "test" }, { "key": "ivrapi" }] });
    let answer = client.ask("setup", setup).await;
    let unknown = json!({ "key": "ivrapi", "result": "error", "errormsg": "Unknown capability" });
    let expected =
        json!({ "qid": "q", "capabilities": [{ "key": "test", "result": "ok" }, unknown] });
    assert_eq!(answer, expected);
    assert_eq!(
        client.ask("test", json!({ "qid": [1] })).await,
        json!({ "qid": [1], "result": "ok" })
    );
    let info = client.ask("connection_info", json!({ "qid": 7 })).await;
    assert_eq!(
        (&info["ownertype"], &info["domain"], &info["token"]),
        (&json!("token"), &json!("acme"), &json!(channel.token))
    );
    assert_eq!(
        (
            &info["integration_point_id"],
            &info["integration_point_type"]
        ),
        (&json!(channel.id), &json!("telegram"))
    );
    assert_eq!(
        (&info["capabilities"], &info["roles"], &info["qid"]),
        (&json!(["test"]), &json!([]), &json!(7))
    );
    assert_eq!(
        (&info["datetime"], &info["timestamp"]),
        (
            &json!("2026-01-01T00:00:00.000Z"),
            &json!(1_767_225_600_000_i64)
        )
    );
    assert_eq!(info["site"], "main");
    // An unreadable message is answered, and the connection stays open.
    for bad in [
        "",
        "{",
        "{}",
        "[]",
        "[1, {}]",
        "[\"test\"]",
        "[\"test\", {}, 1]",
    ] {
        client.send(bad).await;
        let frame = client.next().await;
        assert_eq!(
            (&frame[0], &frame[1]["errorcode"]),
            (&json!("error"), &json!(1400)),
            "{bad}"
        );
    }
    let params = client.ask("test", json!(7)).await;
    assert_eq!(params["errorcode"], 1400);
    assert_eq!(
        client.ask("setup", json!({ "qid": 1 })).await["errorcode"],
        1400
    );
    assert_eq!(
        client.ask("test", json!({})).await,
        json!({ "result": "ok" })
    );
}

#[tokio::test]
async fn connections_without_access_are_refused() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let refused = |url: String| async move {
        match connect_async(url).await {
            Err(Error::Http(response)) => response.status().as_u16(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(address(&era.hub, "/ws/token/v1")).await, 401);
    assert_eq!(
        refused(address(
            &era.hub,
            "/ws/token/v1/82ddc7c68623726346a78371173e2f8d"
        ))
        .await,
        401
    );
    let plain = era.token_holder(&channel).get("/ws/token/v1").await;
    assert_eq!(plain["error_code"], 1400, "{}", plain.text);
    let mut request = address(&era.hub, "/ws/token/v1")
        .into_client_request()
        .expect("a URL");
    let bearer = format!("Bearer {}", channel.token)
        .parse()
        .expect("a value");
    request.headers_mut().insert("authorization", bearer);
    let (socket, _) = connect_async(request)
        .await
        .expect("the token may stand in the header");
    drop(socket);
    let path = format!("{POINTS}/{}", channel.id);
    era.change(&path, json!({ "opts": { "ip_mask": ["10.0.0.0/8"] } }))
        .await
        .ok();
    assert_eq!(
        refused(address(
            &era.hub,
            &format!("/ws/token/v1/{}", channel.token)
        ))
        .await,
        403
    );
}

#[tokio::test]
async fn a_protocol_error_ends_the_connection() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let mut binary = WebsocketClient::open(&era.hub, &channel).await;
    binary
        .0
        .send(Message::binary(vec![1, 2]))
        .await
        .expect("the server reads");
    assert_eq!(binary.closed().await, Some(CloseCode::Unsupported));
    let mut long = WebsocketClient::open(&era.hub, &channel).await;
    let _ = long.0.send(Message::text("x".repeat((1 << 20) + 1))).await;
    assert_eq!(long.closed().await, Some(CloseCode::Size));
    for (bytes, code) in [
        // A text that is not UTF-8, a frame that is not masked, a reserved opcode.
        (vec![0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], CloseCode::Invalid),
        (vec![0x81, 0x01, b'x'], CloseCode::Protocol),
        (vec![0x83, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
    ] {
        use tokio::io::AsyncWriteExt as _;
        let mut client = WebsocketClient::open(&era.hub, &channel).await;
        client
            .0
            .get_mut()
            .write_all(&bytes)
            .await
            .expect("the server reads");
        assert_eq!(client.closed().await, Some(code), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_answered() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    client.0.close(None).await.expect("the server reads");
    let wait = async {
        while let Some(frame) = client.0.next().await {
            match frame {
                Ok(Message::Close(_)) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    };
    assert!(
        tokio::time::timeout(WAIT_TIMEOUT, wait)
            .await
            .expect("it ends")
    );
}

#[tokio::test]
async fn a_connection_ends_with_its_channel() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    era.rest.delete(&format!("{POINTS}/{}", channel.id)).await;
    assert_eq!(client.closed().await, Some(CloseCode::Policy));
    let again = era.channel("sock", json!({})).await;
    let mut client = WebsocketClient::with(&era.hub, &again, &["test"]).await;
    let waiting = async { client.closed().await };
    let (code, _) = tokio::join!(waiting, era.hub.stop());
    assert_eq!(code, Some(CloseCode::Away));
}

#[tokio::test]
async fn a_client_without_pongs_is_dropped() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let mut alive = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    // A half-open connection: it sends nothing, not even its end.
    let dead = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    let sockets = &era.hub.app.channels.sockets;
    assert_eq!(sockets.count(), 2);
    // The session of the silent one may see the clock late, so it may take more than its share of rounds.
    for _ in 0..100 {
        era.hub.advance(Duration::from_secs(30));
        assert!(alive.is_pinged().await);
        assert_eq!(alive.ask("test", json!({})).await["result"], "ok");
        if sockets.count() == 1 {
            break;
        }
    }
    assert_eq!(sockets.count(), 1, "the silent one is dropped");
    drop(dead);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let era = ChannelWorkspace::new().await;
    let source = "for (let i = 0; i < 40; i++) channel.websocket.send('flood', 'x'.repeat(500000))";
    let channel = era.sync_channel("flood", source).await;
    let client = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    eventually("it is given up", || async {
        era.hook(&channel, json!({})).await.ok();
        (era.hub.app.channels.sockets.count() == 0).then_some(())
    })
    .await;
    drop(client);
}

#[tokio::test]
#[ignore = "needs a NATS server and PostgreSQL"]
async fn any_node_may_hold_the_connection() {
    if !crate::harness::hub::on_postgres() {
        return;
    }
    let bus = std::env::var("PRICHAL_TEST_NATS").expect("PRICHAL_TEST_NATS names a server");
    let installation = Installation::new(move |config| config.bus_url = Some(bus.clone().into()));
    let (one, two) = (
        installation.start().await,
        installation.second_node().start().await,
    );
    let era = ChannelWorkspace::at(one).await;
    let source = "channel.websocket.send('told', request.body)";
    let channel = era.sync_channel("sock", source).await;
    let mut client = WebsocketClient::with(&two, &channel, &["test"]).await;
    era.hook(&channel, json!({ "n": 1 })).await.ok();
    assert_eq!(client.next().await, json!(["told", { "n": 1 }]));
    let path = format!("{POINTS}/{}", channel.id);
    era.rest.delete(&path).await;
    let ended = async { client.closed().await };
    let code = two.advance_until(Duration::from_millis(250), ended).await;
    assert_eq!(code, Some(CloseCode::Policy));
}

#[tokio::test]
async fn a_connection_knows_itself_before_it_is_set_up() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let mut client = WebsocketClient::open(&era.hub, &channel).await;
    let mut other = WebsocketClient::open(&era.hub, &channel).await;
    let info = client.ask("connection_info", json!({ "qid": null })).await;
    assert_eq!(
        (&info["result"], &info["qid"], &info["capabilities"]),
        (&json!("ok"), &Value::Null, &json!([]))
    );
    let there = other.ask("connection_info", json!({ "qid": 0 })).await;
    for name in ["sessionid", "connectionid"] {
        let id = info[name].as_str().and_then(prichal_core::id::parse);
        assert!(id.is_some(), "{name}: {info}");
    }
    assert_ne!(info["connectionid"], there["connectionid"]);
    // A further set-up keeps the earlier capabilities.
    let asked = |key: &str| json!({ "capabilities": [{ "key": key }] });
    client.ask("setup", asked("test")).await;
    client.ask("setup", asked("msg")).await;
    let info = client
        .ask("connection_info", json!({ "qid": { "a": [1] } }))
        .await;
    assert_eq!(
        (&info["capabilities"], &info["qid"]),
        (&json!(["msg", "test"]), &json!({ "a": [1] }))
    );
}

#[tokio::test]
async fn a_connection_shows_the_token_it_was_opened_with() {
    let era = ChannelWorkspace::new().await;
    let channel = era.open("sock", json!({}), &["rest"]).await;
    let itself =
        json!({ "operation": "read", "classpath": "service/integration_points", "id": channel.id });
    let path = format!("{POINTS}/{}/rotate_token", channel.id);
    let overlap = json!({ "overlap_seconds": 600 });
    let turned = era.rest.post(&path, overlap.clone()).await.ok();
    let fresh = turned.str("token_local");
    let mut client = WebsocketClient::with(&era.hub, &channel, &["rest"]).await;
    let info = client.ask("connection_info", json!({})).await;
    assert_eq!(info["token"], json!(channel.token));
    assert!(!info.to_string().contains(&fresh), "{info}");
    for _ in 0..2 {
        let read = client.ask("rest", itself.clone()).await;
        assert_eq!(read["content"]["code"], "sock", "{read}");
        assert!(!read.to_string().contains(&fresh), "{read}");
        era.hub.advance(Duration::from_secs(1));
    }
    let renewed = CreatedChannel {
        token: fresh.clone(),
        ..channel
    };
    let mut client = WebsocketClient::with(&era.hub, &renewed, &["rest"]).await;
    let read = client.ask("rest", itself).await;
    assert_eq!(read["content"]["token_local"], json!(fresh));
    era.rest.post(&path, overlap).await.ok();
    let info = client.ask("connection_info", json!({})).await;
    assert_eq!(info["token"], json!(fresh));
}

#[tokio::test]
async fn a_connection_is_pinged() {
    let era = ChannelWorkspace::new().await;
    let channel = era.channel("sock", json!({})).await;
    let mut client = WebsocketClient::with(&era.hub, &channel, &["test"]).await;
    era.hub.advance(Duration::from_secs(30));
    assert!(client.is_pinged().await);
}

#[tokio::test]
async fn another_protocol_version_is_answered_with_ours() {
    let era = ChannelWorkspace::new().await;
    let channel = era.open("sock", json!({}), &["rest"]).await;
    let caller = era
        .token_holder(&channel)
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-version", "8")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let refused = caller.get("/ws/token/v1").await;
    assert_eq!(
        (refused.status, &refused["error_code"]),
        (400, &json!(1400))
    );
    assert_eq!(refused.header("sec-websocket-version"), Some("13"));
    let mut client = WebsocketClient::open(&era.hub, &channel).await;
    for capabilities in [json!(["msg"]), json!([{}]), json!({ "key": "msg" })] {
        let asked = json!({ "qid": 1, "capabilities": capabilities });
        let refused = client.ask("setup", asked).await;
        assert_eq!(refused["errorcode"], 1400, "{refused}");
    }
    client
        .ask("setup", json!({ "capabilities": [{ "key": "rest" }] }))
        .await;
    let long = json!({ "operation": "read", "classpath": "service/svcscripts", "id": "x".repeat(100_000) });
    let refused = client.ask("rest", long).await;
    assert!(
        refused["errormsg"]
            .as_str()
            .is_some_and(|text| text.contains("The id"))
    );
}
