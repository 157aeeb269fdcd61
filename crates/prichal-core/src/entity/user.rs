//! Users: people of the CRM, who are also the employees of the document exchange (`docs/contracts/prichal.md §1`).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{ACCESS_RIGHTS, CUSTOM_FIELDS, Defaults, NAME, REGION, flag, list, none_id};
use crate::{
    identifier,
    schema::{Elements, Field, Key, Object, Preset, Type, Words},
};

/// The permissions of employees for documents (`docs/contracts/idocs.md §8`, `docs/contracts/prichal.md §14`).
pub const PERMISSIONS: &[&str] = &[
    "DOCUMENT_CREATE",
    "DOCUMENT_VIEW",
    "ROUTE_CREATE",
    "DOCUMENT_SIGN",
    "DOCUMENT_APPROVE",
    "DOCUMENT_REJECT",
    "DOCUMENT_DOWNLOAD",
    "EMPLOYEE_VIEW",
    "WEBHOOK_MANAGE",
];

static PERMISSION: Words = Words {
    name: "permission",
    words: PERMISSIONS,
};

static STATUS: Words = Words {
    name: "userStatus",
    words: &["active", "inactive"],
};

pub(super) const FIELDS: &[Field] = &[
    none_id("groupId").doc("The group of the user. Zeros stand for none."),
    // The name is composed of its three parts. The client's value counts only if all parts are absent.
    NAME.fixed().doc(
        "The last, first and middle name, or the name that was sent if there are none of these.",
    ),
    Field::new("login", Type::Text)
        .required()
        .doc("The login, unique in the workspace."),
    Field::new("firstName", Type::Text).doc("The first name."),
    Field::new("middleName", Type::Text).doc("The middle name."),
    Field::new("lastName", Type::Text).doc("The last name."),
    flag("isAdmin").doc("True for an administrator of the workspace."),
    flag("isHidden").doc("True if the user is not shown to others."),
    flag("isAuthorized")
        .server()
        .doc("True once the user has signed in."),
    Field::new("status", Type::Enum(&STATUS))
        .or(Preset::Text("inactive"))
        .doc("The state of the user."),
    Field::new("settings", Type::Object(SETTINGS))
        .or(Preset::Object)
        .doc("The settings of the user."),
    CUSTOM_FIELDS,
    ACCESS_RIGHTS,
    Field::new("iin", Type::Text).form(&identifier::DIGITS).doc(
        "The personal identification number of an employee: 12 digits with a valid check digit.",
    ),
    Field::new("position", Type::Text).doc("The position of an employee."),
    Field::new("email", Type::Text).doc("The e-mail address of an employee."),
    list("permissions", Type::Enums(&PERMISSION))
        .doc("The permissions of an employee for documents."),
];

const SETTINGS: &[Field] = &[
    REGION,
    Field::new("notifications", Type::Object(NOTIFICATIONS)).doc("The notifications of the user."),
];

const NOTIFICATIONS: &[Field] = &[
    Field::new("channels", Type::Object(CHANNELS)).doc("The ways of all notifications."),
    Field::new("types", Type::Elements(&TYPES)).doc("The kinds of notifications by name."),
];

const CHANNELS: &[Field] = &[
    Field::new("webAppEnabled", Type::Bool).doc("True for the web application."),
    Field::new("emailEnabled", Type::Bool).doc("True for e-mails."),
    Field::new("telegramEnabled", Type::Bool).doc("True for Telegram."),
    Field::new("webAppEnabledAt", Type::Moment)
        .doc("The time since which the web application has been on."),
];

static TYPES: Elements = Elements::new(
    Key::Text,
    &[
        Field::new("channels", Type::Object(CHANNELS))
            .or(Preset::Object)
            .doc("The ways of these notifications."),
        Field::new("schedule", Type::Object(SCHEDULE))
            .or(Preset::Object)
            .doc("The times of these notifications."),
    ],
);

const SCHEDULE: &[Field] = &[
    Field::new("time", Type::TimeSpan)
        .doc("The time of day.")
        .example("09:00:00"),
    Field::new("skipHolidays", Type::Bool).doc("True if holidays are left out."),
];

/// Fills in the defaults of a new user (`docs/contracts/kontur.md §5`, User).
pub(super) fn fill_defaults(user: &mut Object, defaults: Defaults<'_>) {
    compose_name(user);
    if !user.contains_key("name") {
        let login = user.get("login").cloned().unwrap_or_default();
        user.insert("name".to_owned(), login);
    }
    let is_admin = user.get("isAdmin") == Some(&Value::Bool(true));
    if is_admin && !user.contains_key("permissions") {
        user.insert("permissions".to_owned(), json!(PERMISSIONS));
    }
    let settings = user.entry("settings").or_insert_with(|| json!({}));
    let Some(settings) = settings.as_object_mut() else {
        return;
    };
    let region = settings.entry("regionCode");
    region.or_insert_with(|| Value::from(defaults.region));
    let preset = notifications(defaults);
    let given = settings.entry("notifications").or_insert_with(|| json!({}));
    if let (Some(given), Value::Object(preset)) = (given.as_object_mut(), preset) {
        for (member, value) in preset {
            given.entry(member).or_insert(value);
        }
    }
}

/// The default notifications: three kinds, in the web application only. The daily list comes at nine on working days.
fn notifications(defaults: Defaults<'_>) -> Value {
    let since = defaults.now.to_string();
    let web_only = json!({
        "webAppEnabled": true,
        "emailEnabled": false,
        "telegramEnabled": false,
        "webAppEnabledAt": since,
    });
    json!({
        "channels": {"webAppEnabled": true, "webAppEnabledAt": since},
        "types": [
            {"id": "hotDeals", "channels": web_only, "schedule": {}},
            {"id": "task", "channels": web_only, "schedule": {}},
            {
                "id": "currentTasks",
                "channels": web_only,
                "schedule": {"time": "09:00:00", "skipHolidays": true},
            },
        ],
    })
}

/// Sets `name` to "last first middle" if any of them is present.
pub(super) fn compose_name(user: &mut Object) {
    let part = |name: &str| user.get(name).and_then(Value::as_str).map(str::trim);
    let parts = ["lastName", "firstName", "middleName"].map(part);
    let parts: Vec<&str> = parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect();
    if !parts.is_empty() {
        let name = parts.join(" ");
        user.insert("name".to_owned(), Value::String(name));
    }
}

/// The maximum number of bytes of a login or of an address by which a sign-in finds a user. A subject of OpenID Connect
/// has at most 255 letters, and an address 254 (RFC 5321).
const MAX_SIGN_IN_NAME: usize = 320;

/// The names by which a sign-in finds a user with these members, JSON: the login, and the e-mail address.
pub fn sign_in_names(members: &str) -> Vec<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Names {
        login: Option<String>,
        email: Option<String>,
    }
    let Names { login, email } = serde_json::from_str(members).unwrap_or_default();
    let login = login.as_deref().and_then(login_name);
    let email = email.as_deref().and_then(email_name);
    login.into_iter().chain(email).collect()
}

/// The name of a login. `None` if no user is found by it.
pub fn login_name(login: &str) -> Option<String> {
    name_of("login", login)
}

/// The name of an e-mail address, whose letters may be small or capital. `None` if no user is found by it.
pub fn email_name(email: &str) -> Option<String> {
    name_of("email", &email.to_ascii_lowercase())
}

fn name_of(kind: &str, text: &str) -> Option<String> {
    let has_name = (1..=MAX_SIGN_IN_NAME).contains(&text.len()) && !text.contains('\0');
    has_name.then(|| format!("{kind}:{text}"))
}

/// The members of a user that the document exchange reads.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Employee {
    pub name: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub iin: Option<String>,
    pub position: Option<String>,
    pub email: Option<String>,
    pub is_admin: Option<bool>,
    permissions: Vec<String>,
}

impl Employee {
    /// Reads the members of a user, JSON.
    pub fn read(members: &str) -> Option<Self> {
        serde_json::from_str(members).ok()
    }

    /// True if a permission was granted.
    pub fn may(&self, permission: &str) -> bool {
        self.permissions.iter().any(|one| one == permission)
    }
}
