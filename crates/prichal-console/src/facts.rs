//! Facts of the server, which it tells in English, in the reader's language. Others are shown as the server tells them.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    language::Language,
    parts::visible,
    words::{Facts, fill},
};

/// The kind of an entity.
pub(crate) fn entity(kind: &str, language: Language) -> String {
    let w = Facts::of(language);
    let word = match kind {
        "company" => w.company,
        "contact" => w.contact,
        "deal" => w.deal,
        "task" => w.task,
        "communication" => w.communication,
        "catalogItem" => w.catalog_item,
        "notification" => w.notification,
        "user" => w.user,
        "group" => w.group,
        "role" => w.role,
        "integration" => w.integration,
        "document" => w.document,
        "route" => w.route,
        "workflow" => w.workflow,
        "integrationPoint" => w.integration_point,
        "svcscript" => w.svcscript,
        other => return visible(other),
    };
    word.to_owned()
}

/// The kind of a change, or of an event.
pub(crate) fn change(kind: &str, language: Language) -> String {
    let w = Facts::of(language);
    let word = match kind {
        "create" => w.create,
        "patch" => w.patch,
        "delete" => w.delete,
        "restore" => w.restore,
        "link" => w.link,
        "unlink" => w.unlink,
        other => return visible(other),
    };
    word.to_owned()
}

/// The reason of a failed call.
pub(crate) fn reason(error: &str, language: Language) -> String {
    let w = Facts::of(language);
    // English readers get the server's own words.
    if language == Language::En {
        return visible(error);
    }
    if let Some(status) = error.strip_prefix("the answer was ") {
        let (sentence, status) = if let Some(status) = status.strip_suffix(", not 200") {
            (w.not_200, status)
        } else if let Some(status) = status.strip_suffix(", not 2xx") {
            (w.not_2xx, status)
        } else {
            (w.answered, status)
        };
        if status.parse::<u16>().is_ok() {
            return fill(sentence, &[&status]);
        }
    }
    let word = match error {
        "no answer in time" => w.too_late,
        "no connection: refused by the host" => w.refused,
        "cannot connect" => w.no_connection,
        "the host name cannot be resolved" | "the host name could not be resolved" => w.no_name,
        "the echo header is missing or wrong" => w.no_echo,
        "the connection broke" => w.closed,
        _ if error.starts_with("the connection was closed") => w.closed,
        _ => return visible(error),
    };
    word.to_owned()
}

/// A sentence of the server about fields that it names as the API does, with the labels of the reader's page instead.
/// `labels` has the names and the labels. A place in a list is told by its line.
pub(crate) fn labelled(message: &str, labels: &[(&str, &str)], language: Language) -> String {
    let w = Facts::of(language);
    let mut text = message.to_owned();
    for (name, label) in labels {
        let mut pieces = text.split(name);
        let mut labelled = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let (place, rest) = place(piece);
            labelled.push_str(&match place {
                Some(place) => fill(w.in_line, &[label, &(place + 1)]),
                None => fill(w.field, &[label]),
            });
            labelled.push_str(rest);
        }
        text = labelled;
    }
    text
}

/// The place in a list, such as `[0]`, with which a text begins, and the rest.
fn place(text: &str) -> (Option<usize>, &str) {
    let found = || {
        let (number, rest) = text.strip_prefix('[')?.split_once(']')?;
        Some((number.parse().ok()?, rest))
    };
    found().map_or((None, text), |(place, rest)| (Some(place), rest))
}

/// The kind of data that a quota bounds.
fn quota(kind: &str, w: &Facts) -> String {
    let word = match kind {
        "entities" => w.quota_entities,
        "files" => w.quota_files,
        "events" => w.quota_events,
        "runs" => w.quota_runs,
        "records" => w.quota_records,
        other => return visible(other),
    };
    word.to_owned()
}

/// An alert as far as its sentence needs it (`GET /api/v1/{ws}/alerts`).
#[derive(Deserialize)]
pub(crate) struct Alert {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    source: Source,
    message: String,
    #[serde(default)]
    details: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Source {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    name: String,
}

impl Alert {
    /// Tells the event that began the alert. Pages show beside it since when it has lasted.
    pub(crate) fn text(&self, language: Language) -> String {
        let w = Facts::of(language);
        self.sentence(language, w)
            .unwrap_or_else(|| visible(&self.message.replace('`', "")))
    }

    fn sentence(&self, language: Language, w: &Facts) -> Option<String> {
        let name = visible(&self.source.name);
        let what = match &*self.source.kind {
            "webhook" => {
                let path = self.message.split('`').nth(1)?;
                fill(w.alert_webhook, &[&visible(path), &name])
            }
            "documentHook" => w.alert_documents.to_owned(),
            "channel" => fill(w.alert_channel, &[&name]),
            "script" => fill(w.alert_script, &[&name]),
            "quota" => fill(w.alert_quota, &[&quota(&self.source.name, w)]),
            "signer" => fill(w.alert_signer, &[&name]),
            "receiver" => fill(w.alert_receiver, &[&name]),
            "server" if self.source.name.is_empty() => {
                let node = self.source.id.as_deref().unwrap_or_default();
                fill(w.alert_disk, &[&visible(node)])
            }
            "server" => w.alert_authority.to_owned(),
            _ => return None,
        };
        let error = self.details.get("error").and_then(Value::as_str);
        let error = error.map(|error| reason(error, language));
        let number = |name: &str| self.details.get(name).and_then(Value::as_i64);
        Some(match (&*self.kind, error) {
            ("failing", Some(error)) => fill(w.failing_why, &[&what, &error]),
            ("failing", None) => fill(w.failing, &[&what]),
            ("script", Some(error)) => fill(w.script_failing, &[&what, &error]),
            ("switchedOff", _) => fill(w.switched_off, &[&what]),
            ("paused", _) => fill(w.paused, &[&what]),
            ("lag", _) => fill(w.behind, &[&what, &number("lagEvents")?]),
            ("quota", _) => fill(w.used, &[&what, &number("usedPercent")?]),
            ("disk", _) => fill(w.disk_free, &[&what, &number("freePercent")?]),
            ("certificate", _) => {
                let ends_at = self.details.get("endsAt").and_then(Value::as_str)?;
                fill(w.certificate_until, &[&what, &visible(ends_at.get(..10)?)])
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reasons_are_told_in_the_readers_language() {
        for (error, russian) in [
            ("the answer was 503, not 200", "ответ был 503, а не 200"),
            ("the answer was 503", "ответ был 503"),
            ("the answer was late", "the answer was late"),
            (
                "no connection: refused by the host",
                "нет соединения: узел его отклонил",
            ),
            ("something new", "something new"),
        ] {
            assert_eq!(reason(error, Language::Ru), russian);
            assert_eq!(reason(error, Language::En), error);
        }
    }

    #[test]
    fn fields_are_named_by_their_labels() {
        let labels = [("silenceMinutes", "Silence"), ("mail.recipients", "To")];
        for (message, shown) in [
            (
                "The silenceMinutes must be a number. silenceMinutes: no",
                "The «Silence» must be a number. «Silence»: no",
            ),
            ("The mail.recipients[1] is bad", "The «To» (line 2) is bad"),
            ("The mail.recipients[x] is bad", "The «To»[x] is bad"),
            ("Something else", "Something else"),
        ] {
            assert_eq!(labelled(message, &labels, Language::En), shown);
        }
    }

    #[test]
    fn alerts_are_told_in_the_readers_language() {
        let alert = |kind: &str, source: Value, details: Value| -> Alert {
            let message = "The webhook `/in` of erp has failed for 1 minute";
            let given =
                json!({ "kind": kind, "source": source, "details": details, "message": message });
            serde_json::from_value(given).expect("an alert")
        };
        let webhook = json!({ "type": "webhook", "name": "erp" });
        let why = json!({ "error": "the answer was 503, not 200" });
        let failing = alert("failing", webhook.clone(), why);
        assert_eq!(
            failing.text(Language::Ru),
            "Вебхук /in интеграции erp: вызовы не удаются: ответ был 503, а не 200"
        );
        assert_eq!(
            failing.text(Language::En),
            "The webhook /in of erp fails: the answer was 503, not 200"
        );
        let behind = alert("lag", webhook, json!({ "lagEvents": 7 }));
        assert_eq!(
            behind.text(Language::Kk),
            "/in вебхугі (erp интеграциясы): артта қалды, күткен оқиғалар: 7"
        );
        for (kind, source, details, russian) in [
            (
                "quota",
                json!({ "type": "quota", "name": "entities" }),
                json!({ "usedPercent": 93 }),
                "Квота записей: израсходовано 93 %",
            ),
            (
                "certificate",
                json!({ "type": "signer", "id": "7", "name": "Ким А." }),
                json!({ "endsAt": "2026-12-01T00:00:00+00:00" }),
                "Подписант Ким А.: срок сертификата до 2026-12-01",
            ),
            (
                "certificate",
                json!({ "type": "server", "name": "egress-ca" }),
                json!({ "endsAt": "2026-12-01T00:00:00+00:00" }),
                "Корень доверия сервера (egress-ca): срок сертификата до 2026-12-01",
            ),
            (
                "disk",
                json!({ "type": "server", "id": "n-1" }),
                json!({ "freePercent": 4 }),
                "Диск узла n-1: свободно 4 %",
            ),
        ] {
            let told = alert(kind, source, details);
            assert_eq!(told.text(Language::Ru), russian);
        }
        let unknown = alert("new", json!({ "type": "moon" }), json!({}));
        assert_eq!(
            unknown.text(Language::Ru),
            "The webhook /in of erp has failed for 1 minute"
        );
    }
}
