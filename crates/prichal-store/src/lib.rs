//! The state of Prichal, in SQLite or PostgreSQL. All SQL is in this crate.
//!
//! [`Db::write`] is the only way to change data. It passes a closure to a writer, which runs all waiting closures as
//! one transaction ([`writer`]). [`Db::read`] runs a closure on a read-only connection. Both run on threads of the
//! store, so a closure must not block on anything but the database.

#![forbid(unsafe_code)]

pub mod alert;
pub mod audit;
pub mod backup;
pub mod bulk;
pub mod certificate;
pub mod channel;
mod checkpoint;
pub mod communication;
mod conn;
pub mod delivery;
pub mod delivery_stats;
pub mod document;
pub mod document_blob;
pub mod document_hook;
pub mod entity;
mod error;
pub mod event;
pub mod event_type;
pub mod evidence;
mod fair_queue;
pub mod file;
pub mod hub;
pub mod idempotency;
mod insert;
pub mod integration;
pub mod job;
pub mod kv;
pub mod live_ticket;
pub mod login_link;
pub mod mail;
mod migration;
mod open;
pub mod phone;
mod postgres;
pub mod published_event;
pub mod quarantine;
mod queue;
mod reader;
pub mod resource;
pub mod retention;
pub mod run;
pub mod script_version;
pub mod sealed;
pub mod session;
pub mod setting;
pub mod sign_in_name;
pub mod signature;
pub mod socket;
pub mod tenant;
pub mod token;
pub mod ui_setting;
mod update_info;
pub mod usage;
mod value;
pub mod webhook;
pub mod workspace;
mod writer;

use std::sync::Arc;

use audit::Rider;
use prichal_core::id::WorkspaceId;
use queue::Urgency;

pub use conn::{Conn, Engine};
pub use error::{Error, Result};
pub use event::LoggedEvent;
pub use open::Options;
pub use value::Row;
pub use writer::{OnBatch, OnCommit, Tx};

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    readers: reader::Readers,
    writers: Arc<[writer::Writer]>,
    written: Arc<writer::BytesWritten>,
    rider: FindRider,
}

/// Finds the rider of the current task.
pub type FindRider = fn() -> Option<Arc<dyn Rider>>;

impl Db {
    /// Gives each write the rider of the task that asks for it.
    #[must_use]
    pub fn with_riders(self, rider: FindRider) -> Self {
        Self { rider, ..self }
    }

    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Runs `work` in a transaction together with other waiting writes, and returns after the commit. `work` may run
    /// more than once, so its only effects must be those of its [`Tx`].
    ///
    /// The writes of a workspace go to one writer of this node, in the order of the calls. Workspaces that share a
    /// writer take turns.
    pub async fn write<T, E>(
        &self,
        workspace: WorkspaceId,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let writer = self.writer(workspace);
        writer
            .write(workspace, Urgency::Urgent, (self.rider)(), work)
            .await
    }

    /// Runs `work` like [`Self::write`], but for callers that need no quick answer. It joins the next urgent write,
    /// or is committed alone when none comes within milliseconds.
    pub async fn write_deferred<T, E>(
        &self,
        workspace: WorkspaceId,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let writer = self.writer(workspace);
        writer
            .write(workspace, Urgency::Deferred, (self.rider)(), work)
            .await
    }

    /// Returns the bytes of values that this process has written for a workspace, events included.
    pub fn bytes_written(&self, workspace: WorkspaceId) -> u64 {
        self.written.of(workspace)
    }

    fn writer(&self, workspace: WorkspaceId) -> &writer::Writer {
        let lane = workspace.0.as_u128() % self.writers.len() as u128;
        &self.writers[usize::try_from(lane).unwrap_or(0)]
    }

    /// Runs `work` on a read-only connection. The workspaces that tasks read for take turns ([`tenant`]).
    ///
    /// One workspace uses at most two thirds of the connections and a part of the queue, so that other workspaces can
    /// always read. A read whose caller has gone away is skipped.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.readers.read(work).await
    }
}
