//! Status webhooks (`docs/contracts/idocs.md §3`).

mod history;
mod retries;
mod subscriptions;
mod tls;
