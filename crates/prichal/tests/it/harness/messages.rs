//! The check of what the server sends against the AsyncAPI description: requests, server-sent events and frames.

use std::{path::PathBuf, sync::LazyLock};

use serde_json::{Map, Value, json};

use crate::harness::{json_schema::faults, receiver::Call};

/// The folder with the committed descriptions.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/asyncapi"))
}

/// The committed description. `http::messages` tests that it is the served one.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read(folder().join("asyncapi.json")).expect("a description");
    serde_json::from_slice(&text).expect("JSON")
});

/// Headers that HTTP itself requires, or that every request has.
const HTTP_HEADERS: &[&str] = &["host", "content-type", "content-length", "user-agent"];

/// The beginning of the paths for webhooks with scripts, whose calls are what the script makes of them.
pub(crate) const SCRIPTED: &str = "/scripted";

/// Fails unless a call is a described message. Calls that have no header of a message, such as those of scripts, need
/// no description.
#[track_caller]
pub(crate) fn check_call(call: &Call) {
    let is_given = |name| call.header(name).is_some();
    let path = call.path.split('?').next().unwrap_or_default();
    if path.starts_with(SCRIPTED) {
        return;
    }
    let name = if is_given("x-idocs-event-id") {
        "documentStatus"
    } else if is_given("x-xcom-integration-echo") && path.ends_with("/communications/call") {
        "call"
    } else if is_given("x-xcom-integration-echo") && path.ends_with("/setup") {
        "setupIntegration"
    } else if is_given("x-xcom-integration-echo") && path.ends_with("/hangup") {
        "hangUp"
    } else if is_given("x-xcom-integration-echo") && call.body == "{}" {
        "scheduleTick"
    } else if is_given("x-xcom-integration-echo") && is_alert(&call.json()) {
        "alertEvent"
    } else if is_given("x-xcom-integration-echo") && call.json()["type"] == "custom" {
        "customEvent"
    } else if is_given("x-xcom-integration-echo") {
        "objectEvent"
    } else if is_given("webhook-id") {
        "channelMessage"
    } else {
        return;
    };
    let headers = call.headers.iter();
    // Those of the settings of a webhook, which tests name like this, are the administrator's.
    let headers = headers
        .filter(|(name, _)| !HTTP_HEADERS.contains(&name.as_str()) && !name.starts_with("x-own-"));
    let headers: Map<String, Value> = headers
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let kind = call.header("content-type").unwrap_or_default();
    let described = message(name)["contentType"].as_str().expect("a type");
    assert!(kind.starts_with(described), "{name} has the type {kind}");
    assert_eq!(call.method, "POST", "{name}");
    check(name, &Value::Object(headers), &call.json());
}

fn is_alert(event: &Value) -> bool {
    let name = event["eventType"].as_str();
    name.is_some_and(|name| name.starts_with("prichal.alert."))
}

/// Fails unless a server-sent event is a described message. The id is empty if it has none.
#[track_caller]
pub(crate) fn check_event(event: &str, id: &str, data: &Value) {
    let name = match event {
        "opened" => "cardOpened",
        "state" if id.is_empty() => "toldState",
        "state" => "cardState",
        "closed" => "cardClosed",
        "event" => "loggedEvent",
        "call" => "loggedCall",
        "document" => "loggedDocument",
        "alert" => "loggedAlert",
        "delivery" => "toldDelivery",
        "run" => "toldRun",
        "missed" => "missedMessages",
        other => panic!("the event {other} is not described"),
    };
    let headers = if id.is_empty() {
        json!({ "event": event })
    } else {
        json!({ "event": event, "id": id })
    };
    check(name, &headers, data);
}

/// Fails unless a frame of the server is a described message.
#[track_caller]
pub(crate) fn check_frame(frame: &Value) {
    let method = frame[0].as_str().expect("a method");
    let other = if method.ends_with("_result") {
        "messageToScriptResult"
    } else {
        "messageOfScript"
    };
    check_payload(named_by(method).unwrap_or(other), frame);
}

/// Fails unless a frame of the client, which the server has accepted, is a described message. Null is the same as
/// absent.
#[track_caller]
pub(crate) fn check_request(frame: &Value) {
    let mut frame = frame.clone();
    if let Some(params) = frame[1].as_object_mut() {
        params.retain(|_, value| !value.is_null());
    }
    let method = frame[0].as_str().expect("a method");
    check_payload(named_by(method).unwrap_or("messageToScript"), &frame);
}

/// The message whose frames have this method.
fn named_by(method: &str) -> Option<&'static str> {
    let messages = DOCUMENT["components"]["messages"].as_object();
    let mut messages = messages.expect("messages").iter();
    let found = messages.find(|(_, message)| message["payload"]["items"][0]["const"] == method);
    found.map(|(name, _)| name.as_str())
}

fn message(name: &str) -> &'static Value {
    let message = &DOCUMENT["components"]["messages"][name];
    assert!(message.is_object(), "the message {name} is not described");
    message
}

#[track_caller]
fn check(name: &str, headers: &Value, payload: &Value) {
    let found = faults(&DOCUMENT, &message(name)["headers"], headers);
    assert!(
        found.is_empty(),
        "the headers of {name} are not as described: {found:#?} in {headers}"
    );
    check_payload(name, payload);
}

#[track_caller]
fn check_payload(name: &str, payload: &Value) {
    let found = faults(&DOCUMENT, &message(name)["payload"], payload);
    assert!(
        found.is_empty(),
        "{name} is not as described: {found:#?} in {payload}"
    );
}

#[test]
fn a_message_that_differs_is_noticed() {
    let echo = ("x-xcom-integration-echo", "0a1b");
    let sent = [echo, ("webhook-id", "1"), ("webhook-timestamp", "2")];
    let more = [&sent[..], &[("x-other", "3")]].concat();
    let hang_up = r#"{"realtimeCallItemId":"7"}"#;
    for (headers, body, is_described) in [
        (&sent[..], hang_up, true),
        (&sent[..2], hang_up, false),
        (&more[..], hang_up, false),
        (&sent[..], r#"{"realtimeCallItemId":7}"#, false),
        (&sent[..], r#"{"realtimeCallItemId":"7","other":1}"#, false),
        (&sent[..], "{}", false),
    ] {
        let kind = [("content-type", "application/json; charset=utf-8")];
        let headers = kind.iter().chain(headers);
        let call = Call {
            method: "POST".to_owned(),
            path: "/api/v1/acme/communications/1/hangup".to_owned(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_owned(),
        };
        let checked = std::panic::catch_unwind(|| check_call(&call));
        assert_eq!(checked.is_ok(), is_described, "{call:?}");
    }
    let frame = json!(["test_result", { "qid": 1, "result": "fine" }]);
    assert!(std::panic::catch_unwind(|| check_frame(&frame)).is_err());
}
