//! System calls: the requests of the server to an exchange (`docs/contracts/kontur.md §4.4`).

use prichal_core::call::{Dial, HangUp};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

/// A request to an integration: the path below its base URL, and the body.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemCall {
    pub path: String,
    pub body: Value,
}

/// The system call CALL: the exchange is to make this call.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SystemCallCall)]
pub struct CallCommand<'a> {
    /// The id of the call, for the exchange's reports about it.
    communication_id: Uuid,
    /// The user who calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    from_user_id: Option<Uuid>,
    /// The called user of an internal call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    to_user_id: Option<Uuid>,
    /// The called number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_phone: Option<&'a str>,
}

/// The system call HANGUP: the exchange is to end this leg.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SystemCallHangUp)]
pub struct HangUpCommand<'a> {
    /// The id of the leg, as the exchange's events name it.
    realtime_call_item_id: &'a str,
    /// The user whose leg it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_id: Option<Uuid>,
}

/// Asks the exchange for a call. `id` is that of the communication.
pub fn dial(workspace: &str, id: Uuid, dial: &Dial) -> SystemCall {
    let command = CallCommand {
        communication_id: id,
        from_user_id: dial.from_user_id,
        to_user_id: dial.to_user_id,
        client_phone: Some(dial.client_phone.as_str()).filter(|phone| !phone.is_empty()),
    };
    SystemCall {
        path: format!("api/v1/{workspace}/communications/call"),
        body: json!(command),
    }
}

/// Asks the exchange to hang up. `id` is that of the communication.
pub fn hang_up(workspace: &str, id: Uuid, wish: &HangUp) -> SystemCall {
    let command = HangUpCommand {
        realtime_call_item_id: &wish.realtime_call_item_id,
        user_id: wish.user,
    };
    SystemCall {
        path: format!("api/v1/{workspace}/communications/{id}/hangup"),
        body: json!(command),
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
