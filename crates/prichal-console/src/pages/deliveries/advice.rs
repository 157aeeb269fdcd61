//! Why a call failed, in words, and what to do about it.

use super::model::{Call, Status};
use crate::words::{self, fill};

/// A reason and an advice.
pub(super) struct Advice {
    pub(super) reason: String,
    pub(super) todo: &'static str,
}

/// The reason of a call's outcome. The receiver's answer comes first, then the words of the failure.
pub(super) fn advice(call: &Call, w: &words::Deliveries) -> Advice {
    if call.status.is_delivered() {
        return Advice {
            reason: w.accepted.to_owned(),
            todo: "",
        };
    }
    let error = call.error.as_deref().unwrap_or_default();
    if let Some(status) = call.http_status {
        let (reason, todo) = of_status(status, w);
        let todo = if call.status == Status::Exhausted {
            given_up(todo, w)
        } else {
            todo
        };
        return Advice {
            reason: fill(reason, &[&status]),
            todo,
        };
    }
    let (reason, todo) = of_failure(error, w);
    Advice {
        reason: reason.to_owned(),
        todo,
    }
}

/// The meaning of a receiver's status (RFC 9110 §15) for a sender of webhooks.
fn of_status(status: i64, w: &words::Deliveries) -> (&'static str, &'static str) {
    match status {
        200..=299 => (w.not_echoed, w.not_echoed_todo),
        300..=399 => (w.redirected, w.redirected_todo),
        401 | 403 => (w.unauthorized, w.unauthorized_todo),
        404 | 405 | 410 => (w.no_path, w.no_path_todo),
        408 | 504 => (w.too_slow, w.too_slow_todo),
        413 => (w.too_large, w.too_large_todo),
        429 => (w.too_many, w.too_many_todo),
        400..=499 => (w.not_understood, w.not_understood_todo),
        _ => (w.broken, w.broken_todo),
    }
}

/// The advice about an event that is tried no more.
fn given_up(todo: &'static str, w: &words::Deliveries) -> &'static str {
    if todo == w.broken_todo {
        w.broken_given_up
    } else if todo == w.too_many_todo {
        w.too_many_given_up
    } else {
        todo
    }
}

/// The meaning of a failure without an answer, by the server's own words.
fn of_failure(error: &str, w: &words::Deliveries) -> (&'static str, &'static str) {
    let says = |part: &str| error.contains(part);
    if says("certificate") || says("TLS") {
        (w.bad_certificate, w.bad_certificate_todo)
    } else if says("refused") {
        (w.nobody_listens, w.nobody_listens_todo)
    } else if says("resolve") || says("name") || says("DNS") {
        (w.no_name, w.no_name_todo)
    } else if says("time") {
        (w.too_slow_silent, w.too_slow_todo)
    } else if says("script") {
        (w.script_failed, w.script_failed_todo)
    } else if says("not allowed") || says("private") {
        (w.not_allowed, w.not_allowed_todo)
    } else {
        (w.no_answer, w.no_answer_todo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn an_event_that_was_given_up_gets_no_promise_of_retries() {
        for language in Language::ALL {
            let w = words::Deliveries::of(language);
            for (status, todo) in [
                (503, w.broken_given_up),
                (429, w.too_many_given_up),
                (404, w.no_path_todo),
            ] {
                assert_eq!(given_up(of_status(status, w).1, w), todo, "{status}");
            }
        }
    }

    #[test]
    fn a_reason_fits_the_answer() {
        let w = words::Deliveries::of(Language::En);
        for (status, reason) in [
            (200, w.not_echoed),
            (302, w.redirected),
            (403, w.unauthorized),
            (404, w.no_path),
            (422, w.not_understood),
            (429, w.too_many),
            (503, w.broken),
            (504, w.too_slow),
        ] {
            assert_eq!(of_status(status, w).0, reason, "{status}");
        }
        for (error, reason) in [
            ("no connection: refused by the host", w.nobody_listens),
            ("the certificate has expired", w.bad_certificate),
            ("no answer within the time limit", w.too_slow_silent),
            ("something new", w.no_answer),
        ] {
            assert_eq!(of_failure(error, w).0, reason, "{error}");
        }
    }
}
