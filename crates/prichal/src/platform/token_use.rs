//! The last use of tokens: noted when a token is read from the store, which is at most once a second, and written in the
//! background at most once a minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use prichal_core::{
    id::{TokenId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    token::{self, Token, Use},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::{Platform, security};

/// The minimum time between two noted uses of a token.
const USE_INTERVAL: Duration = Duration::from_mins(1);
/// The maximum number of uses that wait to be written. Others are noted when their token is used again.
const MAX_WAITING: usize = 10_000;
/// The maximum number of uses in one write.
const MAX_PER_WRITE: usize = 200;

/// The uses that are not written yet.
#[derive(Default)]
pub struct TokenUses {
    waiting: Mutex<HashMap<TokenId, Use>>,
    is_waiting: Notify,
}

impl TokenUses {
    /// Notes that the request of this task uses a token, which was just read from the store.
    pub fn note(&self, token: &Token, now: Timestamp) {
        let is_noted = token.used_at.is_some_and(|at| now < at + USE_INTERVAL);
        if is_noted || token.session.is_some() || !token.is_valid(now) {
            return;
        }
        let Some(address) = security::address() else {
            return;
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            let one = Use {
                workspace: token.workspace,
                token: token.id,
                at: now,
                from: address.to_string(),
            };
            waiting.insert(token.id, one);
            self.is_waiting.notify_one();
        }
    }

    fn take(&self) -> Vec<Use> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Use> = waiting.drain().map(|(_, one)| one).collect();
        // Nodes that note uses of the same tokens lock the rows in one order.
        taken.sort_unstable_by_key(|one| one.token);
        taken
    }
}

/// The workspace whose writer handles data of no single workspace.
const ANY: WorkspaceId = WorkspaceId(Uuid::nil());

/// Writes uses until `stop`. A use that cannot be written is lost.
pub async fn run(app: Platform, stop: CancellationToken) -> anyhow::Result<()> {
    let uses = &app.access.uses;
    while stop
        .run_until_cancelled(uses.is_waiting.notified())
        .await
        .is_some()
    {
        for some in uses.take().chunks(MAX_PER_WRITE) {
            let some = some.to_vec();
            let write = move |tx: &mut Tx<'_>| {
                some.iter()
                    .try_for_each(|one| token::note_use(tx, one, USE_INTERVAL))
            };
            if let Err(error) = app.db.write_deferred(ANY, write).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot note the last use of tokens"
                );
            }
        }
    }
    Ok(())
}
