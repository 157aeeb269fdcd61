//! An integration in one workspace (`docs/contracts/kontur.md §5`, `IntegrationInstance`).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Secret, Setup, Status, Webhook, secret::SECRETS, webhook::WEBHOOKS};
use crate::{
    delivery_settings::DeliverySettings,
    patch::{self, Operation, PatchErrors},
    schema::{Elements, Field, Key, NewId, Object, Preset, Type, Words},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub base_url: Option<String>,
    pub features: Features,
    pub status: Status,
    pub secrets: Vec<Secret>,
    pub settings: Vec<Setting>,
    pub webhooks: Vec<Webhook>,
}

/// The system calls that an integration accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    pub call: bool,
    pub hangup: bool,
    pub send_sms: bool,
}

/// One setting. Its value is always text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub id: String,
    pub value: String,
}

/// The form of secrets: plain for the integration itself and for administrators, masked for others and in
/// the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    Shown,
    Masked,
}

/// The members that can be patched.
pub const INSTANCE: &[Field] = &[
    Field::new("features", Type::Object(FEATURES))
        .or(Preset::Object)
        .doc("The system calls that the integration accepts."),
    Field::new("secrets", Type::Elements(&SECRETS))
        .or(Preset::List)
        .doc("Secrets by name."),
    Field::new("settings", Type::Elements(&SETTINGS))
        .or(Preset::List)
        .doc("Settings by name."),
    Field::new("webHooks", Type::Elements(&WEBHOOKS))
        .or(Preset::List)
        .doc("The webhooks."),
];

/// The members that only the server sets.
pub const INSTANCE_STATE: &[Field] = &[
    Field::new("baseUrl", Type::Text)
        .server()
        .doc("The URL of the integration, from its manifest."),
    Field::new("status", Type::Enum(&STATUSES))
        .server()
        .shown()
        .doc("The state of the integration in the workspace."),
];

/// The names of [`Status`].
pub static STATUSES: Words = Words {
    name: "integrationStatus",
    words: Status::WORDS,
};

const FEATURES: &[Field] = &[
    Field::new("call", Type::Bool)
        .or(Preset::False)
        .doc("Calls that users ask for."),
    Field::new("hangup", Type::Bool)
        .or(Preset::False)
        .doc("The end of a call that users ask for."),
    Field::new("sendSms", Type::Bool)
        .or(Preset::False)
        .doc("Short messages."),
];

static SETTINGS: Elements = Elements::new(
    Key::Text,
    &[Field::new("value", Type::Text)
        .or(Preset::Text(""))
        .doc("The value, always a text.")],
);

impl Instance {
    /// An instance right after its installation.
    pub const fn new(base_url: Option<String>, status: Status) -> Self {
        Self {
            base_url,
            features: Features {
                call: false,
                hangup: false,
                send_sms: false,
            },
            status,
            secrets: Vec::new(),
            settings: Vec::new(),
            webhooks: Vec::new(),
        }
    }

    pub fn secret(&self, id: &str) -> Option<&Secret> {
        self.secrets.iter().find(|secret| secret.id == id)
    }

    pub fn setting(&self, id: &str) -> Option<&str> {
        let setting = self.settings.iter().find(|setting| setting.id == id)?;
        Some(&setting.value)
    }

    /// The instance after a patch. The rest of its members are the server's: paths to them do not
    /// exist here, so they are reported as invalid.
    pub fn patch(&self, operations: &[Operation], new_id: NewId<'_>) -> Result<Self, PatchErrors> {
        let mut object = self.writable();
        patch::apply(INSTANCE, &mut object, operations, new_id)?;
        let mut after = self.with_writable(&object);
        for hook in &mut after.webhooks {
            let old = self.webhooks.iter().find(|old| old.id == hook.id);
            let old = old.map(|old| &old.settings);
            if let Err(fault) = hook
                .settings
                .unmask(old.unwrap_or(&DeliverySettings::default()))
            {
                return Err(PatchErrors {
                    invalid_constraints: vec![("webHooks".to_owned(), fault.into())],
                    ..PatchErrors::default()
                });
            }
        }
        Ok(after)
    }

    /// Sets the members of a setup. Other members stay.
    pub fn set_up(&mut self, setup: Setup) {
        for secret in setup.secrets {
            self.put_secret(secret);
        }
        for setting in setup.settings {
            match self
                .settings
                .iter_mut()
                .find(|known| known.id == setting.id)
            {
                Some(known) => *known = setting,
                None => self.settings.push(setting),
            }
        }
    }

    /// Sets a secret. It replaces one with the same id.
    pub fn put_secret(&mut self, secret: Secret) {
        match self.secrets.iter_mut().find(|known| known.id == secret.id) {
            Some(known) => *known = secret,
            None => self.secrets.push(secret),
        }
    }

    /// The snapshot in the feed. Secrets are masked there.
    pub fn snapshot(&self, id: Uuid) -> String {
        let members = Value::Object(self.members(Secrets::Masked)).to_string();
        crate::entity::snapshot(id, &members)
    }

    /// The members of the model, in their order. The values of webhooks' secret headers are masked in any case.
    pub fn members(&self, secrets: Secrets) -> Object {
        let masked = secrets == Secrets::Masked;
        let mut out = Map::new();
        if let Some(base_url) = &self.base_url {
            out.insert("baseUrl".to_owned(), Value::from(base_url.as_str()));
        }
        out.insert("features".to_owned(), self.features.to_json());
        out.insert("status".to_owned(), Value::from(self.status.name()));
        let secrets = self
            .secrets
            .iter()
            .map(|secret| secret.to_json(masked))
            .collect();
        out.insert("secrets".to_owned(), secrets);
        out.insert(
            "settings".to_owned(),
            self.settings.iter().map(Setting::to_json).collect(),
        );
        out.insert(
            "webHooks".to_owned(),
            self.webhooks
                .iter()
                .map(|hook| hook.model(Secrets::Masked))
                .collect(),
        );
        out
    }

    /// The bytes of the members that can be patched, as JSON with the secrets.
    pub fn size(&self) -> usize {
        let mut members = self.writable();
        let webhooks = self.webhooks.iter();
        let webhooks = webhooks.map(|hook| hook.model(Secrets::Shown)).collect();
        members.insert("webHooks".to_owned(), webhooks);
        Value::Object(members).to_string().len()
    }

    /// The members that can be patched. Secrets of webhooks are masked, so that no patch of a part can show them.
    fn writable(&self) -> Object {
        let mut members = self.members(Secrets::Shown);
        members.retain(|member, _| INSTANCE.iter().any(|field| field.name == member));
        members
    }

    fn with_writable(&self, object: &Object) -> Self {
        let list = |member: &str| {
            let items = object
                .get(member)
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            items.filter_map(Value::as_object)
        };
        let secrets = list("secrets").filter_map(|element| {
            let old = element
                .get("id")
                .and_then(Value::as_str)
                .and_then(|id| self.secret(id));
            Secret::merge(element, old)
        });
        let webhooks = list("webHooks").filter_map(|element| Webhook::from_element(element).ok());
        Self {
            base_url: self.base_url.clone(),
            features: object
                .get("features")
                .map(Features::from_json)
                .unwrap_or_default(),
            status: self.status,
            secrets: secrets.collect(),
            settings: list("settings").filter_map(Setting::from_element).collect(),
            webhooks: webhooks.collect(),
        }
    }
}

impl Features {
    pub fn to_json(self) -> Value {
        json!({"call": self.call, "hangup": self.hangup, "sendSms": self.send_sms})
    }

    pub fn from_json(value: &Value) -> Self {
        let flag = |member: &str| value.get(member) == Some(&Value::Bool(true));
        Self {
            call: flag("call"),
            hangup: flag("hangup"),
            send_sms: flag("sendSms"),
        }
    }
}

impl Setting {
    fn to_json(&self) -> Value {
        json!({"id": self.id, "value": self.value})
    }

    fn from_element(element: &Object) -> Option<Self> {
        let text = |member: &str| Some(element.get(member)?.as_str()?.to_owned());
        Some(Self {
            id: text("id")?,
            value: text("value").unwrap_or_default(),
        })
    }
}
