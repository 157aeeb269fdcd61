use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    patch::{self, PatchErrors, Reason},
    schema::Fault,
};

fn ids() -> impl FnMut() -> Uuid {
    let mut n = 100;
    move || {
        n += 1;
        Uuid::from_u128(n)
    }
}

fn instance() -> Instance {
    Instance::new(Some("https://my-integration.ru".to_owned()), Status::Active)
}

fn try_patch(instance: &Instance, operations: &Value) -> Result<Instance, PatchErrors> {
    let operations = patch::parse(&json!({"operations": operations})).unwrap();
    instance.patch(&operations, &mut ids())
}

fn patched(instance: &Instance, operations: &Value) -> Instance {
    try_patch(instance, operations).unwrap()
}

fn documented_hook() -> Value {
    json!({
        "id": "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5",
        "relativeUrl": "https://publicUrl.ru/callbacks",
        "triggerType": "entityEvent",
        "filter": {"items": [
            {"eventType": "change", "entityType": "company", "changeType": "patch"},
            {"entityType": "contact"},
        ]},
        "schedule": {},
        "disabled": false,
    })
}

#[test]
fn the_documented_webhook_comes_back_as_it_was_sent() {
    let operations = json!([{"op": "Add", "path": "/WebHooks", "value": documented_hook()}]);
    let after = patched(&instance(), &operations);
    assert_eq!(
        after.webhooks[0].model(Secrets::Shown).to_string(),
        documented_hook().to_string()
    );
    assert_eq!(
        Webhook::from_kept(&documented_hook()).as_ref(),
        after.webhooks.first()
    );
}

#[test]
fn a_zero_id_is_replaced_and_a_known_one_replaces() {
    let schedule = json!({
        "id": "00000000-0000-0000-0000-000000000000", "relativeUrl": "setup/upgrade",
        "triggerType": "schedule", "filter": {"items": []}, "schedule": {"period": "00:05:00"}, "disabled": false,
    });
    let before = patched(
        &instance(),
        &json!([{"op": "add", "path": "/webHooks", "value": schedule}]),
    );
    assert_eq!(before.webhooks[0].id.0, Uuid::from_u128(101));
    assert_eq!(
        before.webhooks[0].trigger,
        Trigger::Schedule(std::time::Duration::from_mins(5))
    );

    let mut again = before.webhooks[0].model(Secrets::Shown);
    let same = patched(
        &before,
        &json!([{"op": "add", "path": "/webHooks", "value": again}]),
    );
    assert_eq!(same, before);
    again["disabled"] = json!(true);
    let after = patched(
        &before,
        &json!([{"op": "add", "path": "/webhooks", "value": again}]),
    );
    assert_eq!(after.webhooks.len(), 1);
    assert!(after.webhooks[0].disabled);
}

#[test]
fn webhooks_that_make_no_sense_are_refused() {
    let cases = [
        (json!({"triggerType": "entityEvent"}), false),
        (
            json!({"relativeUrl": " ", "triggerType": "entityEvent"}),
            false,
        ),
        (
            json!({"relativeUrl": "ftp://x", "triggerType": "entityEvent"}),
            false,
        ),
        (json!({"relativeUrl": "x"}), false),
        (json!({"relativeUrl": "x", "triggerType": "never"}), false),
        (
            json!({"relativeUrl": "x", "triggerType": "schedule"}),
            false,
        ),
        (
            json!({"relativeUrl": "x", "triggerType": "schedule", "schedule": {"period": "00:00:00.9"}}),
            false,
        ),
        (
            json!({"relativeUrl": "x", "triggerType": "schedule", "schedule": {"period": "soon"}}),
            false,
        ),
        (
            json!({"relativeUrl": "x", "triggerType": "entityEvent", "filter": {"items": [{"entityType": "cat"}]}}),
            false,
        ),
        (
            json!({"relativeUrl": "x", "triggerType": "schedule", "schedule": {"period": 5}}),
            true,
        ),
        (
            json!({"relativeUrl": 5, "triggerType": "entityEvent"}),
            true,
        ),
        (json!("x"), true),
    ];
    for (hook, wrong_type) in cases {
        let errors = try_patch(
            &instance(),
            &json!([{"op": "add", "path": "/webHooks", "value": hook}]),
        )
        .unwrap_err();
        assert_eq!(!errors.invalid_value_types.is_empty(), wrong_type, "{hook}");
        assert_eq!(!errors.invalid_datas.is_empty(), !wrong_type, "{hook}");
        assert!(Webhook::read(&hook, &mut ids()).is_err());
    }
}

#[test]
fn only_the_finished_webhook_is_judged() {
    let before = patched(
        &instance(),
        &json!([{"op": "add", "path": "/webHooks", "value": documented_hook()}]),
    );
    let hook = "/webHooks/A5AAD3C1-777b-4ae5-8ca1-60b94c0423e5";
    let to_schedule =
        json!({"op": "replace", "path": format!("{hook}/triggerType"), "value": "Schedule"});
    let period =
        json!({"op": "replace", "path": format!("{hook}/schedule/period"), "value": "00:00:01"});
    let errors = try_patch(&before, &json!([to_schedule])).unwrap_err();
    assert_eq!(errors.invalid_datas[0].sent["path"], to_schedule["path"]);
    let why = "schedule.period must be at least one second, such as 00:00:01";
    assert_eq!(
        errors.invalid_datas[0].reason,
        Fault::invalid("webHooks", why).into()
    );
    let after = patched(&before, &json!([to_schedule, period]));
    assert_eq!(after.webhooks[0].trigger, Trigger::Schedule(MIN_PERIOD));
    let gone = patched(&after, &json!([{"op": "remove", "path": hook}]));
    assert!(gone.webhooks.is_empty());
}

#[test]
fn members_of_the_server_are_read_only() {
    for path in [
        "/id",
        "/updateInfo",
        "/updateInfo/createdAt",
        "/status",
        "/baseUrl",
        "/webHooks/0",
        "/webHooks/-",
    ] {
        let operation = json!({"op": "replace", "path": path, "value": "x"});
        let errors = try_patch(&instance(), &json!([operation])).unwrap_err();
        assert_eq!(errors.invalid_paths[0].sent["path"], path);
        let reason = &errors.invalid_paths[0].reason;
        assert!(matches!(reason, Reason::Text(_)), "{path}");
    }
}

#[test]
fn features_that_are_not_named_stay() {
    let after = patched(
        &instance(),
        &json!([{"op": "replace", "path": "/features", "value": {"call": true, "hangup": true}}]),
    );
    assert_eq!(
        after.features.to_json(),
        json!({"call": true, "hangup": true, "sendSms": false})
    );
    let after = patched(
        &after,
        &json!([{"op": "replace", "path": "/features", "value": {"sendSms": true}}]),
    );
    assert_eq!(
        after.features.to_json(),
        json!({"call": true, "hangup": true, "sendSms": true})
    );
}

#[test]
fn secrets_are_exchanged_without_a_gap() {
    let mut before = instance();
    before.put_secret(Secret::signing("b25l"));
    let path = "/secrets/webhook.signingSecret";
    let values = |instance: &Instance| instance.secret(SIGNING_SECRET).unwrap().values.clone();
    for (path, value, expected) in [
        (
            path.to_owned(),
            json!({"value": "new"}),
            vec!["new", "whsec_b25l"],
        ),
        (
            format!("{path}/value"),
            json!("new"),
            vec!["new", "whsec_b25l"],
        ),
        (
            format!("{path}/value"),
            json!("whsec_b25l"),
            vec!["whsec_b25l"],
        ),
        (format!("{path}/values"), json!(["new"]), vec!["new"]),
        (
            path.to_owned(),
            json!({"value": "b", "values": ["a", "b", "b"]}),
            vec!["a", "b"],
        ),
        (
            path.to_owned(),
            json!({"value": "b", "values": ["a"]}),
            vec!["b", "a"],
        ),
        (
            "/secrets".to_owned(),
            json!([{"id": "webhook.signingSecret", "values": ["z"]}]),
            vec!["z"],
        ),
    ] {
        let after = patched(
            &before,
            &json!([{"op": "replace", "path": path, "value": value}]),
        );
        assert_eq!(values(&after), expected, "{path} {value}");
        assert!(values(&after).contains(&after.secret(SIGNING_SECRET).unwrap().value));
    }
    let twice = patched(
        &before,
        &json!([{"op": "replace", "path": path, "value": {"value": "b"}}]),
    );
    let twice = patched(
        &twice,
        &json!([{"op": "replace", "path": path, "value": {"value": "c"}}]),
    );
    assert_eq!(values(&twice), ["c", "b"]);
    let eleven: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    for value in [
        json!(""),
        json!({"values": []}),
        json!({"value": "a", "values": eleven}),
    ] {
        assert!(
            try_patch(
                &before,
                &json!([{"op": "replace", "path": path, "value": value}])
            )
            .is_err(),
            "{value}"
        );
    }
    let gone = patched(&before, &json!([{"op": "remove", "path": path}]));
    assert!(gone.secrets.is_empty());
}

#[test]
fn masked_secrets_show_nothing() {
    let mut instance = instance();
    instance.put_secret(Secret::new("token", "hunter2"));
    assert!(!instance.snapshot(Uuid::nil()).contains("hunter2"));
    assert!(!format!("{instance:?}").contains("hunter2"));
    let snapshot: Value = serde_json::from_str(&instance.snapshot(Uuid::nil())).unwrap();
    assert_eq!(
        snapshot["secrets"],
        json!([{"id": "token", "value": "***", "values": ["***"]}])
    );
    let members: Vec<&str> = snapshot
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        members,
        [
            "id", "baseUrl", "features", "status", "secrets", "settings", "webHooks"
        ]
    );
}

#[test]
fn setup_stores_secrets_and_settings() {
    let object = json!({
        "SecretKey": null, "autoRedirect": false, "autoAnswer": true, "telephony.apiKey": "k", "accessTOKEN": 5,
        "sendHourUtc": 0, "rate": 1.5, "recipients": "", "emptyToken": "",
    });
    let setup = setup(object.as_object().unwrap()).unwrap();
    assert_eq!(
        setup.secrets,
        [
            Secret::new("telephony.apiKey", "k"),
            Secret::new("accessTOKEN", "5")
        ]
    );
    let settings: Vec<(&str, &str)> = setup
        .settings
        .iter()
        .map(|s| (s.id.as_str(), s.value.as_str()))
        .collect();
    assert_eq!(
        settings,
        [
            ("autoRedirect", "False"),
            ("autoAnswer", "True"),
            ("sendHourUtc", "0"),
            ("rate", "1.5"),
            ("recipients", "")
        ]
    );
    let mut instance = instance();
    instance.put_secret(Secret::new("token", "old"));
    instance.put_secret(Secret::new("accessTOKEN", "old"));
    instance.set_up(setup);
    assert_eq!(instance.secret("token").unwrap().values, ["old"]);
    assert_eq!(instance.secret("accessTOKEN").unwrap().values, ["5"]);
    assert_eq!(instance.setting("autoAnswer"), Some("True"));
}

#[test]
fn nested_setup_values_are_kept_as_json() {
    let object = json!({ "a": { "b": [1, null] }, "keys": ["x"] });
    let setup = setup(object.as_object().unwrap()).unwrap();
    assert_eq!(setup.settings[0].value, r#"{"b":[1,null]}"#);
    assert_eq!(setup.secrets[0].values, [r#"["x"]"#]);
}

#[test]
fn setup_values_that_cannot_be_kept_are_refused() {
    for (object, path) in [(json!({"": "x"}), ""), (json!({"c": "\u{0}"}), "c")] {
        let faults = setup(object.as_object().unwrap()).unwrap_err();
        assert_eq!(faults[0].path, path);
    }
}

#[test]
fn settings_of_a_webhook_are_patched_and_outlast_its_repetition() {
    let id = "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5";
    let path = |rest: &str| format!("/webHooks/{id}/settings{rest}");
    let added = patched(
        &instance(),
        &json!([{"op": "add", "path": "/webHooks", "value": documented_hook()}]),
    );
    let changed = patched(
        &added,
        &json!([
            {"op": "add", "path": path("/timeout"), "value": "5s"},
            {"op": "add", "path": path("/headers/X-Tenant"), "value": "acme"},
            {"op": "add", "path": path("/headers/Authorization"), "value": {"value": "s3", "secret": true}},
            {"op": "add", "path": path("/rateLimit"), "value": {"count": 5, "per": "minute"}},
        ]),
    );
    let settings = changed.webhooks[0].model(Secrets::Masked)["settings"].clone();
    let expected = json!({
        "headers": {"X-Tenant": "acme", "Authorization": {"value": "***", "secret": true}},
        "timeout": "5s", "rateLimit": {"count": 5, "per": "minute"},
    });
    assert_eq!(settings, expected);
    assert!(!changed.snapshot(Uuid::nil()).contains("s3"));

    // Connectors register their webhooks at every start.
    let again = json!([{"op": "add", "path": "/webHooks", "value": documented_hook()}]);
    assert_eq!(patched(&changed, &again), changed);
    let masked = json!([{"op": "replace", "path": format!("/webHooks/{id}"), "value": changed.webhooks[0].model(Secrets::Masked)}]);
    assert_eq!(
        patched(&changed, &masked),
        changed,
        "`***` stands for the value that is there"
    );
    let removed = patched(&changed, &json!([{"op": "remove", "path": path("")}]));
    assert_eq!(removed, added);

    for (rest, value) in [
        ("/headers/Host", json!("a")),
        ("/headers/X-Other", json!({"value": "***", "secret": true})),
        ("/timeout", json!("0s")),
        ("/timeout", json!(5)),
        ("/rateLimit", json!({"count": 5})),
        ("/order", json!("random")),
        ("/unknown", json!(1)),
    ] {
        let operations = json!([{"op": "add", "path": path(rest), "value": value}]);
        assert!(try_patch(&added, &operations).is_err(), "{operations}");
    }
}
