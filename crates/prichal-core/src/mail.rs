//! The rules of mails to the people of a workspace: when a mail is tried again, and texts in plain words.

pub mod alert;

use std::time::Duration;

use crate::time::Timestamp;

/// The waits after the first, second, … failed attempt to hand a mail over. After the last one, about a day later, the
/// mail is given up.
const RETRY_DELAYS: [Duration; 8] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(2),
    Duration::from_hours(4),
    Duration::from_hours(8),
    Duration::from_hours(8),
];

/// The period in which the mails of a workspace are counted, and after which people learn how many were left out.
pub const COUNTED: Duration = Duration::from_hours(1);

/// The maximum number of characters of a subject. Most programs show fewer.
const MAX_SUBJECT: usize = 150;
/// The maximum number of characters of a body.
const MAX_BODY: usize = 16_000;

/// The time of the next attempt after `attempts` failures. `None` if the mail is given up.
pub fn next_attempt(attempts: i64, now: Timestamp) -> Option<Timestamp> {
    let place = usize::try_from(attempts.checked_sub(1)?).ok()?;
    RETRY_DELAYS.get(place).map(|wait| now + *wait)
}

/// The contents of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub subject: String,
    pub body: String,
}

impl Text {
    /// A mail of a workspace. The subject becomes one line of bounded length that names the workspace, and the body is
    /// bounded.
    pub fn new(workspace: &str, subject: &str, body: &str) -> Self {
        let subject = format!("[{workspace}] {subject}");
        Self {
            subject: shortened(&one_line(&subject), MAX_SUBJECT),
            body: shortened(body.trim_end(), MAX_BODY) + "\n",
        }
    }

    /// A mail that an administrator has asked for.
    pub fn test(workspace: &str) -> Self {
        Self::new(
            workspace,
            "Test mail",
            "This mail was asked for by an administrator of the workspace. Mails about alerts will reach this address.",
        )
    }

    /// A mail instead of others.
    pub fn left_out(workspace: &str, count: i64) -> Self {
        let mails = if count == 1 { "mail was" } else { "mails were" };
        let body = format!(
            "{count} {mails} left out within the last hour, because the workspace has reached its number of mails in an \
             hour.\n\nGET /api/v1/{workspace}/mails lists the mails that were sent."
        );
        Self::new(workspace, &format!("{count} {mails} left out"), &body)
    }
}

/// A text without line breaks and other control characters, which could begin a header of a mail.
fn one_line(text: &str) -> String {
    let words = text.split(|one: char| one.is_control() || one.is_whitespace());
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_tried_for_about_a_day() {
        let start = Timestamp::from_micros(0);
        let mut now = start;
        let mut attempts = 1;
        while let Some(next) = next_attempt(attempts, now) {
            assert!(next > now);
            now = next;
            attempts += 1;
        }
        assert_eq!(attempts, 9);
        assert_eq!(now.since(start), Duration::from_mins(23 * 60 + 21));
        assert_eq!(next_attempt(0, start), None);
        assert_eq!(next_attempt(i64::MIN, start), None);
    }

    #[test]
    fn a_subject_is_one_line() {
        for (subject, expected) in [
            ("Hook fails", "[acme] Hook fails"),
            (
                "Hook\r\nBcc: x@example.com",
                "[acme] Hook Bcc: x@example.com",
            ),
            ("a\0b\u{85}c\u{2028}d\te", "[acme] a b c d e"),
            ("", "[acme]"),
        ] {
            assert_eq!(Text::new("acme", subject, "").subject, expected);
        }
        let long = Text::new("acme", &"я".repeat(500), &"я".repeat(20_000));
        assert_eq!(long.subject.chars().count(), MAX_SUBJECT + 1);
        assert_eq!(long.body.chars().count(), MAX_BODY + 2);
    }

    #[test]
    fn a_number_of_mails_is_told_in_words() {
        assert_eq!(
            Text::left_out("acme", 1).subject,
            "[acme] 1 mail was left out"
        );
        let many = Text::left_out("acme", 7);
        assert_eq!(many.subject, "[acme] 7 mails were left out");
        assert!(
            many.body.starts_with("7 mails were left out within"),
            "{}",
            many.body
        );
        assert!(
            many.body.contains("GET /api/v1/acme/mails"),
            "{}",
            many.body
        );
    }
}
