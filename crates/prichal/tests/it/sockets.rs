//! The websocket of a channel (`docs/contracts/era.md §9, §13`), spoken by a client that is not ours.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::Semaphore};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Error, Message, client::IntoClientRequest as _, protocol::frame::coding::CloseCode,
    },
};

use crate::{
    dock::{Dock, Made, POINTS, SCRIPTS},
    hub::{Ground, Hub, PATIENCE, eventually},
    receiver::{Receiver, Reply},
};

pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

fn address(hub: &Hub, path: &str) -> String {
    format!("{}{path}", hub.url.replacen("http", "ws", 1))
}

impl Client {
    pub(crate) async fn open(hub: &Hub, channel: &Made) -> Self {
        let url = address(hub, &format!("/ws/token/v1/{}", channel.token));
        Self(connect_async(url).await.expect("the channel is open").0)
    }

    /// With these capabilities.
    pub(crate) async fn with(hub: &Hub, channel: &Made, capabilities: &[&str]) -> Self {
        let mut client = Self::open(hub, channel).await;
        let wanted: Vec<Value> = capabilities
            .iter()
            .map(|key| json!({ "key": key }))
            .collect();
        let answer = client
            .ask("setup", json!({ "qid": 0, "capabilities": wanted }))
            .await;
        for one in answer["capabilities"].as_array().expect("a list") {
            assert_eq!(one["result"], "ok", "{answer}");
        }
        client
    }

    async fn send(&mut self, text: impl Into<String>) {
        self.0
            .send(Message::text(text.into()))
            .await
            .expect("the server reads");
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Value {
        serde_json::from_str(&self.text().await).expect("JSON")
    }

    /// The same to the letter.
    async fn text(&mut self) -> String {
        let wait = async {
            loop {
                match self
                    .0
                    .next()
                    .await
                    .expect("the connection is open")
                    .expect("a frame")
                {
                    Message::Text(text) => return text.to_string(),
                    Message::Close(frame) => panic!("closed: {frame:?}"),
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("a frame comes")
    }

    /// Sends a message, and takes the next frame as its answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(json!([method, params]).to_string()).await;
        let frame = self.next().await;
        assert_eq!(frame[0], format!("{method}_result"), "{frame}");
        frame[1].clone()
    }

    /// How the server closes the connection.
    async fn closed(&mut self) -> Option<CloseCode> {
        let wait = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it is closed")
    }
}

fn error(qid: Value, code: i64, message: &str) -> Value {
    json!({ "qid": qid, "result": "error", "errorcode": code, "errormsg": message })
}

#[tokio::test]
async fn a_connection_is_set_up() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({ "type": "telegram" })).await;
    let mut client = Client::open(&dock.hub, &channel).await;
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
    // What cannot be read is answered, and the connection stays.
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
async fn who_may_not_connect_is_refused() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let refused = |url: String| async move {
        match connect_async(url).await {
            Err(Error::Http(response)) => response.status().as_u16(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(address(&dock.hub, "/ws/token/v1")).await, 401);
    assert_eq!(
        refused(address(
            &dock.hub,
            "/ws/token/v1/82ddc7c68623726346a78371173e2f8d"
        ))
        .await,
        401
    );
    let plain = dock.holder(&channel).get("/ws/token/v1").await;
    assert_eq!(plain["error_code"], 1400, "{}", plain.text);
    let mut request = address(&dock.hub, "/ws/token/v1")
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
    dock.change(&path, json!({ "opts": { "ip_mask": ["10.0.0.0/8"] } }))
        .await
        .ok();
    assert_eq!(
        refused(address(
            &dock.hub,
            &format!("/ws/token/v1/{}", channel.token)
        ))
        .await,
        403
    );
}

#[tokio::test]
async fn rest_reaches_what_http_does() {
    let dock = Dock::new().await;
    let channel = dock.open("sock", json!({}), &["rest"]).await;
    let mut client = Client::with(&dock.hub, &channel, &["rest"]).await;
    let data = json!({ "language": "javascript", "source": "1" });
    let content = json!({ "code": "made", "name": "Made", "scriptdata": data });
    let create = json!({ "qid": 1, "operation": "create", "classpath": "service/svcscripts", "content": content });
    let made = client.ask("rest", create).await;
    assert_eq!(
        (&made["result"], &made["qid"], &made["content"]["code"]),
        (&json!("ok"), &json!(1), &json!("made"))
    );
    let id = made["content"]["id"].clone();
    for (asked, check) in [
        (
            json!({ "operation": "read", "classpath": "/rest/v1/service/svcscripts", "mask": "code", "filter": { "code": "made" } }),
            json!([{ "code": "made" }]),
        ),
        (
            json!({ "operation": "lookup", "classpath": "service/svcscripts", "content": "made" }),
            json!([id]),
        ),
        (
            json!({ "operation": "read", "classpath": "service/svcscripts", "id": id, "mask": "name" }),
            json!({ "name": "Made" }),
        ),
        (
            json!({ "operation": "delete", "classpath": "service/svcscripts", "id": id }),
            Value::Null,
        ),
    ] {
        assert_eq!(
            client.ask("rest", asked.clone()).await["content"],
            check,
            "{asked}"
        );
    }
    for (asked, code) in [
        (
            json!({ "operation": "read", "classpath": "service/svcscripts", "id": id }),
            1404,
        ),
        (
            json!({ "operation": "replace", "classpath": "service/svcscripts" }),
            1405,
        ),
        (
            json!({ "operation": "clear", "classpath": "service/svcscripts" }),
            1405,
        ),
        (
            json!({ "operation": "create", "classpath": "service/svcscripts", "content": {} }),
            1400,
        ),
        (
            json!({ "operation": "read", "classpath": "service/svcscripts", "offset": -1 }),
            1400,
        ),
        (
            json!({ "operation": "read", "classpath": "../../admin/v1/workspaces" }),
            1400,
        ),
        (
            json!({ "operation": "read", "classpath": "service/nothing" }),
            1404,
        ),
        (
            json!({ "operation": "steal", "classpath": "service/svcscripts" }),
            1400,
        ),
        (json!({}), 1400),
    ] {
        let answer = client.ask("rest", asked.clone()).await;
        assert_eq!(
            (&answer["result"], &answer["errorcode"]),
            (&json!("error"), &json!(code)),
            "{asked}: {answer}"
        );
    }
    let feed = dock.space.get("/events").await.ok();
    // After the role and the channel.
    let made = &feed["items"].as_array().expect("items")[2];
    assert_eq!(made["createInfo"]["createdWith"], "IntegrationPoint.sock");
}

#[tokio::test]
async fn roles_and_the_channel_narrow_what_is_open() {
    let dock = Dock::new().await;
    let routes = json!([
        { "methods": ["WEBSOCKET"], "url": "/ws#rest" },
        { "methods": ["GET"], "url": "/rest/v1/service/svcscripts" },
    ]);
    dock.space
        .post("/roles", json!({ "name": "reader", "routes": routes }))
        .await
        .ok();
    let members = json!({ "opts": { "roles": ["reader", "unknown"] } });
    let channel = dock.channel("sock", members).await;
    let mut client = Client::with(&dock.hub, &channel, &["rest"]).await;
    let denied = "Access denied by IAM (route not found)";
    let answer = client
        .ask("setup", json!({ "capabilities": [{ "key": "svcscript" }] }))
        .await;
    assert_eq!(
        answer["capabilities"][0],
        json!({ "key": "svcscript", "result": "error", "errormsg": denied })
    );
    let read = |classpath: &str| json!({ "qid": 1, "operation": "read", "classpath": classpath });
    assert_eq!(
        client.ask("rest", read("service/svcscripts")).await["result"],
        "ok"
    );
    let refused = client.ask("rest", read("service/integration_points")).await;
    assert_eq!(refused, error(json!(1), 1403, denied));
    let members = json!({ "opts": { "filter_capabilities": ["test"] } });
    let narrow = dock.open("narrow", members, &["test", "rest"]).await;
    let mut client = Client::with(&dock.hub, &narrow, &["test"]).await;
    let answer = client
        .ask("setup", json!({ "capabilities": [{ "key": "rest" }] }))
        .await;
    assert_eq!(answer["capabilities"][0]["errormsg"], denied);
}

#[tokio::test]
async fn scripts_are_started_and_stopped() {
    let dock = Dock::new().await;
    let channel = dock.open("sock", json!({}), &["svcscript"]).await;
    let id = dock
        .script(
            "calc",
            "variables.sum = startparam(1) + startparam(20); variables.at = request.method",
        )
        .await;
    let variables = json!({ "opts": { "variables": { "from": "preset" } } });
    dock.change(&format!("{SCRIPTS}/{id}"), variables)
        .await
        .ok();
    let mut client = Client::with(&dock.hub, &channel, &["svcscript"]).await;
    let start = json!({ "qid": "a", "code": "calc", "startparam1": 1, "startparam20": 2 });
    let answer = client.ask("start_svcscript", start).await;
    let variables = json!({ "from": "preset", "sum": 3, "at": "START" });
    assert_eq!(
        answer,
        json!({ "qid": "a", "result": "ok", "data": { "variables": variables } })
    );
    for (asked, code) in [
        (json!({ "qid": 1 }), 1400),
        (json!({ "qid": 1, "code": "none" }), 1404),
        (json!({ "qid": 1, "code": "calc", "timeout": 0 }), 1400),
        (json!({ "qid": 1, "code": "calc", "timeout": "x" }), 1400),
        (json!({ "qid": 1, "code": "calc", "startparam21": 1 }), 1400),
    ] {
        assert_eq!(
            client.ask("start_svcscript", asked.clone()).await["errorcode"],
            code,
            "{asked}"
        );
    }
    dock.script("bad", "throw new Error('no')").await;
    let answer = client
        .ask("start_svcscript", json!({ "qid": 2, "code": "bad" }))
        .await;
    assert_eq!(
        (
            &answer["errorcode"],
            answer["errormsg"]
                .as_str()
                .is_some_and(|text| text.contains("no"))
        ),
        (&json!(1500), true)
    );
    dock.script("loop", "for (;;) {}").await;
    client
        .send(json!(["start_svcscript", { "qid": "l", "code": "loop" }]).to_string())
        .await;
    let again = client
        .ask("start_svcscript", json!({ "qid": "l", "code": "loop" }))
        .await;
    assert_eq!(again["errorcode"], 1409, "one script a qid");
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": "l" })).await,
        json!({ "qid": "l", "result": "ok" })
    );
    let stopped = dock.run("loop", "failed").await;
    assert!(
        stopped["error"]
            .as_str()
            .is_some_and(|error| error.contains("stopped"))
    );
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": "l" })).await["errorcode"],
        1404
    );
    client
        .send(
            json!(["start_svcscript", { "qid": "t", "code": "loop", "timeout": 500 }]).to_string(),
        )
        .await;
    dock.working(1).await;
    dock.hub.advance(Duration::from_millis(500));
    let late = client.next().await;
    assert_eq!(
        (&late[1]["qid"], &late[1]["errorcode"]),
        (&json!("t"), &json!(1504))
    );
}

#[tokio::test]
async fn messages_go_to_the_receiving_script_and_back() {
    let dock = Dock::new().await;
    let source = "
        const [method, params] = request.body;
        if (method === 'fail') throw new Error('inside');
        if (method === 'ask') respond(200, {}, {n: params.n + 1});
        if (method === 'push') console.log(channel.websocket.send('pushed', {n: params.n}).sent);";
    dock.script("hear", source).await;
    let channel = dock
        .channel("sock", json!({ "recv_svcscriptcode_ws": "hear" }))
        .await;
    let mut client = Client::with(&dock.hub, &channel, &["msg"]).await;
    let mut neighbour = Client::with(&dock.hub, &channel, &["msg"]).await;
    assert_eq!(
        client.ask("ask", json!({ "qid": 1, "n": 1 })).await,
        json!({ "qid": 1, "result": "ok", "data": { "n": 2 } })
    );
    assert_eq!(
        client.ask("fail", json!({ "qid": 2 })).await,
        error(json!(2), 1500, "The script failed")
    );
    client.send(json!(["push", { "n": 3 }]).to_string()).await;
    assert_eq!(client.next().await, json!(["pushed", { "n": 3 }]));
    // It came over the sender's connection alone. From elsewhere it comes over all.
    let bell = "channel.websocket.send('bell', [request.body])";
    dock.script("ring", bell).await;
    let path = format!("{POINTS}/{}", channel.id);
    let both = json!({ "recv_svcscriptcode": "ring", "send_svcscriptcode_ws": "ring", "opts": { "issync": true } });
    dock.change(&path, both).await.ok();
    dock.hook(&channel, json!("hook")).await.ok();
    for socket in [&mut client, &mut neighbour] {
        assert_eq!(socket.next().await, json!(["bell", ["hook"]]));
    }
    dock.rest
        .post(&format!("{path}/send"), json!("message"))
        .await
        .ok();
    for socket in [&mut client, &mut neighbour] {
        assert_eq!(socket.next().await, json!(["bell", ["message"]]));
    }
    eventually("both are on record", || async {
        let runs = dock.runs("ring").await;
        let kinds: Vec<&Value> = runs.iter().map(|run| &run["kind"]).collect();
        (kinds == ["send", "hook"]).then_some(())
    })
    .await;
    // Many at once are taken in their order.
    for n in 0..30 {
        client
            .send(json!(["ask", { "qid": n, "n": n }]).to_string())
            .await;
    }
    for n in 0..30 {
        assert_eq!(client.next().await[1]["data"], json!({ "n": n + 1 }));
    }
    let silent = dock.channel("silent", json!({})).await;
    let mut client = Client::with(&dock.hub, &silent, &["msg"]).await;
    assert_eq!(
        client.ask("ask", json!({ "qid": 1 })).await,
        error(json!(1), 1404, "There is no method ask")
    );
}

#[tokio::test]
async fn a_websocket_is_used_where_one_is_open() {
    let dock = Dock::new().await;
    dock.script("http", "'by http'").await;
    dock.script("over", "'by websocket'").await;
    let members = json!({ "send_svcscriptcode": "http", "send_svcscriptcode_ws": "over" });
    let channel = dock.channel("sock", members).await;
    let path = format!("{POINTS}/{}/send", channel.id);
    dock.rest.post(&path, json!(1)).await.ok();
    dock.run("http", "finished").await;
    let client = Client::with(&dock.hub, &channel, &["msg"]).await;
    dock.rest.post(&path, json!(2)).await.ok();
    eventually("the script for websockets has run", || async {
        let all = dock
            .rest
            .get("/rest/v1/service/svcscript_runtimes")
            .await
            .ok();
        all.text.contains("by websocket").then_some(())
    })
    .await;
    drop(client);
    eventually("the websocket is forgotten", || async {
        let count = dock.runs("http").await.len();
        dock.rest.post(&path, json!(3)).await.ok();
        tokio::time::sleep(Duration::from_millis(50)).await;
        (dock.runs("http").await.len() > count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn subscriptions_tell_what_happens() {
    let dock = Dock::new().await;
    let user = dock
        .space
        .post("/users", json!({ "login": "ivan", "name": "Ivan" }))
        .await
        .ok()
        .str("id");
    let none = dock.open("none", json!({}), &["subscr"]).await;
    let mut stranger = Client::with(&dock.hub, &none, &["subscr"]).await;
    let refused = stranger
        .ask("subscribe", json!({ "qid": 1, "id": "s" }))
        .await;
    assert_eq!(refused["errorcode"], 1403, "nobody's rights");
    let members = json!({ "opts": { "userid": user } });
    let channel = dock.open("sock", members, &["subscr", "test"]).await;
    let mut client = Client::with(&dock.hub, &channel, &["subscr"]).await;
    let events = json!(["modelevents.data_changed"]);
    let subscribe =
        json!({ "qid": 1, "id": "c", "expires": 300, "events": events, "classpath": "contacts" });
    assert_eq!(
        client.ask("subscribe", subscribe.clone()).await,
        json!({ "qid": 1, "result": "ok" })
    );
    dock.space
        .post("/companies", json!({ "name": "Acme" }))
        .await
        .ok();
    let contact = dock
        .space
        .post("/contacts", json!({ "name": "Ivan" }))
        .await
        .ok()
        .str("id");
    let told = client.next().await;
    assert_eq!(told[0], "notify");
    assert_eq!(
        (&told[1]["class"], &told[1]["type"], &told[1]["id"]),
        (&json!("modelevents"), &json!("data_changed"), &json!("c"))
    );
    let feed = dock.space.get("/events").await.ok();
    let items = feed["items"].as_array().expect("items");
    assert_eq!(
        told[1]["data"],
        items[items.len() - 1],
        "as the feed has it"
    );
    // One frame for each subscription that matches.
    let object = json!({ "qid": 2, "id": "o", "objects": [contact] });
    client.ask("subscribe", object).await;
    dock.space
        .patch(
            &format!("/contacts/{contact}"),
            json!([{ "op": "replace", "path": "/name", "value": "Pyotr" }]),
        )
        .await
        .ok();
    let both = [
        client.next().await[1]["id"].clone(),
        client.next().await[1]["id"].clone(),
    ];
    assert_eq!(both, [json!("c"), json!("o")]);
    client
        .ask("subscribe", json!({ "qid": 3, "id": "o", "expires": 0 }))
        .await;
    dock.hub.advance(Duration::from_secs(301));
    dock.space
        .post("/contacts", json!({ "name": "late" }))
        .await
        .ok();
    client
        .ask(
            "subscribe",
            json!({ "qid": 4, "id": "n", "classpath": "companies" }),
        )
        .await;
    dock.space
        .post("/companies", json!({ "name": "Bravo" }))
        .await
        .ok();
    assert_eq!(
        client.next().await[1]["data"]["changeData"]["new"]["name"],
        "Bravo",
        "what has ended is silent"
    );
    for (asked, name) in [
        (json!({ "qid": 1 }), "id"),
        (json!({ "id": 1, "expires": -1 }), "expires"),
        (json!({ "id": 1, "expires": 100_000 }), "expires"),
        (json!({ "id": 1, "events": ["other"] }), "events"),
        (json!({ "id": 1, "classpath": "unicorns" }), "classpath"),
        (json!({ "id": 1, "objects": ["x"] }), "objects"),
    ] {
        let refused = client.ask("subscribe", asked.clone()).await;
        assert_eq!(refused["errorcode"], 1400, "{asked}");
        assert!(
            refused["errormsg"]
                .as_str()
                .is_some_and(|text| text.contains(name)),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let mut binary = Client::open(&dock.hub, &channel).await;
    binary
        .0
        .send(Message::binary(vec![1, 2]))
        .await
        .expect("the server reads");
    assert_eq!(binary.closed().await, Some(CloseCode::Unsupported));
    let mut long = Client::open(&dock.hub, &channel).await;
    let _ = long.0.send(Message::text("x".repeat((1 << 20) + 1))).await;
    assert_eq!(long.closed().await, Some(CloseCode::Size));
    for (bytes, code) in [
        // A text that is not UTF-8, a frame that is not masked, a reserved opcode.
        (vec![0x81, 0x82, 0, 0, 0, 0, 0xc3, 0x28], CloseCode::Invalid),
        (vec![0x81, 0x01, b'x'], CloseCode::Protocol),
        (vec![0x83, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
    ] {
        use tokio::io::AsyncWriteExt as _;
        let mut client = Client::open(&dock.hub, &channel).await;
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
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let mut client = Client::with(&dock.hub, &channel, &["test"]).await;
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
    assert!(tokio::time::timeout(PATIENCE, wait).await.expect("it ends"));
}

#[tokio::test]
async fn a_connection_ends_with_its_channel() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let mut client = Client::with(&dock.hub, &channel, &["test"]).await;
    dock.rest.delete(&format!("{POINTS}/{}", channel.id)).await;
    assert_eq!(client.closed().await, Some(CloseCode::Policy));
    let again = dock.channel("sock", json!({})).await;
    let mut client = Client::with(&dock.hub, &again, &["test"]).await;
    let waiting = async { client.closed().await };
    let (code, _) = tokio::join!(waiting, dock.hub.stop());
    assert_eq!(code, Some(CloseCode::Away));
}

#[tokio::test]
async fn who_does_not_answer_is_gone() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let mut alive = Client::with(&dock.hub, &channel, &["test"]).await;
    // Half open: it says nothing, not even that it has gone.
    let dead = Client::with(&dock.hub, &channel, &["test"]).await;
    assert_eq!(dock.hub.app.channels.sockets.count(), 2);
    for _ in 0..4 {
        dock.hub.advance(Duration::from_secs(30));
        assert_eq!(alive.ask("test", json!({})).await["result"], "ok");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    eventually("the silent one is dropped", || async {
        (dock.hub.app.channels.sockets.count() == 1).then_some(())
    })
    .await;
    drop(dead);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let dock = Dock::new().await;
    let source = "for (let i = 0; i < 40; i++) channel.websocket.send('flood', 'x'.repeat(500000))";
    let channel = dock.sync("flood", source).await;
    let client = Client::with(&dock.hub, &channel, &["test"]).await;
    eventually("it is given up", || async {
        dock.hook(&channel, json!({})).await.ok();
        (dock.hub.app.channels.sockets.count() == 0).then_some(())
    })
    .await;
    drop(client);
}

#[tokio::test]
#[ignore = "needs a NATS server and PostgreSQL"]
async fn any_node_may_hold_the_connection() {
    if !crate::hub::on_postgres() {
        return;
    }
    let bus = std::env::var("PRICHAL_TEST_NATS").expect("PRICHAL_TEST_NATS names a server");
    let ground = Ground::new(move |config| config.bus_url = Some(bus.clone().into()));
    let (one, two) = (ground.start().await, ground.neighbour().start().await);
    let dock = Dock::at(one).await;
    let source = "channel.websocket.send('told', request.body)";
    let channel = dock.sync("sock", source).await;
    let mut client = Client::with(&two, &channel, &["test"]).await;
    dock.hook(&channel, json!({ "n": 1 })).await.ok();
    assert_eq!(client.next().await, json!(["told", { "n": 1 }]));
    let path = format!("{POINTS}/{}", channel.id);
    dock.rest.delete(&path).await;
    let ended = async { client.closed().await };
    let clock = async {
        for _ in 0..20 {
            two.advance(Duration::from_millis(500));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (code, ()) = tokio::join!(ended, clock);
    assert_eq!(code, Some(CloseCode::Policy));
}

#[tokio::test]
async fn a_connection_knows_itself_before_it_is_set_up() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let mut client = Client::open(&dock.hub, &channel).await;
    let mut other = Client::open(&dock.hub, &channel).await;
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
    // What was set up stays when more is.
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
async fn a_script_has_ten_seconds_when_nothing_is_said() {
    let dock = Dock::new().await;
    let capabilities = ["svcscript", "test"];
    let channel = dock.open("sock", json!({}), &capabilities).await;
    dock.script("loop", "for (;;) {}").await;
    let mut client = Client::with(&dock.hub, &channel, &["svcscript", "test"]).await;
    client
        .send(json!(["start_svcscript", { "qid": 1, "code": "loop" }]).to_string())
        .await;
    dock.working(1).await;
    dock.hub.advance(Duration::from_millis(9_999));
    assert_eq!(
        client.ask("test", json!({ "qid": 2 })).await["qid"],
        2,
        "it goes on"
    );
    dock.hub.advance(Duration::from_millis(1));
    let late = client.next().await;
    assert_eq!(
        (&late[0], &late[1]["qid"], &late[1]["errorcode"]),
        (&json!("start_svcscript_result"), &json!(1), &json!(1504))
    );
    // Who has stopped a script hears of that alone, and may use the qid again.
    client
        .send(json!(["start_svcscript", { "qid": 3, "code": "loop" }]).to_string())
        .await;
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": 3 })).await["result"],
        "ok"
    );
    client
        .send(json!(["start_svcscript", { "qid": 3, "code": "loop" }]).to_string())
        .await;
    eventually("the first has ended", || async {
        let runs = dock.runs("loop").await;
        (runs.len() == 2).then_some(())
    })
    .await;
    dock.working(1).await;
    assert_eq!(
        client.ask("abort_svcscript", json!({ "qid": 3 })).await["result"],
        "ok",
        "the qid is that of the second"
    );
}

#[tokio::test]
async fn requests_beyond_eight_wait_for_their_turn() {
    let dock = Dock::new().await;
    let capabilities = ["rest", "svcscript", "test"];
    let channel = dock.open("sock", json!({}), &capabilities).await;
    let mut client = Client::with(&dock.hub, &channel, &capabilities).await;
    let frame = |method: &str, qid: usize, more: Value| {
        let mut params = more;
        params["qid"] = qid.into();
        json!([method, params]).to_string()
    };
    let read = json!({ "operation": "read", "classpath": "service/svcscripts" });
    for qid in 0..60 {
        client.send(frame("rest", qid, read.clone())).await;
    }
    let mut seen = Vec::new();
    for _ in 0..60 {
        let answer = client.next().await;
        assert_eq!(answer[1]["result"], "ok", "{answer}");
        seen.push(answer[1]["qid"].as_u64().expect("a number"));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..60).collect::<Vec<u64>>());
    // Eight scripts that do not end hold up the rest, not the conversation; what waits can be stopped.
    dock.script("loop", "for (;;) {}").await;
    let start = json!({ "code": "loop", "timeout": 60_000 });
    for qid in 0..73 {
        client
            .send(frame("start_svcscript", qid, start.clone()))
            .await;
    }
    let refused = client.next().await;
    assert_eq!(
        (&refused[1]["qid"], &refused[1]["errorcode"]),
        (&json!(72), &json!(1503))
    );
    dock.working(8).await;
    for qid in (0..72).rev() {
        let stopped = client.ask("abort_svcscript", json!({ "qid": qid })).await;
        assert_eq!(stopped, json!({ "qid": qid, "result": "ok" }));
    }
    dock.working(0).await;
    eventually("those that began are on record, and no others", || async {
        (dock.runs("loop").await.len() == 8).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_subscription_is_renewed_by_its_id() {
    let dock = Dock::new().await;
    let user = dock
        .space
        .post("/users", json!({ "login": "ivan" }))
        .await
        .ok()
        .str("id");
    let members = json!({ "opts": { "userid": user } });
    let channel = dock.open("sock", members, &["subscr", "test"]).await;
    let mut client = Client::with(&dock.hub, &channel, &["subscr", "test"]).await;
    let subscribe = json!({ "qid": 1, "id": "c", "expires": 300, "classpath": "companies" });
    for _ in 0..3 {
        assert_eq!(
            client.ask("subscribe", subscribe.clone()).await["result"],
            "ok"
        );
        dock.hub.advance(Duration::from_mins(4));
        // Whoever says something is there, whatever pings there were meanwhile.
        client.ask("test", json!({})).await;
    }
    dock.space
        .post("/companies", json!({ "name": "Acme" }))
        .await
        .ok();
    let told = client.next().await;
    assert_eq!((&told[0], &told[1]["id"]), (&json!("notify"), &json!("c")));
    assert_eq!(told[1]["eventts"], 1_767_225_600_000_i64 + 720_000);
    dock.hub.advance(Duration::from_secs(61));
    dock.space
        .post("/companies", json!({ "name": "late" }))
        .await
        .ok();
    let next = client.ask("test", json!({ "qid": 2 })).await;
    assert_eq!(next["qid"], 2, "one is told of once, and not after its end");
}

#[tokio::test]
async fn a_connection_is_pinged() {
    let dock = Dock::new().await;
    let channel = dock.channel("sock", json!({})).await;
    let mut client = Client::with(&dock.hub, &channel, &["test"]).await;
    dock.hub.advance(Duration::from_secs(30));
    let wait = async {
        loop {
            match client.0.next().await {
                Some(Ok(Message::Ping(_))) => return true,
                Some(Ok(_)) => {}
                _ => return false,
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.expect("a ping"));
}

#[tokio::test]
async fn a_qid_and_a_message_come_back_to_the_letter() {
    let dock = Dock::new().await;
    let source = "respond(200, {}, {text: request.text})";
    dock.script("hear", source).await;
    let channel = dock
        .channel("sock", json!({ "recv_svcscriptcode_ws": "hear" }))
        .await;
    let mut client = Client::with(&dock.hub, &channel, &["msg", "test"]).await;
    for qid in [
        "123456789012345678901234567890",
        "1E2",
        "1.10",
        r#"{"b": [1.0, "ё"], "a":null}"#,
    ] {
        client
            .send(format!(r#"["test", {{"x": 1, "qid": {qid}}}]"#))
            .await;
        assert_eq!(
            client.text().await,
            format!(r#"["test_result",{{"qid":{qid},"result":"ok"}}]"#)
        );
    }
    let frame = r#"["sum", {"qid":1, "n":12345678901234567890123, "p": 1.10}]"#;
    client.send(frame).await;
    assert_eq!(client.next().await[1]["data"]["text"], frame);
}

#[tokio::test]
async fn a_channel_may_get_a_script_while_it_is_connected() {
    let dock = Dock::new().await;
    dock.script("hear", "respond(200, {}, 'heard')").await;
    let channel = dock.channel("sock", json!({})).await;
    let path = format!("{POINTS}/{}", channel.id);
    let mut client = Client::with(&dock.hub, &channel, &["msg"]).await;
    let unknown = error(json!(1), 1404, "There is no method hello");
    assert_eq!(client.ask("hello", json!({ "qid": 1 })).await, unknown);
    dock.change(&path, json!({ "recv_svcscriptcode_ws": "hear" }))
        .await
        .ok();
    assert_eq!(
        client.ask("hello", json!({ "qid": 1 })).await["data"],
        "heard"
    );
    dock.change(&path, json!({ "recv_svcscriptcode_ws": "" }))
        .await
        .ok();
    assert_eq!(client.ask("hello", json!({ "qid": 1 })).await, unknown);
}

#[tokio::test]
async fn who_may_not_have_messages_gets_none() {
    let dock = Dock::new().await;
    let source = "channel.websocket.send('told', request.body)";
    let narrow = dock.sync("narrow", source).await;
    let only = json!({ "opts": { "filter_capabilities": ["test"] } });
    dock.change(&format!("{POINTS}/{}", narrow.id), only)
        .await
        .ok();
    let mut client = Client::with(&dock.hub, &narrow, &["test"]).await;
    dock.hook(&narrow, json!(1)).await.ok();
    assert_eq!(client.ask("test", json!({ "qid": 1 })).await["qid"], 1);
    // Whoever may is told, set up or not.
    let members = json!({ "recv_svcscriptcode": "narrow", "opts": { "issync": true } });
    let wide = dock.channel("wide", members).await;
    let mut client = Client::open(&dock.hub, &wide).await;
    client.ask("connection_info", json!({})).await;
    dock.hook(&wide, json!(2)).await.ok();
    assert_eq!(client.next().await, json!(["told", 2]));
}

#[tokio::test]
async fn a_message_waits_for_a_websocket_where_that_is_the_only_way() {
    let dock = Dock::new().await;
    dock.script("over", "channel.websocket.send('out', request.body)")
        .await;
    let channel = dock
        .channel("sock", json!({ "send_svcscriptcode_ws": "over" }))
        .await;
    let path = format!("{POINTS}/{}", channel.id);
    dock.rest
        .post(&format!("{path}/send"), json!({ "n": 1 }))
        .await
        .ok();
    let attempt = |status: &'static str| {
        let (rest, path) = (dock.rest.clone(), format!("{path}/deliveries"));
        eventually("an attempt", move || {
            let (rest, path) = (rest.clone(), path.clone());
            async move {
                let list = rest.get(&path).await.ok();
                (list["items"][0]["status"] == status).then(|| list["items"][0].clone())
            }
        })
    };
    let failed = attempt("deferred").await;
    assert_eq!(failed["error"], "no websocket of the channel is open");
    let mut client = Client::with(&dock.hub, &channel, &["msg"]).await;
    dock.hub.advance(Duration::from_secs(30));
    assert_eq!(client.next().await, json!(["out", { "n": 1 }]));
    attempt("delivered").await;
}

#[tokio::test]
async fn with_its_user_a_channel_loses_its_subscriptions() {
    let dock = Dock::new().await;
    let user = dock
        .space
        .post("/users", json!({ "login": "ivan" }))
        .await
        .ok();
    let user = user.str("id");
    let members = json!({ "opts": { "userid": user } });
    let channel = dock.open("sock", members, &["subscr", "test"]).await;
    let mut client = Client::with(&dock.hub, &channel, &["subscr", "test"]).await;
    client
        .ask(
            "subscribe",
            json!({ "qid": 1, "id": "c", "classpath": "companies" }),
        )
        .await;
    dock.space.delete(&format!("/users/{user}")).await;
    dock.space
        .post("/companies", json!({ "name": "Acme" }))
        .await
        .ok();
    let again = client
        .ask("subscribe", json!({ "qid": 2, "id": "c" }))
        .await;
    assert_eq!(
        (&again["qid"], &again["errorcode"]),
        (&json!(2), &json!(1403))
    );
    assert_eq!(client.ask("test", json!({ "qid": 3 })).await["qid"], 3);
}

#[tokio::test]
async fn what_was_taken_is_finished_before_the_server_stops() {
    let dock = Dock::new().await;
    let held = Arc::new(Semaphore::new(0));
    let passes = held.clone();
    let receiver = Receiver::start(move |_| Reply::Held(held.clone())).await;
    let source = "await fetch(request.entity.url); kv.set('done', 1); respond(200, {}, 'done')";
    dock.script("slow", source).await;
    let members = json!({ "url": receiver.url, "recv_svcscriptcode": "slow", "recv_svcscriptcode_ws": "slow" });
    let channel = dock.open("sock", members, &["msg", "svcscript"]).await;
    let mut client = Client::with(&dock.hub, &channel, &["msg", "svcscript"]).await;
    client.send(json!(["ask", { "qid": 1 }]).to_string()).await;
    client
        .send(json!(["start_svcscript", { "qid": 2, "code": "slow" }]).to_string())
        .await;
    dock.hook(&channel, json!({})).await.ok();
    for _ in 0..3 {
        receiver.next().await;
    }
    let Dock { hub, space, rest } = dock;
    let stopping = hub.app.stopping.clone();
    let talk = async {
        stopping.cancelled().await;
        passes.add_permits(3);
        let both = [client.next().await, client.next().await];
        assert!(
            both.iter().all(|answer| answer[1]["result"] == "ok"),
            "{both:?}"
        );
        client.closed().await
    };
    let (code, ground) = tokio::join!(talk, hub.stop());
    assert_eq!(code, Some(CloseCode::Away));
    let hub = ground.start().await;
    let dock = Dock {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    };
    let runs = dock.runs("slow").await;
    let states: Vec<&Value> = runs.iter().map(|run| &run["status"]).collect();
    assert_eq!(states, ["finished"; 3], "{runs:?}");
}

#[tokio::test]
async fn who_speaks_another_version_is_told_ours() {
    let dock = Dock::new().await;
    let channel = dock.open("sock", json!({}), &["rest"]).await;
    let caller = dock
        .holder(&channel)
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
    let mut client = Client::open(&dock.hub, &channel).await;
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
