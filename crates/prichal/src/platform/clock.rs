//! The one clock. All timers of the server wait on it. Tests stop it and move it by hand.

use std::{sync::Arc, time::Duration};

use prichal_core::time::Timestamp;
use tokio::sync::watch;

#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// A clock that stands still at `start` until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(watch::Sender::new(start)))
    }

    /// Moves a manual clock on and wakes its sleepers. Without effect on the system's clock.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.send_modify(|now| *now = *now + by);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that everybody else asks"
    )]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => {
                let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                Timestamp::from_micros(since.map_or(0, |since| {
                    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
                }))
            }
            Self::Manual(now) => *now.borrow(),
        }
    }

    pub async fn sleep_until(&self, at: Timestamp) {
        match self {
            Self::System => tokio::time::sleep(at.since(self.now())).await,
            Self::Manual(now) => {
                // The sender lives as long as `self`, so this ends only when the time has come.
                let _ = now.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }

    pub async fn sleep(&self, wait: Duration) {
        self.sleep_until(self.now() + wait).await;
    }
}
