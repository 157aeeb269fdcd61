//! The one clock of a run: every process of the machine reads the same, so a receiver can subtract
//! a sender's stamp.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub fn now_ns() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Seconds since 1970, to name files and runs by.
pub fn unix_seconds() -> u64 {
    nanos(clock_gettime(ClockId::Realtime)) / 1_000_000_000
}

/// From one reading of [`now_ns`] to a later one; zero when they are the other way round.
pub fn between(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_nanos(to_ns.saturating_sub(from_ns))
}

fn nanos(time: Timespec) -> u64 {
    let whole = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000;
    whole + u64::try_from(time.tv_nsec).unwrap_or(0)
}
