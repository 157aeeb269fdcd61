//! `/admin/v1`: Prichal's own administration. Errors are RFC 9457 problems.

mod admin_token;
mod quarantine;
pub mod routes;
mod signature_policy;
mod tokens;
mod usage;
mod words;
mod workspaces;
