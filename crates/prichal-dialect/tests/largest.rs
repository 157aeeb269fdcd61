//! The largest inputs that requests may have, given to the readers of the dialects: an answer or a refusal, on the
//! stack of a thread as the server's are. An overflow of it ends the process.

use prichal_dialect::{
    era::{
        names::CHANNEL,
        query::{Projection, Selection},
    },
    kontur::call,
};
use serde_json::{Value, json};

/// The smallest stack in use: that of the runtime's threads.
const STACK: usize = 2 << 20;
/// The maximum number of bytes of a JSON body.
const MAX_BODY: usize = 1 << 20;
/// The depth at which the reader of JSON gives up.
const DEPTH: usize = 128;

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work);
    thread.expect("a thread").join().expect("no panic");
}

/// Texts of the greatest length, made of what readers go into.
fn texts() -> Vec<String> {
    let parts = [
        "[", "{\"a\":", "\"", "1", "/a", "/", "~1", "(", ")", ",", ".", "a.", "a[0]", "-", "+",
        "::", " ", "\\", "{", "}", "é", "code,", "P1D", "0:",
    ];
    let long = |part: &&str| part.repeat(MAX_BODY / part.len());
    parts.iter().map(long).collect()
}

/// Values as deep and as wide as the reader of JSON lets pass.
fn values() -> Vec<Value> {
    let nest = |wrap: fn(Value) -> Value| (1..DEPTH).fold(json!(1), |inner, _| wrap(inner));
    vec![
        nest(|inner| json!({ "a": inner })),
        nest(|inner| json!({ "customFields": inner })),
        nest(|inner| json!([{ "id": "x", "value": inner }])),
        json!(vec![0; MAX_BODY / 2]),
        json!(vec![json!([]); MAX_BODY / 3]),
        (0..MAX_BODY / 12)
            .map(|n| (n.to_string(), json!(n)))
            .collect(),
        json!("x".repeat(MAX_BODY)),
    ]
}

#[test]
fn texts_have_an_answer() {
    on_a_small_stack(|| {
        for text in texts() {
            let _ = Projection::read(&CHANNEL, Some(&text), false);
            let _ = Selection::read(&CHANNEL, Some(&text), Some(&text));
        }
    });
}

#[test]
fn values_have_an_answer() {
    on_a_small_stack(|| {
        for value in values() {
            for name in ["items", "from", "externalId", "clientPhone"] {
                let body = json!({ name: value });
                let Value::Object(body) = body else { continue };
                let _ = (call::started(&body), call::finished(&body));
                let _ = (call::event(&body), call::failed(&body));
                let _ = (call::recording(&body), call::register(&body));
                let _ = (call::dial(&body), call::hang_up(&body));
            }
        }
    });
}

/// A request can name a field as often as it is long; a list is sorted by it once.
#[test]
fn fields_count_once() {
    let names = "code,".repeat(MAX_BODY / 5);
    let shape = Projection::read(&CHANNEL, Some(&names), false);
    assert!(shape.is_ok_and(|shape| format!("{shape:?}").matches("code").count() < 100));
    let order = format!(
        "[{}]",
        vec!["\"code\",{\"code\":\"desc\"}"; MAX_BODY / 24].join(",")
    );
    let many = Selection::read(&CHANNEL, None, Some(&order));
    let one = Selection::read(&CHANNEL, None, Some(r#"["code"]"#));
    assert_eq!(many, one);
}
