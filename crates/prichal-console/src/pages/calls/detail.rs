//! One call: its legs over time, the messages of the exchange, recordings, links and facts.

use askama::Template;
use axum::{
    body::Body,
    extract::{Path, RawQuery},
    response::Response,
};
use http::{HeaderMap, HeaderName, Method, header};
use serde_json::{Value, json};

use super::{
    lanes::{Lanes, realtime_id},
    model::{Call, Event, EventType, Kind, Names, Recording, Row, Status},
    reason,
};
use crate::{
    answer::{Fault, page, redirect},
    api::{collect, json_request, query, segment},
    form::{Action, Fields},
    moment::{self, Moment},
    page::{Layout, Section},
    parts::visible,
    visit::Visit,
    words::{self, fill},
};

/// The headers of a request that concern the part of a file.
const ASKED: [HeaderName; 3] = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH];
/// The headers of an answer that a player needs.
const ANSWERED: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::CONTENT_DISPOSITION,
];

#[derive(Template)]
#[template(path = "call.html")]
struct DetailPage {
    layout: Layout,
    w: &'static words::Calls,
    row: Row,
    external_id: String,
    held: String,
    since: Option<(Moment, String)>,
    fail_reason: String,
    note: String,
    lanes: Option<Lanes>,
    open_legs: Vec<OpenLeg>,
    messages: Vec<Pair>,
    are_arrivals_known: bool,
    sounds: Vec<Sound>,
    links: Vec<(&'static str, String)>,
    /// All calls with the client's number.
    same_phone: Option<String>,
    /// The deliveries of the call's events, for roles that have their section.
    deliveries: Option<String>,
    here: String,
    /// True while the page follows changes.
    is_live: bool,
    error: Option<String>,
    may_dial: bool,
    dial: String,
}

/// A leg that a user can end.
struct OpenLeg {
    id: String,
    user: String,
    name: String,
}

/// A line of the messages: the one that arrived at this place, and the one whose time has this place.
struct Pair {
    number: usize,
    arrived: Option<Message>,
    ordered: Message,
}

struct Message {
    at: String,
    what: &'static str,
    who: String,
    leg: String,
    /// The time of the arrival, or the place in the order of arrival if it is another one.
    note: String,
}

/// A recording.
struct Sound {
    src: String,
    name: String,
    size: String,
    /// False for a file that a browser must not open.
    is_played: bool,
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

/// Reads a call.
async fn read(visit: &Visit, id: &str) -> Result<Call, Fault> {
    let path = visit.api(&format!("communications/{}?include=facts", segment(id)));
    Ok(visit.get(&path).await?)
}

async fn show(
    visit: &Visit,
    id: &str,
    fields: &Fields,
    error: Option<String>,
) -> Result<Response, Fault> {
    let w = words::Calls::of(visit.language);
    let call = read(visit, id).await?;
    let mut names = Names::read(visit, Vec::new(), &[&call]).await?;
    let links = links(&call);
    names.look_up(visit, links.iter().copied()).await?;
    let links = links.iter().map(|(kind, id)| {
        let name = names.find(*kind, id).unwrap_or_else(|| visible(id));
        (kind.word(w), name)
    });
    let content = call.content();
    let is_live = call.status == Status::Active;
    let here = visit.page(&format!("calls/{}", segment(&call.id)));
    let notice = match fields.text("done") {
        "dial" => Some(w.dialled),
        "hangup" => Some(w.hung_up),
        _ => None,
    };
    let (messages, are_arrivals_known) = messages(&call, &names, visit, w);
    let list = |pairs: &[(&str, &str)], page: &str| {
        format!("{}{}", visit.page(page), query(pairs.iter().copied()))
    };
    let phone = &content.client_phone;
    let of_call = [("entityType", "communication"), ("entityId", &*call.id)];
    Ok(page(&DetailPage {
        layout: Layout::of(visit, Section::Calls, w.one).with_notice(notice),
        w,
        row: Row::new(&call, &names, visit, w),
        external_id: visible(&call.external_id),
        held: if call.facts.hold_ms > 0 {
            moment::span(call.facts.hold_ms, visit.language)
        } else {
            String::new()
        },
        since: is_live.then(|| since(&call, visit)).flatten(),
        fail_reason: visible(&content.fail_reason),
        note: visible(&content.note),
        lanes: Lanes::new(content, is_live, &names, visit, w),
        open_legs: if is_live && visit.may_change() {
            open_legs(&call, &names, w)
        } else {
            Vec::new()
        },
        messages,
        are_arrivals_known,
        sounds: sounds(&call, &here),
        links: links.collect(),
        same_phone: (!phone.is_empty()).then(|| list(&[("phone", phone)], "calls")),
        deliveries: visit
            .has(Section::Deliveries)
            .then(|| list(&of_call, "deliveries")),
        here,
        is_live,
        error,
        may_dial: visit.may_change() && !is_live && !phone.is_empty(),
        dial: visit.page("calls"),
    }))
}

/// The entities that a call is linked with.
fn links(call: &Call) -> Vec<(Kind, &str)> {
    let links = &call.links;
    let kinds = [
        (Kind::Contact, &links.contacts),
        (Kind::Company, &links.companies),
        (Kind::Deal, &links.deals),
    ];
    let ids = kinds
        .into_iter()
        .flat_map(|(kind, ids)| ids.iter().map(move |id| (kind, id.as_str())));
    ids.take(60).collect()
}

/// The beginning of a call in progress, and the time since then.
fn since(call: &Call, visit: &Visit) -> Option<(Moment, String)> {
    let at = prichal_core::time::Timestamp::parse(&call.external_created_at)?;
    let ms = (visit.console.now().micros() - at.micros()) / 1000;
    Some((Moment::new(at, &visit.workspace.zone), moment::clock(ms)))
}

fn open_legs(call: &Call, names: &Names, w: &words::Calls) -> Vec<OpenLeg> {
    let content = call.content();
    let open = content.items.iter().filter(|leg| leg.finished_at.is_none());
    let legs = open.filter_map(|leg| {
        let users = [&leg.to.user_id, &leg.from.user_id];
        let user = users.into_iter().flatten().next()?;
        Some(OpenLeg {
            id: realtime_id(leg, &content.events).to_owned(),
            user: user.clone(),
            name: names.user(Some(user), w),
        })
    });
    legs.collect()
}

/// The messages of a call in the order of arrival beside the order of time, and true if the former is known.
fn messages(call: &Call, names: &Names, visit: &Visit, w: &words::Calls) -> (Vec<Pair>, bool) {
    let events = &call.content().events;
    let zone = &visit.workspace.zone;
    let arrivals = call.facts.arrivals.iter();
    let arrivals: Vec<_> = arrivals.filter(|one| one.event < events.len()).collect();
    let message = |event: &Event, note: String| Message {
        at: Moment::parse(&event.timestamp, zone).map_or_else(String::new, |at| at.time),
        what: word(event.kind, w),
        who: format!(
            "{} → {}",
            names.party(&event.from, w),
            names.party(&event.to, w)
        ),
        leg: visible(if event.external_call_item_id.is_empty() {
            &event.realtime_call_item_id
        } else {
            &event.external_call_item_id
        }),
        note,
    };
    let pairs = events.iter().enumerate().map(|(place, event)| {
        let arrived = arrivals.get(place).map(|one| {
            let at = Moment::parse(&one.at, zone).map_or_else(String::new, |at| at.time);
            message(&events[one.event], fill(w.arrived, &[&at]))
        });
        let rank = arrivals.iter().position(|one| one.event == place);
        let late = rank.filter(|rank| *rank != place);
        let note = late.map_or_else(String::new, |rank| fill(w.late, &[&(rank + 1)]));
        Pair {
            number: place + 1,
            arrived,
            ordered: message(event, note),
        }
    });
    (pairs.collect(), !arrivals.is_empty())
}

const fn word(kind: EventType, w: &words::Calls) -> &'static str {
    match kind {
        EventType::Appeared => w.appeared,
        EventType::Connected => w.connected,
        EventType::Paused => w.paused,
        EventType::Disconnected => w.disconnected,
        EventType::Finished => w.finished,
    }
}

fn sounds(call: &Call, here: &str) -> Vec<Sound> {
    let legs = call.content().items.iter();
    let recordings = legs.flat_map(|leg| &leg.recordings);
    recordings
        .map(|one| Sound {
            src: format!("{here}/recording/{}", segment(&one.file_id)),
            name: visible(&one.file_name),
            size: one.size(),
            is_played: one.is_sound(),
        })
        .collect()
}

impl Recording {
    /// True for what a browser plays. Anything else is downloaded only: it could be a page.
    fn is_sound(&self) -> bool {
        let kind = self.content_type.to_ascii_lowercase();
        kind.starts_with("audio/") || kind.starts_with("video/")
    }

    /// The size in kilobytes.
    fn size(&self) -> String {
        let bytes = match &self.content_length {
            Value::String(text) => text.parse().unwrap_or(0),
            number => number.as_u64().unwrap_or(0),
        };
        format!("{} KB", bytes.div_ceil(1024))
    }
}

/// The file of a recording, whole or in parts, as the API gives it.
pub(crate) async fn recording(
    visit: Visit,
    Path((_, id, file)): Path<(String, String, String)>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let call = read(&visit, &id).await?;
    let legs = call.content().items.iter();
    let mut recordings = legs.flat_map(|leg| &leg.recordings);
    let found = recordings.find(|one| one.file_id == file);
    let found = found.ok_or(Fault::NotFound)?;
    let is_saved = !found.is_sound() || query.is_some_and(|query| query.contains("download"));
    let download = if is_saved { "?download=true" } else { "" };
    let path = visit.api(&format!("files/{}{download}", segment(&file)));
    let mut request = json_request(Method::GET, &path, None);
    for name in ASKED {
        if let Some(value) = headers.get(&name) {
            request.headers_mut().insert(name, value.clone());
        }
    }
    let answer = visit.raw(request).await;
    let status = answer.status();
    if !(status.is_success() || status.as_u16() == 304 || status.as_u16() == 416) {
        return match collect(answer).await {
            Ok(_) => Err(Fault::NotFound),
            Err(error) => Err(error.into()),
        };
    }
    Ok(passed_on(answer))
}

/// An answer with the headers that a player needs, and no others.
fn passed_on(answer: Response) -> Response {
    let (head, body) = answer.into_parts();
    let mut passed = Response::new(Body::new(body));
    *passed.status_mut() = head.status;
    for name in ANSWERED {
        if let Some(value) = head.headers.get(&name) {
            passed.headers_mut().insert(name, value.clone());
        }
    }
    passed
}

/// Asks the exchange to end a leg.
pub(crate) async fn hang_up(
    Path((_, id)): Path<(String, String)>,
    action: Action,
) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let w = words::Calls::of(visit.language);
    let below = format!("communications/{}/hangup", segment(&id));
    let body = json!({ "realtimeCallItemId": fields.text("leg"), "userId": fields.text("userId") });
    let sent = visit
        .send::<Value>(Method::POST, &visit.api(&below), &body)
        .await;
    match sent {
        Ok(_) => {
            let here = visit.page(&format!("calls/{}", segment(&id)));
            Ok(redirect(&format!("{here}?done=hangup")))
        }
        Err(error) if error.is_refusal() => {
            let error = fill(w.hang_up_failed, &[&reason(error, w)]);
            show(&visit, &id, &Fields::default(), Some(error)).await
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn recording(content_type: &str, length: &Value) -> Recording {
        let json = json!({"fileId": "1", "contentType": content_type, "contentLength": length});
        serde_json::from_value(json).expect("a recording")
    }

    #[test]
    fn only_sounds_are_played() {
        for (content_type, is_sound) in [
            ("audio/mpeg", true),
            ("Audio/WAV", true),
            ("video/mp4", true),
            ("text/html", false),
            ("image/svg+xml", false),
            ("", false),
        ] {
            let one = recording(content_type, &json!(1025));
            assert_eq!(one.is_sound(), is_sound, "{content_type}");
            assert_eq!(one.size(), "2 KB");
        }
        assert_eq!(recording("", &json!("2048")).size(), "2 KB");
    }

    #[test]
    fn an_answer_keeps_the_headers_of_its_part() {
        let answer = Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, "bytes 0-1/9")
            .header(header::CONTENT_TYPE, "audio/wav")
            .header(header::SET_COOKIE, "a=b")
            .body(Body::from("ab"))
            .expect("an answer");
        let passed = passed_on(answer);
        assert_eq!(passed.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(passed.headers()[header::CONTENT_RANGE], "bytes 0-1/9");
        assert!(!passed.headers().contains_key(header::SET_COOKIE));
    }
}
