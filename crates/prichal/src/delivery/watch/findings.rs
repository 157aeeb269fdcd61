//! The findings about a thing that alerts may be about.

use std::{collections::HashSet, time::Duration};

use prichal_core::{
    alert::{Kind, Source, SourceKind, condition::Finding, settings::AlertSettings},
    id::{EntityId, WorkspaceId},
    schema::Object,
    time::Timestamp,
};
use prichal_store::{
    Conn, alert, channel, delivery,
    delivery_stats::{self, Stats, key_of_channel},
    document_hook::{self, INTEGRATION},
    integration, resource, run, usage,
    webhook::{self, Key, Webhook},
};
use serde_json::json;

use super::{
    super::{Definition, definition_of, state::SourceState},
    CERTIFICATE, Subject, used_percent,
};
use crate::{
    delivery::Delivery,
    domain::{
        alert::{Observed, hook_key, webhook_source},
        webhook::script::FAILED,
    },
    error::Result,
};

/// The maximum number of runs of a script that are looked at. If all of them failed, the time does not count.
const MAX_RUNS: i64 = 50;
/// The percents by which a quota has to fall below the bound until its alert is over.
const QUOTA_MARGIN: i64 = 5;

/// A look at the things of a workspace.
pub(super) struct Watch {
    pub(super) app: Delivery,
    pub(super) workspace: WorkspaceId,
    /// The webhooks that have not come to the end of the log for some time.
    pub(super) lagging: HashSet<Key>,
    pub(super) now: Timestamp,
}

/// A thing, as alerts name it.
pub(super) struct About {
    pub(super) key: String,
    pub(super) source: Source,
    /// The thing, as the beginning of a sentence.
    pub(super) what: String,
}

impl About {
    pub(super) fn observed(&self, kind: Kind, finding: Finding, since: Timestamp) -> Observed {
        Observed {
            kind,
            key: self.key.clone(),
            source: self.source.clone(),
            finding,
            since,
            message: String::new(),
            details: Object::new(),
        }
    }
}

impl Watch {
    /// The key of a thing among the alerts of its workspace.
    pub(super) fn key(&self, subject: &Subject) -> String {
        match subject {
            Subject::Hook(integration, id) => hook_key(Key {
                workspace: self.workspace,
                integration: *integration,
                id: *id,
            }),
            Subject::Channel(id) => format!("channel/{id}"),
            Subject::Script(code) => format!("script/{code}"),
            Subject::Quota(kind) => format!("quota/{}", kind.name()),
            Subject::Certificate(holder) => format!("{CERTIFICATE}{holder}"),
            Subject::Disk(node) => format!("disk/{node}"),
        }
    }

    /// The findings about a thing, with its key.
    pub(super) fn observe(
        &self,
        conn: &mut Conn,
        subject: &Subject,
        settings: &AlertSettings,
    ) -> Result<(String, Vec<Observed>)> {
        match subject {
            Subject::Hook(integration, id) => {
                let key = Key {
                    workspace: self.workspace,
                    integration: *integration,
                    id: *id,
                };
                Ok((hook_key(key), self.hook(conn, key, settings)?))
            }
            Subject::Channel(id) => {
                let key = format!("channel/{id}");
                Ok((key.clone(), self.channel(conn, *id, key, settings)?))
            }
            Subject::Script(code) => {
                let key = format!("script/{code}");
                let observed = self.script(conn, code, key.clone(), settings)?;
                Ok((key, vec![observed]))
            }
            Subject::Quota(kind) => {
                let key = format!("quota/{}", kind.name());
                let observed = self.quota(conn, *kind, key.clone(), settings)?;
                Ok((key, vec![observed]))
            }
            Subject::Certificate(holder) => {
                let key = format!("{CERTIFICATE}{holder}");
                let observed = self.certificate(conn, holder, key.clone(), settings)?;
                Ok((key, vec![observed]))
            }
            Subject::Disk(node) => {
                let key = format!("disk/{node}");
                let observed = self.disk(conn, *node, key.clone(), settings)?;
                Ok((key, observed.into_iter().collect()))
            }
        }
    }

    fn hook(&self, conn: &mut Conn, key: Key, settings: &AlertSettings) -> Result<Vec<Observed>> {
        let is_of_documents = key.integration == INTEGRATION;
        let kinds = [
            Kind::Failing,
            Kind::Script,
            Kind::Lag,
            Kind::SwitchedOff,
            Kind::Paused,
        ];
        let row = webhook::find(conn, key)?;
        let found = row.and_then(|row| Some((definition_of(&row)?, row)));
        let Some((definition, row)) = found else {
            let about = About {
                key: hook_key(key),
                source: webhook_source(key, ""),
                what: String::new(),
            };
            let clear = |kind| about.observed(kind, Finding::Clear, self.now);
            return Ok(kinds.map(clear).to_vec());
        };
        let about = about_hook(conn, key, &definition)?;
        let paused_at = if is_of_documents {
            document_hook::find(conn, key.workspace)?.and_then(|hook| hook.paused_at)
        } else {
            None
        };
        let is_called = row.live && !definition.disabled && paused_at.is_none();
        let last = delivery_stats::find_last(conn, key)?;
        let since = row.streak.since.filter(|_| is_called);
        let is_of_script = last
            .last_failure
            .as_ref()
            .is_some_and(|last| last.error.starts_with(FAILED));
        let mut all = vec![
            self.failing(
                &about,
                Kind::Failing,
                since.filter(|_| !is_of_script),
                &last,
                settings.failing,
            ),
            self.failing(
                &about,
                Kind::Script,
                since.filter(|_| is_of_script),
                &last,
                settings.script_failing,
            ),
            self.hook_lag(conn, &about, &row, is_called, settings)?,
        ];
        let states = [
            (
                Kind::SwitchedOff,
                definition.disabled && !is_of_documents,
                "is switched off",
                None,
            ),
            (Kind::Paused, paused_at.is_some(), "is paused", paused_at),
        ];
        for (kind, holds, message, since) in states {
            let finding = if holds {
                Finding::Holds
            } else {
                Finding::Clear
            };
            all.push(Observed {
                message: format!("{} {message}", about.what),
                ..about.observed(kind, finding, since.unwrap_or(self.now))
            });
        }
        Ok(all)
    }

    /// Judges a source that has failed since a time, if it fails.
    fn failing(
        &self,
        about: &About,
        kind: Kind,
        since: Option<Timestamp>,
        last: &Stats,
        most: Duration,
    ) -> Observed {
        let Some(since) = since else {
            return about.observed(kind, Finding::Clear, self.now);
        };
        let failed_for = self.now.since(since);
        let finding = if failed_for >= most {
            Finding::Holds
        } else {
            Finding::Between
        };
        let mut observed = about.observed(kind, finding, since);
        let failed = format!("{} has failed for {}", about.what, words_of(failed_for));
        observed.message = match &last.last_failure {
            Some(last) => format!("{failed}: {}", first_line(&last.error)),
            None => failed,
        };
        if let Some(last) = &last.last_failure {
            let details = [
                ("error", Some(json!(first_line(&last.error)))),
                ("httpStatus", last.http_status.map(|status| json!(status))),
            ];
            let details = details.into_iter();
            let details = details.filter_map(|(name, value)| Some((name.to_owned(), value?)));
            observed.details.extend(details);
        }
        observed
    }

    fn hook_lag(
        &self,
        conn: &mut Conn,
        about: &About,
        row: &Webhook,
        is_called: bool,
        settings: &AlertSettings,
    ) -> Result<Observed> {
        if !is_called {
            return Ok(about.observed(Kind::Lag, Finding::Clear, self.now));
        }
        // The exact lag costs more, and few webhooks need it.
        let is_behind = self.lagging.contains(&row.key)
            || delivery::waiting(conn, row.key)?.count > 0
            || alert::list_open_about(conn, self.workspace, &about.key)?
                .iter()
                .any(|open| open.kind == Kind::Lag);
        if !is_behind {
            return Ok(about.observed(Kind::Lag, Finding::Clear, self.now));
        }
        let state = SourceState::of_hook(&self.app, conn, row, self.now)?;
        Ok(self.lag(about, state.lag(), settings))
    }

    /// Judges a lag in events and in time.
    fn lag(&self, about: &About, lag: (i64, Duration), settings: &AlertSettings) -> Observed {
        let (events, age) = lag;
        let finding = if events >= settings.lag_events || age >= settings.lag {
            Finding::Holds
        } else if events > settings.lag_events / 2 || age > settings.lag / 2 {
            Finding::Between
        } else {
            Finding::Clear
        };
        let mut observed = about.observed(Kind::Lag, finding, self.now - age);
        let waits = if events == 1 {
            "1 event waits"
        } else {
            &format!("{events} events wait")
        };
        observed.message = format!(
            "{} is behind: {waits}, the oldest for {}",
            about.what,
            words_of(age)
        );
        observed
            .details
            .insert("lagEvents".to_owned(), events.into());
        observed
            .details
            .insert("lagSeconds".to_owned(), age.as_secs().into());
        observed
    }

    fn channel(
        &self,
        conn: &mut Conn,
        id: EntityId,
        key: String,
        settings: &AlertSettings,
    ) -> Result<Vec<Observed>> {
        let row = channel::find(conn, self.workspace, id)?;
        let row = row.filter(|row| row.deleted_at.is_none());
        let code = row.as_ref().map(|row| row.code.as_str());
        let about = About {
            key,
            source: Source::new(SourceKind::Channel, Some(id.0)).named(code.unwrap_or_default()),
            what: format!("The channel {}", code.unwrap_or_default()),
        };
        if row.is_none() {
            let clear = |kind| about.observed(kind, Finding::Clear, self.now);
            return Ok([Kind::Failing, Kind::Lag].map(clear).to_vec());
        }
        let last = delivery_stats::find_last(conn, key_of_channel(self.workspace, id))?;
        let state = SourceState::of_channel(conn, self.workspace, id, self.now)?;
        Ok(vec![
            self.failing(
                &about,
                Kind::Failing,
                last.failing_since,
                &last,
                settings.failing,
            ),
            self.lag(&about, state.lag(), settings),
        ])
    }

    fn script(
        &self,
        conn: &mut Conn,
        code: &str,
        key: String,
        settings: &AlertSettings,
    ) -> Result<Observed> {
        let kind = resource::Kind::Script;
        let found = resource::find_by_code(conn, self.workspace, kind, code)?;
        let about = About {
            key,
            source: Source::new(SourceKind::Script, found.as_ref().map(|found| found.id.0))
                .named(code),
            what: format!("The script {code}"),
        };
        let failures = run::failures(conn, self.workspace, code, MAX_RUNS)?;
        let Some(failures) = failures.filter(|_| found.is_some()) else {
            return Ok(about.observed(Kind::Script, Finding::Clear, self.now));
        };
        let failed_for = self.now.since(failures.since);
        let is_constant = i64::try_from(failures.count).is_ok_and(|count| count >= MAX_RUNS);
        let finding = if is_constant || failed_for >= settings.script_failing {
            Finding::Holds
        } else {
            Finding::Between
        };
        let mut observed = about.observed(Kind::Script, finding, failures.since);
        observed.message = format!(
            "{} has failed for {}: {}",
            about.what,
            words_of(failed_for),
            first_line(&failures.error)
        );
        let error = first_line(&failures.error).into();
        observed.details.insert("error".to_owned(), error);
        Ok(observed)
    }

    fn quota(
        &self,
        conn: &mut Conn,
        kind: usage::Kind,
        key: String,
        settings: &AlertSettings,
    ) -> Result<Observed> {
        let found = usage::find(conn, self.workspace)?;
        let about = About {
            key,
            source: Source::new(SourceKind::Quota, None).named(kind.name()),
            what: format!("The quota of {}", kind.name()),
        };
        let Some(used) = used_percent(&self.app, &found, kind) else {
            return Ok(about.observed(Kind::Quota, Finding::Clear, self.now));
        };
        let finding = if used >= settings.quota_percent {
            Finding::Holds
        } else if used > settings.quota_percent - QUOTA_MARGIN {
            Finding::Between
        } else {
            Finding::Clear
        };
        let mut observed = about.observed(Kind::Quota, finding, self.now);
        observed.message = format!("{} is used up to {used} %", about.what);
        observed
            .details
            .insert("usedPercent".to_owned(), used.into());
        observed
            .details
            .insert("usedBytes".to_owned(), found.used.get(kind).into());
        Ok(observed)
    }
}

/// A webhook, or the subscription to documents, as alerts name it.
pub(super) fn about_hook(conn: &mut Conn, key: Key, definition: &Definition) -> Result<About> {
    if key.integration == INTEGRATION {
        return Ok(About {
            key: hook_key(key),
            source: Source::new(SourceKind::DocumentHook, Some(key.id.0)),
            what: "The subscription to documents".to_owned(),
        });
    }
    let found = integration::find(conn, key.workspace, key.integration)?;
    let name = found.map(|found| found.name).unwrap_or_default();
    Ok(About {
        key: hook_key(key),
        what: format!("The webhook `{}` of {name}", definition.relative_url),
        source: webhook_source(key, &name),
    })
}

/// The reason of a failure without the log of a script behind it, which is not for everybody who gets alerts.
fn first_line(error: &str) -> &str {
    error.lines().next().unwrap_or_default()
}

/// A duration in words, in its largest whole unit.
pub(super) fn words_of(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let (count, unit) = match minutes {
        0 => (duration.as_secs(), "second"),
        1..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_words() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (15 * 60, "15 minutes"),
            (2 * 3600, "2 hours"),
            (47 * 3600, "47 hours"),
            (48 * 3600, "2 days"),
        ] {
            assert_eq!(words_of(Duration::from_secs(seconds)), words);
        }
    }
}
