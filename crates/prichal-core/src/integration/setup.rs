//! The secrets and settings that `POST …/setup` stores of its free object (`docs/contracts/prichal.md §10.2`).

use serde_json::Value;

use super::{Secret, Setting};
use crate::schema::{Fault, MAX_ITEMS, MismatchKind, Object, TypeName};

const MAX_NAME: usize = 200;
/// A member with one of these in its name is a secret.
const SECRET_WORDS: [&str; 3] = ["secret", "key", "token"];

/// The secrets and settings of a setup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub secrets: Vec<Secret>,
    pub settings: Vec<Setting>,
}

/// Sorts the members of a setup object into secrets and settings. Nulls and empty secrets are skipped.
pub fn setup(object: &Object) -> Result<Setup, Vec<Fault>> {
    if object.len() > MAX_ITEMS {
        return Err(vec![Fault::rule(
            "",
            format!("More than {MAX_ITEMS} members."),
        )]);
    }
    let mut out = Setup::default();
    let mut faults = Vec::new();
    for (name, value) in object {
        match text(name, value) {
            Ok(None) => {}
            Ok(Some(value)) if is_secret(name) => {
                if !value.is_empty() {
                    out.secrets.push(Secret::new(name, value));
                }
            }
            Ok(Some(value)) => out.settings.push(Setting {
                id: name.clone(),
                value,
            }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(out)
    } else {
        Err(faults)
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Values are stored as text, booleans as `True` and `False` (`docs/contracts/kontur.md §1`).
fn text(name: &str, value: &Value) -> Result<Option<String>, Fault> {
    if name.trim().is_empty() || name.chars().count() > MAX_NAME {
        return Err(Fault::rule(
            name,
            format!("A name has 1 to {MAX_NAME} characters."),
        ));
    }
    match value {
        Value::Null => Ok(None),
        Value::Bool(true) => Ok(Some("True".to_owned())),
        Value::Bool(false) => Ok(Some("False".to_owned())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::String(text) if text.contains('\0') => Err(Fault::mismatch(
            name,
            value,
            TypeName::Text,
            MismatchKind::Format,
        )),
        Value::String(text) => Ok(Some(text.clone())),
        // The object is free: lists and objects are stored as their JSON.
        Value::Array(_) | Value::Object(_) => Ok(Some(value.to_string())),
    }
}
