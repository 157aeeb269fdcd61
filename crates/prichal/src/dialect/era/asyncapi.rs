//! The messages of channels in the AsyncAPI description (`docs/contracts/era.md §8`).

use serde_json::json;

use crate::{
    dialect::asyncapi::{Action, Channel, Message, Operation, Part, Server},
    domain::channel::send::HEADERS,
};

pub(super) const MESSAGES: Part = Part {
    tag: (
        "channels",
        "Messages of channels, to their outside systems.",
    ),
    servers: &[Server {
        name: "outsideSystem",
        protocol: "https",
        host: "erp.example.com",
        description: "The outside system of a channel, with the address in the channel's `url`.",
    }],
    security: &[],
    channels: &[Channel {
        name: "channelUrl",
        address: "{url}",
        description: "The `url` of a channel.",
        server: "outsideSystem",
        parameters: &[("url", "The path of the channel's `url`.")],
        messages: &["channelMessage"],
        is_websocket: false,
    }],
    operations: &[Operation {
        name: "postChannelMessage",
        action: Action::Send,
        channel: "channelUrl",
        summary: "Post a message of a channel that has no script for sending.",
        description: "The body is that of the request to `…/send`. Any 2xx is a success; otherwise the message is sent again after 30 s, 1 min, 5 min, 15 min, and three times an hour.",
        messages: &["channelMessage"],
        replies: &[],
        http: Some(("POST", &[])),
        security: &[],
    }],
    messages: &[Message::new(
        "channelMessage",
        "A message of a channel",
        |_| json!({ "description": "Any JSON." }),
    )
    .headers(HEADERS)
    .example(r#"{"text":"hi"}"#)],
};
