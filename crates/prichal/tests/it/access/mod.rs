//! Who may do what, and when that ends.

mod channel_rights;
mod revocation;
mod rights;
mod wrong_credentials;
