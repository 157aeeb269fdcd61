//! The bounds that the settings of a webhook set in addition to those of every webhook: rate, calls at once, order.

use std::sync::Arc;

use prichal_core::{
    delivery_settings::{DeliverySettings, RateLimit, Strictness},
    event::Entity,
    time::Timestamp,
};
use prichal_store::{
    Conn,
    delivery::{self, AttemptFilter, Lane},
    webhook::Key,
};

use super::{
    order::{MAX_LOADED, Order, Scope},
    pace::Pace,
};
use crate::{delivery::Delivery, error::Result};

pub(super) struct Limits {
    pub(super) pace: Option<Arc<Pace>>,
    /// The maximum number of calls at once, those of the side queue included.
    max_calls: Option<usize>,
    pub(super) order: Option<Order>,
    /// The time at which the rate allows the next call, if events wait for it.
    pub(super) until: Option<Timestamp>,
    /// True if the side queue gets the larger part of an odd number of calls.
    is_side_turn: bool,
}

impl Limits {
    /// The bounds of these settings. `None` if they set none. `before` are the bounds so far.
    pub(super) async fn load(
        app: &Delivery,
        key: Key,
        settings: &DeliverySettings,
        before: Option<Self>,
    ) -> Result<Option<Self>> {
        let scope = match settings.strictness() {
            Strictness::Loose => None,
            Strictness::Entity => Some(Scope::Entity),
            Strictness::Whole => Some(Scope::Whole),
        };
        let (pace, order) = before.map_or((None, None), |before| (before.pace, before.order));
        let pace = match (settings.rate_limit, pace) {
            (None, _) => None,
            (Some(limit), Some(pace)) => Some(pace.with_limit(limit)),
            (Some(limit), None) => Some(Pace::new(limit, calls(app, key, limit).await?)),
        };
        let order = match (scope, order) {
            (None, _) => None,
            (Some(scope), Some(order)) => Some(order.with_scope(scope)),
            (Some(scope), None) => Some(deferred(app, key, scope).await?),
        };
        let max_calls = settings.max_concurrency;
        if pace.is_none() && max_calls.is_none() && order.is_none() {
            return Ok(None);
        }
        Ok(Some(Self {
            pace: pace.map(Arc::new),
            max_calls,
            order,
            until: None,
            is_side_turn: false,
        }))
    }

    /// The number of calls that may begin at `now`, while `running` ones run.
    pub(super) fn free(&self, running: usize, now: Timestamp) -> usize {
        let by_pace = self.pace.as_ref().map(|pace| pace.free(now));
        let by_calls = self.max_calls.map(|max| max.saturating_sub(running));
        let bounds = [by_pace, by_calls].into_iter().flatten();
        bounds.min().unwrap_or(usize::MAX)
    }

    /// The side queue's part of `free` calls, if both lanes have work. Parts alternate, so that neither starves.
    pub(super) fn side_share(&mut self, free: usize) -> usize {
        let share = free / 2 + usize::from(free % 2 == 1 && self.is_side_turn);
        if free % 2 == 1 {
            self.is_side_turn = !self.is_side_turn;
        }
        share
    }

    /// True if the events of a lane that are not accepted yet wait for a deferred one.
    pub(super) fn is_closed(&self, lane: Lane) -> bool {
        self.order
            .as_ref()
            .is_some_and(|order| !order.is_open(lane))
    }

    /// True if the next call waits until the results of all others are written.
    pub(super) fn is_whole(&self) -> bool {
        let mut order = self.order.iter();
        order.any(|order| order.scope == Scope::Whole)
    }

    pub(super) fn waits_until(
        &self,
        lane: Lane,
        seq: i64,
        entities: &[Entity],
    ) -> Option<Timestamp> {
        let order = self.order.as_ref()?;
        order.waits_until(lane, seq, entities)
    }
}

/// The times of a webhook's latest calls, the oldest first.
async fn calls(app: &Delivery, key: Key, limit: RateLimit) -> Result<Vec<Timestamp>> {
    let since = app.clock.now() - limit.per.duration();
    let most = limit.count;
    let (workspace, integration) = (key.workspace, key.integration);
    let (mut calls, mut before) = (Vec::new(), None);
    loop {
        let filter = AttemptFilter {
            webhook: Some(key.id),
            since: Some(since),
            before,
            ..AttemptFilter::default()
        };
        let count = i64::try_from(most - calls.len()).unwrap_or(i64::MAX);
        let read = move |conn: &mut Conn| {
            delivery::list_attempts(conn, workspace, integration, &filter, count)
        };
        let page = app.db.read(read).await?;
        calls.extend(page.items.iter().map(|attempt| attempt.started_at));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    calls.sort_unstable();
    Ok(calls)
}

/// The deferred events of a webhook.
async fn deferred(app: &Delivery, key: Key, scope: Scope) -> Result<Order> {
    let read = move |conn: &mut Conn| delivery::list_deferred(conn, key, MAX_LOADED);
    let mut order = Order::new(scope);
    for (row, head) in app.db.read(read).await? {
        order.defer(row.lane, row.seq, &head.entities, row.due_at);
    }
    Ok(order)
}
