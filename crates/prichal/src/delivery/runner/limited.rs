//! The part of a runner that keeps the bounds of a webhook's settings: rate, calls at once, order. A webhook without such
//! bounds does not come here.

use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::delivery::Lane;

use super::{MAX_WINDOW_EVENTS, Runner};
use crate::{
    delivery::{Delivery, limits::Limits, pace::Pace},
    error::Result,
    platform::share::Permit,
};

impl Runner {
    /// Takes the bounds from the settings.
    pub(super) async fn load_limits(&mut self) -> Result<()> {
        let before = self.limits.take().map(|limits| *limits);
        let settings = &self.definition.settings;
        if !settings.is_default() {
            let limits = Limits::load(&self.app, self.hook.key(), settings, before).await?;
            self.limits = limits.map(Box::new);
        }
        Ok(())
    }

    /// Starts calls within the bounds of the settings. Returns false if the lease is lost.
    pub(super) async fn fill_within_limits(&mut self) -> Result<bool> {
        if self.hook.take_side_queue() || std::mem::take(&mut self.is_side_queue_due) {
            let room = self.room(Lane::Replay);
            if let Some(limits) = &mut self.limits {
                self.side_reserve = room - limits.side_share(room);
            }
            self.fill_side().await?;
            self.side_reserve = 0;
        }
        let goes_on = self.fill_main(self.room(Lane::Main)).await?;
        // The main lane may leave calls that were reserved for it.
        if self.side_room() > 0 && std::mem::take(&mut self.is_side_queue_due) {
            self.fill_side().await?;
        }
        let now = self.app.clock.now();
        if let Some(limits) = &mut self.limits {
            limits.until = limits.pace.as_ref().and_then(|pace| pace.next_at(now));
        }
        Ok(goes_on)
    }

    /// Starts calls for events of the side queue. It is read again if there may be more of them than there was room for.
    async fn fill_side(&mut self) -> Result<()> {
        self.retry_due().await?;
        self.continue_replay().await?;
        self.is_side_queue_due |= self.side_room() == 0;
        Ok(())
    }

    /// The number of further events of a lane that may be accepted under the bounds of the settings.
    pub(super) fn room(&self, lane: Lane) -> usize {
        match &self.limits {
            None => usize::MAX,
            Some(limits) if lane == Lane::Main && limits.is_closed(lane) => 0,
            // Events that only wait for an earlier one are written soon.
            Some(_) if self.batch.queue.len() >= MAX_WINDOW_EVENTS => 0,
            Some(_) => self.free(),
        }
    }

    /// The number of further calls that may begin under the bounds of the settings.
    pub(super) fn free(&self) -> usize {
        let Some(limits) = &self.limits else {
            return usize::MAX;
        };
        let is_held = !self.batch.held.is_empty() || !self.writing_batch.held.is_empty();
        if is_held && limits.is_whole() {
            return 0;
        }
        let running = self.calls.len() + self.starting.len();
        limits.free(running, self.app.clock.now())
    }

    /// The time at which the rate allows the next call, if that is in the future.
    pub(super) fn limited_until(&self) -> Option<Timestamp> {
        self.limits.as_ref().and_then(|limits| limits.until)
    }

    /// True if the next event of an entity waits until the result of the one before is written.
    pub(super) fn is_strictly_ordered(&self) -> bool {
        let by_settings = |limits: &Limits| limits.order.is_some();
        self.target.is_strictly_ordered() || self.limits.as_deref().is_some_and(by_settings)
    }
}

/// Waits until the rate allows a call that had to wait for its permit, and counts it at that time in the place of
/// `counted_at`. The permit is not kept meanwhile.
pub(super) async fn paced(
    app: &Delivery,
    workspace: WorkspaceId,
    pace: &Pace,
    counted_at: Timestamp,
    mut permit: Option<Permit>,
) -> Option<Permit> {
    let is_suspect = permit.is_none();
    pace.forget(counted_at);
    while let Err(until) = pace.try_note(app.clock.now()) {
        drop(permit.take());
        let sleep = app.clock.sleep_until(until);
        if app.stopping.run_until_cancelled(sleep).await.is_none() {
            break;
        }
        if !is_suspect {
            permit = Some(app.calls.take(workspace, 1).await);
        }
    }
    permit
}
