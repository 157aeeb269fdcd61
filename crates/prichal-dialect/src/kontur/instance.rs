//! Integration instances: the model in answers, and shorthands in a PATCH of it (`docs/contracts/kontur.md §4.2, §5`).

use prichal_core::{
    entity,
    event::EntityKind,
    id::IntegrationId,
    integration::{Instance, Secrets},
    patch::{Op, Operation},
    update_info::UpdateInfo,
};
use serde_json::{Value, json};

/// The model of an integration's instance.
pub fn model(
    instance: &Instance,
    id: IntegrationId,
    secrets: Secrets,
    info: &UpdateInfo,
) -> String {
    let members = Value::Object(instance.members(secrets)).to_string();
    entity::model(EntityKind::Integration, id.0, &members, &[], info)
}

/// Replaces two shorthands by their usual form: the documentation adds a webhook to `/IntegrationInstance` in
/// place of `/webHooks`, and a secret may be replaced by its bare value.
pub fn operations(sent: &[Operation]) -> Vec<Operation> {
    sent.iter().map(usual_form).collect()
}

fn usual_form(operation: &Operation) -> Operation {
    let mut operation = operation.clone();
    let path = operation.path.to_ascii_lowercase();
    if operation.op == Op::Add && path == "/integrationinstance" {
        "/webHooks".clone_into(&mut operation.path);
    }
    let of_secret = path
        .strip_prefix("/secrets/")
        .is_some_and(|id| !id.contains('/'));
    if operation.op == Op::Replace && of_secret && operation.value.is_string() {
        operation.value = json!({"value": operation.value});
    }
    operation
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        integration::{Instance, SIGNING_SECRET, Secret, Status, Webhook},
        patch,
    };
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn instance() -> Instance {
        Instance::new(Some("https://my-integration.ru".to_owned()), Status::Active)
    }

    fn patched(instance: &Instance, sent: &Value) -> Instance {
        let sent = patch::parse(&json!({"operations": sent})).unwrap();
        instance.patch(&operations(&sent), &mut Uuid::nil).unwrap()
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
        let operations =
            json!([{"op": "Add", "path": "/IntegrationInstance", "value": documented_hook()}]);
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
    fn a_secret_may_be_replaced_by_its_bare_value() {
        let mut before = instance();
        before.put_secret(Secret::signing("b25l"));
        let path = format!("/secrets/{SIGNING_SECRET}");
        let replaced = |instance: &Instance, value: &str| {
            let operation = json!({"op": "replace", "path": path, "value": value});
            patched(instance, &json!([operation]))
        };
        let values = |instance: &Instance| instance.secret(SIGNING_SECRET).unwrap().values.clone();
        assert_eq!(values(&replaced(&before, "new")), ["new", "whsec_b25l"]);
        let twice = replaced(&replaced(&before, "b"), "c");
        assert_eq!(values(&twice), ["c", "b"]);
    }
}
