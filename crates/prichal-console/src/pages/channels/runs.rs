//! Runs of scripts: their list, and one with its log, result and error.

use askama::Template;
use axum::{
    extract::{Path, RawQuery},
    response::Response,
};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    Part, PartLink, SERVICE, at, done,
    model::{Point, Request, Run, RunRow, Status, find},
    paged, part_links, refusal, script_codes,
};
use crate::{
    answer::{Fault, page, redirect},
    api::{query, segment},
    form::{Action, Fields},
    moment::Moment,
    page::{Layout, Section},
    parts::{Choice, Text, choices, visible},
    visit::Visit,
    words,
};

const COLLECTION: &str = "svcscript_runtimes";
/// The members of a list, which leave logs and results out.
const LISTED: &str =
    "id,code,kind,integrationPointId,status,attempts,dueAt,startedAt,durationMs,error";

/// The size behind which the body of a request is cut, unless all of it is asked for.
const MAX_REQUEST: usize = 1 << 20;

#[derive(Template)]
#[template(path = "runs.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    statuses: Vec<Choice>,
    codes: Vec<Choice>,
    /// A channel whose runs alone are shown.
    channel: String,
    rows: Vec<RunRow>,
    next: Option<String>,
    newest: Option<String>,
    reset: String,
    /// The number of criteria.
    filters: usize,
    live: String,
    error: Option<String>,
}

/// The runs that match the address, newest first.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let (status, code) = (fields.text("status"), fields.text("code"));
    let channel = fields.text("channel");
    let criteria = [("status", status), ("code", code), ("channel", channel)];
    let filter = filter(status, code, channel);
    let pairs = [("filter", &*filter), ("mask", LISTED)];
    let found = paged::<Run>(&visit, COLLECTION, &pairs, &fields).await;
    let (rows, next, is_first, error) = match found {
        Ok(found) => {
            let rows = found.items.iter();
            let rows = rows.map(|run| RunRow::new(run, &visit, w)).collect();
            (rows, found.next, found.is_first, None)
        }
        // No script has this code any more.
        Err(error) if error.is_not_found() => (Vec::new(), None, true, None),
        Err(error) => (Vec::new(), None, true, Some(refusal(error)?)),
    };
    let codes = script_codes(&visit).await?;
    let mut codes = choices(code, codes.iter().map(|code| (&**code, &**code)));
    if !code.is_empty() && codes.iter().all(|one| !one.is_chosen) {
        codes.extend(choices(code, [(code, code)]));
    }
    let first = at(&visit, "channels/runs", &criteria, None);
    let statuses = [
        ("queued", w.queued),
        ("deferred", w.deferred),
        ("finished", w.finished),
        ("failed", w.failed),
    ];
    Ok(page(&ListPage {
        layout: Layout::of(&visit, Section::Channels, w.runs),
        w,
        parts: part_links(&visit, Part::Runs, w),
        statuses: choices(status, statuses),
        codes,
        channel: channel.to_owned(),
        rows,
        next: next.map(|next| at(&visit, "channels/runs", &criteria, Some(next))),
        newest: (!is_first).then(|| first.clone()),
        reset: visit.page("channels/runs"),
        filters: criteria
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .count(),
        live: if is_first { first } else { String::new() },
        error,
    }))
}

fn filter(status: &str, code: &str, channel: &str) -> String {
    let pairs = [
        ("status", status),
        ("code", code),
        ("integrationPointId", channel),
    ];
    let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let members: Map<String, Value> = given
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if members.is_empty() {
        String::new()
    } else {
        Value::Object(members).to_string()
    }
}

#[derive(Template)]
#[template(path = "run.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Channels,
    parts: Vec<PartLink>,
    row: RunRow,
    id: String,
    node: String,
    next: Option<Moment>,
    channel: Option<(String, String)>,
    script: Option<String>,
    request: Option<RequestPart>,
    log: Option<Text>,
    result: Option<Text>,
    error: Option<Text>,
    /// The addresses of the script's page, to try it on this run's request.
    trials: Option<(String, String)>,
    whole: String,
    here: String,
    is_live: bool,
    may_retry: bool,
    refused: Option<String>,
}

/// The request of a run, as the page shows it.
struct RequestPart {
    /// Its method and address.
    line: String,
    ip: String,
    headers: Vec<(String, String)>,
    body: Option<Text>,
    is_text: bool,
}

impl RequestPart {
    fn new(request: &Request, is_whole: bool) -> Self {
        let params = Value::from(request.params.clone()).to_string();
        let has_params = !request.params.is_empty();
        let body = if has_params { &params } else { &request.body };
        let limit = if is_whole { usize::MAX } else { MAX_REQUEST };
        let mut text = Text::within(body, limit);
        if request.is_cut {
            text.is_cut = true;
            text.size = request.size;
        }
        let headers = request.headers.iter();
        Self {
            line: visible(format!("{} {}", request.method, request.url).trim_end()),
            ip: visible(&request.ip),
            headers: headers
                .map(|(name, value)| (visible(name), visible(value)))
                .collect(),
            body: (!body.is_empty()).then_some(text),
            is_text: request.is_text,
        }
    }
}

/// Reads the request of a run. `None` if it is not kept.
async fn request(visit: &Visit, run: &Run, is_whole: bool) -> Result<Option<RequestPart>, Fault> {
    if !run.has_request() {
        return Ok(None);
    }
    let whole = query([("whole", if is_whole { "true" } else { "" })]);
    let path = format!("{SERVICE}/{COLLECTION}/{}/request{whole}", segment(&run.id));
    match visit.get(&path).await {
        Ok(found) => Ok(Some(RequestPart::new(&found, is_whole))),
        Err(error) if error.is_refusal() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A run.
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
    refused: Option<String>,
) -> Result<Response, Fault> {
    let w = words::Channels::of(visit.language);
    let run: Run = find(visit, COLLECTION, id).await?;
    let channel = match &run.integration_point_id {
        Some(id) => channel(visit, id).await?,
        None => None,
    };
    let script = script_id(visit, &run.code).await?;
    let is_whole = fields.has("all");
    let request = request(visit, &run, is_whole).await?;
    let text = |text: &str| Text::new(text, is_whole);
    let here = visit.page(&format!("channels/runs/{}", segment(&run.id)));
    let script = script.map(|id| visit.page(&format!("channels/scripts/{}", segment(&id))));
    let has_failed = matches!(run.status, Status::Failed | Status::Deferred);
    let trial = |script: &String| {
        let of = |more: &str| format!("{script}?run={}{more}#trial", segment(&run.id));
        (of("&as=was"), of(""))
    };
    let layout = Layout::of(visit, Section::Channels, w.run);
    Ok(page(&DetailPage {
        layout: layout.with_notice(done(fields, w)),
        w,
        parts: part_links(visit, Part::Runs, w),
        row: RunRow::new(&run, visit, w),
        id: visible(&run.id),
        node: visible(&run.node),
        next: run
            .due_at
            .as_deref()
            .and_then(|at| Moment::parse(at, &visit.workspace.zone)),
        channel,
        trials: script
            .as_ref()
            .filter(|_| visit.may_change() && request.is_some())
            .map(trial),
        may_retry: visit.may_change() && has_failed && request.is_some(),
        script,
        request,
        log: (!run.log.is_empty()).then(|| text(&run.log.join("\n"))),
        result: (!run.result.is_null()).then(|| text(&run.result.to_string())),
        error: run.error.as_deref().map(text),
        whole: format!("{here}?all=1"),
        here,
        is_live: matches!(
            run.status,
            Status::Queued | Status::Running | Status::Deferred
        ),
        refused,
    }))
}

/// The code and the address of a channel that is still there.
async fn channel(visit: &Visit, id: &str) -> Result<Option<(String, String)>, Fault> {
    match find::<Point>(visit, "integration_points", id).await {
        Ok(point) => {
            let address = visit.page(&format!("channels/points/{}", segment(&point.id)));
            Ok(Some((visible(&point.code), address)))
        }
        Err(Fault::NotFound) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The id of the script with a code, if it is still there.
async fn script_id(visit: &Visit, code: &str) -> Result<Option<String>, Fault> {
    if code.is_empty() {
        return Ok(None);
    }
    let filter = json!({ "code": code }).to_string();
    let pairs = query([("filter", &*filter), ("mask", "id"), ("limit", "1")]);
    let found: Vec<Value> = visit.get(&format!("{SERVICE}/svcscripts{pairs}")).await?;
    let id = found.first().and_then(|one| one["id"].as_str());
    Ok(id.map(str::to_owned))
}

/// Runs a failed run again, with the script as it is now.
pub(crate) async fn retry(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, .. } = action;
    let path = format!("{SERVICE}/{COLLECTION}/{}/retry", segment(&id));
    match visit.send::<Value>(Method::POST, &path, &json!({})).await {
        Ok(_) => {
            let here = visit.page(&format!("channels/runs/{}", segment(&id)));
            Ok(redirect(&format!("{here}?done=retry")))
        }
        Err(error) => {
            let error = refusal(error)?;
            show(&visit, &id, &Fields::default(), Some(error)).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_has_the_given_criteria_alone() {
        assert_eq!(filter("", "", ""), "");
        assert_eq!(
            filter("failed", "a\"b", ""),
            r#"{"status":"failed","code":"a\"b"}"#
        );
    }
}
