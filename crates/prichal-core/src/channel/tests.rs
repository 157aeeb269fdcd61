use serde_json::json;

use super::*;

fn made(body: &Value) -> Result<Channel, Vec<Fault>> {
    let now = Timestamp::parse("2019-08-28T13:34:16.42999Z").unwrap();
    let id = Uuid::parse_str("b4680fbe-016c-d86f-1d6b-50e54938780c").unwrap();
    Channel::read(body.as_object().unwrap(), id, "82dd".to_owned(), now)
}

fn example() -> Channel {
    made(&json!({
        "code": "ABCDE", "type": "public", "url": "http://trapper.com",
        "recv_svcscriptcode": "ws_hook", "send_svcscriptcode": "send_to_web",
    }))
    .unwrap()
}

#[test]
fn the_entity_as_printed() {
    let expected = concat!(
        r#"{"id":"b4680fbe-016c-d86f-1d6b-50e54938780c","code":"ABCDE","type":"public","token_local":"82dd","#,
        r#""token_remote":"","token_remote2":"","url":"http://trapper.com","recv_svcscriptcode":"ws_hook","#,
        r#""recv_svcscriptcode_ws":"","send_svcscriptcode":"send_to_web","send_svcscriptcode_ws":"","#,
        r#""opts":{"title":"","comment":"","allow_files_api":false,"issync":false},"#,
        r#""ext":{"ct":"2019-08-28T13:34:16.42Z","lwt":"2019-08-28T13:34:16.42Z"}}"#,
    );
    assert_eq!(Value::Object(example().entity()).to_string(), expected);
}

#[test]
fn an_entity_that_was_read_can_be_sent() {
    let channel = example();
    let again = made(&Value::Object(channel.entity())).unwrap();
    assert_eq!(again, channel);
    assert_eq!(channel.patched(&channel.entity()).unwrap(), channel);
}

#[test]
fn patches_merge() {
    let patch = json!({
        "token_remote": "00ea", "opts": { "title": "T", "roles": ["a"] }, "ext": { "mine": 1, "ct": "x" },
        "url": null,
    });
    let patched = example().patched(patch.as_object().unwrap()).unwrap();
    let entity = Value::Object(patched.entity());
    assert_eq!(
        (&entity["token_remote"], &entity["url"]),
        (&json!("00ea"), &json!(""))
    );
    assert_eq!(
        entity["opts"],
        json!({ "title": "T", "comment": "", "allow_files_api": false, "issync": false, "roles": ["a"] })
    );
    assert_eq!(entity["ext"]["mine"], 1);
    assert_eq!(entity["ext"]["ct"], "2019-08-28T13:34:16.42Z");
}

#[test]
fn faults_name_the_member() {
    for (change, path) in [
        (json!({ "code": null }), "code"),
        (json!({ "type": " " }), "type"),
        (json!({ "id": "x" }), "id"),
        (json!({ "colour": 1 }), "colour"),
        (json!({ "url": 1 }), "url"),
        (json!({ "opts": 1 }), "opts"),
        (json!({ "opts": { "colour": 1 } }), "opts.colour"),
        (json!({ "opts": { "issync": "yes" } }), "opts.issync"),
        (
            json!({ "opts": { "recv_timeout": 61 } }),
            "opts.recv_timeout",
        ),
        (
            json!({ "opts": { "ip_mask": ["10.0.0.0/33"] } }),
            "opts.ip_mask[0]",
        ),
        (
            json!({ "opts": { "ip_mask": [1, "x"] } }),
            "opts.ip_mask[0]",
        ),
        (json!({ "token_local": 1 }), "token_local"),
        (json!({ "token_remote": "a\nb" }), "token_remote"),
        (
            json!({ "token_remote2": "x".repeat(4097) }),
            "token_remote2",
        ),
        (json!({ "ext": [] }), "ext"),
    ] {
        let mut body = json!({ "code": "c", "type": "t" });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        assert_eq!(made(&body).unwrap_err()[0].path, path, "{change}");
    }
    let longest = made(&json!({ "code": "c", "type": "t", "token_remote": "я".repeat(4096) }));
    assert!(longest.is_ok(), "characters are counted");
    for name in ["id", "token_local"] {
        let patch = json!({ name: "00000000-0000-0000-0000-000000000001" });
        assert_eq!(
            example().patched(patch.as_object().unwrap()).unwrap_err()[0].path,
            name
        );
    }
}

#[test]
fn senders_are_admitted_by_their_networks() {
    let channel = |mask: Value| {
        made(&json!({ "code": "a", "type": "t", "opts": { "ip_mask": mask } })).unwrap()
    };
    let address = |text: &str| text.parse().unwrap();
    assert!(
        example().admits(address("203.0.113.9")),
        "no mask, everybody"
    );
    let masked = channel(json!(["10.0.0.0/8", "::1"]));
    assert!(masked.admits(address("10.1.1.1")) && masked.admits(address("::1")));
    assert!(!masked.admits(address("203.0.113.9")));
}

#[test]
fn a_receiving_script_has_ten_seconds_or_the_configured_time() {
    let timeout = |given: Value| {
        let body = json!({ "code": "a", "type": "t", "opts": { "recv_timeout": given } });
        made(&body).unwrap().timeout().as_secs()
    };
    assert_eq!(
        (timeout(json!(0)), timeout(json!(60)), timeout(Value::Null)),
        (10, 60, 10)
    );
}

#[test]
fn tokens_are_masked_as_they_are_and_in_json() {
    let tokens = Tokens {
        local: "local-token".into(),
        remote: r#"a "quoted" one"#.into(),
        remote2: "short".into(),
        previous: String::new(),
    };
    for (text, masked) in [
        ("see local-token, local-token", "see ***, ***"),
        (r#"a "quoted" one!"#, "***!"),
        (r#"{"a":"a \"quoted\" one"}"#, r#"{"a":"***"}"#),
        ("short", "***"),
        ("a short one", "a short one"),
        ("nothing", "nothing"),
    ] {
        assert_eq!(tokens.mask_text(text.to_owned()), masked, "{text}");
    }
    for (text, masked) in [
        (r#"{"a": 1.10}"#, r#"{"a": 1.10}"#),
        (r#"["local-token", 1.10]"#, r#"["***",1.10]"#),
        ("see local-token", "see ***"),
        (r#"a "quoted" one, not JSON"#, "***, not JSON"),
        (
            r#"{"body":"{\"a\":\"short\"}"}"#,
            r#"{"body":"{\"a\":\"***\"}"}"#,
        ),
        (
            r#"{"body":"[\"a \\\"quoted\\\" one\"]"}"#,
            r#"{"body":"[\"***\"]"}"#,
        ),
        (r#"{"local-token":"short"}"#, r#"{"***":"***"}"#),
        (r#""a \"quoted\" one""#, r#""***""#),
        (r#""a short one""#, r#""a short one""#),
    ] {
        assert_eq!(tokens.mask_json(text.to_owned()), masked, "{text}");
    }
}

#[test]
fn the_feed_does_not_show_the_query_of_a_url() {
    let body = json!({ "code": "a", "type": "public", "url": "https://a.example/x?key=secret" });
    let shown = made(&body).unwrap();
    let snapshot = shown.snapshot();
    assert!(
        snapshot.contains(r#""url":"https://a.example/x?***""#),
        "{snapshot}"
    );
    assert_eq!(shown.entity()["url"], "https://a.example/x?key=secret");
}
