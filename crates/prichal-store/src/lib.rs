//! Prichal's state, in SQLite or PostgreSQL. Nobody else writes SQL.
//!
//! [`Db::write`] is the only way to change anything: it hands a closure to a writer, which runs all
//! that wait as one transaction ([`writer`]). [`Db::read`] runs a closure on a read-only connection.
//! Both run on threads of the store's own, so neither may block on anything but the database.

#![forbid(unsafe_code)]

pub mod bulk;
pub mod channel;
mod checkpoint;
pub mod communication;
mod conn;
pub mod delivery;
pub mod document;
pub mod document_blob;
pub mod document_hook;
pub mod entity;
mod error;
pub mod event;
pub mod evidence;
pub mod file;
pub mod hub;
pub mod idempotency;
mod insert;
pub mod integration;
pub mod kv;
pub mod live_ticket;
mod migration;
mod open;
pub mod phone;
mod postgres;
pub mod quarantine;
mod queue;
mod reader;
pub mod resource;
pub mod run;
pub mod sealed;
pub mod setting;
pub mod signature;
pub mod socket;
mod stamps;
pub mod tenant;
pub mod token;
mod turns;
pub mod ui_setting;
pub mod usage;
mod value;
pub mod walk;
pub mod webhook;
pub mod workspace;
mod writer;

use std::sync::Arc;

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
    written: Arc<writer::Written>,
}

impl Db {
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Runs `work` in a transaction together with other waiting writes, and returns when it is
    /// committed. `work` may run more than once; it must not do anything but use its [`Tx`].
    ///
    /// Writes of one workspace go to one writer of this node, in the order in which they were given. Workspaces that
    /// share a writer take turns.
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
        writer.write(workspace, Urgency::Urgent, work).await
    }

    /// Like [`Self::write`], for what nobody waits for: it goes along with the next write of another,
    /// or alone when none comes within milliseconds.
    pub async fn write_patiently<T, E>(
        &self,
        workspace: WorkspaceId,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let writer = self.writer(workspace);
        writer.write(workspace, Urgency::Patient, work).await
    }

    /// How many bytes of values this process has written for a workspace, events included.
    pub fn bytes_written(&self, workspace: WorkspaceId) -> u64 {
        self.written.of(workspace)
    }

    fn writer(&self, workspace: WorkspaceId) -> &writer::Writer {
        let lane = workspace.0.as_u128() % self.writers.len() as u128;
        &self.writers[usize::try_from(lane).unwrap_or(0)]
    }

    /// Runs `work` on a read-only connection, by turns of the workspaces that tasks read for ([`tenant`]).
    ///
    /// One workspace has two thirds of the connections at the most, and a share of what may wait: others never wait
    /// behind all that it reads. When the caller has gone before its turn comes, nothing is read.
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
