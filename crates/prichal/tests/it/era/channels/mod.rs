//! Channels (`docs/contracts/era.md §4, §5, §13`).

mod lists;
mod refusals;
mod verbs;

use serde_json::{Value, json};

use crate::harness::channel_workspace::POINTS;

const UNKNOWN_ID: &str = "00000000-0000-0000-0000-000000000001";

fn example() -> Value {
    json!({
        "code": "ABCDE", "type": "public", "url": "http://trapper.com",
        "recv_svcscriptcode": "ws_hook", "send_svcscriptcode": "send_to_web",
    })
}

fn at(id: &str) -> String {
    format!("{POINTS}/{id}")
}

fn error(code: u32, message: &str) -> Value {
    json!({ "error_code": code, "error_message": message })
}
