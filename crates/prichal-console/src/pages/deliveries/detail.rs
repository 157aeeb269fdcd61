//! One call: the event, what was sent, what came back, all attempts, and what can be done.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Criteria, ResendPage,
    advice::{Advice, advice},
    command::curl,
    done,
    model::{Call, CallList, Names, Row, Status},
    preview,
    signature::{self, Verdict},
};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    facts,
    form::{Action, Fields},
    language::Language,
    moment::Moment,
    page::{Layout, Section},
    parts::{State, Text, visible},
    visit::Visit,
    words::{self, fill},
};

/// A call with all that was kept of it (`GET /api/v1/{ws}/deliveries/{id}`).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    #[serde(flatten)]
    call: Call,
    #[serde(default)]
    next_attempt_at: Option<String>,
    sent: Sent,
    received: Received,
    timings: Timings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    headers: Vec<Header>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    signed_text: Option<String>,
}

#[derive(Deserialize)]
struct Received {
    headers: Vec<Header>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "the members of the API name their unit"
)]
struct Timings {
    #[serde(default)]
    resolve_ms: Option<f64>,
    #[serde(default)]
    connect_ms: Option<f64>,
    #[serde(default)]
    tls_ms: Option<f64>,
    #[serde(default)]
    first_byte_ms: Option<f64>,
    total_ms: f64,
}

/// The place of a webhook (`GET /api/v1/{ws}/webhooks/{id}`).
#[derive(Default, Deserialize)]
struct Hook {
    #[serde(default)]
    url: Option<String>,
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Deliveries,
    row: Row,
    state: State,
    /// The later call that has delivered the event.
    delivered: Option<Row>,
    advice: Advice,
    next: Option<Moment>,
    entity: Option<(String, String)>,
    sent_headers: Vec<Header>,
    sent: Option<Text>,
    signed: Option<Text>,
    received_headers: Vec<Header>,
    received: Option<Text>,
    bars: Vec<Bar>,
    attempts: Vec<Row>,
    curl: Option<String>,
    verdict: Option<&'static str>,
    /// The address of the whole page, with nothing cut.
    whole: String,
    /// The other calls for the event.
    of_event: String,
    /// The other calls of the source.
    of_source: String,
    here: String,
    /// The reason why the event cannot be sent again.
    obstacle: Option<&'static str>,
    may_resend: bool,
}

/// A part of a call's time: its share of the whole, in hundredths.
struct Bar {
    name: &'static str,
    ms: String,
    /// The distance of its beginning, and its length.
    x: f64,
    width: f64,
}

/// A call by its id.
pub(crate) async fn detail(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    show(&visit, &id, &fields, None).await
}

async fn show(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    verdict: Option<Verdict>,
) -> Result<Response, Fault> {
    let w = words::Deliveries::of(visit.language);
    let path = visit.api(&format!("deliveries/{}", segment(id)));
    let detail: Detail = visit.get(&path).await?;
    let call = &detail.call;
    let names = Names::read(visit).await?;
    let attempts = attempts(visit, call).await?;
    let delivered = delivered_later(call, &attempts);
    let mut advice = advice(call, w);
    if delivered.is_some() {
        advice.todo = w.delivered_later_todo;
    }
    let is_whole = fields.has("all");
    let text = |text: &String| Text::new(text, is_whole);
    let hook = hook(visit, call).await?;
    let obstacle = obstacle(call, &detail.sent, hook.is_some(), w);
    // Other sources do not tell their address here.
    let url = hook.and_then(|hook| hook.url);
    let url = url.filter(|_| call.integration_id.is_some());
    let parts = url.as_deref().zip(detail.sent.body.as_deref());
    let command = parts.map(|(url, body)| curl(url, &detail.sent.headers, body));
    let list = |pairs: &[(&str, &str)]| {
        format!(
            "{}{}",
            visit.page("deliveries"),
            query(pairs.iter().copied())
        )
    };
    let here = visit.page(&format!("deliveries/{}", segment(&call.id)));
    let layout = Layout::of(visit, Section::Deliveries, w.one);
    Ok(page(&DetailPage {
        layout: layout.with_notice(done(fields, w, Some(call))),
        w,
        row: Row::new(call, &names, visit, w),
        state: call.status.state(w),
        advice,
        next: moment(detail.next_attempt_at.as_deref(), visit).filter(|_| delivered.is_none()),
        delivered: delivered.map(|one| Row::new(one, &names, visit, w)),
        entity: call
            .entities
            .first()
            .map(|one| (facts::entity(&one.kind, visit.language), one.id.clone())),
        sent: detail.sent.body.as_ref().map(text),
        signed: detail.sent.signed_text.as_ref().map(text),
        curl: command,
        sent_headers: detail.sent.headers,
        received_headers: detail.received.headers,
        received: detail.received.body.as_ref().map(text),
        bars: bars(&detail.timings, w, visit.language),
        attempts: attempts
            .iter()
            .map(|one| Row::new(one, &names, visit, w))
            .collect(),
        verdict: verdict.map(|verdict| verdict.text(w)),
        whole: format!("{here}?all=1"),
        of_event: list(&[("eventId", &call.event_id)]),
        of_source: list(&[
            (
                "integrationId",
                call.integration_id.as_deref().unwrap_or_default(),
            ),
            ("webHookId", &call.web_hook_id),
        ]),
        here,
        obstacle,
        may_resend: visit.may_change(),
    }))
}

fn moment(text: Option<&str>, visit: &Visit) -> Option<Moment> {
    Moment::parse(text?, &visit.workspace.zone)
}

/// The attempts to deliver the same event to the same receiver, newest first.
async fn attempts(visit: &Visit, call: &Call) -> Result<Vec<Call>, Fault> {
    let mut pairs = vec![
        ("eventId", &*call.event_id),
        ("webHookId", &call.web_hook_id),
    ];
    if let Some(integration) = &call.integration_id {
        pairs.push(("integrationId", integration));
    }
    let path = format!("{}{}", visit.api("deliveries"), query(pairs));
    let found: CallList = visit.get(&path).await?;
    Ok(found.items)
}

/// The first later call that has delivered the event of a failed one. Ids are ordered by time.
fn delivered_later<'a>(call: &Call, attempts: &'a [Call]) -> Option<&'a Call> {
    let mut earliest_first = attempts.iter().rev();
    earliest_first
        .find(|one| one.status.is_delivered() && one.id > call.id)
        .filter(|_| !call.status.is_delivered())
}

/// The source of a call as it is now. `None` if it was removed.
async fn hook(visit: &Visit, call: &Call) -> Result<Option<Hook>, Fault> {
    let path = visit.api(&format!("webhooks/{}", segment(&call.web_hook_id)));
    match visit.get(&path).await {
        Ok(hook) => Ok(Some(hook)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) if error.is_forbidden() => Ok(Some(Hook::default())),
        Err(error) => Err(error.into()),
    }
}

/// The reason why the event of a call cannot be sent again.
fn obstacle(
    call: &Call,
    sent: &Sent,
    has_hook: bool,
    w: &words::Deliveries,
) -> Option<&'static str> {
    if call.is_over() {
        Some(w.resend_over)
    } else if !has_hook {
        Some(w.resend_no_receiver)
    } else if call.is_of_hook() && sent.body.is_none() {
        Some(w.gone_body)
    } else {
        None
    }
}

/// The parts of a call's time, one after the other.
fn bars(timings: &Timings, w: &words::Deliveries, language: Language) -> Vec<Bar> {
    let parts = [
        (w.resolving, timings.resolve_ms),
        (w.connecting, timings.connect_ms),
        (w.tls, timings.tls_ms),
        (w.waiting, timings.first_byte_ms),
    ];
    let known: f64 = parts.iter().filter_map(|(_, ms)| *ms).sum();
    let total = timings.total_ms.max(known);
    let parts = parts.into_iter().filter_map(|(name, ms)| Some((name, ms?)));
    let rest = Some((w.reading, total - known)).filter(|_| total - known >= 1.0);
    let milliseconds = words::Facts::of(language).milliseconds;
    let mut at = 0.0;
    parts
        .chain(rest)
        .map(|(name, ms)| {
            let x = at;
            at += ms;
            let share = |ms: f64| if total > 0.0 { ms / total * 100.0 } else { 0.0 };
            Bar {
                name,
                ms: fill(milliseconds, &[&format!("{ms:.1}")]),
                x: share(x),
                width: share(ms).max(0.5),
            }
        })
        .collect()
}

/// Asks before the event of a call is sent again. The criteria of the address are those of the list to go back to.
pub(crate) async fn confirm_one(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    if !visit.may_integrate() {
        return Err(Fault::NotFound);
    }
    let w = words::Deliveries::of(visit.language);
    let criteria = Criteria::read(query, &visit);
    let path = format!("deliveries/{}", segment(&id));
    let detail: Detail = visit.get(&visit.api(&path)).await?;
    let call = &detail.call;
    let hook = hook(&visit, call).await?;
    let obstacle = obstacle(call, &detail.sent, hook.is_some(), w);
    let (sentence, count, error) = if let Some(obstacle) = obstacle {
        (String::new(), 0, Some(obstacle.to_owned()))
    } else {
        let body = [("deliveryIds".to_owned(), json!([call.id]))];
        preview(&visit, body.into_iter().collect(), w).await?
    };
    let row = Row::new(call, &Names::read(&visit).await?, &visit, w);
    let at = row.at.map_or_else(String::new, |at| at.local);
    Ok(page(&ResendPage {
        layout: Layout::of(&visit, Section::Deliveries, w.resend_title),
        w,
        sentence,
        criteria: Vec::new(),
        shown: vec![
            (w.event, row.event),
            (w.receiver, row.name),
            (w.time, at),
            (w.status, row.state.word.to_owned()),
        ],
        count,
        action: visit.page(&format!("{path}/resend")),
        back: criteria.address(&visit, "deliveries", &[]),
        error,
    }))
}

/// Sends the event of a call again.
pub(crate) async fn resend(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = format!("deliveries/{}", segment(&id));
    let sent = visit.api(&format!("{path}/resend"));
    let _: Value = visit.send(Method::POST, &sent, &json!({})).await?;
    Ok(redirect(&format!("{}?done=resend", visit.page(&path))))
}

/// Compares what a receiver got with what was sent. The secret is used once and kept nowhere.
pub(crate) async fn verify(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let path = visit.api(&format!("deliveries/{}", segment(&id)));
    let detail: Detail = visit.get(&path).await?;
    let sent = signature::Sent {
        headers: &detail.sent.headers,
        signed: detail.sent.signed_text.as_deref(),
        body: detail.sent.body.as_deref(),
    };
    let received = signature::Received {
        secret: fields.text("secret"),
        headers: fields.raw("headers"),
        body: fields.raw("body"),
    };
    show(
        &visit,
        &id,
        &fields,
        Some(signature::compare(&sent, &received)),
    )
    .await
}

impl DetailPage {
    fn is_failure(&self) -> bool {
        self.state.word != self.w.delivered && self.delivered.is_none()
    }
}

impl Status {
    /// True if the receiver has accepted the event.
    pub(super) fn is_delivered(self) -> bool {
        self == Self::Delivered
    }
}

/// A header's value as it is shown.
impl Header {
    fn shown(&self) -> String {
        visible(&self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_each_other() {
        let timings = Timings {
            resolve_ms: None,
            connect_ms: Some(10.0),
            tls_ms: None,
            first_byte_ms: Some(30.0),
            total_ms: 50.0,
        };
        let bars = bars(&timings, words::Deliveries::of(Language::En), Language::En);
        let places: Vec<_> = bars.iter().map(|bar| (bar.x, bar.width)).collect();
        assert_eq!(places, [(0.0, 20.0), (20.0, 60.0), (80.0, 20.0)]);
    }
}
