//! The state that all handlers of the console share.

use std::sync::Arc;

use crate::backend::Backend;

/// The console with its server.
#[derive(Clone)]
pub(crate) struct Console(pub(crate) Arc<dyn Backend>);

impl std::ops::Deref for Console {
    type Target = dyn Backend;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Console {
    /// True if browsers reach the server over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.public_url().starts_with("https://")
    }

    /// The name of the session's cookie. Browsers accept the prefix `__Secure-` over TLS only.
    pub(crate) fn cookie_name(&self) -> &'static str {
        if self.is_secure() {
            "__Secure-prichal_session"
        } else {
            "prichal_session"
        }
    }

    /// The line that sets a cookie of the console, or removes it if the value is empty.
    pub(crate) fn cookie(&self, name: &str, value: &str, seconds: u64) -> String {
        let secure = if self.is_secure() { "; Secure" } else { "" };
        let age = if value.is_empty() { 0 } else { seconds };
        format!("{name}={value}; Path=/console; HttpOnly; SameSite=Lax; Max-Age={age}{secure}")
    }
}
