//! The parsers of `prichal-core` and of the dialects.

use prichal_core::{
    channel,
    entity::{self, Defaults},
    event::EntityKind,
    event_type::{Definition, Draft},
    id, identifier,
    integration::{self, Instance, Manifest, Secrets, Status, Webhook, is_http_url, target_url},
    json_schema::Budget,
    network::Network,
    patch as json_patch,
    phone::{self as telephone, Region},
    schema::Object,
    script,
    time::{Timestamp, parse_setting, parse_time_span},
};
use prichal_dialect::{
    era::{
        names,
        query::{Projection, Selection},
    },
    kontur::{self, call},
};
use serde_json::Value;
use uuid::Uuid;

const KINDS: [EntityKind; 8] = [
    EntityKind::User,
    EntityKind::Group,
    EntityKind::Role,
    EntityKind::Company,
    EntityKind::Contact,
    EntityKind::Deal,
    EntityKind::Task,
    EntityKind::Notification,
];

fn json(input: &[u8]) -> Option<Value> {
    serde_json::from_slice(input).ok()
}

fn object(input: &[u8]) -> Option<Object> {
    match json(input)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Sequential ids.
fn ids() -> impl FnMut() -> Uuid {
    let mut last = 0;
    move || {
        last += 1;
        Uuid::from_u128(last)
    }
}

pub(crate) fn address(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(network) = Network::parse(&text) {
        let _ = network.contains([127, 0, 0, 1].into());
    }
    let _ = is_http_url(&text);
    let _ = target_url(Some("https://partner.example/api"), &text);
    let _ = target_url(Some(&text), "/hook");
}

pub(crate) fn call_message(input: &[u8]) {
    let Some(body) = object(input) else { return };
    let _ = call::started(&body);
    let _ = call::finished(&body);
    let _ = call::event(&body);
    let _ = call::failed(&body);
    let _ = call::recording(&body);
    let _ = call::register(&body);
    let _ = call::dial(&body);
    let _ = call::hang_up(&body);
}

/// An event type, and events of it.
pub(crate) fn event_type(input: &[u8]) {
    let Some(Value::Array(parts)) = json(input) else {
        return;
    };
    let (Some(definition), Some(events)) = (parts.first(), parts.get(1)) else {
        return;
    };
    let Ok(definition) = Definition::read(definition, None) else {
        return;
    };
    let stored = Definition::from_text(&definition.name, &definition.to_text());
    let stored = stored.expect("what was read can be stored");
    assert_eq!(stored.model(), definition.model());
    let known = stored.compile().expect("what was read compiles");
    let mut budget = Budget::new(100_000);
    for draft in Draft::read_all(events).into_iter().flatten() {
        let _ = draft.check(Some(&known), &mut budget);
    }
}

pub(crate) fn channel(input: &[u8]) {
    let Some(body) = object(input) else { return };
    let now = Timestamp::default();
    if let Ok(channel) = channel::Channel::read(&body, Uuid::nil(), "token".to_owned(), now) {
        let _ = channel.admits([10, 0, 0, 1].into());
        let _ = channel.timeout();
        let _ = channel.patched(&body);
    }
    if let Ok(script) = script::Script::read(&body, Uuid::nil(), now) {
        let _ = script.patched(&body);
    }
}

pub(crate) fn entity(input: &[u8]) {
    let Some(body) = object(input) else { return };
    let defaults = Defaults {
        region: "RU",
        now: Timestamp::default(),
    };
    for kind in KINDS {
        let Ok(draft) = entity::create(kind, &body, defaults, &mut ids()) else {
            continue;
        };
        let _ = entity::check_identifiers(kind, &draft.members, identifier::Check::Strict);
        if let Ok(text) = entity::to_text(&draft.members) {
            assert_eq!(
                entity::from_text(&text),
                Some(draft.members),
                "is read back as it was written"
            );
        }
    }
}

pub(crate) fn filter(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for names in [&names::CHANNEL, &names::CHANNEL_TYPE, &names::SCRIPT] {
        if let Ok(selection) = Selection::read(names, Some(&text), None) {
            let _ = selection.wants(&Object::new());
        }
        if let Ok(selection) = Selection::read(names, None, Some(&text)) {
            selection.sort(&mut [Object::new(), Object::new()]);
        }
    }
}

pub(crate) fn manifest(input: &[u8]) {
    if let Some(body) = json(input) {
        let _ = Manifest::read(&body);
    }
}

pub(crate) fn mask(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for names in [&names::CHANNEL, &names::CHANNEL_TYPE, &names::SCRIPT] {
        if let Ok(shape) = Projection::read(names, Some(&text), true) {
            let _ = shape.show(&Object::new(), true);
        }
    }
}

pub(crate) fn patch(input: &[u8]) {
    let Some(body) = json(input) else { return };
    let Ok(operations) = json_patch::parse(&body) else {
        return;
    };
    for kind in KINDS {
        let members = entity::create(
            kind,
            &Object::new(),
            Defaults {
                region: "RU",
                now: Timestamp::default(),
            },
            &mut ids(),
        );
        let members = members.map(|draft| draft.members).unwrap_or_default();
        if let Ok(patched) = entity::patch(kind, &members, &[], &operations, &mut ids()) {
            assert_eq!(patched.changed, patched.members != members);
            let _ = entity::to_text(&patched.members);
        }
    }
    let instance = Instance::new(None, Status::Active);
    let _ = instance.patch(&kontur::instance::operations(&operations), &mut ids());
}

pub(crate) fn phone(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for name in telephone::REGIONS.words {
        let region = Region::from_name(name).unwrap_or_default();
        for key in telephone::keys(&text, region) {
            assert!(!key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()));
        }
    }
}

pub(crate) fn setup(input: &[u8]) {
    if let Some(body) = object(input) {
        let _ = integration::setup(&body);
    }
}

/// Short formatted texts: times, durations, ids, identifiers.
pub(crate) fn text_forms(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = Timestamp::parse(&text);
    let _ = parse_setting(&text);
    let _ = parse_time_span(&text);
    let _ = id::parse(&text);
    let _ = identifier::is_inn(&text);
}

pub(crate) fn webhook(input: &[u8]) {
    let Some(body) = json(input) else { return };
    if let Ok(webhook) = Webhook::read(&body, &mut ids()) {
        assert_eq!(
            Webhook::from_kept(&webhook.model(Secrets::Shown)),
            Some(webhook)
        );
    }
}
