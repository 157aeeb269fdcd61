//! Channels, types, scripts and runs in the browser.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    Language, Role,
    testing::{Fake, HOSTILE, check_hostile, snapshot},
};

const POINT: &str = "01a21dcc-fc8e-7616-a1a8-54638fefc2e1";
const SCRIPT: &str = "01a21dcc-fc40-7562-86d0-358951338245";
const TYPE: &str = "01a21dcc-fc50-7562-86d0-358951338245";
const RUN: &str = "01a21dcc-fd4b-7274-b8ee-88b595f7545a";
const TOKEN: &str = "08e640ff5118bc1de14f4cc584965f84";
const REST: &str = "/rest/v1/service";

fn point() -> Value {
    json!({
        "id": POINT, "code": "bot", "type": "public", "token_local": TOKEN, "token_remote": "the-remote-token",
        "token_remote2": "", "url": "", "recv_svcscriptcode": "hear", "recv_svcscriptcode_ws": "",
        "send_svcscriptcode": "", "send_svcscriptcode_ws": "",
        "opts": {"title": HOSTILE, "comment": "", "allow_files_api": false, "issync": true, "ip_mask": ["10.0.0.0/8"]},
        "ext": {"ct": "2026-11-27T10:00:00Z", "lwt": "2026-11-27T10:00:00Z"},
    })
}

fn script() -> Value {
    json!({
        "id": SCRIPT, "code": "hear", "name": HOSTILE, "projectid": "", "lwt": "2026-11-27T10:00:00Z",
        "scriptdata": {"language": "javascript", "source": format!("// {HOSTILE}\nrespond(200);\n")},
        "opts": {"title": "", "loglevel": 0, "variables": {}},
    })
}

fn a_type() -> Value {
    json!({"id": TYPE, "type": "chat", "recv_svcscriptcode": "hear", "issync": true, "quota": 5,
        "ext": {"ct": "2026-11-27T10:00:00Z", "lwt": "2026-11-27T10:00:00Z"}})
}

fn run() -> Value {
    json!({
        "id": RUN, "site": "main", "node": "b948b95c-01f8-4bee-b814-79e3b9a58c47", "domain": "acme", "type": "svc",
        "code": "hear", "kind": "hook", "integrationPointId": POINT, "status": "deferred", "attempts": 1,
        "dueAt": "2026-11-27T16:18:53.18Z", "startedAt": "2026-11-27T16:18:23.18Z", "durationMs": 3,
        "log": [HOSTILE, "second"], "result": {"status": 200, "body": HOSTILE}, "error": format!("TypeError: {HOSTILE}"),
    })
}

fn request() -> Value {
    json!({
        "method": "POST", "url": format!("/hook/***/updates?a={HOSTILE}"), "ip": "10.0.0.7", "size": 9, "isCut": false,
        "headers": [["content-type", "application/json"], ["x-api-key", "***"], ["x-note", HOSTILE]],
        "body": "{\"order\":1}", "isText": true, "params": [],
    })
}

fn fake(role: Role) -> Fake {
    let of = |path: &str| format!("GET {REST}/{path}");
    Fake::new(role)
        .answer(&of("integration_points"), json!([point()]))
        .answer(&of(&format!("integration_points/{POINT}")), point())
        .answer(
            &of(&format!("integration_points/{POINT}/sockets")),
            json!([{"id": RUN, "node": "b948b95c-01f8-4bee-b814-79e3b9a58c47", "connectedAt": "2026-11-27T15:00:00Z"}]),
        )
        .answer(&of("integration_point_types"), json!([a_type()]))
        .answer(&of(&format!("integration_point_types/{TYPE}")), a_type())
        .answer(&of("svcscripts"), json!([script()]))
        .answer(&of(&format!("svcscripts/{SCRIPT}")), script())
        .answer(
            &of(&format!("svcscripts/{SCRIPT}/versions")),
            json!([
                {"number": 2, "replacedAt": "2026-11-27T17:00:00Z", "size": 20},
                {"number": 1, "replacedAt": "2026-11-27T10:00:00Z", "size": 10},
            ]),
        )
        .answer(
            &of(&format!("svcscripts/{SCRIPT}/versions/2")),
            json!({"number": 2, "replacedAt": "2026-11-27T17:00:00Z", "size": 20, "source": "second version"}),
        )
        .answer(&of("svcscript_runtimes"), json!([run()]))
        .answer(
            &of("svcscript_runtimes?mask=id%2Ccode%2Ckind%2CintegrationPointId%2Cstatus%2Cattempts%2CdueAt%2CstartedAt%2CdurationMs%2Cerror&offset=1&limit=1"),
            json!([]),
        )
        .answer(&of(&format!("svcscript_runtimes/{RUN}")), run())
        .answer(&of(&format!("svcscript_runtimes/{RUN}/request")), request())
}

#[tokio::test]
async fn pages_are_as_they_were() {
    for (name, path) in [
        ("channels", "channels"),
        ("channel", &*format!("channels/points/{POINT}")),
        ("channel-new", "channels/new"),
        ("channel-types", "channels/types"),
        ("channel-type", &format!("channels/types/{TYPE}")),
        ("scripts", "channels/scripts"),
        ("script", &format!("channels/scripts/{SCRIPT}")),
        ("script-new", "channels/scripts/new"),
        ("runs", "channels/runs"),
        ("run", &format!("channels/runs/{RUN}")),
    ] {
        snapshot(name, &format!("/console/acme/{path}"), fake).await;
    }
}

#[tokio::test]
async fn empty_lists_tell_what_belongs_there() {
    let none = |role| {
        [
            "integration_points",
            "integration_point_types",
            "svcscripts",
            "svcscript_runtimes",
        ]
        .into_iter()
        .fold(Fake::new(role), |fake, collection| {
            fake.answer(&format!("GET {REST}/{collection}"), json!([]))
        })
    };
    for part in ["", "/types", "/scripts", "/runs"] {
        let path = format!("/console/acme/channels{part}");
        let page = none(Role::Admin).open().get(Language::En, &path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.text.contains("class=\"empty\""), "{path}");
    }
}

#[tokio::test]
async fn texts_from_outside_stay_texts_and_tokens_are_not_shown() {
    let site = fake(Role::Admin).open();
    for path in [
        "channels".to_owned(),
        format!("channels/points/{POINT}"),
        format!("channels/scripts/{SCRIPT}"),
        "channels/scripts".to_owned(),
        "channels/runs".to_owned(),
        format!("channels/runs/{RUN}"),
    ] {
        let page = site
            .get(Language::En, &format!("/console/acme/{path}"))
            .await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        check_hostile(&page.text);
        assert!(!page.text.contains(TOKEN), "{path} shows a token");
        assert!(
            !page.text.contains("the-remote-token"),
            "{path} shows a token"
        );
    }
}

#[tokio::test]
async fn a_new_token_is_shown_once() {
    let site = fake(Role::Admin)
        .answer(&format!("POST {REST}/integration_points"), point())
        .answer(
            &format!("POST {REST}/integration_points/{POINT}/rotate_token"),
            point(),
        )
        .open();
    let fields = [
        ("code", "bot"),
        ("type", "public"),
        ("receives", "hear"),
        ("is_sync", "on"),
        ("token_remote", "r"),
    ];
    let page = site
        .post(Language::En, "/console/acme/channels/new", &fields)
        .await;
    assert!(
        page.text
            .contains(&format!("http://127.0.0.1:8080/hook/{TOKEN}"))
    );
    let sent = site.last_change().body;
    assert_eq!(
        (
            &sent["code"],
            &sent["recv_svcscriptcode"],
            &sent["opts"]["issync"],
            &sent["token_remote"]
        ),
        (&json!("bot"), &json!("hear"), &json!(true), &json!("r"))
    );
    let here = format!("/console/acme/channels/points/{POINT}");
    let page = site
        .post(
            Language::En,
            &format!("{here}/rotate"),
            &[("overlap", "60")],
        )
        .await;
    assert!(page.text.contains(TOKEN));
    assert_eq!(site.last_change().body, json!({"overlap_seconds": 60}));
    assert!(!site.get(Language::En, &here).await.text.contains(TOKEN));
}

#[tokio::test]
async fn refused_forms_keep_what_was_written() {
    let refusal = json!({"error_code": 1400, "error_message": "The code is taken."});
    let site = fake(Role::Admin)
        .answer_with(
            &format!("POST {REST}/integration_points"),
            400,
            refusal.clone(),
        )
        .answer_with(
            &format!("PATCH {REST}/integration_points/{POINT}"),
            400,
            refusal.clone(),
        )
        .answer_with(&format!("POST {REST}/svcscripts"), 400, refusal.clone())
        .answer_with(
            &format!("PATCH {REST}/svcscripts/{SCRIPT}"),
            400,
            refusal.clone(),
        )
        .answer_with(
            &format!("PATCH {REST}/integration_point_types/{TYPE}"),
            400,
            refusal,
        )
        .open();
    for (path, field) in [
        ("channels/new".to_owned(), "title"),
        (format!("channels/points/{POINT}"), "title"),
        ("channels/scripts/new".to_owned(), "source"),
        (format!("channels/scripts/{SCRIPT}"), "source"),
        (format!("channels/types/{TYPE}"), "url"),
    ] {
        let fields = [("code", "x"), ("type", "chat"), (field, "my own words")];
        let page = site
            .post(Language::En, &format!("/console/acme/{path}"), &fields)
            .await;
        assert!(page.text.contains("The code is taken."), "{path}");
        assert!(page.text.contains("my own words"), "{path}");
    }
}

#[tokio::test]
async fn a_script_is_tried_on_a_past_request() {
    let answer = json!({"status": "failed", "durationMs": 5, "log": [HOSTILE], "result": HOSTILE, "error": HOSTILE,
        "effects": [{"name": "kv.set", "argument": {"key": HOSTILE, "value": 1}}]});
    let site = fake(Role::Admin)
        .answer(&format!("POST {REST}/svcscripts/{SCRIPT}/try"), answer)
        .open();
    let here = format!("/console/acme/channels/scripts/{SCRIPT}");
    let fields = [
        ("code", "hear"),
        ("name", "n"),
        ("source", "a\r\nb"),
        ("run", RUN),
    ];
    let page = site
        .post(Language::En, &format!("{here}/try"), &fields)
        .await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(
        site.last_change().body,
        json!({"source": "a\nb", "runtimeId": RUN})
    );
    check_hostile(&page.text);
    assert!(page.text.contains("kv.set") && page.text.contains("a\nb</textarea>"));
    // The script as it was when the run began is the version that was replaced after that.
    let page = site
        .get(Language::En, &format!("{here}?run={RUN}&as=was"))
        .await;
    assert!(page.text.contains("second version</textarea>"));
    let page = site.get(Language::En, &format!("{here}?version=2")).await;
    assert!(page.text.contains("The editor has the earlier version 2."));
}

#[tokio::test]
async fn a_run_shows_the_request_that_started_it() {
    let line = format!("GET {REST}/svcscript_runtimes/{RUN}/request");
    let here = format!("/console/acme/channels/runs/{RUN}");
    let with = |changes: Value| {
        let mut answer = request();
        for (name, value) in changes.as_object().expect("an object") {
            answer[name] = value.clone();
        }
        fake(Role::Admin).answer(&line, answer).open()
    };
    let long = json!({"body": "a".repeat(1 << 20), "isCut": true, "size": 3 << 20});
    let site = with(long);
    let page = site.get(Language::En, &here).await;
    assert!(
        page.text
            .contains("Only the beginning is shown: 1048576 of 3145728 B.")
    );
    assert!(page.text.contains(&format!("{here}?all=1")));
    site.get(Language::En, &format!("{here}?all=1")).await;
    let sent = site.sent();
    assert!(
        sent.iter()
            .any(|one| one.line == format!("{line}?whole=true"))
    );
    // Parameters of a start, and bytes that are no text.
    let page = with(json!({"method": "START", "url": "", "params": [{"dry": true}], "body": ""}));
    let page = page.get(Language::En, &here).await;
    assert!(page.text.contains("<code>START</code>") && page.text.contains("&#34;dry&#34;: true"));
    let page = with(json!({"isText": false, "body": "\u{fffd}"}));
    let page = page.get(Language::En, &here).await;
    assert!(page.text.contains("The body has bytes that are no text"));
    // A run that has succeeded, and one whose request is gone.
    let mut finished = run();
    finished["status"] = json!("finished");
    let run = format!("GET {REST}/svcscript_runtimes/{RUN}");
    let site = fake(Role::Admin).answer(&run, finished).open();
    let page = site.get(Language::En, &here).await;
    assert!(page.text.contains("The request is not kept"));
    assert!(site.sent().iter().all(|one| one.line != line));
    let refusal =
        json!({"error_code": 1409, "error_message": "The request of this run is not kept"});
    let site = fake(Role::Admin).answer_with(&line, 409, refusal).open();
    let page = site.get(Language::En, &here).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("The request is not kept"));
}

#[tokio::test]
async fn a_failed_run_is_run_again() {
    let retry = format!("POST {REST}/svcscript_runtimes/{RUN}/retry");
    let here = format!("/console/acme/channels/runs/{RUN}");
    let site = fake(Role::Admin).answer(&retry, run()).open();
    let page = site.post(Language::En, &here, &[]).await;
    assert_eq!(page.location(), format!("{here}?done=retry"));
    let held = json!({"error_code": 1409, "error_message": "The run is held"});
    let site = fake(Role::Admin).answer_with(&retry, 409, held).open();
    let page = site.post(Language::En, &here, &[]).await;
    assert!(page.text.contains("The run is held"));
}

#[tokio::test]
async fn runs_are_filtered() {
    let site = fake(Role::Admin).open();
    let path =
        format!("/console/acme/channels/runs?status=failed&code=hear&channel={POINT}&offset=50");
    site.get(Language::En, &path).await;
    let sent = site.sent();
    let first = sent
        .iter()
        .find(|one| one.line.contains("svcscript_runtimes"));
    let line = &first.expect("a list").line;
    assert!(line.contains(
        "filter=%7B%22status%22%3A%22failed%22%2C%22code%22%3A%22hear%22%2C%22integrationPointId%22"
    ));
    assert!(line.ends_with("&offset=50&limit=51"), "{line}");
}

#[tokio::test]
async fn things_are_deleted() {
    for (part, collection, id) in [
        ("points", "integration_points", POINT),
        ("types", "integration_point_types", TYPE),
        ("scripts", "svcscripts", SCRIPT),
    ] {
        let line = format!("DELETE {REST}/{collection}/{id}");
        let site = fake(Role::Admin).answer_with(&line, 204, "".into()).open();
        let path = format!("/console/acme/channels/{part}/{id}/delete");
        let page = site.post(Language::En, &path, &[]).await;
        assert!(page.location().ends_with("?done=delete"), "{path}");
        assert_eq!(site.last_change().line, line);
    }
}
