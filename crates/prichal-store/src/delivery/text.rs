//! The search of the delivery log for a text. It is what no index helps with, so it is done in short steps.

use std::collections::BTreeMap;

use prichal_core::id::WorkspaceId;

use super::log::{self, Details, Filter, Logged, Page};
use crate::{Conn, LoggedEvent, Result, event, webhook::Key};

/// A page compares a call for so many of the rows that it may look at.
const ROWS_PER_COMPARED: usize = 2;
/// The bytes that a page compares for each of the rows that it may look at.
const BYTES_PER_ROW: usize = 1 << 10;
/// The number of calls that are read at once.
const READ_AT_ONCE: i64 = 256;
/// The number of calls whose events one statement reads.
const EVENTS_AT_ONCE: usize = 32;

/// Makes the body of an attempt, given its number, of the event. `None` if it cannot be made any more.
pub type BodyOf = fn(Key, &LoggedEvent, i64) -> Option<String>;

/// A text that calls are searched for. Capital and small letters are the same.
#[derive(Clone, Debug)]
pub struct Text {
    lower: String,
    body_of: BodyOf,
}

impl Text {
    pub fn new(text: &str, body_of: BodyOf) -> Self {
        let lower = text.to_lowercase();
        Self { lower, body_of }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.lower
    }

    fn is_in(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        // Letters beyond ASCII cost more.
        let lower = if self.lower.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            text.to_lowercase()
        };
        lower.contains(&self.lower)
    }

    /// Tells of each call whether what was sent or came back has the text. Adds the bytes that were compared to `bytes`.
    fn find(
        &self,
        conn: &mut Conn,
        workspace: WorkspaceId,
        calls: &[Logged],
        bytes: &mut usize,
    ) -> Result<Vec<bool>> {
        let mut found = Vec::with_capacity(calls.len());
        // Calls without a body of their own have sent the event.
        let mut of_events: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (n, Logged { attempt, .. }) in calls.iter().enumerate() {
            let error = attempt.error.as_deref().map(str::as_bytes);
            let answer = attempt.answer.as_deref().map(str::as_bytes);
            let own = attempt.exchange.body.as_deref();
            let parts = [error, answer, own];
            let has = parts.into_iter().flatten().any(|part| {
                *bytes += part.len();
                self.is_in(part)
            });
            if !has && own.is_none() && attempt.seq > 0 {
                of_events.entry(attempt.seq).or_default().push(n);
            }
            found.push(has);
        }
        let seqs: Vec<i64> = of_events.keys().copied().collect();
        event::scan(conn, workspace, &seqs, &mut |event| {
            for n in of_events.get(&event.seq).into_iter().flatten() {
                let Logged {
                    integration,
                    attempt,
                } = &calls[*n];
                let key = Key {
                    workspace,
                    integration: *integration,
                    id: attempt.webhook,
                };
                let body = (self.body_of)(key, &event, attempt.attempt).unwrap_or_default();
                *bytes += body.len();
                found[*n] = self.is_in(body.as_bytes());
            }
        })?;
        Ok(found)
    }
}

/// Lists at most `limit` calls with the text that match the filter. The page ends when half as many calls were compared
/// as it may look at rows, or a KiB for each row.
pub(super) fn list(
    conn: &mut Conn,
    workspace: WorkspaceId,
    filter: &Filter,
    text: &Text,
    limit: i64,
    max_rows: usize,
) -> Result<Page> {
    let most = usize::try_from(limit).unwrap_or(0);
    let mut filter = Filter {
        text: None,
        ..filter.clone()
    };
    let mut items = Vec::new();
    let (mut compared, mut bytes) = (0, 0);
    let most_compared = max_rows / ROWS_PER_COMPARED;
    let most_bytes = max_rows.saturating_mul(BYTES_PER_ROW);
    loop {
        let page = log::list(
            conn,
            workspace,
            &filter,
            Details::All,
            READ_AT_ONCE,
            max_rows,
        )?;
        let is_full = i64::try_from(page.items.len()).is_ok_and(|count| count >= READ_AT_ONCE);
        let mut calls = page.items.into_iter();
        loop {
            let some: Vec<Logged> = calls.by_ref().take(EVENTS_AT_ONCE).collect();
            let Some(last) = some.last().map(|last| last.attempt.id) else {
                break;
            };
            let found = text.find(conn, workspace, &some, &mut bytes)?;
            compared += some.len();
            let found = some.into_iter().zip(found).filter(|(_, has)| *has);
            items.extend(found.map(|(call, _)| call).take(most - items.len()));
            let next = if items.len() >= most {
                items.last().map(|one: &Logged| one.attempt.id)
            } else if compared >= most_compared || bytes >= most_bytes {
                Some(last)
            } else {
                continue;
            };
            return Ok(Page { items, next });
        }
        filter.before = page.next;
        if !is_full || page.next.is_none() {
            let next = page.next;
            return Ok(Page { items, next });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_found_in_any_case() {
        for (text, within, is_found) in [
            ("Timeout", "a TIMEOUT of 5 s", true),
            ("ошибка", "Внутренняя ОШИБКА", true),
            ("ҚАТЕ", "ішкі қате", true),
            ("timeout", "time out", false),
            ("é", "e", false),
        ] {
            let text = Text::new(text, |_, _, _| None);
            assert_eq!(text.is_in(within.as_bytes()), is_found, "{within}");
        }
        let text = Text::new("b", |_, _, _| None);
        assert!(text.is_in(b"\xffB\xd0"), "bytes that are no text");
    }
}
