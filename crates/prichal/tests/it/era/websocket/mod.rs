//! The websocket of a channel (`docs/contracts/era.md §9, §13`).

mod connection;
mod messages;
mod requests;
mod subscriptions;

use serde_json::{Value, json};

fn error(qid: Value, code: i64, message: &str) -> Value {
    json!({ "qid": qid, "result": "error", "errorcode": code, "errormsg": message })
}
