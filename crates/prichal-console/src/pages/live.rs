//! The changes of a workspace as server-sent events, for lists that read themselves again.
//!
//! `change` names the topics that have changed since, with spaces between them; its id is the counters of the topics. A
//! browser that comes back with such an id hears at once what has changed meanwhile. `end` comes with the session's end.

use std::fmt::Write as _;

use axum::{body::Body, extract::RawQuery, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, future, stream};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    answer::Fault,
    backend::{Beat, Counters, TOPICS},
    form::Fields,
    visit::Visit,
};

/// The time after which a browser connects again, in milliseconds.
const RETRY: &str = "retry: 3000\n\n";

/// Follows the workspace.
pub(super) async fn follow(
    visit: Visit,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let last = headers.get("last-event-id");
    let last = last.and_then(|value| value.to_str().ok());
    let after = last.unwrap_or_else(|| fields.text("after"));
    let beats = visit
        .console
        .pulse(&visit.session, &visit.workspace)
        .await?;
    let mut teller = Teller { last: parse(after) };
    let texts = beats.filter_map(move |beat| future::ready(teller.tell(beat)));
    let texts = stream::iter([Bytes::from_static(RETRY.as_bytes())]).chain(texts);
    let texts = texts.map(Ok::<_, std::convert::Infallible>);
    let mut response = Response::new(Body::from_stream(texts));
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

/// The state of a stream: what its browser knows.
struct Teller {
    last: Option<Counters>,
}

impl Teller {
    fn tell(&mut self, beat: Beat) -> Option<Bytes> {
        let counters = match beat {
            Beat::Changed(counters) => counters,
            Beat::Silence => return Some(Bytes::from_static(b":\n\n")),
            Beat::End => return Some(Bytes::from_static(b"event: end\ndata: end\n\n")),
        };
        let id = id(&counters);
        let Some(last) = self.last.replace(counters) else {
            // The browser learns where it is.
            return Some(format!(":\nid: {id}\n\n").into());
        };
        let topics = changed(&last, &counters);
        let text = || format!("event: change\nid: {id}\ndata: {topics}\n\n");
        (!topics.is_empty()).then(|| text().into())
    }
}

/// The topics that differ, of those that the session may read; all of these if the counters began anew.
fn changed(last: &Counters, now: &Counters) -> String {
    let is_new = last.epoch != now.epoch;
    let counts = TOPICS.iter().zip(last.counts.iter().zip(&now.counts));
    let topics = counts.filter_map(|(topic, (last, now))| {
        let now = (*now)?;
        (is_new || last.unwrap_or(0) != now).then_some(*topic)
    });
    topics.collect::<Vec<_>>().join(" ")
}

/// The counters as a text. It is empty if there are none.
pub(crate) fn mark(counters: Option<Counters>) -> String {
    counters.as_ref().map_or_else(String::new, id)
}

fn id(counters: &Counters) -> String {
    let mut text = counters.epoch.to_string();
    for count in counters.counts {
        let _ = write!(text, ".{}", count.unwrap_or(0));
    }
    text
}

fn parse(text: &str) -> Option<Counters> {
    let mut parts = text.split('.');
    let epoch = parts.next()?.parse().ok()?;
    let mut counts = [None; TOPICS.len()];
    for count in &mut counts {
        *count = Some(parts.next()?.parse().ok()?);
    }
    parts.next().is_none().then_some(Counters { epoch, counts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Language,
        backend::Role,
        testing::{Fake, request},
    };

    fn counters(epoch: i64, counts: [u64; 7]) -> Counters {
        let counts = counts.map(Some);
        Counters { epoch, counts }
    }

    #[test]
    fn counters_are_read_back() {
        let one = counters(-5, [1, 2, 3, 4, 5, 6, u64::MAX]);
        assert_eq!(parse(&id(&one)), Some(one));
        for text in [
            "",
            "1",
            "1.2.3.4.5.6.7",
            "1.2.3.4.5.6.7.8.9",
            "a.1.2.3.4.5.6.7",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(mark(None), "");
        let mut some = one;
        some.counts[0] = None;
        assert_eq!(mark(Some(some)), "-5.0.2.3.4.5.6.18446744073709551615");
    }

    #[test]
    fn a_browser_hears_what_differs() {
        let beat = |counts| Beat::Changed(counters(1, counts));
        let mut teller = Teller { last: None };
        let mut tell = |beat| {
            teller
                .tell(beat)
                .map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        for (beat, text) in [
            (beat([1; 7]), Some(":\nid: 1.1.1.1.1.1.1.1\n\n")),
            (beat([1; 7]), None),
            (Beat::Silence, Some(":\n\n")),
            (
                beat([2, 1, 2, 1, 1, 1, 1]),
                Some("event: change\nid: 1.2.1.2.1.1.1.1\ndata: events documents\n\n"),
            ),
            (
                Beat::Changed(counters(2, [0; 7])),
                Some(
                    "event: change\nid: 2.0.0.0.0.0.0.0\ndata: events calls documents deliveries states runs alerts\n\n",
                ),
            ),
            (Beat::End, Some("event: end\ndata: end\n\n")),
        ] {
            assert_eq!(tell(beat).as_deref(), text, "{beat:?}");
        }
    }

    #[test]
    fn a_session_hears_of_what_it_may_read() {
        let mut teller = Teller {
            last: parse("1.0.0.0.0.0.0.0"),
        };
        let beat = |epoch, calls, documents| {
            let counts = [None, Some(calls), documents, None, None, None, None];
            Beat::Changed(Counters { epoch, counts })
        };
        for (beat, text) in [
            (beat(1, 0, None), None),
            (beat(1, 1, None), Some("id: 1.0.1.0.0.0.0.0\ndata: calls")),
            // A right is given, and taken.
            (
                beat(1, 1, Some(7)),
                Some("id: 1.0.1.7.0.0.0.0\ndata: documents"),
            ),
            (beat(1, 1, None), None),
            (beat(2, 1, None), Some("id: 2.0.1.0.0.0.0.0\ndata: calls")),
        ] {
            let told = teller.tell(beat);
            let told = told.map(|text| String::from_utf8_lossy(&text).into_owned());
            let text = text.map(|text| format!("event: change\n{text}\n\n"));
            assert_eq!(told, text, "{beat:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_resumes_and_ends() {
        let beats = [
            Beat::Changed(counters(1, [1, 0, 0, 0, 0, 0, 0])),
            Beat::Silence,
            Beat::End,
        ];
        let site = Fake::new(Role::Admin).with_beats(&beats).open();
        let path = "/console/acme/live?after=1.0.0.0.0.0.0.0";
        let page = site.get(Language::En, path).await;
        assert_eq!(page.headers["content-type"], "text/event-stream");
        assert_eq!(page.headers["cache-control"], "no-store");
        let end = ":\n\nevent: end\ndata: end\n\n";
        let change = "event: change\nid: 1.1.0.0.0.0.0.0\ndata: events\n\n";
        assert_eq!(page.text, format!("{RETRY}{change}{end}"));
        // The header of a browser that connects again is newer than the address.
        let mut again = request(http::Method::GET, Language::En, path);
        let last = HeaderValue::from_static("1.1.0.0.0.0.0.0");
        again.headers_mut().insert("last-event-id", last);
        assert_eq!(site.send(again).await.text, format!("{RETRY}{end}"));
        let foreign = site.get(Language::En, "/console/other/live").await;
        assert_eq!(foreign.status, 404);
    }
}
