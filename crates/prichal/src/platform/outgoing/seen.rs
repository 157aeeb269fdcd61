//! The certificates that receivers have shown lately, by workspace and host.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prichal_core::id::WorkspaceId;
use prichal_core::time::Timestamp;
use prichal_sign::Certificate;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::names::Requester;
use super::target::{Host, Origin};

/// The maximum number of hosts that are remembered. Beyond it all are forgotten, and noted anew.
const MAX_HOSTS: usize = 10_000;

type Hosts = HashMap<(WorkspaceId, String), (Timestamp, bool)>;

/// The end of each certificate, and whether it is new.
#[derive(Default)]
pub struct SeenCertificates(Mutex<Hosts>);

/// A certificate that a receiver has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCertificate {
    pub workspace: WorkspaceId,
    /// With the port.
    pub host: String,
    pub ends_at: Timestamp,
}

impl SeenCertificates {
    /// Notes the certificate of a new connection.
    pub(super) fn note(&self, requester: Requester, origin: &Origin, tls: &TlsStream<TcpStream>) {
        let Requester::Workspace(workspace) = requester else {
            return;
        };
        let shown = tls.get_ref().1.peer_certificates();
        let read = shown
            .and_then(|chain| chain.first())
            .and_then(|first| Certificate::read(first).ok());
        if let Some(certificate) = read {
            let ends_at = end_of(&certificate);
            let host = match &origin.host {
                Host::Name(name) => name.clone(),
                Host::Address(address) => address.to_string(),
            };
            self.insert(workspace, format!("{host}:{}", origin.port), ends_at);
        }
    }

    fn insert(&self, workspace: WorkspaceId, host: String, ends_at: Timestamp) {
        let mut hosts = self.lock();
        if hosts.len() >= MAX_HOSTS {
            hosts.clear();
        }
        let known = hosts.entry((workspace, host)).or_insert((ends_at, true));
        if known.0 != ends_at {
            *known = (ends_at, true);
        }
    }

    /// Takes what is new.
    pub fn take(&self) -> Vec<SeenCertificate> {
        let mut hosts = self.lock();
        let new = hosts.iter_mut().filter(|(_, (_, is_new))| *is_new);
        new.map(|((workspace, host), (ends_at, is_new))| {
            *is_new = false;
            SeenCertificate {
                workspace: *workspace,
                host: host.clone(),
                ends_at: *ends_at,
            }
        })
        .collect()
    }

    /// Forgets all, so that those that are still shown are new.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of the validity of a certificate.
pub fn end_of(certificate: &Certificate) -> Timestamp {
    Timestamp::from_micros(certificate.not_after.unix().saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_certificate_is_new_once() {
        let seen = SeenCertificates::default();
        let workspace = WorkspaceId(Uuid::from_u128(1));
        let note = |seconds: i64| {
            let ends_at = Timestamp::from_micros(seconds * 1_000_000);
            seen.insert(workspace, "a.example:443".to_owned(), ends_at);
        };
        note(1);
        note(1);
        assert_eq!(seen.take().len(), 1);
        note(1);
        assert_eq!(seen.take(), []);
        note(2);
        assert_eq!(seen.take()[0].ends_at, Timestamp::from_micros(2_000_000));
        seen.forget();
        note(2);
        assert_eq!(seen.take().len(), 1);
    }
}
