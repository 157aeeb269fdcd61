//! The calls of a runner: the order of those about one entity, the bound on their number, their start.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use prichal_core::{event::Entity, retry::Verdict};
use prichal_store::quarantine::Item;

use super::{FinishedCall, Job, MAX_CALLS, NewCall, Runner, item, limited::paced};
use crate::{
    delivery::target::{Attempt, AttemptResult, Recipient},
    domain::journal::{self, ItemGuard},
    platform::{share::Permit, writes},
};

impl Runner {
    pub(super) fn start_or_park(&mut self, job: Job) {
        if self.parked.is_empty()
            && self.has_room(&job)
            && job.entities().all(|entity| !self.busy.contains(entity))
        {
            self.start(job);
        } else {
            self.parked.push_back(job);
        }
    }

    /// Starts the parked calls that may run now. Events of one entity keep their order.
    pub(super) fn unpark(&mut self) {
        if self.parked.is_empty() {
            return;
        }
        let mut before: HashSet<Entity> = HashSet::new();
        for job in std::mem::take(&mut self.parked) {
            let free = job
                .entities()
                .all(|entity| !self.busy.contains(entity) && !before.contains(entity));
            if free && self.has_room(&job) {
                self.start(job);
            } else {
                before.extend(job.entities());
                self.parked.push_back(job);
            }
        }
    }

    /// True if the bound on calls allows this one. Calls of the side queue were counted when they were accepted.
    fn has_room(&self, job: &Job) -> bool {
        (job.is_side || self.main_calls() < MAX_CALLS) && self.free() > 0
    }

    pub(super) fn main_calls(&self) -> usize {
        self.calls.len() + self.starting.len() - self.side_calls - self.suspect_calls
    }

    fn start(&mut self, job: Job) {
        if let Some(limits) = &self.limits
            && let Some(until) = limits.waits_until(job.lane, job.event.seq, job.event.entities())
        {
            // No call was made.
            let attempt = job.attempt - 1;
            self.record_verdict(&Job { attempt, ..job }, Verdict::DeferredUntil(until));
            return;
        }
        let pace = self.limits.as_ref().and_then(|limits| limits.pace.as_ref());
        let counted_at = pace.map(|pace| pace.note(self.app.clock.now()));
        self.busy.extend(job.entities());
        let is_suspect = self.is_suspect(job.event.seq);
        if is_suspect {
            self.suspect_calls += 1;
        } else if job.is_side {
            self.side_calls += 1;
        }
        self.starting.push(NewCall {
            job,
            is_suspect,
            counted_at,
        });
    }

    /// Starts the calls that were decided on in this turn. Those that need not wait begin together in the journal.
    pub(super) fn start_calls(&mut self) {
        let Some(recipient) = self.recipient.clone() else {
            return;
        };
        let calls = std::mem::take(&mut self.starting);
        if calls.is_empty() {
            return;
        }
        let key = self.hook.key();
        let mut begun = Vec::new();
        if writes::over(&self.app, key.workspace).is_none() {
            let permits = calls
                .iter()
                .map_while(|_| self.app.calls.try_take(key.workspace, 1));
            let permits: Vec<Permit> = permits.collect();
            let items = calls.iter().take(permits.len());
            let items: Vec<Item> = items.map(|call| item(key, call.job.event.seq)).collect();
            if let Some(guards) = journal::begin_now(&self.app, &items) {
                begun = permits.into_iter().zip(guards).collect();
            }
        }
        let mut begun = begun.into_iter();
        for call in calls {
            self.call(recipient.clone(), call, begun.next());
        }
    }

    /// Makes a call: at once if it has begun in the journal and has its permit, else after its turn.
    fn call(
        &mut self,
        recipient: Arc<dyn Recipient>,
        call: NewCall,
        begun: Option<(Permit, ItemGuard)>,
    ) {
        let NewCall {
            job,
            is_suspect,
            counted_at,
        } = call;
        let (app, connections) = (self.app.clone(), self.connections.clone());
        let lease = self.hook.lease;
        let pace = self.limits.as_ref().and_then(|limits| limits.pace.clone());
        let pace = pace.zip(counted_at);
        self.calls.push(Box::pin(async move {
            let (_permit, guard) = if let Some((permit, guard)) = begun {
                (Some(permit), Some(guard))
            } else {
                // Each call leads to a write, so it waits until the workspace may write.
                let may_write = writes::wait(&app, lease.key.workspace);
                app.stopping.run_until_cancelled(may_write).await;
                // A suspect takes no room from the calls of others while it waits for its turn.
                let permit = if is_suspect {
                    None
                } else {
                    Some(app.calls.take(lease.key.workspace, 1).await)
                };
                let permit = match pace {
                    Some((pace, counted_at)) => {
                        let paced = paced(&app, lease.key.workspace, &pace, counted_at, permit);
                        Box::pin(paced).await
                    }
                    None => permit,
                };
                let guard = journal::begin(&app, item(lease.key, job.event.seq)).await;
                (permit, guard)
            };
            let ended = if guard.is_none() {
                // The server stops. The next start continues with this event.
                AttemptResult::Postponed(app.clock.now())
            } else {
                let attempt = Attempt {
                    lease,
                    connections: &connections,
                    event: &job.event,
                    lane: job.lane,
                    number: job.attempt,
                };
                recipient.deliver(&app, attempt).await
            };
            FinishedCall {
                job,
                ended,
                is_suspect,
                guard,
            }
        }));
    }
}
