//! Texts of mails about alerts, and of daily digests.

use std::fmt::Write as _;

use super::Text;
use crate::{
    alert::{Alert, Kind, Source},
    time::Timestamp,
};

/// The maximum number of alerts that a part of a digest lists.
pub const MAX_LISTED: usize = 30;

/// The day that a digest tells about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    pub from: Timestamp,
    pub to: Timestamp,
    /// The alerts that are open, at most one more than are listed.
    pub open: Vec<Alert>,
    /// The alerts that were over in that time, at most one more than are listed.
    pub over: Vec<Alert>,
    /// The number of calls that failed.
    pub failed: i64,
    /// The number of events that were given up.
    pub given_up: i64,
}

impl Digest {
    /// True if there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty() && self.over.is_empty() && self.failed == 0 && self.given_up == 0
    }
}

impl Text {
    /// The mail about an alert that has begun or is over. `url` is the beginning of the addresses of this server.
    pub fn alert(workspace: &str, alert: &Alert, url: &str) -> Self {
        let (kind, message) = (alert.kind, alert.message.trim_end_matches('.'));
        let mut body = String::new();
        let subject = match alert.over_at {
            None => {
                let _ = write!(body, "{message}.\n\nSince: {}\n", minute(alert.since));
                message.to_owned()
            }
            Some(over) => {
                let _ = write!(
                    body,
                    "It is over: {message}.\n\nSince: {}\nUntil: {}\n",
                    minute(alert.since),
                    minute(over)
                );
                format!("Over: {message}")
            }
        };
        let _ = writeln!(body, "About: {}", about(&alert.source));
        for (name, value) in &alert.details {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(body, "{name}: {text}");
        }
        if alert.over_at.is_none() {
            let _ = write!(
                body,
                "\nWhat to do: {}\n\nThe next mail about it comes when it is over.\n",
                remedy(kind)
            );
        }
        let _ = write!(
            body,
            "\nThe alert: GET {url}/api/v1/{workspace}/alerts/{}\n",
            alert.id
        );
        Self::new(workspace, &subject, &body)
    }

    /// The mail of a day.
    pub fn digest(workspace: &str, digest: &Digest, url: &str) -> Self {
        let Digest {
            from,
            to,
            open,
            over,
            failed,
            given_up,
        } = digest;
        let mut body = format!("From {} to {}.\n", minute(*from), minute(*to));
        list(&mut body, "Open alerts", open, |alert| {
            format!("since {}: {}", minute(alert.since), alert.message)
        });
        list(&mut body, "Alerts that were over", over, |alert| {
            let until = alert.over_at.unwrap_or(*to);
            let (since, until) = (minute(alert.since), minute(until));
            format!("{since} to {until}: {}", alert.message)
        });
        let began = open
            .iter()
            .chain(over)
            .filter(|alert| alert.begun_at >= *from);
        let _ = write!(
            body,
            "\nAlerts that began: {}\nCalls that failed: {failed}\nEvents that were given up: {given_up}\n\n\
             The alerts: GET {url}/api/v1/{workspace}/alerts\n\
             The calls: GET {url}/api/v1/{workspace}/deliveries\n\
             Events that were given up: GET {url}/api/v1/{workspace}/dead-letters\n",
            numbered(began.count(), open.len().max(over.len()))
        );
        let subject = match open.len() {
            0 => "Daily digest: nothing is open".to_owned(),
            1 => "Daily digest: 1 open alert".to_owned(),
            count => format!("Daily digest: {} open alerts", numbered(count, count)),
        };
        Self::new(workspace, &subject, &body)
    }
}

/// A number that is exact unless a list was cut.
fn numbered(count: usize, longest: usize) -> String {
    if longest > MAX_LISTED {
        format!("{count} or more")
    } else {
        count.to_string()
    }
}

fn list(body: &mut String, title: &str, alerts: &[Alert], line: impl Fn(&Alert) -> String) {
    if alerts.is_empty() {
        return;
    }
    let _ = write!(body, "\n{title}:\n");
    for alert in alerts.iter().take(MAX_LISTED) {
        let _ = writeln!(body, "- {}", line(alert));
    }
    if alerts.len() > MAX_LISTED {
        body.push_str("- and others\n");
    }
}

fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    let parts = text.get(..10).zip(text.get(11..16));
    parts.map_or(text.clone(), |(date, time)| format!("{date} {time} UTC"))
}

fn about(source: &Source) -> String {
    let mut text = source.kind.name().to_owned();
    if let Some(name) = &source.name {
        text = format!("{text} {name}");
    }
    if let Some(id) = source.id {
        text = format!("{text}, id {id}");
    }
    if let Some(id) = source.integration {
        text = format!("{text}, integration {id}");
    }
    text
}

/// The first steps of somebody who gets the mail.
const fn remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::Failing => {
            "See whether the receiver is up and what it answers; GET …/deliveries has the last calls. Events wait and are \
             sent again by themselves. Those that were given up are sent again by POST …/resends."
        }
        Kind::SwitchedOff => {
            "Correct the receiver, and switch the webhook on again. Events since then are sent by a replay or a resend."
        }
        Kind::Paused => "Correct the receiver, and resume the subscription to documents.",
        Kind::Lag => {
            "See whether the receiver is slow, or raise the limits of the source: its rate and its calls at once. Nothing \
             is lost meanwhile."
        }
        Kind::Script => {
            "Read the log of the last runs, and correct the script. Failed runs are repeated for some time."
        }
        Kind::Certificate => "Get a new certificate, and put it in the place of the old one.",
        Kind::Quota => {
            "Delete data that is not needed, or ask the server's operator for a larger quota."
        }
        Kind::Disk => {
            "Make room on the disk of the server, or shorten the times for which things are kept."
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{alert::SourceKind, schema::Object};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(1_767_225_600_000_000 + minutes * 60_000_000)
    }

    fn alert(kind: Kind) -> Alert {
        let mut details = Object::new();
        details.insert("error".to_owned(), "the answer was 503".into());
        details.insert("httpStatus".to_owned(), 503.into());
        Alert {
            id: Uuid::from_u128(3),
            kind,
            source: Source {
                integration: Some(Uuid::from_u128(2)),
                ..Source::new(SourceKind::Webhook, Some(Uuid::from_u128(1))).named("my.shop")
            },
            message: "The webhook `/deals` of my.shop has failed for 15 minutes".to_owned(),
            details,
            since: at(0),
            begun_at: at(15),
            over_at: None,
            acknowledged: None,
        }
    }

    #[test]
    fn a_mail_tells_what_is_wrong_since_when_where_and_what_to_do() {
        let begun = Text::alert("acme", &alert(Kind::Failing), "https://hub.example");
        assert_eq!(
            begun.subject,
            "[acme] The webhook `/deals` of my.shop has failed for 15 minutes"
        );
        let expected = "The webhook `/deals` of my.shop has failed for 15 minutes.\n\n\
            Since: 2026-01-01 00:00 UTC\n\
            About: webhook my.shop, id 00000000-0000-0000-0000-000000000001, integration 00000000-0000-0000-0000-000000000002\n\
            error: the answer was 503\n\
            httpStatus: 503\n\n\
            What to do: See whether the receiver";
        assert!(begun.body.starts_with(expected), "{}", begun.body);
        let link =
            "GET https://hub.example/api/v1/acme/alerts/00000000-0000-0000-0000-000000000003\n";
        assert!(begun.body.ends_with(link), "{}", begun.body);

        let over = Alert {
            over_at: Some(at(90)),
            ..alert(Kind::Failing)
        };
        let over = Text::alert("acme", &over, "https://hub.example");
        assert!(
            over.subject.starts_with("[acme] Over: The webhook"),
            "{}",
            over.subject
        );
        assert!(
            over.body.starts_with("It is over: The webhook"),
            "{}",
            over.body
        );
        assert!(
            over.body.contains("Until: 2026-01-01 01:30 UTC\n"),
            "{}",
            over.body
        );
        assert!(!over.body.contains("What to do"), "{}", over.body);
    }

    #[test]
    fn each_kind_has_a_remedy() {
        let mut all: Vec<_> = Kind::ALL.iter().map(|kind| remedy(*kind)).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), Kind::ALL.len());
    }

    #[test]
    fn a_digest_tells_of_a_day() {
        let empty = Digest {
            from: at(0),
            to: at(24 * 60),
            ..Digest::default()
        };
        assert!(empty.is_empty());
        let text = Text::digest("acme", &empty, "https://hub.example");
        assert_eq!(text.subject, "[acme] Daily digest: nothing is open");
        let over = Alert {
            over_at: Some(at(90)),
            ..alert(Kind::Lag)
        };
        let some = Digest {
            open: vec![alert(Kind::Failing)],
            over: vec![over.clone()],
            failed: 12,
            given_up: 3,
            ..empty.clone()
        };
        assert!(!some.is_empty());
        let text = Text::digest("acme", &some, "https://hub.example");
        assert_eq!(text.subject, "[acme] Daily digest: 1 open alert");
        for part in [
            "From 2026-01-01 00:00 UTC to 2026-01-02 00:00 UTC.\n",
            "\nOpen alerts:\n- since 2026-01-01 00:00 UTC: The webhook",
            "\nAlerts that were over:\n- 2026-01-01 00:00 UTC to 2026-01-01 01:30 UTC: The webhook",
            "\nAlerts that began: 2\nCalls that failed: 12\nEvents that were given up: 3\n",
            "GET https://hub.example/api/v1/acme/alerts\n",
        ] {
            assert!(text.body.contains(part), "{part} in {}", text.body);
        }
        let many = Digest {
            over: vec![over; MAX_LISTED + 1],
            ..empty
        };
        let text = Text::digest("acme", &many, "https://hub.example");
        assert_eq!(text.body.matches("\n- 2026").count(), MAX_LISTED);
        assert!(text.body.contains("- and others\n"), "{}", text.body);
        assert!(text.body.contains("began: 31 or more\n"), "{}", text.body);
    }
}
