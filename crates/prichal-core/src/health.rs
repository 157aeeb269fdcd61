//! The health of a webhook, and its consequences for the webhook and its instance's status (`docs/contracts/prichal.md
//! §6`), or of the document hook (`docs/contracts/idocs.md §3.4`).

use std::time::Duration;

use crate::{integration::Status, time::Timestamp};

/// The number of failures in a row after which the instance shows `hasErrors`.
const MIN_FAILURES_FOR_ERRORS: u32 = 5;
/// The number of failures in a row after which a hook is switched off, if they span at least this time.
const MIN_FAILURES_FOR_OFF: u32 = 100;
const MIN_SPAN_FOR_OFF: Duration = Duration::from_hours(1);
/// The number of exhausted events in a row, after each of which all retries have failed, at which a hook is switched
/// off.
const MAX_EXHAUSTED_IN_A_ROW: u32 = 3;
/// The time for which every call of a document hook has to fail before it is paused.
const MIN_SPAN_FOR_PAUSE: Duration = Duration::from_hours(5 * 24);

/// The failures in a row of one webhook. Any success ends the streak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// The number of failed calls.
    pub failures: u32,
    /// The time of the first of them.
    pub since: Option<Timestamp>,
    /// The number of events whose retries have all failed.
    pub exhausted: u32,
}

/// The consequence of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The instance shows `hasErrors`. Returned at each further failure too, because another hook's success
    /// may clear the status meanwhile.
    HasErrors,
    /// The hook is switched off and the instance shows `failed`.
    SwitchOff,
}

impl Streak {
    /// Counts a failed call. `exhausted` is true if it was the last retry of its event.
    pub fn on_failure(&mut self, now: Timestamp, exhausted: bool) -> Option<Effect> {
        self.failures = self.failures.saturating_add(1);
        self.exhausted = self.exhausted.saturating_add(u32::from(exhausted));
        let since = *self.since.get_or_insert(now);
        let long = self.failures >= MIN_FAILURES_FOR_OFF && now.since(since) >= MIN_SPAN_FOR_OFF;
        if long || self.exhausted >= MAX_EXHAUSTED_IN_A_ROW {
            Some(Effect::SwitchOff)
        } else {
            (self.failures >= MIN_FAILURES_FOR_ERRORS).then_some(Effect::HasErrors)
        }
    }

    /// True if a document hook has to be paused after a failure at `now`.
    pub fn should_pause(&self, now: Timestamp) -> bool {
        self.since
            .is_some_and(|since| now.since(since) >= MIN_SPAN_FOR_PAUSE)
    }

    /// Ends the streak. Returns true if it has changed and has to be stored.
    pub fn on_success(&mut self) -> bool {
        let had = *self != Self::default();
        *self = Self::default();
        had
    }
}

/// The instance's status after a failure. A pause outweighs it.
pub const fn after_failure(status: Status, effect: Effect) -> Status {
    match (status, effect) {
        (Status::NotConfigured | Status::Paused, _) => status,
        (_, Effect::SwitchOff) | (Status::Failed, Effect::HasErrors) => Status::Failed,
        (_, Effect::HasErrors) => Status::HasErrors,
    }
}

/// The instance's status after a success.
pub const fn after_success(status: Status) -> Status {
    match status {
        Status::NotConfigured | Status::Paused => status,
        Status::Active | Status::HasErrors | Status::Failed => Status::Active,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(0);

    /// The effect of the last of `failures`, spread evenly over `span`.
    fn last_effect(failures: u32, span: Duration) -> Option<Effect> {
        let mut streak = Streak::default();
        let step = span / (failures - 1).max(1);
        (0..failures).fold(None, |_, n| streak.on_failure(START + step * n, false))
    }

    #[test]
    fn failed_calls_in_a_row() {
        let (minute, hour) = (Duration::from_mins(1), Duration::from_mins(61));
        for (failures, span, effect) in [
            (1, minute, None),
            (4, minute, None),
            (5, minute, Some(Effect::HasErrors)),
            (99, hour, Some(Effect::HasErrors)),
            (100, minute, Some(Effect::HasErrors)),
            (100, hour, Some(Effect::SwitchOff)),
            (2000, minute, Some(Effect::HasErrors)),
        ] {
            assert_eq!(
                last_effect(failures, span),
                effect,
                "{failures} in {span:?}"
            );
        }
    }

    #[test]
    fn three_exhausted_events_in_a_row_switch_off() {
        let mut streak = Streak::default();
        assert_eq!(streak.on_failure(START, true), None);
        assert_eq!(streak.on_failure(START, false), None);
        assert_eq!(streak.on_failure(START, true), None);
        assert_eq!(streak.on_failure(START, true), Some(Effect::SwitchOff));
    }

    #[test]
    fn a_document_hook_is_paused_after_five_days_of_failures() {
        let mut streak = Streak::default();
        let day = Duration::from_hours(24);
        for (after, paused) in [(0, false), (4, false), (5, true), (6, true)] {
            let now = START + day * after;
            streak.on_failure(now, false);
            assert_eq!(streak.should_pause(now), paused, "{after}");
        }
        streak.on_success();
        streak.on_failure(START + day * 7, false);
        assert!(!streak.should_pause(START + day * 7));
    }

    #[test]
    fn a_success_ends_the_streak() {
        let mut streak = Streak::default();
        assert!(!streak.on_success());
        streak.on_failure(START, true);
        streak.on_failure(START, true);
        assert!(streak.on_success());
        assert_eq!(streak, Streak::default());
        assert_eq!(streak.on_failure(START, true), None);
    }

    #[test]
    fn status_of_the_instance_after_failure_and_success() {
        use Status::{Active, Failed, HasErrors, NotConfigured, Paused};
        for (before, effect, after) in [
            (Active, Effect::HasErrors, HasErrors),
            (Active, Effect::SwitchOff, Failed),
            (HasErrors, Effect::SwitchOff, Failed),
            (Failed, Effect::HasErrors, Failed),
            (Paused, Effect::SwitchOff, Paused),
            (NotConfigured, Effect::HasErrors, NotConfigured),
        ] {
            assert_eq!(
                after_failure(before, effect),
                after,
                "{before:?} {effect:?}"
            );
        }
        for (before, after) in [
            (Active, Active),
            (HasErrors, Active),
            (Failed, Active),
            (Paused, Paused),
            (NotConfigured, NotConfigured),
        ] {
            assert_eq!(after_success(before), after, "{before:?}");
        }
    }
}
