use proptest::prelude::*;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;

static COLOUR: Words = Words {
    name: "colour",
    words: &["red", "darkBlue"],
};
static PHONES: Elements = Elements::new(
    Key::Guid,
    &[
        Field::new("type", Type::Enum(&COLOUR)),
        Field::new("value", Type::Text),
    ],
);
static RIGHTS: Elements = Elements::new(
    Key::Text,
    &[Field::new("level", Type::Int).or(Preset::Zero)],
);
static OPTIONS: Elements = Elements::new(Key::TextOrFresh, &[]);
const INNER: &[Field] = &[Field::new("deep", Type::Bool).required()];
const FIELDS: &[Field] = &[
    Field::new("name", Type::Text),
    Field::new("on", Type::Bool).or(Preset::False),
    Field::new("count", Type::Int).or(Preset::Zero),
    Field::new("size", Type::Size),
    Field::new("ratio", Type::Number),
    Field::new("owner", Type::Guid),
    Field::new("group", Type::GuidOrNone).or(Preset::NoGuid),
    Field::new("at", Type::Moment),
    Field::new("period", Type::TimeSpan),
    Field::new("colour", Type::Enum(&COLOUR)),
    Field::new("inner", Type::Object(INNER)),
    Field::new("free", Type::Free).or(Preset::Object),
    Field::new("any", Type::Any),
    Field::new("values", Type::Values),
    Field::new("tags", Type::Texts).or(Preset::List),
    Field::new("links", Type::Guids),
    Field::new("colours", Type::Enums(&COLOUR)),
    Field::new("items", Type::Objects(INNER)),
    Field::new("phones", Type::Elements(&PHONES)).or(Preset::List),
    Field::new("rights", Type::Elements(&RIGHTS)),
    Field::new("options", Type::Elements(&OPTIONS)),
    Field::new("secret", Type::Text).server(),
];

const ID: &str = "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5";

fn read_value(value: &Value) -> Result<Object, Vec<Fault>> {
    read(FIELDS, value.as_object().unwrap(), &mut || {
        Uuid::from_u128(7)
    })
}

#[test]
fn names_in_either_case_come_out_canonical_and_in_order() {
    let read = read_value(&json!({
        "COLOUR": "DARKBLUE", "unknown": 1, "Name": "x", "on": null, "owner": ID.to_uppercase(), "secret": "s",
    }))
    .unwrap();
    let expected = json!({"name": "x", "owner": ID, "colour": "darkBlue"});
    assert_eq!(Value::Object(read).to_string(), expected.to_string());
}

#[test]
fn the_exact_name_wins() {
    let read = read_value(&json!({"NAME": "a", "name": "b"})).unwrap();
    assert_eq!(read["name"], "b");
}

#[test]
fn every_type_accepts_its_values() {
    let nil = Uuid::nil().to_string();
    for (member, given, kept) in [
        ("count", json!(-2), json!(-2)),
        ("size", json!("15"), json!(15)),
        ("ratio", json!(1.5), json!(1.5)),
        ("owner", json!(nil), Value::Null),
        ("group", json!(nil), json!(nil)),
        (
            "at",
            json!("2021-03-12T18:07:34.123+03:00"),
            json!("2021-03-12T18:07:34.123+03:00"),
        ),
        (
            "at",
            json!("2022-03-22T10:38:35.6152798Z"),
            json!("2022-03-22T10:38:35.6152798Z"),
        ),
        ("period", json!("1.00:05:00"), json!("1.00:05:00")),
        (
            "inner",
            json!({"Deep": true, "x": 1}),
            json!({"deep": true}),
        ),
        (
            "free",
            json!({"A": null, "b": [1, {"c": null}, null]}),
            json!({"b": [1, {}, null]}),
        ),
        ("any", json!([1]), json!([1])),
        ("values", json!([1, "x"]), json!([1, "x"])),
        ("tags", json!(["a", "a"]), json!(["a", "a"])),
        ("links", json!([ID.to_uppercase()]), json!([ID])),
        ("colours", json!(["Red"]), json!(["red"])),
        (
            "phones",
            json!([{"value": "1"}]),
            json!([{"id": Uuid::from_u128(7).to_string(), "value": "1"}]),
        ),
        (
            "phones",
            json!([{"id": ID.to_uppercase()}]),
            json!([{"id": ID}]),
        ),
        (
            "rights",
            json!([{"id": "system.deals.edit"}]),
            json!([{"id": "system.deals.edit", "level": 0}]),
        ),
        (
            "options",
            json!([{}]),
            json!([{"id": Uuid::from_u128(7).to_string()}]),
        ),
    ] {
        let read = read_value(&json!({ member: given })).unwrap();
        assert_eq!(
            read.get(member).cloned().unwrap_or_default(),
            kept,
            "{member} {given}"
        );
    }
}

#[test]
fn every_type_refuses_the_rest_with_its_path() {
    let (wrong, unread, rule) = (FaultKind::Type, FaultKind::Format, FaultKind::Rule);
    let many: Vec<Value> = vec![json!("x"); MAX_ITEMS + 1];
    for (given, path, kind) in [
        (json!({"name": [5]}), "name", wrong),
        (json!({"name": "\u{0}"}), "name", unread),
        (json!({"on": "yes"}), "on", wrong),
        (json!({"count": 1.5}), "count", wrong),
        (json!({"count": "1.5"}), "count", wrong),
        (json!({"count": u64::MAX}), "count", wrong),
        (json!({"size": "x"}), "size", unread),
        (json!({"ratio": "one"}), "ratio", wrong),
        (json!({"owner": "x"}), "owner", unread),
        (json!({"owner": 1}), "owner", wrong),
        (json!({"at": "yesterday"}), "at", unread),
        (json!({"at": "2021-03-12T18:07:34"}), "at", unread),
        (
            json!({"at": "2021-03-12T18:07:34+03:00[Europe/Moscow]"}),
            "at",
            unread,
        ),
        (json!({"period": "5"}), "period", unread),
        (json!({"colour": "green"}), "colour", unread),
        (json!({"inner": []}), "inner", wrong),
        (json!({"inner": {}}), "inner.deep", rule),
        (json!({"inner": {"deep": "x"}}), "inner.deep", wrong),
        (json!({"inner": {"deep": ""}}), "inner.deep", rule),
        (json!({"free": []}), "free", wrong),
        (json!({"tags": "a"}), "tags", wrong),
        (json!({"tags": ["a", []]}), "tags[1]", wrong),
        (json!({"tags": [null]}), "tags[0]", wrong),
        (json!({"tags": many}), "tags", rule),
        (json!({"links": ["x"]}), "links[0]", unread),
        (json!({"colours": ["x"]}), "colours[0]", unread),
        (
            json!({"items": [{"deep": true}, {"deep": "x"}]}),
            "items[1].deep",
            wrong,
        ),
        (json!({"phones": [{"type": "x"}]}), "phones[0].type", unread),
        (json!({"phones": [{"id": "x"}]}), "phones[0].id", unread),
        (json!({"phones": [5]}), "phones[0]", wrong),
        (
            json!({"phones": [{"id": ID}, {"id": ID}]}),
            "phones[1]",
            rule,
        ),
        (json!({"rights": [{"level": 1}]}), "rights[0].id", rule),
        (json!({"rights": [{"id": ""}]}), "rights[0].id", rule),
    ] {
        let faults = read_value(&given).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((faults[0].path.as_str(), faults[0].kind()), (path, kind));
    }
}

#[test]
fn values_are_converted_to_their_fields_types() {
    let nil = Uuid::nil().to_string();
    for (member, given, kept) in [
        ("name", json!(79_990_000_001_u64), json!("79990000001")),
        ("name", json!(1.50), json!("1.5")),
        ("name", json!(true), json!("true")),
        ("name", json!(""), json!("")),
        ("on", json!("True"), json!(true)),
        ("on", json!(" false "), json!(false)),
        ("on", json!(1), json!(true)),
        ("on", json!(0), json!(false)),
        ("on", json!(""), Value::Null),
        ("count", json!(" 12 "), json!(12)),
        ("count", json!(""), Value::Null),
        ("size", json!(""), Value::Null),
        ("ratio", json!("1.5"), json!(1.5)),
        ("owner", json!(""), Value::Null),
        ("owner", json!(ID.replace('-', "")), json!(ID)),
        ("owner", json!(format!("{{{ID}}}")), json!(ID)),
        ("group", json!(""), json!(nil)),
        ("at", json!(""), Value::Null),
        ("period", json!(""), Value::Null),
        ("colour", json!(""), Value::Null),
        ("tags", json!([1, "a"]), json!(["1", "a"])),
        ("links", json!([ID.replace('-', "")]), json!([ID])),
        (
            "phones",
            json!([{"id": ID.to_uppercase().replace('-', ""), "value": 5}]),
            json!([{"id": ID, "value": "5"}]),
        ),
    ] {
        let given = json!({ member: given });
        let read = read_value(&given).unwrap();
        assert_eq!(
            read.get(member).cloned().unwrap_or_default(),
            kept,
            "{given}"
        );
    }
}

#[test]
fn strict_readers_convert_nothing() {
    for given in [
        json!({"name": 5}),
        json!({"on": "True"}),
        json!({"count": "1"}),
        json!({"owner": ""}),
        json!({"owner": ID.replace('-', "")}),
        json!({"inner": {"deep": 1}}),
    ] {
        let object = given.as_object().unwrap();
        let read = read_strictly(FIELDS, object, &mut || Uuid::from_u128(7));
        assert_eq!(read.unwrap_err().len(), 1, "{given}");
    }
}

#[test]
fn faults_carry_an_excerpt_of_the_value_and_the_expected_type() {
    let fault = |value: Value| read_value(&value).unwrap_err().remove(0);
    let mismatch = |value: Value| match fault(value).problem {
        Problem::Mismatch(mismatch) => (mismatch.given, mismatch.expected),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        mismatch(json!({"colour": "x"})),
        ("\"x\"".to_owned(), TypeName::Enum(&COLOUR))
    );
    assert_eq!(
        mismatch(json!({"name": {}})),
        ("{…}".to_owned(), TypeName::Text)
    );
    assert_eq!(fault(json!({"inner": {}})), Fault::required("inner.deep"));
    assert!(mismatch(json!({"owner": "x".repeat(1000)})).0.len() < 200);
}

#[test]
fn all_faults_at_once_but_not_without_end() {
    let faults = read_value(&json!({"name": [], "on": [], "owner": 1})).unwrap_err();
    assert_eq!(faults.len(), 3);
    let lists = vec![json!([]); 1000];
    assert!(read_value(&json!({"tags": lists})).unwrap_err().len() <= 50);
}

#[test]
fn free_values_are_bounded() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(check_free(&nested(MAX_DEPTH)).is_ok());
    assert!(check_free(&nested(MAX_DEPTH + 1)).is_err());
    let wide: Vec<Value> = (0..11).map(|_| json!(vec![0; 999])).collect();
    assert!(check_free(&json!(wide)).is_err());
    let members: Map<String, Value> = (0..=MAX_ITEMS).map(|n| (n.to_string(), json!(n))).collect();
    assert!(check_free(&json!(members)).is_err());
}

#[test]
fn presets_fill_absent_members() {
    let object = json!({"tags": ["a"], "rights": [{"id": "x"}], "name": "n"});
    let full = complete(FIELDS, object.as_object().unwrap().clone());
    let expected = json!({
        "name": "n", "on": false, "count": 0, "group": Uuid::nil().to_string(), "free": {}, "tags": ["a"],
        "phones": [], "rights": [{"id": "x", "level": 0}],
    });
    assert_eq!(Value::Object(full).to_string(), expected.to_string());
}

/// Arbitrary JSON whose members often have the names of the schema.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!(ID)),
        Just(json!("2021-03-12T18:07:34+03:00")),
        Just(json!("red")),
    ];
    let names: Vec<&str> = FIELDS
        .iter()
        .map(|field| field.name)
        .chain(["id", "ID", "level", "x"])
        .collect();
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let name = proptest::sample::select(names.clone()).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_json_never_panics_and_reading_twice_gives_the_same(value in any_json()) {
        if let Some(object) = value.as_object()
            && let Ok(first) = read(FIELDS, object, &mut || Uuid::from_u128(7))
        {
            let second = read(FIELDS, &first, &mut Uuid::nil).unwrap();
            prop_assert_eq!(&first, &second);
            let full = complete(FIELDS, first);
            prop_assert_eq!(&full, &complete(FIELDS, full.clone()));
        }
    }
}
