//! Helpers of the tests: servers and their clients, and stand-ins for the systems of integrators.

pub(crate) mod channel_workspace;
pub(crate) mod description;
pub(crate) mod document_exchange;
pub(crate) mod document_subscriber;
pub(crate) mod event_stream;
pub(crate) mod forward_proxy;
pub(crate) mod hub;
pub(crate) mod integration;
pub(crate) mod json_schema;
pub(crate) mod messages;
pub(crate) mod receiver;
pub(crate) mod server_process;
pub(crate) mod smtp_receiver;
pub(crate) mod telephony_exchange;
pub(crate) mod tls_front;
pub(crate) mod websocket_client;
