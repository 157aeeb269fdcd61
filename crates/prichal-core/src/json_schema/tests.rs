use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::{Fault, Problem};

const STEPS: u64 = 100_000;

fn compile(schema: &Value) -> Result<JsonSchema, String> {
    JsonSchema::compile("schema", schema).map_err(|fault| sentence(&fault))
}

fn sentence(fault: &Fault) -> String {
    match &fault.problem {
        Problem::Rule(text) | Problem::Invalid(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// The sentences about a value.
fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let schema = compile(schema).unwrap();
    let checked = schema.check("data", value, &mut Budget::new(STEPS));
    let faults = checked.err().unwrap_or_default();
    faults.iter().map(sentence).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a case for each keyword")]
fn each_keyword_tells_right_from_wrong() {
    for (schema, right, wrong) in [
        (json!({"type": "integer"}), json!(1.0), json!(1.5)),
        (json!({"type": ["null", "string"]}), json!(null), json!(1)),
        (json!({"enum": [1, "a", null]}), json!(1.0), json!("b")),
        (
            json!({"const": {"a": [1]}}),
            json!({"a": [1]}),
            json!({"a": []}),
        ),
        (json!({"minimum": 1}), json!(1), json!(0.999)),
        (json!({"exclusiveMinimum": 1}), json!(1.001), json!(1)),
        (json!({"maximum": 1}), json!("many"), json!(2)),
        (json!({"exclusiveMaximum": 1}), json!(0), json!(1)),
        (json!({"multipleOf": 0.01}), json!(19.99), json!(0.075)),
        (json!({"multipleOf": 2.5}), json!(1e300), json!(4)),
        (json!({"minLength": 2}), json!("éé"), json!("é")),
        (json!({"maxLength": 2}), json!("éé"), json!("abc")),
        (json!({"pattern": "^a+$"}), json!("aa"), json!("ab")),
        (
            json!({"minItems": 1, "maxItems": 2}),
            json!([1]),
            json!([1, 2, 3]),
        ),
        (
            json!({"uniqueItems": true}),
            json!([1, "1", [1]]),
            json!([{"a": 1, "b": 2}, {"b": 2.0, "a": 1}]),
        ),
        (json!({"minProperties": 1}), json!({"a": 1}), json!({})),
        (
            json!({"maxProperties": 1}),
            json!({"a": 1}),
            json!({"a": 1, "b": 1}),
        ),
        (json!({"required": ["a"]}), json!({"a": null}), json!({})),
        (
            json!({"dependentRequired": {"a": ["b"]}}),
            json!({"b": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"dependentSchemas": {"a": {"minProperties": 2}}}),
            json!({}),
            json!({"a": 1}),
        ),
        (
            json!({"properties": {"a": {"type": "string"}}, "additionalProperties": false}),
            json!({"a": "x"}),
            json!({"b": "x"}),
        ),
        (
            json!({"patternProperties": {"^n": {"type": "number"}}, "additionalProperties": {"type": "string"}}),
            json!({"n1": 1, "x": "y"}),
            json!({"n1": "y"}),
        ),
        (
            json!({"propertyNames": {"maxLength": 1}}),
            json!({"a": 1}),
            json!({"ab": 1}),
        ),
        (
            json!({"prefixItems": [{"type": "string"}], "items": {"type": "number"}}),
            json!(["a", 1]),
            json!(["a", "b"]),
        ),
        (
            json!({"contains": {"const": 1}, "maxContains": 1}),
            json!([1, 2]),
            json!([1, 1]),
        ),
        (
            json!({"contains": {"const": 1}, "minContains": 0}),
            json!([]),
            json!([1]),
        ),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 3}]}),
            json!(2),
            json!(4),
        ),
        (
            json!({"anyOf": [{"type": "string"}, {"minimum": 3}]}),
            json!(3),
            json!(2),
        ),
        (
            json!({"oneOf": [{"minimum": 1}, {"minimum": 3}]}),
            json!(2),
            json!(3),
        ),
        (json!({"not": {"type": "string"}}), json!(1), json!("a")),
        (
            json!({"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}}),
            json!({"a": 1, "b": 1}),
            json!({"a": 1, "c": 1}),
        ),
        (
            json!({"$defs": {"x/y": {"type": "number"}}, "$ref": "#/$defs/x~1y"}),
            json!(1),
            json!("a"),
        ),
        (
            json!({"allOf": [{"properties": {"a": true}}], "unevaluatedProperties": false}),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        (
            json!({"anyOf": [{"required": ["k"], "properties": {"a": true}}, true], "properties": {"k": true}, "unevaluatedProperties": false}),
            json!({"k": 1, "a": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"prefixItems": [true], "unevaluatedItems": {"type": "string"}}),
            json!([1, "a"]),
            json!([1, 2]),
        ),
    ] {
        let is_noted = schema == json!({"contains": {"const": 1}, "minContains": 0});
        assert_eq!(faults(&schema, &right), [""; 0], "{schema} {right}");
        assert_eq!(
            faults(&schema, &wrong).is_empty(),
            is_noted,
            "{schema} {wrong}"
        );
    }
}

#[test]
fn faults_name_the_place_and_no_value() {
    let schema = json!({
        "type": "object",
        "required": ["id", "lines"],
        "properties": {
            "secret": {"type": "string", "maxLength": 3},
            "state": {"enum": ["new", "paid"]},
            "lines": {"type": "array", "items": {"properties": {"sum": {"type": "number", "minimum": 0}}}}
        }
    });
    let value = json!({"secret": "hunter2", "state": "old", "lines": [{"sum": 1}, {"sum": -1}]});
    assert_eq!(
        faults(&schema, &value),
        [
            "The data must have a member id.",
            "The data.secret must have at most 3 characters.",
            "The data.state must be one of \"new\", \"paid\".",
            "The data.lines[1].sum must be at least 0.",
        ]
    );
    let many = json!({"items": {"type": "string"}});
    assert_eq!(faults(&many, &json!(vec![1; 100])).len(), 5);
}

#[test]
fn a_hostile_schema_is_refused() {
    let wide = json!({"allOf": vec![json!({"allOf": vec![true; 300]}); 10]});
    let patterns: Vec<_> = (0..30).map(|_| json!({"pattern": "a"})).collect();
    for (schema, why) in [
        (json!(5), "at #: a schema is an object"),
        (json!({"type": "text"}), "at #/type: a type is"),
        (
            json!({"propertis": {}}),
            "at #/propertis: it is not a keyword",
        ),
        (
            json!({"$ref": "https://example.com/a"}),
            "at #/$ref: it must refer to a place in this schema",
        ),
        (json!({"$ref": "#line"}), "at #/$ref: it must refer"),
        (
            json!({"$ref": "#/$defs/no"}),
            "at #/$ref: it refers to a place without a schema",
        ),
        (json!({"$ref": "#/$defs"}), "without a schema"),
        (
            json!({"properties": {"a": {"$id": "x"}}}),
            "only the whole schema",
        ),
        (json!({"$dynamicRef": "#x"}), "not supported"),
        (
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
            "the draft is",
        ),
        (json!({"pattern": "("}), "cannot be read"),
        (json!({"pattern": r"(?=a)b"}), "cannot be read"),
        (json!({"pattern": "(a{1000}){1000}"}), "too large"),
        (json!({"pattern": "a".repeat(501)}), "longer than 500 bytes"),
        (json!({"allOf": patterns}), "more than 20 patterns"),
        (wide, "more than 2000 subschemas"),
        (json!({"multipleOf": 0}), "more than 0"),
        (json!({"minLength": -1}), "whole number from 0"),
        (json!({"anyOf": []}), "must have an element"),
    ] {
        let refused = compile(&schema).expect_err(&schema.to_string());
        assert!(refused.contains(why), "{schema}: {refused}");
    }
    let mut deep = json!(true);
    for _ in 0..40 {
        deep = json!({"not": deep});
    }
    assert!(compile(&deep).unwrap_err().contains("nested deeper"));
}

#[test]
fn a_check_ends() {
    let endless = json!({"$ref": "#"});
    assert_eq!(
        faults(&endless, &json!(1)),
        ["The data is checked by schemas that refer to each other without end."]
    );
    let mut defs = serde_json::Map::new();
    for n in 0..30 {
        let next = json!({"$ref": format!("#/$defs/d{}", n + 1)});
        defs.insert(format!("d{n}"), json!({"allOf": [next, next]}));
    }
    defs.insert("d30".into(), json!(true));
    let doubling = json!({"$defs": defs, "$ref": "#/$defs/d0"});
    assert_eq!(
        faults(&doubling, &json!(1)),
        ["The data needs more checks than a request may have."]
    );
    // Each level of the value doubles the work.
    let twice = json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
    let deep = (0..28).fold(json!(1), |deep, _| json!({ "a": deep }));
    let told = faults(&twice, &deep);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].ends_with(" needs more checks than a request may have."),
        "{told:?}"
    );
    let slow = json!({"items": {"pattern": "(a|b|ab)*c"}});
    let long = json!(vec!["ab".repeat(50_000); 20]);
    assert_eq!(
        faults(&slow, &long),
        ["The data needs more checks than a request may have."]
    );
    // Each position of a pattern may be looked at for each byte.
    let counted = json!({"pattern": "[ab]*a[ab]{400}c"});
    assert_eq!(
        faults(&counted, &json!("ab".repeat(5_000))),
        ["The data needs more checks than a request may have."]
    );
    // The exponent of a number costs nothing.
    let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let tiny = json!({"multipleOf": number("1e-9")});
    assert_eq!(faults(&tiny, &number("1e999999999")), [""; 0]);
    // `not` turns no exhausted check into a success.
    let negated = json!({"not": doubling["$defs"]["d0"], "$defs": doubling["$defs"]});
    assert_eq!(faults(&negated, &json!(1)).len(), 1);
}

#[test]
fn what_a_rule_looks_at_is_counted() {
    let members = |count: usize| {
        let members = (0..count).map(|n| (format!("m{n}"), json!(1)));
        Value::Object(members.collect())
    };
    let (name, wide) = ("n".repeat(60_000), members(1000));
    let named = Value::Object([(name.clone(), json!(1))].into_iter().collect());
    for (rule, value) in [
        (json!({"properties": {"a": true}}), wide.clone()),
        (json!({"propertyNames": true}), named.clone()),
        (json!({"required": [name]}), named.clone()),
        (json!({"dependentRequired": {&name: []}}), named.clone()),
        (json!({"dependentSchemas": {&name: true}}), named.clone()),
        (json!({"additionalProperties": true}), named.clone()),
        (
            json!({"minimum": 1}),
            serde_json::from_str(&"9".repeat(60_000)).unwrap(),
        ),
        (
            json!({"multipleOf": 3}),
            serde_json::from_str(&"9".repeat(60_000)).unwrap(),
        ),
        (json!({"enum": [named]}), json!(1)),
        (json!({"uniqueItems": true}), json!([named])),
        (
            json!({"allOf": [true, {"additionalProperties": true}], "unevaluatedProperties": true}),
            wide,
        ),
        (
            json!({"items": true, "unevaluatedItems": true}),
            json!(vec![1; 1000]),
        ),
    ] {
        let schema = JsonSchema::compile("schema", &rule).unwrap();
        let is_spent = |steps| {
            let checked = schema.check("data", &value, &mut Budget::new(steps));
            let faults = checked.err().unwrap_or_default();
            faults
                .iter()
                .any(|fault| sentence(fault).contains("more checks"))
        };
        assert!(is_spent(500), "{rule}");
        assert!(!is_spent(5000), "{rule}");
    }
    // Items behind those that a rule names are not looked at.
    let first = compile(&json!({"prefixItems": [true]})).unwrap();
    let checked = first.check("data", &json!(vec![1; 1000]), &mut Budget::new(10));
    assert_eq!(checked, Ok(()));
}

#[test]
fn a_schema_may_refer_to_itself() {
    let tree = json!({
        "properties": {"name": {"type": "string"}, "parts": {"items": {"$ref": "#"}}},
        "required": ["name"]
    });
    let value = json!({"name": "a", "parts": [{"name": "b", "parts": [{"parts": []}]}]});
    assert_eq!(
        faults(&tree, &value),
        ["The data.parts[0].parts[0] must have a member name."]
    );
}

proptest! {
    #[test]
    fn a_multiple_is_found(times in 0_u32..1_000_000, divisor in 1_u32..1_000_000, places in 0_usize..6) {
        let spelled = |n: u64| serde_json::from_str::<Value>(&format!("{n}e-{places}")).unwrap();
        let schema = json!({"multipleOf": spelled(divisor.into())});
        let multiple = u64::from(times) * u64::from(divisor);
        prop_assert!(faults(&schema, &spelled(multiple)).is_empty());
        let other = multiple + 1;
        prop_assert_eq!(faults(&schema, &spelled(other)).is_empty(), divisor == 1);
    }
}
