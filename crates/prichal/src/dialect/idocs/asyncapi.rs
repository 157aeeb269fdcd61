//! Document hooks in the AsyncAPI description (`docs/contracts/idocs.md §3`).

use prichal_dialect::idocs::event::StatusEvent;

use crate::{
    delivery::target::document_hook::HEADERS,
    dialect::asyncapi::{Action, Channel, Message, Operation, Part, Server, payload},
};

pub(super) const MESSAGES: Part = Part {
    tag: (
        "document hooks",
        "The status of documents, to a company's subscription.",
    ),
    servers: &[Server {
        name: "company",
        protocol: "https",
        host: "erp.example.com",
        description: "The server of a company, with the address in `subscriptionUrl`.",
    }],
    security: &[],
    channels: &[Channel {
        name: "documentHook",
        address: "{subscriptionUrl}",
        description: "The `subscriptionUrl` of a company's subscription.",
        server: "company",
        parameters: &[("subscriptionUrl", "The path of the `subscriptionUrl`.")],
        messages: &["documentStatus"],
        is_websocket: false,
    }],
    operations: &[Operation {
        name: "sendDocumentStatus",
        action: Action::Send,
        channel: "documentHook",
        summary: "Tell a company of a new status of its document.",
        description: "In order for each document, at least once. Any 2xx is a success; otherwise the event is sent again after 10 s, 1 min, 5 min, 30 min, 2 h, 6 h, 12 h, and three times a day.",
        messages: &["documentStatus"],
        replies: &[],
        http: Some(("POST", &[])),
        security: &[],
    }],
    messages: &[Message::new(
        "documentStatus",
        "A new status of a document",
        payload::<StatusEvent>,
    )
    .headers(HEADERS)
    .example(include_str!("examples/status-event.json"))],
};
