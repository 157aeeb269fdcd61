//! The backups that were reported, and the age of the newest.

use jiff::tz::TimeZone;
use prichal_core::time::Timestamp;
use serde::Deserialize;

use super::List;
use crate::{
    answer::Fault,
    moment::{self, Moment},
    parts::visible,
    visit::Visitor,
    words::{self, fill},
};

/// The number of backups that the page shows.
const SHOWN: usize = 5;

/// A backup (`GET /admin/v1/backups`).
#[derive(Deserialize)]
struct Backup {
    at: String,
    #[serde(default)]
    bytes: Option<i64>,
    #[serde(default)]
    note: Option<String>,
}

/// The newest backups as the page shows them.
pub(super) struct Backups {
    pub(super) rows: Vec<Row>,
    /// The command that reports one.
    pub(super) command: String,
}

pub(super) struct Row {
    pub(super) at: Option<Moment>,
    pub(super) age: String,
    pub(super) size: String,
    pub(super) note: String,
}

impl Backups {
    pub(super) async fn read(visitor: &Visitor, w: &words::Server) -> Result<Self, Fault> {
        let found: List<Backup> = visitor.hub_get("/admin/v1/backups").await?;
        let now = visitor.console.now();
        let row = |one: &Backup| Row {
            at: Moment::parse(&one.at, &TimeZone::UTC),
            age: Timestamp::parse(&one.at).map_or_else(String::new, |at| age(at, now, w)),
            #[expect(clippy::cast_precision_loss, reason = "a size for people")]
            size: one.bytes.map_or_else(String::new, |size| {
                moment::bytes(size as f64, visitor.language)
            }),
            note: visible(one.note.as_deref().unwrap_or_default()),
        };
        Ok(Self {
            rows: found.items.iter().take(SHOWN).map(row).collect(),
            command: format!(
                "curl -sS -H \"Authorization: Bearer $(cat prichal-data/admin-token)\" {}/admin/v1/backups -d '{{}}'",
                visitor.console.public_url()
            ),
        })
    }
}

/// The age of a backup in words.
fn age(at: Timestamp, now: Timestamp, w: &words::Server) -> String {
    let minutes = (now.secs() - at.secs()).max(0) / 60;
    match minutes {
        0 => w.just_now.to_owned(),
        1..120 => fill(w.minutes_ago, &[&minutes]),
        120..2880 => fill(w.hours_ago, &[&(minutes / 60)]),
        _ => fill(w.days_ago, &[&(minutes / 1440)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Language;

    #[test]
    fn ages_are_in_words() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        for (seconds, russian, english) in [
            (-50, "только что", "just now"),
            (59, "только что", "just now"),
            (60, "1 мин назад", "1 min ago"),
            (7199, "119 мин назад", "119 min ago"),
            (7200, "2 ч назад", "2 h ago"),
            (172_799, "47 ч назад", "47 h ago"),
            (172_800, "2 дн. назад", "2 days ago"),
        ] {
            let at = Timestamp::from_micros(now.micros() - seconds * 1_000_000);
            for (language, expected) in [(Language::Ru, russian), (Language::En, english)] {
                assert_eq!(age(at, now, words::Server::of(language)), expected);
            }
        }
    }
}
