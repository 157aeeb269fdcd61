//! A trial of a script: the source in the editor is run on a past request, or on one that is written, without effect.

use axum::{extract::Path, response::Response};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    SERVICE,
    model::Run,
    refusal,
    scripts::{Shown, show, source_of},
};
use crate::{
    answer::Fault,
    api::segment,
    form::{Action, Fields},
    language::Language,
    moment::{self, Moment},
    parts::{Choice, State, Text, Tone, visible},
    visit::Visit,
    words::{self, fill},
};

/// The form of a trial.
pub(super) struct Form {
    pub(super) runs: Vec<Choice>,
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Form {
    /// The form as it was sent, or an example. Only the runs whose request is kept are offered.
    pub(super) fn new(fields: &Fields, runs: &[Run], visit: &Visit, w: &words::Channels) -> Self {
        let chosen = fields.text("run");
        let choice = |run: &Run| {
            let at = run.started_at.as_ref().or(run.due_at.as_ref());
            let at = at.and_then(|at| Moment::parse(at, &visit.workspace.zone));
            let at = at.map_or_else(String::new, |at| at.local);
            Choice {
                value: run.id.clone(),
                word: format!("{at} · {} · {}", run.kind.word(w), run.status.state(w).word),
                is_chosen: run.id == chosen,
            }
        };
        let runs = runs.iter().filter(|run| run.has_request());
        let text = |name: &str, example: &str| {
            let sent = fields.has(name).then(|| fields.raw(name).to_owned());
            sent.unwrap_or_else(|| example.to_owned())
        };
        Self {
            runs: runs.map(choice).collect(),
            method: text("method", "POST"),
            url: text("url", "/hook/"),
            headers: text("headers", "content-type: application/json"),
            body: text("body", "{}"),
        }
    }
}

/// The answer to a trial (`POST …/{id}/try`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    log: Vec<String>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    error: Option<String>,
    duration_ms: i64,
    #[serde(default)]
    effects: Vec<Effect>,
}

#[derive(Deserialize)]
struct Effect {
    name: String,
    #[serde(default)]
    argument: Value,
}

/// The outcome of a trial, as a page shows it.
pub(super) struct Trial {
    pub(super) state: State,
    pub(super) sentence: String,
    pub(super) duration: String,
    pub(super) log: Option<Text>,
    pub(super) result: Option<Text>,
    pub(super) effects: Vec<(String, Text)>,
}

impl Trial {
    fn new(answer: &Answer, w: &words::Channels, language: Language) -> Self {
        let text = |text: &str| Text::new(text, false);
        let (tone, word, sentence) = match &answer.error {
            None => (Tone::Good, w.finished, w.trial_done.to_owned()),
            Some(error) => {
                let sentence = fill(w.trial_failed, &[&visible(error)]);
                (Tone::Bad, w.failed, sentence)
            }
        };
        let effects = answer.effects.iter();
        Self {
            state: State { tone, word },
            sentence,
            duration: moment::span(answer.duration_ms, language),
            log: (!answer.log.is_empty()).then(|| text(&answer.log.join("\n"))),
            result: (!answer.result.is_null()).then(|| text(&answer.result.to_string())),
            effects: effects
                .map(|one| (visible(&one.name), text(&one.argument.to_string())))
                .collect(),
        }
    }
}

/// The body of a trial.
fn body_of(fields: &Fields) -> Value {
    let mut body = Map::new();
    body.insert("source".to_owned(), source_of(fields).into());
    if let Some(run) = fields.get("run") {
        body.insert("runtimeId".to_owned(), run.into());
        return Value::Object(body);
    }
    let headers = fields.raw("headers").lines();
    let headers = headers.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some(json!([name.trim(), value.trim()]))
    });
    let request = json!({
        "method": fields.text("method"),
        "url": fields.text("url"),
        "headers": headers.collect::<Vec<_>>(),
        "body": fields.raw("body").replace("\r\n", "\n"),
    });
    body.insert("request".to_owned(), request);
    Value::Object(body)
}

/// Runs the source in the editor, and shows what it does.
pub(crate) async fn try_script(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let w = words::Channels::of(visit.language);
    let path = format!("{SERVICE}/svcscripts/{}/try", segment(&id));
    let mut shown = Shown::default();
    match visit
        .send::<Answer>(Method::POST, &path, &body_of(&fields))
        .await
    {
        Ok(answer) => shown.trial = Some(Trial::new(&answer, w, visit.language)),
        Err(error) => shown.error = Some(fill(w.trial_refused, &[&refusal(error)?])),
    }
    shown.sent = Some(fields);
    show(&visit, &id, &Fields::default(), shown).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_has_a_past_request_or_its_own() {
        let fields = Fields::parse(b"source=a%0D%0Ab&run=7&body=x");
        assert_eq!(
            body_of(&fields),
            json!({"source": "a\nb", "runtimeId": "7"})
        );
        let fields = Fields::parse(
            b"source=&run=&method=PUT&url=/hook/x%3Fa=1&headers=A:%20b%0D%0Anone%0D%0Ac:d:e&body=%7B%0D%0A%7D",
        );
        assert_eq!(
            body_of(&fields),
            json!({"source": "", "request": {
                "method": "PUT", "url": "/hook/x?a=1", "headers": [["A", "b"], ["c", "d:e"]], "body": "{\n}",
            }})
        );
    }
}
