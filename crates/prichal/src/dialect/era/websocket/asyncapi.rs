//! The frames of the websocket in the AsyncAPI description (`docs/contracts/era.md §9`).

use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{
    frame::{Content, Data, Done, Refused, ScriptResult, Unreadable},
    params::{PlainParams, RestParams, SetupParams, StartParams, SubscribeParams},
    session::{ConnectionInfo, SetUpResult},
    subscriptions::Notification,
};
use crate::dialect::asyncapi::{
    Action::{Receive, Send},
    Channel, Message, Operation, Part, Schemas, Security, SecurityKind, Server,
};

pub(in crate::dialect::era) const WEBSOCKET: Part = Part {
    tag: ("websocket", "Frames of a channel's websocket."),
    servers: &[Server {
        name: "websockets",
        protocol: "ws",
        host: "127.0.0.1:8080",
        description: "This server. Behind a proxy that ends TLS the protocol is `wss`.",
    }],
    security: &[Security {
        name: "channelToken",
        kind: SecurityKind::Bearer,
        description: "The `token_local` of a channel.",
    }],
    channels: &[
        Channel {
            name: "websocket",
            address: "/ws/token/v1",
            description: "The websocket of a channel. A frame is a text: a JSON array of a method and its parameters.",
            server: "websockets",
            parameters: &[],
            messages: FRAMES,
            is_websocket: true,
        },
        Channel {
            name: "websocketWithToken",
            address: "/ws/token/v1/{token}",
            description: "The same websocket for clients that send no headers.",
            server: "websockets",
            parameters: &[("token", "The `token_local` of the channel.")],
            messages: FRAMES,
            is_websocket: true,
        },
    ],
    operations: &[
        request(
            "setUpConnection",
            &["setup"],
            &["setupResult"],
            "Open capabilities.",
            "At first only `setup`, `login` and `connection_info` work. A capability opens the methods that are its own.",
        ),
        request(
            "logIn",
            &["login"],
            &["loginResult"],
            "Log in.",
            "Changes nothing: the token of the connection has authorized the client.",
        ),
        request(
            "readConnectionInfo",
            &["connectionInfo"],
            &["connectionInfoResult"],
            "Read the state of the connection.",
            "Works before `setup`, too.",
        ),
        request(
            "testConnection",
            &["test"],
            &["testResult"],
            "Get an answer.",
            "Needs the capability `test`.",
        ),
        request(
            "requestRest",
            &["rest"],
            &["restResult"],
            "Send a request to `/rest/v1`.",
            "Needs the capability `rest`, and a role whose routes open the path.",
        ),
        request(
            "subscribeToEvents",
            &["subscribe"],
            &["subscribeResult"],
            "Begin, renew or end a subscription.",
            "Needs the capability `subscr`, and a channel with a user.",
        ),
        request(
            "startScript",
            &["startScript"],
            &["startScriptResult"],
            "Start a script.",
            "Needs the capability `svcscript`. The answer comes when the script ends.",
        ),
        request(
            "abortScript",
            &["abortScript"],
            &["abortScriptResult"],
            "Stop the script that was started with the same `qid`.",
            "Needs the capability `svcscript`. The script that is stopped gets no answer of its own.",
        ),
        request(
            "messageChannel",
            &["messageToScript"],
            &["messageToScriptResult"],
            "Send a message to the receiving script of the channel.",
            "Needs the capability `msg`. A message with a `qid` gets the response of the script.",
        ),
        sent(
            "notifySubscriber",
            &["notify"],
            "Tell of an event of the workspace.",
            "One frame for each subscription that the event matches, after the commit.",
        ),
        sent(
            "messageClient",
            &["messageOfScript"],
            "Send a message of a script.",
            "The frame of `channel.websocket.send(code, body)`.",
        ),
        sent(
            "refuseFrame",
            &["unreadable"],
            "Answer a text that is no frame.",
            "The connection stays open.",
        ),
    ],
    messages: &[
        asked("setup", "Capabilities to open", |all| frame("setup", all.add::<SetupParams>()))
            .example(r#"["setup",{"qid":1,"capabilities":[{"key":"a"},{"key":"b"}]}]"#),
        answer("setupResult", "Capabilities that are open", |all| result::<SetUpResult>("setup", all))
            .example(r#"["setup_result",{"qid":1,"capabilities":[{"key":"a","result":"ok"},{"key":"b","result":"error","errormsg":"Unknown capability"}]}]"#),
        asked("login", "A log-in", |all| frame("login", all.add::<PlainParams>()))
            .example(r#"["login",{"qid":0}]"#),
        answer("loginResult", "The answer to a log-in", |all| result::<Done>("login", all))
            .example(r#"["login_result",{"qid":0,"result":"ok"}]"#),
        asked("connectionInfo", "A question for the state of the connection", |all| {
            frame("connection_info", all.add::<PlainParams>())
        })
        .example(r#"["connection_info",{"qid":1}]"#),
        answer("connectionInfoResult", "The state of the connection", |all| {
            result::<ConnectionInfo>("connection_info", all)
        })
        .example(include_str!("../examples/connection-info.json")),
        asked("test", "A test", |all| frame("test", all.add::<PlainParams>()))
            .example(r#"["test",{"qid":2}]"#),
        answer("testResult", "The answer to a test", |all| result::<Done>("test", all))
            .example(r#"["test_result",{"qid":2,"result":"ok"}]"#),
        asked("rest", "A request to `/rest/v1`", |all| frame("rest", all.add::<RestParams>()))
            .example(r#"["rest",{"qid":3,"operation":"read","classpath":"service/svcscripts","filter":{"code":"made"}}]"#),
        answer("restResult", "The answer to a request", |all| result::<Content>("rest", all))
            .example(r#"["rest_result",{"qid":3,"result":"error","errorcode":1403,"errormsg":"Access denied by IAM (route not found)"}]"#),
        asked("subscribe", "A subscription", |all| frame("subscribe", all.add::<SubscribeParams>()))
            .example(r#"["subscribe",{"qid":4,"id":"c","expires":300,"events":["modelevents.data_changed"],"classpath":"contacts"}]"#),
        answer("subscribeResult", "The answer to a subscription", |all| result::<Done>("subscribe", all))
            .example(r#"["subscribe_result",{"qid":4,"result":"ok"}]"#),
        asked("startScript", "The start of a script", |all| {
            frame("start_svcscript", all.add::<StartParams>())
        })
        .example(r#"["start_svcscript",{"qid":"a","code":"calc","startparam1":1,"startparam20":2}]"#),
        answer("startScriptResult", "The end of a script", |all| {
            result::<ScriptResult>("start_svcscript", all)
        })
        .example(r#"["start_svcscript_result",{"qid":"a","result":"ok","data":{"variables":{"sum":3}}}]"#),
        asked("abortScript", "The abortion of a script", |all| {
            frame("abort_svcscript", all.add::<PlainParams>())
        })
        .example(r#"["abort_svcscript",{"qid":"a"}]"#),
        answer("abortScriptResult", "The answer to an abortion", |all| {
            result::<Done>("abort_svcscript", all)
        })
        .example(r#"["abort_svcscript_result",{"qid":"a","result":"ok"}]"#),
        asked("messageToScript", "A message to the channel's script", |_| any_frame("The method is any that is not the server's own.", None))
            .example(r#"["ask",{"qid":5,"n":1}]"#),
        answer("messageToScriptResult", "The response of the channel's script", |all| {
            let params = one_of_both::<Data>(all);
            any_frame("The method of the message with `_result`.", Some(params))
        })
        .example(r#"["ask_result",{"qid":5,"result":"ok","data":{"n":2}}]"#),
        one_way("notify", "An event", |all| frame("notify", all.add::<Notification<'_>>()))
            .example(include_str!("../examples/notify.json")),
        one_way("messageOfScript", "A message of a script", |_| any_frame("The code that the script gives.", None))
            .example(r#"["pushed",{"n":3}]"#),
        one_way("unreadable", "The answer to a text that is no frame", |all| {
            frame("error", all.add::<Unreadable>())
        })
        .example(r#"["error",{"errorcode":1400,"errormsg":"A frame is a JSON array of a method and its parameters."}]"#),
    ],
};

/// The names of all messages.
const FRAMES: &[&str] = &[
    "setup",
    "setupResult",
    "login",
    "loginResult",
    "connectionInfo",
    "connectionInfoResult",
    "test",
    "testResult",
    "rest",
    "restResult",
    "subscribe",
    "subscribeResult",
    "startScript",
    "startScriptResult",
    "abortScript",
    "abortScriptResult",
    "messageToScript",
    "messageToScriptResult",
    "notify",
    "messageOfScript",
    "unreadable",
];

/// A request of the client.
const fn request(
    name: &'static str,
    messages: &'static [&'static str],
    replies: &'static [&'static str],
    summary: &'static str,
    description: &'static str,
) -> Operation {
    Operation {
        name,
        action: Receive,
        channel: "websocket",
        summary,
        description,
        messages,
        replies,
        http: None,
        security: &["channelToken"],
    }
}

/// A frame that the server sends by itself.
const fn sent(
    name: &'static str,
    messages: &'static [&'static str],
    summary: &'static str,
    description: &'static str,
) -> Operation {
    Operation {
        action: Send,
        ..request(name, messages, &[], summary, description)
    }
}

const fn asked(
    name: &'static str,
    title: &'static str,
    payload: fn(&mut Schemas) -> Value,
) -> Message {
    Message::new(name, title, payload).correlated("$message.payload#/1/qid")
}

const fn answer(
    name: &'static str,
    title: &'static str,
    payload: fn(&mut Schemas) -> Value,
) -> Message {
    asked(name, title, payload)
}

const fn one_way(
    name: &'static str,
    title: &'static str,
    payload: fn(&mut Schemas) -> Value,
) -> Message {
    Message::new(name, title, payload)
}

/// A frame with this method.
fn frame(method: &str, params: Value) -> Value {
    tuple(json!({ "const": method }), params)
}

/// A frame with any method.
fn any_frame(method: &str, params: Option<Value>) -> Value {
    let method = json!({ "type": "string", "description": method });
    tuple(method, params.unwrap_or_else(|| json!({})))
}

fn tuple(method: Value, params: Value) -> Value {
    let items = Value::Array(vec![method, params]);
    json!({ "type": "array", "items": items, "minItems": 2, "maxItems": 2 })
}

/// The answer to this method: a good one, or a refusal.
fn result<T: ToSchema>(method: &str, all: &mut Schemas) -> Value {
    frame(&format!("{method}_result"), one_of_both::<T>(all))
}

fn one_of_both<T: ToSchema>(all: &mut Schemas) -> Value {
    let qid = "The `qid` of the request, if it had one.";
    json!({
        "type": "object",
        "properties": { "qid": { "description": qid } },
        "anyOf": [all.add::<T>(), all.add::<Refused>()],
    })
}
