//! Integrations: installed into a workspace, set up there, and called with its events
//! (`docs/contracts/kontur.md §4.2, §5, §9`).

mod instance;
mod manifest;
mod secret;
mod setup;
mod url;
pub mod webhook;

pub use instance::{Features, INSTANCE, INSTANCE_STATE, Instance, STATUSES, Secrets, Setting};
pub use manifest::{MANIFEST, Manifest};
pub use secret::{SIGNING_SECRET, Secret};
pub use setup::{Setup, setup};
pub use url::{BASE_URL, is_http_url, target_url};
pub use webhook::{MIN_PERIOD, Trigger, Webhook};

use crate::words::words;

words! {
    /// The workspaces that may install an integration: only its creator, or all.
    Kind { Private "private", Public "public" }
}

words! {
    /// The state of an instance, numbered on the wire in this order, from 0.
    Status {
        NotConfigured "notConfigured",
        Active "active",
        Paused "paused",
        /// Calls fail, and further ones are still made.
        HasErrors "hasErrors",
        /// A hook was switched off after too many failures.
        Failed "failed",
    }
}

impl Kind {
    /// The status right after the installation: a public integration has to be set up first
    /// (`docs/contracts/prichal.md §4`).
    pub const fn installed(self) -> Status {
        match self {
            Self::Private => Status::Active,
            Self::Public => Status::NotConfigured,
        }
    }
}

impl Status {
    /// True while webhooks and system calls are sent.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Active | Self::HasErrors | Self::Failed)
    }
}

#[cfg(test)]
mod tests;
