//! Secrets of an instance: the newest value, and all values that are accepted while it replaces an older one
//! (`docs/contracts/kontur.md §5, §13` rows 14 and 15).

use std::fmt;

use serde_json::{Value, json};

use crate::schema::{Elements, Field, Key, Object, Type};

/// The secret that signs webhook calls (`docs/contracts/prichal.md §6`).
pub const SIGNING_SECRET: &str = "webhook.signingSecret";

/// The maximum number of values a secret may hold.
const MAX_VALUES: usize = 10;
const MASK: &str = "***";

#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    pub id: String,
    /// The newest value.
    pub value: String,
    /// All accepted values, including `value`.
    pub values: Vec<String>,
}

impl fmt::Debug for Secret {
    /// Shows no value, because debug output may be logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Secret {
    pub fn new(id: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into();
        Self {
            id: id.into(),
            values: vec![value.clone()],
            value,
        }
    }

    /// The signing secret of an instance, from 32 random bytes in base64.
    pub fn signing(encoded: &str) -> Self {
        Self::new(SIGNING_SECRET, format!("whsec_{encoded}"))
    }

    pub(super) fn to_json(&self, masked: bool) -> Value {
        if masked {
            json!({"id": self.id, "value": MASK, "values": [MASK]})
        } else {
            json!({"id": self.id, "value": self.value, "values": self.values})
        }
    }

    /// Reads an element of `secrets` after a patch. `old` is the secret before it.
    ///
    /// If only `value` is new, the old value stays accepted, so that no call fails until both sides use the new one. If
    /// `values` is new, exactly these values are accepted.
    pub(super) fn merge(element: &Object, old: Option<&Self>) -> Option<Self> {
        let id = element.get("id")?.as_str()?.to_owned();
        let value = element
            .get("value")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let given = values(element);
        let values_are_old = old.is_some_and(|old| given.is_empty() || given == old.values);
        let (value, mut values) = match (value, old) {
            (Some(value), Some(old)) if values_are_old && value == old.value => {
                (value, old.values.clone())
            }
            (Some(value), Some(old)) if values_are_old => {
                (value.clone(), vec![value, old.value.clone()])
            }
            // The value repeats the old one, which is not among the new values: only the new ones count.
            (Some(value), Some(old)) if value == old.value && !given.contains(&value) => {
                (given.first()?.clone(), given)
            }
            (Some(value), _) => (value, given),
            (None, _) => (given.first()?.clone(), given),
        };
        if !values.contains(&value) {
            values.insert(0, value.clone());
            values.truncate(MAX_VALUES);
        }
        Some(Self { id, value, values })
    }
}

pub(super) static SECRETS: Elements = Elements {
    rule: Some(check),
    ..Elements::new(
        Key::Text,
        &[
            Field::new("value", Type::Text)
                .shown()
                .doc("The newest value; `***` for callers who may not see it."),
            Field::new("values", Type::Texts)
                .items(MAX_VALUES)
                .shown()
                .doc("Every value that is accepted, at most ten."),
        ],
    )
};

fn values(element: &Object) -> Vec<String> {
    let values = element
        .get("values")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut out: Vec<String> = Vec::new();
    for value in values.filter_map(Value::as_str) {
        if !out.iter().any(|one| one == value) {
            out.push(value.to_owned());
        }
    }
    out
}

/// Refuses empty values, because a request with an empty secret would match one.
fn check(element: &Object) -> Result<(), String> {
    let value = element.get("value").and_then(Value::as_str);
    let values = values(element);
    if value.is_none() && values.is_empty() {
        Err("a secret needs a value".to_owned())
    } else if value == Some("") || values.iter().any(String::is_empty) {
        Err("a secret cannot be empty".to_owned())
    } else if values.len() > MAX_VALUES {
        Err(format!("a secret holds at most {MAX_VALUES} values"))
    } else {
        Ok(())
    }
}
