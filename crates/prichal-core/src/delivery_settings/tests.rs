use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::schema::{self, Problem};

fn read(value: &Value) -> Result<DeliverySettings, Fault> {
    let object = value.as_object().unwrap();
    let object = schema::read(DELIVERY_SETTINGS, object, &mut Uuid::nil);
    DeliverySettings::read(&object.map_err(|mut faults| faults.remove(0))?)
}

fn settings(value: &Value) -> DeliverySettings {
    read(value).unwrap()
}

fn all() -> Value {
    json!({
        "headers": {"X-Tenant": "acme", "Authorization": {"value": "Bearer 5f0c", "secret": true}},
        "timeout": "5s",
        "retrySchedule": ["5s", "5m", "90s"],
        "success": "2xx",
        "retryAfter": false,
        "disableOnGone": false,
        "rateLimit": {"count": 10, "per": "second"},
        "maxConcurrency": 4,
        "order": "entity",
        "signature": ["v1", "v1a"],
        "clientCertificate": {"certificate": "a certificate", "key": "a key"},
        "serverFingerprint": "00ff".repeat(16),
        "script": "to-slack",
    })
}

#[test]
fn settings_come_back_as_they_were_sent() {
    let mut expected = all();
    expected["clientCertificate"]["key"] = MASK.into();
    assert_eq!(settings(&all()).shown().to_string(), expected.to_string());
    assert_eq!(settings(&json!({})).shown(), json!({}));
    assert!(settings(&json!({})).is_default());
    let other = json!({"timeout": "5000ms", "retrySchedule": [], "signature": ["v1a", "v1"]});
    let canonical = json!({"timeout": "5s", "retrySchedule": [], "signature": ["v1", "v1a"]});
    assert_eq!(settings(&other).shown(), canonical);
}

#[test]
fn secret_values_are_masked_and_kept_elsewhere() {
    let all = settings(&all());
    for text in [
        all.masked().to_string(),
        all.kept().to_string(),
        format!("{all:?}"),
    ] {
        assert!(!text.contains("5f0c") && !text.contains("a key"), "{text}");
    }
    assert_eq!(all.masked()["headers"]["Authorization"]["value"], MASK);
    let kept = all.kept();
    let mut opened = DeliverySettings::from_kept(kept.as_object().unwrap()).unwrap();
    assert_ne!(opened, all);
    opened.open_headers(|name| (name == "Authorization").then(|| "Bearer 5f0c".to_owned()));
    assert_ne!(opened, all);
    opened.client_certificate.as_mut().unwrap().key = "a key".to_owned();
    assert_eq!(opened, all);
}

#[test]
fn a_masked_value_stands_for_the_old_one() {
    let old = settings(&all());
    let masked = |name: &str| {
        let headers = json!({name: {"value": MASK, "secret": true}});
        settings(&json!({ "headers": headers }))
    };
    let mut again = masked("authorization");
    again.unmask(&old).unwrap();
    assert_eq!(again.headers[0].value, "Bearer 5f0c");
    let fault = masked("X-Other").unmask(&old).unwrap_err();
    assert_eq!(fault.path, "headers.X-Other");
    assert!(masked("x-tenant").unmask(&old).is_err(), "it was no secret");
    let client = json!({"clientCertificate": {"certificate": "another", "key": MASK}});
    let mut again = settings(&client);
    again.unmask(&old).unwrap();
    assert_eq!(again.client_certificate.unwrap().key, "a key");
    let fault = settings(&client).unmask(&settings(&json!({}))).unwrap_err();
    assert_eq!(fault.path, "clientCertificate.key");
}

#[test]
fn a_change_leaves_the_rest_and_null_removes() {
    let change = |given: Value| settings(&all()).changed(given.as_object().unwrap());
    assert_eq!(change(json!({})).unwrap(), settings(&all()));
    let given = json!({
        "headers": {"x-tenant": null, "authorization": {"value": MASK, "secret": true}, "X-New": "1"},
        "clientCertificate": null, "serverfingerprint": null, "Timeout": null, "success": null, "order": null, "rateLimit": {"count": 2, "per": "minute"},
        "unknown": 1,
    });
    let changed = change(given).unwrap();
    let names: Vec<_> = changed
        .headers
        .iter()
        .map(|one| (one.name.as_str(), one.value.as_str()))
        .collect();
    assert_eq!(names, [("authorization", "Bearer 5f0c"), ("X-New", "1")]);
    assert_eq!(
        (changed.timeout, changed.success, changed.order),
        (None, None, None)
    );
    assert_eq!(changed.rate_limit.unwrap().per, Per::Minute);
    assert_eq!(changed.client_certificate, None);
    assert_eq!(changed.server_fingerprint, None);
    assert_eq!(
        change(json!({})).unwrap().client_certificate.unwrap().key,
        "a key"
    );
    assert_eq!(changed.max_concurrency, Some(4));
    for (given, path) in [
        (json!({"rateLimit": {"count": 2}}), "rateLimit.per"),
        (json!({"headers": {"Host": "a"}}), "headers.Host"),
        (json!({"headers": 1}), "headers"),
        (json!({"maxConcurrency": "2"}), "maxConcurrency"),
    ] {
        assert_eq!(change(given.clone()).unwrap_err()[0].path, path, "{given}");
    }
}

#[test]
fn the_hook_of_documents_takes_some_members() {
    let check = |value: Value| settings(&value).check_for_documents();
    assert_eq!(check(json!({})), Ok(()));
    let taken = json!({
        "headers": {"X-A": "1"}, "timeout": "5s", "rateLimit": {"count": 1, "per": "second"},
        "clientCertificate": {"certificate": "a", "key": "b"}, "serverFingerprint": "00".repeat(32),
    });
    assert_eq!(check(taken), Ok(()));
    assert_eq!(check(json!({"order": "entity"})).unwrap_err().path, "order");
}

/// Checks that each value is refused at its path, by a text that names the member.
fn refused_at(cases: impl IntoIterator<Item = (Value, &'static str)>) {
    for (value, path) in cases {
        let fault = read(&value).unwrap_err();
        assert_eq!(fault.path, path, "{value}");
        if let Problem::Rule(text) = &fault.problem {
            let name = path.split(['.', '[']).next_back().unwrap_or(path);
            assert!(
                name.ends_with(']') || text.contains(name) || text.contains("header"),
                "{text}"
            );
        }
    }
}

#[test]
fn faults_of_headers_name_them() {
    let long = "x".repeat(4096);
    let many: Value = (0..21)
        .map(|n| (format!("X-{n}"), json!("v")))
        .collect::<Object>()
        .into();
    refused_at([
        (
            json!({"headers": {"X-Own": "v", "Host": "a"}}),
            "headers.Host",
        ),
        (
            json!({"headers": {"webhook-id": "v"}}),
            "headers.webhook-id",
        ),
        (
            json!({"headers": {"Webhook-Anything": "v"}}),
            "headers.Webhook-Anything",
        ),
        (
            json!({"headers": {"x-prichal-replay": "v"}}),
            "headers.x-prichal-replay",
        ),
        (
            json!({"headers": {"Content-Length": "1"}}),
            "headers.Content-Length",
        ),
        (
            json!({"headers": {"content-type": "text/plain"}}),
            "headers.content-type",
        ),
        (
            json!({"headers": {"Transfer-Encoding": "chunked"}}),
            "headers.Transfer-Encoding",
        ),
        (
            json!({"headers": {"Connection": "close"}}),
            "headers.Connection",
        ),
        (json!({"headers": {"a b": "v"}}), "headers.a b"),
        (json!({"headers": {"a:": "v"}}), "headers.a:"),
        (json!({"headers": {"é": "v"}}), "headers.é"),
        (json!({"headers": {"X-A": "v\r\nX-B: w"}}), "headers.X-A"),
        (json!({"headers": {"X-A": "v\nw"}}), "headers.X-A"),
        (json!({"headers": {"X-A": "v\u{7f}"}}), "headers.X-A"),
        (json!({"headers": {"X-A": " v"}}), "headers.X-A"),
        (json!({"headers": {"X-A": ""}}), "headers.X-A"),
        (json!({"headers": {"X-A": "é"}}), "headers.X-A"),
        (json!({"headers": {"X-A": 1}}), "headers.X-A"),
        (json!({"headers": {"X-A": {"secret": true}}}), "headers.X-A"),
        (json!({"headers": {"X-A": "1", "x-a": "2"}}), "headers.x-a"),
        (json!({"headers": {"X-A": long}}), "headers"),
        (json!({ "headers": many }), "headers"),
    ]);
}

#[test]
fn faults_name_their_member() {
    refused_at([
        (json!({"timeout": "999ms"}), "timeout"),
        (json!({"timeout": "61s"}), "timeout"),
        (json!({"timeout": "soon"}), "timeout"),
        (json!({"retrySchedule": ["5s", "0s"]}), "retrySchedule[1]"),
        (json!({"retrySchedule": ["25h"]}), "retrySchedule[0]"),
        (json!({"retrySchedule": vec!["1s"; 31]}), "retrySchedule"),
        (json!({"success": "3xx"}), "success"),
        (
            json!({"rateLimit": {"count": 0, "per": "second"}}),
            "rateLimit.count",
        ),
        (
            json!({"rateLimit": {"count": 1001, "per": "second"}}),
            "rateLimit.count",
        ),
        (
            json!({"rateLimit": {"count": 1, "per": "hour"}}),
            "rateLimit.per",
        ),
        (json!({"rateLimit": {"count": 1}}), "rateLimit.per"),
        (json!({"maxConcurrency": 0}), "maxConcurrency"),
        (json!({"maxConcurrency": 33}), "maxConcurrency"),
        (json!({"order": "random"}), "order"),
        (json!({"signature": ["v2"]}), "signature[0]"),
        (
            json!({"clientCertificate": {"certificate": "a"}}),
            "clientCertificate.key",
        ),
        (
            json!({"clientCertificate": {"key": "a"}}),
            "clientCertificate.certificate",
        ),
        (
            json!({"clientCertificate": {"certificate": "a", "key": "k".repeat(16385)}}),
            "clientCertificate.key",
        ),
        (json!({"serverFingerprint": "00ff"}), "serverFingerprint"),
        (json!({"script": " "}), "script"),
    ]);
}

#[test]
fn only_given_headers_are_reserved() {
    let headers = settings(&json!({"headers": {"X-Own": "a", "X-Else": "b"}})).headers;
    assert_eq!(refuse_prefixes(&headers, &["x-other-"]), Ok(()));
    let fault = refuse_prefixes(&headers, &["x-el"]).unwrap_err();
    assert_eq!(fault.path, "headers.X-Else");
}

#[test]
fn the_order_follows_from_two_members() {
    for (value, strictness) in [
        (json!({}), Strictness::Loose),
        (json!({"maxConcurrency": 2}), Strictness::Loose),
        (json!({"maxConcurrency": 1}), Strictness::Whole),
        (
            json!({"maxConcurrency": 1, "order": "entity"}),
            Strictness::Entity,
        ),
        (json!({"order": "entity"}), Strictness::Entity),
    ] {
        assert_eq!(settings(&value.clone()).strictness(), strictness, "{value}");
    }
}

const NOW: Timestamp = Timestamp::from_micros(0);
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

fn echo(status: u16) -> Reply {
    Reply::Answered {
        status,
        echo_matches: false,
    }
}

fn plain(status: u16) -> Reply {
    Reply::AnsweredWithoutEcho { status }
}

fn wait(secs: u64) -> Verdict {
    Verdict::DeferredUntil(NOW + Duration::from_secs(secs))
}

/// The verdict on an attempt whose answer asks for a wait of so many seconds.
fn judge(value: &Value, attempt: u32, reply: Reply, after: Option<u64>) -> Verdict {
    let after = after.map(Duration::from_secs);
    read(value)
        .unwrap()
        .judge(&Schedule::default(), attempt, reply, after, NOW)
}

#[test]
fn answers_are_judged_by_the_rule_of_success() {
    let (none, any) = (json!({}), json!({"success": "2xx"}));
    let (kept, gone) = (
        json!({"success": "2xx", "disableOnGone": false}),
        json!({"disableOnGone": true}),
    );
    let cases = [
        (&none, 1, echo(410), wait(30)),
        (&any, 1, plain(204), Verdict::Delivered),
        (&any, 1, plain(302), wait(30)),
        (&any, 5, plain(404), wait(HOUR)),
        (&any, 1, plain(410), Verdict::Gone),
        (&kept, 1, plain(410), wait(30)),
        (&gone, 1, echo(410), Verdict::Gone),
    ];
    for (value, attempt, reply, verdict) in cases {
        let found = judge(value, attempt, reply, None);
        assert_eq!(found, verdict, "{value} {attempt} {reply:?}");
    }
}

#[test]
fn a_wait_that_a_receiver_asks_for_is_kept_within_bounds() {
    let (none, any) = (json!({}), json!({"success": "2xx"}));
    let (off, on) = (
        json!({"success": "2xx", "retryAfter": false}),
        json!({"retryAfter": true}),
    );
    let long = json!({"success": "2xx", "retrySchedule": ["2s", "2h"]});
    let cases = [
        (&none, 1, echo(429), MINUTE, wait(30)),
        (&any, 1, plain(429), MINUTE, wait(MINUTE)),
        (&any, 1, plain(503), MINUTE, wait(MINUTE)),
        (&any, 1, plain(502), MINUTE, wait(30)),
        (&any, 1, plain(429), 5, wait(30)),
        (&any, 1, plain(429), DAY, wait(HOUR)),
        (&any, 8, plain(429), MINUTE, Verdict::Exhausted),
        (&off, 1, plain(429), MINUTE, wait(30)),
        (&on, 1, echo(503), MINUTE, wait(MINUTE)),
        (&long, 1, plain(429), DAY, wait(2 * HOUR)),
    ];
    for (value, attempt, reply, after, verdict) in cases {
        let found = judge(value, attempt, reply, Some(after));
        assert_eq!(found, verdict, "{value} {attempt} {reply:?} {after}");
    }
}

#[test]
fn a_schedule_takes_the_place_of_the_servers() {
    let (none, one) = (
        json!({"retrySchedule": []}),
        json!({"retrySchedule": ["7s"]}),
    );
    let timeout = Reply::Failed(crate::retry::Failure::Timeout);
    assert_eq!(judge(&none, 1, echo(500), None), Verdict::Exhausted);
    assert_eq!(judge(&one, 1, timeout, None), wait(7));
    assert_eq!(judge(&one, 2, echo(500), None), Verdict::Exhausted);
}
