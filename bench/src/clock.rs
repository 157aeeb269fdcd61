//! The clock of a run. All processes of a machine share it, so a receiver can subtract a sender's stamp.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Seconds since 1970, for the names of files and runs.
pub fn unix_seconds() -> u64 {
    nanos(clock_gettime(ClockId::Realtime)) / 1_000_000_000
}

/// The time from one reading of [`now_ns`] to a later one. Zero if they are in the reverse order.
pub fn between(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_nanos(to_ns.saturating_sub(from_ns))
}

fn nanos(time: Timespec) -> u64 {
    let whole = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000;
    whole + u64::try_from(time.tv_nsec).unwrap_or(0)
}
