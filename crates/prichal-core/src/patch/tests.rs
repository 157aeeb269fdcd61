use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::schema::{Elements, Key, MAX_ITEMS, Preset, Repeat};

static PHONES: Elements = Elements::new(
    Key::Guid,
    &[
        Field::new("type", Type::Text).or(Preset::Text("unknown")),
        Field::new("value", Type::Text),
    ],
);
static RIGHTS: Elements = Elements {
    repeat: Repeat::Replace,
    ..Elements::new(Key::Text, &[Field::new("level", Type::Int)])
};
const SETTINGS: &[Field] = &[
    Field::new("region", Type::Text),
    Field::new("loud", Type::Bool),
];
const FIELDS: &[Field] = &[
    Field::new("login", Type::Text).required(),
    Field::new("lastName", Type::Text),
    Field::new("isAdmin", Type::Bool).or(Preset::False),
    Field::new("ownerId", Type::Guid),
    Field::new("groupId", Type::GuidOrNone).or(Preset::NoGuid),
    Field::new("settings", Type::Object(SETTINGS)).or(Preset::Object),
    Field::new("phones", Type::Elements(&PHONES)).or(Preset::List),
    Field::new("rights", Type::Elements(&RIGHTS)).or(Preset::List),
    Field::new("tags", Type::Texts).or(Preset::List),
    Field::new("links", Type::Guids).or(Preset::List),
    Field::new("customFields", Type::Free).or(Preset::Object),
    Field::new("createdBy", Type::Text).fixed(),
];

const PHONE: &str = "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5";
const NEW: Uuid = Uuid::from_u128(7);

fn start() -> Object {
    let object = json!({
        "login": "ivan", "lastName": "Ivanov", "settings": {"region": "02", "loud": true},
        "phones": [{"id": PHONE, "type": "work", "value": "1"}],
        "rights": [{"id": "system.deals.edit", "level": 1}],
        "tags": ["vip"], "links": [PHONE],
        "customFields": {"Colour": "red", "many": ["a", "b"], "deep": {"list": [{"id": "x", "n": 1}]}},
        "createdBy": "me",
    });
    complete(FIELDS, object.as_object().unwrap().clone())
}

fn run(operations: &Value) -> Result<(Object, bool), PatchErrors> {
    let mut object = start();
    let operations = parse(&json!({"operations": operations})).unwrap();
    let changed = apply(FIELDS, &mut object, &operations, &mut || NEW)?;
    Ok((object, changed))
}

fn one(op: &str, path: &str, value: &Value) -> Result<(Object, bool), PatchErrors> {
    run(&json!([{"op": op, "path": path, "value": value}]))
}

/// The refused operations as they were sent. Each says why it was refused.
fn sent(refused: &[Refused]) -> Vec<Value> {
    let says_why = |refused: &Refused| match &refused.reason {
        Reason::Text(text) => !text.is_empty(),
        Reason::Faults(faults) => !faults.is_empty(),
    };
    assert!(refused.iter().all(says_why), "{refused:?}");
    refused.iter().map(|refused| refused.sent.clone()).collect()
}

/// Runs rows of `op | path | value | pointer | what stands there afterwards`. `{P}` is the id of the
/// phone, `{p}` the same in the other case, `{N}` a generated id, `{0}` the zero GUID.
fn check(table: &str) {
    let table = table
        .replace("{P}", PHONE)
        .replace("{p}", &PHONE.to_uppercase())
        .replace("{N}", &NEW.to_string())
        .replace("{0}", &Uuid::nil().to_string());
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
        let [op, path, value, pointer, expected] = cells[..] else {
            panic!("five cells: {row}");
        };
        let value: Value = serde_json::from_str(value).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        let (object, _) =
            one(op, path, &value).unwrap_or_else(|errors| panic!("{row}: {errors:?}"));
        let found = Value::Object(object).pointer(pointer).cloned();
        assert_eq!(found.unwrap_or_default(), expected, "{row}");
    }
}

#[test]
fn fields_are_set_and_cleared() {
    check(
        r#"
        Replace | /LASTNAME        | "Petrov"          | /lastName | "Petrov"
        replace | /lastName        | null              | /lastName | null
        remove  | /lastName        | null              | /lastName | null
        add     | /lastName        | "Petrov"          | /lastName | "Petrov"
        replace | /ownerId         | "{p}"             | /ownerId  | "{P}"
        replace | /groupId         | "{P}"             | /groupId  | "{P}"
        replace | /groupId         | null              | /groupId  | "{0}"
        replace | /settings/region | "77"              | /settings | {"region": "77", "loud": true}
        replace | /settings        | {"Region": "77"}  | /settings | {"region": "77", "loud": true}
        replace | /isAdmin         | null              | /isAdmin  | false
        replace | /settings        | null              | /settings | {}
        replace | /customFields    | null              | /customFields | {}
        replace | /phones          | null              | /phones   | []
        replace | /phones/{P}/type | null              | /phones/0/type | "unknown"
        "#,
    );
}

#[test]
fn elements_are_found_by_their_id() {
    check(
        r#"
        add     | /phones           | {"id": "{0}", "value": "2"} | /phones/1 | {"id": "{N}", "type": "unknown", "value": "2"}
        add     | /phones           | {"value": "2"} | /phones/1 | {"id": "{N}", "type": "unknown", "value": "2"}
        add     | /phones           | {"id": "{p}", "type": "work", "value": "1"} | /phones/1 | null
        remove  | /phones/{p}       | null           | /phones         | []
        replace | /phones/{p}/value | "3"            | /phones/0/value | "3"
        replace | /phones/{p}       | {"value": "3"} | /phones/0 | {"id": "{P}", "type": "unknown", "value": "3"}
        replace | /phones           | []             | /phones         | []
        replace | /phones           | [{"value": "2"}] | /phones | [{"id": "{N}", "type": "unknown", "value": "2"}]
        add     | /rights           | {"id": "system.deals.edit", "level": 2} | /rights | [{"id": "system.deals.edit", "level": 2}]
        replace | /rights/system.deals.edit/level | 2 | /rights/0/level | 2
        replace | /rights/SYSTEM.deals.edit/level | 2 | /rights/0/level | 2
        remove  | /rights/system.deals.edit | null   | /rights         | []
        add     | /rights           | {"id": "a/b~c"} | /rights/1      | {"id": "a/b~c"}
        "#,
    );
}

#[test]
fn lists_without_ids_are_appended_to() {
    check(
        r#"
        add     | /tags      | "new" | /tags  | ["vip", "new"]
        replace | /tags      | ["a"] | /tags  | ["a"]
        add     | /links     | "{p}" | /links | ["{P}"]
        add     | /links     | "{0}" | /links | ["{P}", "{0}"]
        remove  | /links/{P} | null  | /links | []
        "#,
    );
}

#[test]
fn free_objects_take_anything() {
    check(
        r#"
        replace | /customFields/colour | "blue" | /customFields/Colour | "blue"
        replace | /customFields/size   | 5      | /customFields/size   | 5
        add     | /customFields/size   | [1]    | /customFields/size   | [1]
        replace | /customFields/a/b    | 1      | /customFields/a      | {"b": 1}
        replace | /customFields/Colour | null   | /customFields | {"many": ["a", "b"], "deep": {"list": [{"id": "x", "n": 1}]}}
        add     | /customFields/new    | null   | /customFields/new    | null
        replace | /customFields/deep/list/x/n | null | /customFields/deep | {"list": [{"id": "x"}]}
        replace | /customFields/deep   | {"a": {"b": null, "c": [null, {"d": null}]}} | /customFields/deep | {"a": {"c": [null, {}]}}
        add     | /customFields/many   | null   | /customFields/many   | ["a", "b", null]
        replace | /customFields/many/a | null   | /customFields/many   | [null, "b"]
        remove  | /customFields/Colour | null   | /customFields/Colour | null
        add     | /customFields/many   | "c"    | /customFields/many   | ["a", "b", "c"]
        add     | /customFields/many   | "b"    | /customFields/many   | ["a", "b"]
        add     | /customFields/many   | ["c"]  | /customFields/many   | ["c"]
        remove  | /customFields/many/a | null   | /customFields/many   | ["b"]
        replace | /customFields/deep/list/x/n | 2 | /customFields/deep/list/0/n | 2
        replace | /customFields        | {"a": 1} | /customFields      | {"a": 1}
        "#,
    );
}

#[test]
fn escaped_ids_in_paths() {
    let operations = json!([
        {"op": "add", "path": "/rights", "value": {"id": "a/b~c", "level": 1}},
        {"op": "replace", "path": "/rights/a~1b~0c/level", "value": 2},
    ]);
    let (object, _) = run(&operations).unwrap();
    assert_eq!(object["rights"][1]["level"], 2);
}

#[test]
fn paths_that_lead_nowhere() {
    let nobody = Uuid::from_u128(99);
    for (op, path) in [
        ("replace", "/id"),
        ("replace", "/updateInfo/createdAt"),
        ("replace", "/createdBy"),
        ("replace", ""),
        ("replace", "/"),
        ("replace", "lastName"),
        ("replace", "/lastName/"),
        ("replace", "/lastName/x"),
        ("replace", "/unknown"),
        ("replace", "/settings/unknown"),
        ("replace", "/phones/0"),
        ("remove", "/phones/0"),
        ("add", "/phones/-"),
        ("add", "/phones/0"),
        ("remove", "/phones"),
        ("remove", "/tags"),
        ("remove", "/tags/vip"),
        ("remove", "/tags/0"),
        ("remove", "/links/0"),
        ("remove", "/isAdmin"),
        ("remove", &format!("/phones/{nobody}")),
        ("replace", &format!("/phones/{PHONE}/id")),
        ("add", &format!("/phones/{PHONE}")),
        ("remove", "/customFields"),
        ("remove", "/customFields/gone"),
        ("remove", "/customFields/many/0"),
        ("replace", "/customFields/many/-"),
        ("replace", "/customFields/Colour/x"),
        ("replace", "/customFields/deep/list/x/id"),
        ("move", "/lastName"),
        ("copy", "/lastName"),
        ("test", "/lastName"),
    ] {
        let operation = json!({"op": op, "path": path, "value": "x"});
        let mut errors = run(&json!([operation])).unwrap_err();
        assert_eq!(sent(&errors.invalid_paths), [operation], "{op} {path}");
        assert_eq!(errors.invalid_paths.len(), 1);
        errors.invalid_paths.clear();
        assert!(errors.is_empty(), "{op} {path}");
    }
}

#[test]
fn values_of_the_wrong_type_and_values_that_break_a_rule() {
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    let phone = format!("/phones/{PHONE}");
    for (op, path, value, wrong_type) in [
        ("replace", "/lastName", json!(5), true),
        ("replace", "/isAdmin", json!("true"), true),
        ("replace", "/settings", json!("x"), true),
        ("replace", "/customFields", json!([]), true),
        ("add", "/phones", json!("x"), true),
        ("add", "/phones", Value::Null, true),
        ("add", "/phones", json!([]), true),
        ("add", "/tags", json!(5), true),
        ("replace", &phone, json!("x"), true),
        ("replace", "/ownerId", json!("x"), false),
        ("replace", "/login", json!(" "), false),
        ("add", "/links", json!("x"), false),
        ("add", "/phones", json!({"id": "x"}), false),
        ("add", "/rights", json!({"level": 1}), false),
        ("replace", &phone, json!({"id": Uuid::from_u128(99)}), false),
        ("replace", "/customFields/x", deep, false),
    ] {
        let errors = one(op, path, &value).unwrap_err();
        assert_eq!(
            errors.invalid_value_types.len(),
            usize::from(wrong_type),
            "{op} {path} {value}"
        );
        assert_eq!(
            errors.invalid_datas.len(),
            usize::from(!wrong_type),
            "{op} {path} {value}"
        );
    }
}

#[test]
fn constraints() {
    let again = one("add", "/phones", &json!({"id": PHONE, "value": "other"})).unwrap_err();
    assert_eq!(again.invalid_constraints[0].0, "phones");
    let gone = one("replace", "/login", &Value::Null).unwrap_err();
    assert_eq!(gone.invalid_constraints[0].0, "login");
}

#[test]
fn all_errors_are_reported_and_nothing_is_done() {
    let operations = json!([
        {"op": "replace", "path": "/lastName", "value": "Petrov"},
        {"op": "replace", "path": "/id", "value": "x"},
        {"op": "replace", "path": "/isAdmin", "value": "x"},
        {"op": "replace", "path": "/ownerId", "value": "x"},
        {"op": "add", "path": "/phones", "value": {"id": PHONE}},
    ]);
    let errors = run(&operations).unwrap_err();
    assert_eq!(sent(&errors.invalid_paths), [operations[1].clone()]);
    assert_eq!(sent(&errors.invalid_value_types), [operations[2].clone()]);
    assert_eq!(sent(&errors.invalid_datas), [operations[3].clone()]);
    assert_eq!(errors.invalid_constraints.len(), 1);
}

#[test]
fn a_patch_without_a_change_is_reported_as_such() {
    for (op, path, value) in [
        ("replace", "/lastName", json!("Ivanov")),
        ("replace", "/ownerId", Value::Null),
        ("replace", "/settings", json!({})),
        (
            "add",
            "/phones",
            json!({"id": PHONE, "type": "work", "value": "1"}),
        ),
        ("replace", "/customFields/gone", Value::Null),
    ] {
        assert!(!one(op, path, &value).unwrap().1, "{op} {path} {value}");
    }
    assert!(!run(&json!([])).unwrap().1);
    assert!(one("replace", "/lastName", &json!("x")).unwrap().1);
}

#[test]
fn lists_have_an_end() {
    let mut object = start();
    object["tags"] = json!(vec!["x"; MAX_ITEMS]);
    let operations =
        parse(&json!({"operations": [{"op": "add", "path": "/tags", "value": "y"}]})).unwrap();
    let errors = apply(FIELDS, &mut object, &operations, &mut || NEW).unwrap_err();
    assert_eq!(errors.invalid_datas.len(), 1);
}

#[test]
fn malformed_envelopes() {
    for (body, path) in [
        (json!([]), ""),
        (json!({}), "operations"),
        (json!({"operations": {}}), "operations"),
        (json!({"operations": [5]}), "operations[0]"),
        (json!({"operations": [{"path": "/x"}]}), "operations[0].op"),
        (
            json!({"operations": [{"op": 1, "path": "/x"}]}),
            "operations[0].op",
        ),
        (
            json!({"operations": [{"op": "change", "path": "/x"}]}),
            "operations[0].op",
        ),
        (json!({"operations": [{"op": "add"}]}), "operations[0].path"),
        (
            json!({"operations": [{"op": "add", "path": null}]}),
            "operations[0].path",
        ),
        (
            json!({"operations": vec![json!({"op": "add", "path": "/x"}); 1001]}),
            "operations",
        ),
    ] {
        let faults = parse(&body).unwrap_err();
        assert_eq!(faults[0].path, path, "{path}");
    }
    assert!(parse(&json!({"Operations": [{"OP": "ADD", "Path": "/x"}]})).is_ok());
}

/// The smallest stack that a patch is applied on: that of a thread of the server's own.
const STACK: usize = 2 << 20;

/// Runs on a stack of that size. What overflows it ends the process, and with it the tests.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    thread.unwrap().join().unwrap();
}

#[test]
fn paths_have_an_end() {
    on_a_small_stack(|| {
        let path = |parts: usize| format!("/customFields{}", "/a".repeat(parts - 1));
        for parts in [MAX_SEGMENTS + 1, 10_000, 500_000] {
            for op in ["add", "replace", "remove"] {
                let errors = one(op, &path(parts), &json!(1)).unwrap_err();
                assert_eq!(errors.invalid_paths.len(), 1, "{op} {parts}");
                let Reason::Text(reason) = &errors.invalid_paths[0].reason else {
                    panic!("{errors:?}")
                };
                assert!(reason.contains(&MAX_SEGMENTS.to_string()), "{reason}");
            }
        }
        // A path that is short enough leads as deep as a free value may nest, and no deeper.
        let deepest = MAX_DEPTH + 1;
        assert!(one("add", &path(deepest), &json!(1)).is_ok());
        let errors = one("add", &path(deepest + 1), &json!(1)).unwrap_err();
        assert_eq!(errors.invalid_datas.len(), 1);
    });
}

#[test]
fn no_row_of_patches_makes_a_value_deeper_than_its_bound() {
    on_a_small_stack(|| {
        let value = (0..120).fold(json!(1), |inner, _| json!({ "a": inner }));
        let mut object = start();
        for parts in 1..=MAX_SEGMENTS {
            let path = format!("/customFields{}", "/a".repeat(parts));
            let operations = json!([
                {"op": "add", "path": path, "value": value},
                {"op": "add", "path": path, "value": {"a": {"a": 1}}},
            ]);
            for operation in operations.as_array().unwrap() {
                let parsed = parse(&json!({ "operations": [operation] })).unwrap();
                let _ = apply(FIELDS, &mut object, &parsed, &mut || NEW);
                let parsed = parse(&json!({ "operations": operations })).unwrap();
                let _ = apply(FIELDS, &mut object, &parsed, &mut || NEW);
                assert!(
                    schema::check_free(&object["customFields"]).is_ok(),
                    "{parts}"
                );
            }
        }
        let text = Value::Object(object).to_string();
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    });
}

/// A null means the same to a patch as on creation.
#[test]
fn null_is_the_same_on_creation_and_in_a_patch() {
    for field in FIELDS.iter().filter(|field| !field.required) {
        let created = json!({ "login": "ivan", field.name: null });
        let created = schema::read(FIELDS, created.as_object().unwrap(), &mut || NEW).unwrap();
        let created = complete(FIELDS, created);
        let patched = one("replace", &format!("/{}", field.name), &Value::Null);
        if field.access == schema::Access::Open {
            let (patched, _) = patched.unwrap();
            assert_eq!(
                patched.get(field.name),
                created.get(field.name),
                "{}",
                field.name
            );
        }
    }
    let free = json!({"a": null, "b": {"c": null}, "d": [null, {"e": null}]});
    let body = json!({ "login": "ivan", "customFields": free });
    let created = schema::read(FIELDS, body.as_object().unwrap(), &mut || NEW).unwrap();
    let (replaced, _) = one("replace", "/customFields", &free).unwrap();
    assert_eq!(created["customFields"], replaced["customFields"]);
    let each = ["a", "b", "d"].map(
        |name| json!({"op": "add", "path": format!("/customFields/{name}"), "value": free[name]}),
    );
    let emptied = json!({"op": "replace", "path": "/customFields", "value": {}});
    let operations: Vec<Value> = std::iter::once(emptied).chain(each).collect();
    let (added, _) = run(&json!(operations)).unwrap();
    assert_eq!(created["customFields"], added["customFields"]);
}

fn any_operation() -> impl Strategy<Value = Value> {
    let parts = vec![
        "login",
        "lastName",
        "isAdmin",
        "settings",
        "region",
        "phones",
        PHONE,
        "value",
        "rights",
        "system.deals.edit",
        "tags",
        "links",
        "customFields",
        "deep",
        "list",
        "x",
        "0",
        "-",
        "id",
        "",
    ];
    let path = prop::collection::vec(proptest::sample::select(parts), 0..4)
        .prop_map(|parts| format!("/{}", parts.join("/")));
    let op = proptest::sample::select(vec!["add", "remove", "replace", "test"]);
    (op, path, schema::tests::any_json())
        .prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value}))
}

proptest! {
    #[test]
    fn all_or_nothing(operations in prop::collection::vec(any_operation(), 0..6)) {
        let parsed = parse(&json!({"operations": operations})).unwrap();
        let mut object = start();
        let before = Value::Object(object.clone()).to_string();
        if let Err(errors) = apply(FIELDS, &mut object, &parsed, &mut || NEW) {
            prop_assert!(!errors.is_empty());
            let refused = [&errors.invalid_paths, &errors.invalid_value_types, &errors.invalid_datas];
            refused.into_iter().for_each(|refused| drop(sent(refused)));
            prop_assert_eq!(Value::Object(object).to_string(), before);
        } else {
            // The outcome is a valid object again.
            let read = schema::read(FIELDS, &object, &mut Uuid::nil);
            prop_assert!(read.is_ok(), "{:?}", read);
        }
    }
}

#[test]
fn names_that_the_parser_keeps_for_itself_are_in_no_path() {
    for path in [
        "/customFields/$serde_json::private::Number",
        "/customFields/a/$serde_json::private::RawValue/b",
    ] {
        let errors = one("add", path, &json!("1")).unwrap_err();
        assert_eq!(errors.invalid_paths.len(), 1, "{path}");
    }
    let inside = json!({ "a": { "$serde_json::private::RawValue": "[]" } });
    let errors = one("add", "/customFields", &inside).unwrap_err();
    assert_eq!(errors.invalid_datas.len(), 1);
}

#[test]
fn a_refused_operation_repeats_no_private_key() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----\n";
    let sent = json!({"op": "add", "path": "/x", "value": [{"key": pem, "name": "a"}]});
    let operation = Operation {
        op: Op::Add,
        path: "/x".to_owned(),
        value: sent["value"].clone(),
        sent,
    };
    let expected = json!({"op": "add", "path": "/x", "value": [{"key": "***", "name": "a"}]});
    assert_eq!(operation.refused("no").sent, expected);
}
