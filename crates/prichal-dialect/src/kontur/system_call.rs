//! System calls: the requests of the server to an exchange (`docs/contracts/kontur.md §4.4`).

use prichal_core::call::{Dial, HangUp};
use serde_json::{Value, json};
use uuid::Uuid;

/// A request to an integration: the path below its base URL, and the body.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemCall {
    pub path: String,
    pub body: Value,
}

/// Asks the exchange for a call. `id` is that of the communication.
pub fn dial(workspace: &str, id: Uuid, dial: &Dial) -> SystemCall {
    let mut body = json!({ "communicationId": id });
    let phone = Some(&dial.client_phone).filter(|phone| !phone.is_empty());
    let members = [
        ("fromUserId", dial.from_user_id.map(|user| user.to_string())),
        ("toUserId", dial.to_user_id.map(|user| user.to_string())),
        ("clientPhone", phone.cloned()),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    SystemCall {
        path: format!("api/v1/{workspace}/communications/call"),
        body,
    }
}

/// Asks the exchange to hang up. `id` is that of the communication.
pub fn hang_up(workspace: &str, id: Uuid, wish: &HangUp) -> SystemCall {
    let mut body = json!({ "realtimeCallItemId": wish.realtime_call_item_id });
    if let Some(user) = wish.user {
        body["userId"] = user.to_string().into();
    }
    SystemCall {
        path: format!("api/v1/{workspace}/communications/{id}/hangup"),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_members_are_left_out() {
        let (id, user) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let wish = Dial {
            client_phone: String::new(),
            from_user_id: Some(user),
            to_user_id: None,
        };
        let call = dial("w", id, &wish);
        assert_eq!(call.path, "api/v1/w/communications/call");
        let expected = format!(r#"{{"communicationId":"{id}","fromUserId":"{user}"}}"#);
        assert_eq!(call.body.to_string(), expected);
        let wish = HangUp {
            realtime_call_item_id: "7".to_owned(),
            user: None,
        };
        let call = hang_up("w", id, &wish);
        assert_eq!(call.path, format!("api/v1/w/communications/{id}/hangup"));
        assert_eq!(call.body.to_string(), r#"{"realtimeCallItemId":"7"}"#);
    }
}
