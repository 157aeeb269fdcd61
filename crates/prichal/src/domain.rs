//! The domain: entities, integrations, calls, channels and documents, and the operations on them. It knows the platform
//! and the store, but no dialect's JSON and no status code.

pub mod alert;
pub mod channel;
pub mod document;
pub mod document_hook;
pub mod entity;
pub mod event_type;
pub mod instance;
pub mod job;
pub mod journal;
pub mod listeners;
pub mod mail;
pub mod rotation;
pub mod script;
pub mod stream;
pub mod telephony;
pub mod webhook;

use std::{ops::Deref, sync::Arc};

use tokio::sync::Notify;

use crate::platform::{Platform, share::FairShare};
use channel::Channels;
use event_type::EventTypes;
use journal::Journal;
use script::Scripts;
use stream::Streams;
use telephony::Telephony;

/// The memory for concurrent checks and print forms, in MiB. Each takes up to 70 MiB.
const MAX_CHECKS_MIB: usize = 256;
/// The maximum number of zips that are written at the same time, in all and for one workspace.
const MAX_ZIPS: usize = 64;
const MAX_ZIPS_PER_WORKSPACE: usize = 4;

/// The parts of the domain that requests and background tasks share, above the platform. Cheap to clone.
#[derive(Clone)]
pub struct Domain(Arc<Inner>);

pub struct Inner {
    pub platform: Platform,
    pub telephony: Arc<Telephony>,
    pub channels: Arc<Channels>,
    pub streams: Arc<Streams>,
    pub scripts: Scripts,
    pub event_types: EventTypes,
    /// Wakes the sender of mails.
    pub outbox: Arc<Notify>,
    /// The durable work that is in progress.
    pub journal: Arc<Journal>,
    /// The memory for signature checks and print forms, in MiB.
    pub checks: FairShare,
    /// Threads that write zips of documents.
    pub zips: FairShare,
    /// Wakes the workers of bulk calls.
    pub bulk: Notify,
}

impl Domain {
    pub fn new(
        platform: Platform,
        telephony: Arc<Telephony>,
        channels: Arc<Channels>,
        streams: Arc<Streams>,
        scripts: Scripts,
        journal: Journal,
        outbox: Arc<Notify>,
    ) -> Self {
        Self(Arc::new(Inner {
            platform,
            telephony,
            channels,
            streams,
            scripts,
            event_types: EventTypes::default(),
            outbox,
            journal: Arc::new(journal),
            checks: FairShare::new(MAX_CHECKS_MIB, MAX_CHECKS_MIB / 4 * 3),
            zips: FairShare::new(MAX_ZIPS, MAX_ZIPS_PER_WORKSPACE),
            bulk: Notify::new(),
        }))
    }
}

impl Deref for Domain {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Deref for Inner {
    type Target = Platform;

    fn deref(&self) -> &Platform {
        &self.platform
    }
}
