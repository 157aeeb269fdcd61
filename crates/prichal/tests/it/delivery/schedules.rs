//! Webhooks that are called on a schedule.

use std::time::Duration;

use super::{expected_signature, signing_secrets};
use crate::harness::{
    hub::{Hub, eventually},
    integration::{Integration, schedule_hook},
    receiver::{Receiver, Reply},
};

#[tokio::test]
async fn schedule_hooks_are_called_once_per_period() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "clockwork", &receiver.url).await;
    integration
        .add_hook(schedule_hook("communications/sync", "00:05:00"))
        .await;
    let secrets = signing_secrets(&integration).await;
    for _ in 0..3 {
        hub.advance(Duration::from_secs(299));
        // The test call shows that the scheduler has read the clock.
        assert_eq!(receiver.waiting(), 0);
        hub.advance(Duration::from_secs(1));
        let call = receiver.next().await;
        assert_eq!(
            (call.method.as_str(), call.path.as_str(), call.body.as_str()),
            ("POST", "/communications/sync", "{}")
        );
        assert_eq!(
            call.header("webhook-signature"),
            Some(expected_signature(&secrets[0], &call).as_str())
        );
        next_tick_is_set(&hub, 300).await;
    }
    // Missed ticks do not accumulate.
    hub.advance(Duration::from_hours(1));
    receiver.next().await;
    next_tick_is_set(&hub, 300).await;
    hub.advance(Duration::from_mins(5));
    receiver.next().await;
    next_tick_is_set(&hub, 300).await;
    assert_eq!(receiver.waiting(), 0);
}

/// Waits until the store has the next tick at a whole period, which shows that the call is over.
pub(super) async fn next_tick_is_set(hub: &Hub, period: u64) {
    eventually("the next tick", || async {
        let next = hub
            .app
            .db
            .read(prichal_store::webhook::next_tick)
            .await
            .ok()??;
        let since = next.since(crate::harness::hub::START).as_secs();
        (since.is_multiple_of(period)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn failed_ticks_show_and_a_good_one_clears_them() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "clockwork", &receiver.url).await;
    integration
        .add_hook(schedule_hook("setup/upgrade", "00:05:00"))
        .await;
    for _ in 0..5 {
        hub.advance(Duration::from_mins(5));
        receiver.next().await;
        next_tick_is_set(&hub, 300).await;
    }
    integration.wait_for_status("hasErrors").await;
    receiver.answer(|_| Reply::Good);
    hub.advance(Duration::from_mins(5));
    integration.wait_for_status("active").await;
}
