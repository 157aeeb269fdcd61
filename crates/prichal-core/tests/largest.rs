//! The largest inputs that requests may have, given to whatever reads them: an answer or a refusal, on the stack
//! of a thread as the server's are. What overflows it ends the process.

use prichal_core::{
    channel::Channel,
    entity,
    event::EntityKind,
    id,
    integration::{Manifest, Webhook, setup},
    locate,
    network::Network,
    patch, phone,
    schema::{self, Object},
    script::Script,
    time::{Timestamp, parse_setting, parse_time_span},
    workspace_name::is_workspace_name,
};
use serde_json::{Value, json};
use uuid::Uuid;

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
        nest(|inner| json!([inner])),
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
            let _ = serde_json::from_str::<Value>(&text);
            let _ = (
                id::parse(&text),
                phone::keys(&text, phone::Region::default()),
                Network::parse(&text),
            );
            let _ = (
                Timestamp::parse(&text),
                parse_time_span(&text),
                parse_setting(&text),
            );
            let _ = (locate::end_of(&text, "a.b[3]"), locate::end_of("{}", &text));
            let _ = is_workspace_name(&text);
            let operation = json!({ "op": "add", "path": text, "value": text });
            let _ = try_patch(&json!([operation]));
        }
    });
}

#[test]
fn values_have_an_answer() {
    on_a_small_stack(|| {
        for value in values() {
            let mut new_id = Uuid::nil;
            let _ = (Manifest::read(&value), Webhook::read(&value, &mut new_id));
            let _ = patch::parse(&value);
            for path in [
                "/customFields",
                "/customFields/a/b",
                "/name",
                "/phones",
                "/links",
                "/supervisors",
            ] {
                for op in ["add", "replace", "remove"] {
                    let operation = json!({ "op": op, "path": path, "value": value });
                    let _ = try_patch(&json!([operation]));
                }
            }
            let Value::Object(members) = value else {
                continue;
            };
            let _ = setup(&members);
            let _ = Script::read(&members, Uuid::nil(), Timestamp::from_micros(0));
            let _ = Channel::read(
                &members,
                Uuid::nil(),
                String::new(),
                Timestamp::from_micros(0),
            );
            for kind in entity_kinds() {
                let _ = schema::read(entity::fields(kind), &members, &mut new_id);
            }
        }
    });
}

/// The kinds with the most forms of fields.
fn entity_kinds() -> [EntityKind; 3] {
    [EntityKind::Company, EntityKind::Task, EntityKind::User]
}

fn try_patch(operations: &Value) -> Result<(), ()> {
    let operations = patch::parse(&json!({ "operations": operations })).map_err(drop)?;
    for kind in entity_kinds() {
        let _ = entity::patch(kind, &Object::new(), &[], &operations, &mut Uuid::nil);
    }
    Ok(())
}
