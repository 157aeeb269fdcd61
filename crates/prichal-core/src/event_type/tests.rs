#![expect(
    clippy::needless_pass_by_value,
    reason = "JSON is written where it is passed"
)]

use super::*;

fn definition(versions: Value) -> Value {
    json!({"name": "order.created", "versions": versions})
}

fn version(number: i64, schema: Value) -> Value {
    json!({"version": number, "schema": schema})
}

fn paths(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.path.as_str()).collect()
}

#[test]
fn a_definition_comes_back_as_it_was_sent() {
    let body = json!({"NAME": "order.created", "publishers": ["members"], "versions": [
        {"version": 1, "schema": {"properties": {"a": {"const": null}}}, "examples": [{"a": null}]}]});
    let read = Definition::read(&body, None).unwrap();
    let stored = Definition::from_text(&read.name, &read.to_text()).unwrap();
    assert_eq!(
        Value::Object(stored.model()),
        json!({"name": "order.created", "deprecated": false, "publishers": ["members"], "versions": [
            {"version": 1, "schema": {"properties": {"a": {"const": null}}}, "examples": [{"a": null}]}]})
    );
}

#[test]
fn faults_of_a_definition_name_their_place() {
    for (body, expected) in [
        (
            json!({"name": "a b", "versions": [version(1, json!({}))]}),
            "name",
        ),
        (json!({"name": "a"}), "versions"),
        (definition(json!([])), "versions"),
        (
            definition(json!([version(0, json!({}))])),
            "versions[0].version",
        ),
        (
            definition(json!([version(1, json!({})), version(1, json!({}))])),
            "versions[1].version",
        ),
        (
            definition(json!([version(1, json!({"type": "x"}))])),
            "versions[0].schema",
        ),
        (
            definition(
                json!([{"version": 1, "schema": {"required": ["b"]}, "examples": [{"b": 1}, {}]}]),
            ),
            "versions[0].examples[1]",
        ),
        (
            definition(json!([version(
                1,
                json!({"title": "x".repeat(MAX_SCHEMA)})
            )])),
            "versions[0].schema",
        ),
        (
            json!({"name": "a", "publishers": ["everybody"], "versions": [version(1, json!({}))]}),
            "publishers[0]",
        ),
    ] {
        let faults = Definition::read(&body, None).expect_err("a fault");
        assert_eq!(paths(&faults), [expected]);
    }
}

#[test]
fn a_right_to_publish_is_granted() {
    let id = Uuid::from_u128(7);
    let known = |publishers: Value| {
        let body =
            json!({"name": "a", "publishers": publishers, "versions": [version(1, json!({}))]});
        Definition::read(&body, None).unwrap().compile().unwrap()
    };
    let sender = |is_admin, is_member, id| Sender {
        is_admin,
        is_member,
        id,
    };
    let (nobody, all, one) = (
        known(json!([])),
        known(json!(["members"])),
        known(json!([id])),
    );
    for (sender, expected) in [
        (sender(true, true, None), [true, true, true]),
        (sender(false, true, None), [false, true, false]),
        (sender(false, true, Some(id)), [false, true, true]),
        (sender(false, false, Some(id)), [false, false, true]),
        (sender(false, false, Some(Uuid::nil())), [false; 3]),
    ] {
        let may = [&nobody, &all, &one].map(|known| known.may_publish(sender));
        assert_eq!(may, expected, "{sender:?}");
    }
}

#[test]
fn events_are_read_and_checked_with_their_place() {
    let schema = json!({"properties": {"sum": {"type": "number"}}, "required": ["sum"]});
    let body = definition(json!([version(3, json!({})), version(2, schema)]));
    let known = Definition::read(&body, None).unwrap().compile().unwrap();
    let body = json!({"items": [
        {"type": "order.created", "data": {"sum": null}},
        {"type": "order.created", "version": 2, "data": {"sum": "x"}},
        {"type": "order.created", "version": 1, "data": {}},
        {"type": "order.paid", "data": {}},
    ]});
    let drafts = Draft::read_all(&body).unwrap();
    let mut budget = Budget::new(CHECK_STEPS);
    let mut check = |n: usize, known| drafts[n].check(known, &mut budget);
    assert_eq!(
        check(0, Some(&known)).unwrap(),
        (3, r#"{"sum":null}"#.to_owned())
    );
    for (n, known, expected) in [
        (1, Some(&known), "items[1].data.sum"),
        (2, Some(&known), "items[2].version"),
        (3, None, "items[3].type"),
    ] {
        assert_eq!(paths(&check(n, known).unwrap_err()), [expected]);
    }
    for (body, expected) in [
        (json!([]), ""),
        (json!({"type": "a"}), "data"),
        (json!({"items": []}), "items"),
        (json!({"items": vec![1; 1001]}), "items"),
        (json!({"items": [{"type": "a", "data": {}}, 5]}), "items[1]"),
        (
            json!({"items": [{"type": "a", "data": {}, "id": "x"}]}),
            "items[0].id",
        ),
        (json!({"type": "a", "data": []}), "data"),
        (json!({"type": "a", "data": {"x": vec![1; 1001]}}), "data"),
        (
            json!({"type": "a", "data": {}, "timestamp": "soon"}),
            "timestamp",
        ),
    ] {
        let faults = Draft::read_all(&body).expect_err("a fault");
        assert_eq!(paths(&faults), [expected], "{body}");
    }
}

#[test]
fn content_is_compared_by_value() {
    let content =
        |body: Value| crate::json::canonical(&Draft::read_all(&body).unwrap()[0].content());
    let one = content(json!({"type": "a", "data": {"x": 1, "y": [2]}}));
    assert_eq!(
        one,
        content(json!({"data": {"y": [2.0], "x": 1}, "type": "a"}))
    );
    for other in [
        json!({"type": "b", "data": {"x": 1, "y": [2]}}),
        json!({"type": "a", "version": 1, "data": {"x": 1, "y": [2]}}),
        json!({"type": "a", "entity": "e", "data": {"x": 1, "y": [2]}}),
        json!({"type": "a", "data": {"x": 1, "y": [2], "z": null}}),
    ] {
        assert_ne!(one, content(other));
    }
}
