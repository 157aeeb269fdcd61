//! The settings of a workspace's alerts. Each has a default, so a workspace without any is watched, too.

use std::{sync::LazyLock, time::Duration};

use jiff::{ToSpan as _, civil, tz::TimeZone};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Kind, condition::Timing};
use crate::{
    id,
    resource::MAX_TEXT,
    schema::{self, Fault, Field, Object, Type, member},
    time::Timestamp,
};

const DAY_MINUTES: i64 = 24 * 60;
/// The maximum time before the end of a certificate at which an alert begins.
pub const MAX_CERTIFICATE_DAYS: i64 = 90;
const MAX_MUTED: usize = 100;
const MAX_RECIPIENTS: usize = 20;
/// The maximum length of an address of RFC 5321.
const MAX_ADDRESS: usize = 254;
const MAX_ZONE: usize = 64;

const ENABLED: Field = Field::new("enabled", Type::Bool)
    .doc("False for no alerts of this kind. Those that are open are over then.");
const MINUTES: Field = Field::new("minutes", Type::Int)
    .within(1, 7 * DAY_MINUTES)
    .doc("The time for which every call has failed when an alert begins.");

/// The members of the settings.
pub const ALERT_SETTINGS: &[Field] = &[
    Field::new("kinds", Type::Object(KINDS)).doc("The kinds of alerts."),
    Field::new("silenceMinutes", Type::Int)
        .within(0, DAY_MINUTES)
        .doc("The time after the beginning of an alert in which no other of its kind begins about the same thing."),
    Field::new("recoveryMinutes", Type::Int)
        .within(0, DAY_MINUTES)
        .doc("The time for which it has to be well again until an alert is over."),
    Field::new("keepDays", Type::Int)
        .within(1, 365)
        .doc("The time for which alerts that are over are kept."),
    Field::new("muted", Type::Guids)
        .items(MAX_MUTED)
        .doc("The ids of webhooks, channels and other things about which there are no alerts.")
        .example("[]"),
    Field::new("script", Type::Text)
        .chars(MAX_TEXT)
        .doc("The code of a script of the workspace (`/rest/v1/service/svcscripts`) that is run when an alert begins and when it is over. `startparam(1)` is the alert.")
        .example("to-telegram"),
    Field::new("mail", Type::Object(MAIL)).doc("The mails about alerts."),
];
const KINDS: &[Field] = &[
    Field::new(Kind::Failing.name(), Type::Object(&[ENABLED, MINUTES]))
        .doc("A webhook, the subscription to documents, or a channel fails."),
    Field::new(Kind::SwitchedOff.name(), Type::Object(&[ENABLED]))
        .doc("A webhook was switched off, by somebody or after too many failures."),
    Field::new(Kind::Paused.name(), Type::Object(&[ENABLED]))
        .doc("The subscription to documents was paused after too many failures."),
    Field::new(Kind::Lag.name(), Type::Object(LAG))
        .doc("A source is behind."),
    Field::new(Kind::Script.name(), Type::Object(&[ENABLED, SCRIPT_MINUTES]))
        .doc("The script of a webhook, of a channel, or one that was started, fails."),
    Field::new(Kind::Certificate.name(), Type::Object(&[ENABLED, DAYS]))
        .doc("A certificate ends soon: of somebody who signs documents, of a webhook, or of a receiver."),
    Field::new(Kind::Quota.name(), Type::Object(&[ENABLED, PERCENT]))
        .doc("A quota of the workspace is nearly used up."),
    Field::new(Kind::Disk.name(), Type::Object(&[ENABLED, FREE_PERCENT]))
        .doc("A disk of the server is nearly full. Only the workspace of the server's operator has these alerts."),
];
const LAG: &[Field] = &[
    ENABLED,
    Field::new("events", Type::Int)
        .within(1, 1_000_000_000)
        .doc("The number of events that wait when an alert begins."),
    Field::new("seconds", Type::Int)
        .within(60, 30 * DAY_MINUTES * 60)
        .doc("The age of the oldest of them when an alert begins."),
];
const SCRIPT_MINUTES: Field = Field::new("minutes", Type::Int)
    .within(0, 7 * DAY_MINUTES)
    .doc("The time for which every run has failed when an alert begins; 0 for an alert at the first failure.");
const DAYS: Field = Field::new("days", Type::Int)
    .within(1, MAX_CERTIFICATE_DAYS)
    .doc("The time before its end at which an alert begins.");
const PERCENT: Field = Field::new("percent", Type::Int)
    .within(50, 100)
    .doc("The used part of the quota at which an alert begins.");
const FREE_PERCENT: Field = Field::new("freePercent", Type::Int)
    .within(1, 99)
    .doc("The free part of the disk below which an alert begins.");
const MAIL: &[Field] = &[
    Field::new("recipients", Type::Texts)
        .items(MAX_RECIPIENTS)
        .doc("The addresses to which a mail goes when an alert begins and when it is over.")
        .example(r#"["oncall@example.com"]"#),
    Field::new("digestHour", Type::Int)
        .within(0, 23)
        .doc("The hour of the day at which the recipients get a digest; none if absent.")
        .example("9"),
    Field::new("zone", Type::Text)
        .chars(MAX_ZONE)
        .doc("The time zone of that hour, by its IANA name.")
        .example("Asia/Almaty"),
    Field::new("digestAlways", Type::Bool)
        .doc("True for a digest of each day, even if there is nothing to tell."),
];

static DEFAULTS: LazyLock<Object> = LazyLock::new(|| {
    let defaults = json!({
        "kinds": {
            "failing": {"enabled": true, "minutes": 15},
            "switchedOff": {"enabled": true},
            "paused": {"enabled": true},
            "lag": {"enabled": true, "events": 10_000, "seconds": 3600},
            "script": {"enabled": true, "minutes": 15},
            "certificate": {"enabled": true, "days": 21},
            "quota": {"enabled": true, "percent": 80},
            "disk": {"enabled": true, "freePercent": 10},
        },
        "silenceMinutes": 60,
        "recoveryMinutes": 5,
        "keepDays": 30,
        "muted": [],
        "mail": {"recipients": [], "zone": "UTC", "digestAlways": false},
    });
    match defaults {
        Value::Object(defaults) => defaults,
        _ => Object::new(),
    }
});

/// The settings of a workspace, with the defaults of those that are not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSettings {
    enabled: [bool; Kind::ALL.len()],
    /// The time for which a source has failed.
    pub failing: Duration,
    pub lag_events: i64,
    pub lag: Duration,
    /// The time for which a script has failed.
    pub script_failing: Duration,
    /// The time before the end of a certificate.
    pub certificate: Duration,
    pub quota_percent: i64,
    pub disk_free_percent: i64,
    pub silence: Duration,
    pub recovery: Duration,
    /// The time for which alerts that are over are kept.
    pub keep: Duration,
    muted: Vec<Uuid>,
    /// The code of the script that is run with each alert.
    pub script: Option<String>,
    pub mail: Mail,
}

/// The mails about alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub recipients: Vec<String>,
    pub digest: Option<Digest>,
    /// True if there is a digest even if there is nothing to tell.
    pub digest_always: bool,
}

/// The time of a daily digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    hour: i8,
    zone: TimeZone,
}

/// The settings that a workspace has set, as the store keeps them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(Object);

impl Kept {
    /// Reads the store's text. One that is damaged has no settings.
    pub fn from_text(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    pub fn to_text(&self) -> String {
        json!(self.0).to_string()
    }

    /// The settings after a change: null restores a default, and members that are not given stay.
    pub fn changed(&self, given: &Object) -> Result<Self, Vec<Fault>> {
        let merged = merged(ALERT_SETTINGS, &self.0, given);
        let read = schema::read_strictly(ALERT_SETTINGS, &merged, &mut Uuid::nil)?;
        check(&read).map_err(|fault| vec![fault])?;
        Ok(Self(read))
    }

    /// All settings.
    pub fn model(&self) -> Object {
        merged(ALERT_SETTINGS, &DEFAULTS, &self.0)
    }

    pub fn settings(&self) -> AlertSettings {
        AlertSettings::of(&self.model())
    }
}

/// An object with the members of another one in the places of its own.
fn merged(fields: &[Field], known: &Object, given: &Object) -> Object {
    let mut out = Object::new();
    for field in fields {
        let old = known.get(field.name);
        let value = match (field.ty, member(given, field.name)) {
            (_, None) => old.cloned(),
            (_, Some(Value::Null)) => None,
            (Type::Object(members), Some(Value::Object(given))) => {
                let none = Object::new();
                let old = old.and_then(Value::as_object).unwrap_or(&none);
                Some(Value::Object(merged(members, old, given)))
            }
            (_, Some(value)) => Some(value.clone()),
        };
        if let Some(value) = value {
            out.insert(field.name.to_owned(), value);
        }
    }
    out
}

/// Checks what the table of members does not tell.
fn check(read: &Object) -> Result<(), Fault> {
    let script = read.get("script").and_then(Value::as_str);
    if script.is_some_and(|code| code.trim().is_empty()) {
        let why = "The script must be the code of a script.";
        return Err(Fault::rule("script", why));
    }
    let Some(mail) = read.get("mail") else {
        return Ok(());
    };
    let recipients = mail["recipients"].as_array().into_iter().flatten();
    for (n, address) in recipients.filter_map(Value::as_str).enumerate() {
        if !is_address(address) {
            let path = format!("mail.recipients[{n}]");
            let why = format!("The {path} must be an address such as `oncall@example.com`.");
            return Err(Fault::rule(path, why));
        }
    }
    if mail["zone"]
        .as_str()
        .is_some_and(|name| zone(name).is_none())
    {
        let why = "The mail.zone must be a time zone of the IANA, such as `Asia/Almaty` or `UTC`.";
        return Err(Fault::rule("mail.zone", why));
    }
    Ok(())
}

/// True for an address that a mail server may know: two parts without blanks, and nothing that could end a header.
fn is_address(text: &str) -> bool {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>()[]\\,;:\"".contains(c);
    text.len() <= MAX_ADDRESS
        && text.chars().all(is_plain)
        && text.split_once('@').is_some_and(|(name, host)| {
            !name.is_empty() && !host.contains('@') && host.split('.').all(|part| !part.is_empty())
        })
}

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self::of(&DEFAULTS)
    }
}

impl AlertSettings {
    /// Reads a model that is complete and was checked.
    fn of(model: &Object) -> Self {
        let kinds = &model["kinds"];
        let number = |value: &Value| value.as_i64().unwrap_or(0);
        let minutes = |value: &Value| Duration::from_mins(number(value).unsigned_abs());
        let days = |value: &Value| Duration::from_hours(24 * number(value).unsigned_abs());
        let mut enabled = [true; Kind::ALL.len()];
        for (enabled, kind) in enabled.iter_mut().zip(Kind::ALL) {
            *enabled = kinds[kind.name()]["enabled"].as_bool().unwrap_or(true);
        }
        let muted = model["muted"].as_array().into_iter().flatten();
        Self {
            enabled,
            failing: minutes(&kinds["failing"]["minutes"]),
            lag_events: number(&kinds["lag"]["events"]),
            lag: Duration::from_secs(number(&kinds["lag"]["seconds"]).unsigned_abs()),
            script_failing: minutes(&kinds["script"]["minutes"]),
            certificate: days(&kinds["certificate"]["days"]),
            quota_percent: number(&kinds["quota"]["percent"]),
            disk_free_percent: number(&kinds["disk"]["freePercent"]),
            silence: minutes(&model["silenceMinutes"]),
            recovery: minutes(&model["recoveryMinutes"]),
            keep: days(&model["keepDays"]),
            muted: muted
                .filter_map(Value::as_str)
                .filter_map(id::parse)
                .collect(),
            script: model
                .get("script")
                .and_then(Value::as_str)
                .map(str::to_owned),
            mail: Mail::of(&model["mail"]),
        }
    }

    /// True if there are alerts of a kind about a thing.
    pub fn watches(&self, kind: Kind, id: Option<Uuid>) -> bool {
        self.enabled[kind as usize] && id.is_none_or(|id| !self.muted.contains(&id))
    }

    /// The times of alerts of a kind. Those about a state that somebody sets are over at once.
    pub fn timing(&self, kind: Kind) -> Timing {
        let is_state = matches!(kind, Kind::SwitchedOff | Kind::Paused | Kind::Certificate);
        Timing {
            silence: self.silence,
            recovery: if is_state {
                Duration::ZERO
            } else {
                self.recovery
            },
        }
    }
}

impl Mail {
    fn of(model: &Value) -> Self {
        let recipients = model["recipients"].as_array().into_iter().flatten();
        let hour = model["digestHour"]
            .as_i64()
            .and_then(|hour| i8::try_from(hour).ok());
        let zone = model["zone"].as_str().and_then(zone);
        Self {
            recipients: recipients
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            digest: hour.map(|hour| Digest {
                hour,
                zone: zone.unwrap_or(TimeZone::UTC),
            }),
            digest_always: model["digestAlways"].as_bool().unwrap_or(false),
        }
    }
}

impl Digest {
    /// The first time of a digest after `now`.
    pub fn next(&self, now: Timestamp) -> Timestamp {
        let today = jiff::Timestamp::from_microsecond(now.micros())
            .map(|now| self.zone.to_datetime(now).date())
            .unwrap_or_default();
        let mut days = (0..3).filter_map(|days| {
            let date = today.checked_add(days.days()).ok()?;
            let time = civil::Time::new(self.hour, 0, 0, 0).ok()?;
            let at = self.zone.to_timestamp(date.to_datetime(time)).ok()?;
            Some(Timestamp::from_micros(at.as_microsecond()))
        });
        // An hour that a change of clocks leaves out is an hour later on that day.
        days.find(|at| *at > now)
            .unwrap_or(now + Duration::from_hours(24))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(settings: &Value) -> Kept {
        let given = settings.as_object().unwrap();
        Kept::default().changed(given).unwrap()
    }

    #[test]
    fn settings_have_defaults() {
        let settings = Kept::default().settings();
        assert_eq!(settings, AlertSettings::default());
        assert_eq!(settings.failing, Duration::from_mins(15));
        assert_eq!(settings.lag, Duration::from_hours(1));
        assert_eq!(settings.keep, Duration::from_hours(24 * 30));
        assert!(Kind::ALL.iter().all(|kind| settings.watches(*kind, None)));
        assert_eq!(settings.mail.digest, None);
        let model = Value::Object(Kept::default().model());
        let read =
            schema::read_strictly(ALERT_SETTINGS, model.as_object().unwrap(), &mut Uuid::nil);
        assert_eq!(
            read.map(Value::Object),
            Ok(model),
            "the defaults fit the table"
        );
        assert_eq!(Kept::from_text("damaged"), Kept::default());
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let id = Uuid::from_u128(5);
        let first = kept(&json!({
            "kinds": {"failing": {"minutes": 3}, "lag": {"enabled": false}},
            "muted": [id.to_string()],
            "script": "tell",
            "mail": {"recipients": ["a@b.example"], "digestHour": 9, "zone": "Asia/Almaty"},
        }));
        let settings = first.settings();
        assert_eq!(settings.failing, Duration::from_mins(3));
        assert!(!settings.watches(Kind::Lag, None));
        assert!(settings.watches(Kind::Failing, None));
        assert!(!settings.watches(Kind::Failing, Some(id)));
        assert_eq!(settings.script.as_deref(), Some("tell"));
        let given = json!({
            "kinds": {"failing": null, "LAG": {"events": 7}},
            "script": null,
            "mail": {"digestHour": null},
            "unknown": 1,
        });
        let second = first.changed(given.as_object().unwrap()).unwrap();
        assert_eq!(Kept::from_text(&second.to_text()), second);
        let settings = second.settings();
        assert_eq!(settings.failing, Duration::from_mins(15));
        assert_eq!(settings.lag_events, 7);
        assert!(!settings.watches(Kind::Lag, None), "it stays off");
        assert_eq!((settings.script, settings.mail.digest), (None, None));
        assert_eq!(settings.mail.recipients, ["a@b.example"]);
        assert!(second.model()["kinds"]["lag"]["seconds"].is_i64());
    }

    #[test]
    fn a_fault_names_its_member() {
        for (settings, path) in [
            (json!({"silenceMinutes": -1}), "silenceMinutes"),
            (json!({"silenceMinutes": "60"}), "silenceMinutes"),
            (json!({"recoveryMinutes": 1441}), "recoveryMinutes"),
            (json!({"keepDays": 0}), "keepDays"),
            (
                json!({"kinds": {"failing": {"minutes": 0}}}),
                "kinds.failing.minutes",
            ),
            (
                json!({"kinds": {"lag": {"seconds": 59}}}),
                "kinds.lag.seconds",
            ),
            (
                json!({"kinds": {"quota": {"percent": 101}}}),
                "kinds.quota.percent",
            ),
            (
                json!({"kinds": {"disk": {"enabled": 1}}}),
                "kinds.disk.enabled",
            ),
            (json!({"kinds": []}), "kinds"),
            (json!({"muted": ["x"]}), "muted[0]"),
            (json!({"script": " "}), "script"),
            (
                json!({"mail": {"recipients": ["a@b.c", "nobody"]}}),
                "mail.recipients[1]",
            ),
            (
                json!({"mail": {"recipients": ["a@b.c\r\nBcc: x@y.z"]}}),
                "mail.recipients[0]",
            ),
            (json!({"mail": {"digestHour": 24}}), "mail.digestHour"),
            (json!({"mail": {"zone": "Moon/Base"}}), "mail.zone"),
        ] {
            let faults = Kept::default().changed(settings.as_object().unwrap());
            let paths: Vec<_> = faults
                .unwrap_err()
                .into_iter()
                .map(|one| one.path)
                .collect();
            assert_eq!(paths, [path], "{settings}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["a@b", "first.last+tag@mail.example.com", "почта@пример.рф"] {
            assert!(is_address(good), "{good}");
        }
        let long = format!("{}@b", "a".repeat(MAX_ADDRESS));
        for bad in [
            "", "a", "@b", "a@", "a@b..c", "a@b@c", "a b@c", "<a@b>", "a@b,c@d", &long,
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn a_digest_comes_once_a_day() {
        let digest = |hour: i64, zone: &str| {
            let settings = kept(&json!({"mail": {"digestHour": hour, "zone": zone}}));
            settings.settings().mail.digest.unwrap()
        };
        let at = |text: &str| Timestamp::parse(text).unwrap();
        for (hour, zone, now, next) in [
            (9, "UTC", "2026-01-01T08:59:59Z", "2026-01-01T09:00:00Z"),
            (9, "UTC", "2026-01-01T09:00:00Z", "2026-01-02T09:00:00Z"),
            (
                9,
                "Asia/Almaty",
                "2026-01-01T00:00:00Z",
                "2026-01-01T04:00:00Z",
            ),
            (
                0,
                "Asia/Almaty",
                "2026-01-01T19:30:00Z",
                "2026-01-02T19:00:00Z",
            ),
            // The day on which the clocks go forward has no third hour.
            (
                2,
                "Europe/Berlin",
                "2026-03-29T00:00:00Z",
                "2026-03-29T01:00:00Z",
            ),
            (
                2,
                "Europe/Berlin",
                "2026-03-29T01:00:00Z",
                "2026-03-30T00:00:00Z",
            ),
        ] {
            assert_eq!(
                digest(hour, zone).next(at(now)),
                at(next),
                "{hour} {zone} {now}"
            );
        }
    }
}
