//! Rights, and their end.

mod channel_rights;
mod console;
mod console_live;
mod console_offers;
mod console_routes;
mod console_sessions;
mod console_table;
mod oidc;
mod oidc_calls;
mod own_calls;
mod revocation;
mod rights;
mod roles;
mod sessions;
mod token_use;
mod wrong_credentials;
