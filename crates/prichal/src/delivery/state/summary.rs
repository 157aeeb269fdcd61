//! The state of a source in a list of many: without lags that take long to count, and by hours.

use prichal_core::{id::WorkspaceId, time::Timestamp};
use prichal_store::{
    Conn,
    webhook::{self, Source},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{SourceState, State};
use crate::{delivery::Delivery, error::Result};

/// The maximum number of events behind a cursor that are matched one by one.
const MAX_MATCHED_EVENTS: i64 = 500;
/// The number of quarters in an hour.
const QUARTERS: usize = 4;

/// The state of a source in a list, and figures about its calls.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeliverySourceState)]
pub struct Summary {
    state: State,
    /// The time of the first failure after the last success, of a source that fails.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<Timestamp>,
    /// The number of events that the source has yet to deliver. Of events further than 500 behind, each counts.
    lag_events: i64,
    /// The age of the oldest of these in seconds.
    lag_seconds: u64,
    /// The number of events that wait for another attempt, up to 100 000.
    waiting: i64,
    /// The time of the next attempt for one that waits, or of the next scheduled call.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try_at: Option<Timestamp>,
    /// The time of the last call that succeeded.
    #[schema(value_type = String, format = "date-time")]
    #[serde(skip_serializing_if = "Option::is_none")]
    last_success_at: Option<Timestamp>,
    /// The reason of the last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    /// The status of the receiver's answer then, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_http_status: Option<i64>,
    /// The last day by hours, the oldest first: 24 of them. The last one is not over.
    hours: Vec<Hour>,
}

/// The calls in an hour.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryHour)]
pub(super) struct Hour {
    /// The number of calls that succeeded.
    delivered: i64,
    /// The number of calls that failed.
    failed: i64,
}

impl Summary {
    /// Reads the state of a source. `None` if the source is gone.
    pub fn read(
        app: &Delivery,
        conn: &mut Conn,
        workspace: WorkspaceId,
        source: Source,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        let state = match source {
            Source::Webhook(key) | Source::DocumentHook(key) => {
                let Some(row) = webhook::find(conn, key)? else {
                    return Ok(None);
                };
                SourceState::of_hook_within(app, conn, &row, now, MAX_MATCHED_EVENTS)?
            }
            Source::Channel(id) => SourceState::of_channel(conn, workspace, id, now)?,
        };
        Ok(Some(state.into()))
    }
}

impl From<SourceState> for Summary {
    fn from(full: SourceState) -> Self {
        let hours = full.quarters.chunks(QUARTERS).map(|hour| Hour {
            delivered: hour.iter().map(|quarter| quarter.delivered).sum(),
            failed: hour.iter().map(|quarter| quarter.failed).sum(),
        });
        Self {
            hours: hours.collect(),
            state: full.state,
            failing_since: full.failing_since,
            lag_events: full.lag_events,
            lag_seconds: full.lag_seconds,
            waiting: full.waiting,
            next_try_at: full.next_try_at,
            last_success_at: full.last_success_at,
            last_error: full.last_error,
            last_http_status: full.last_http_status,
        }
    }
}
