//! Rights, and their end.

mod channel_rights;
mod revocation;
mod rights;
mod wrong_credentials;
