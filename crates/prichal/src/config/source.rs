//! The sources of settings: flags, then variables, then a file, then the defaults.

use std::{any::TypeId, collections::HashMap};

use clap::{
    Arg, Args as _, Command, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use secrecy::SecretString;

use super::{Config, MasterKey};

/// An unusable setting: one line, without the value of a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadSetting {
    #[error("{origin}: {given} is not allowed; `{name}` takes {allowed}")]
    Value {
        origin: String,
        given: String,
        name: String,
        allowed: String,
    },
    #[error("{file}: `{key}` is not a setting")]
    Unknown { file: String, key: String },
    #[error("{file} is not TOML: {why} in line {line}")]
    NotToml {
        file: String,
        line: usize,
        why: String,
    },
    #[error("cannot read {file}: {why}")]
    Unreadable { file: String, why: String },
}

/// The given values, by source.
pub struct Sources<'a> {
    pub flags: &'a dyn Fn(&str) -> Option<String>,
    pub variables: &'a dyn Fn(&str) -> Option<String>,
    /// The name of the file, for messages, and its text.
    pub file: Option<(String, String)>,
}

/// The flags of all settings.
pub(super) fn flags() -> Command {
    Config::augment_args(Command::new("settings").no_binary_name(true))
}

/// The name of a setting, of its flag and of its key in the file.
pub(super) fn name(setting: &Arg) -> &str {
    setting.get_long().unwrap_or_default()
}

/// True if the type of the setting keeps it secret.
pub(super) fn is_secret(setting: &Arg) -> bool {
    let kind = setting.get_value_parser().type_id();
    kind == TypeId::of::<SecretString>() || kind == TypeId::of::<MasterKey>()
}

/// The environment variable of a setting.
pub fn variable(name: &str) -> String {
    format!("PRICHAL_{}", name.to_ascii_uppercase().replace('-', "_"))
}

/// The variables that look like settings but are not.
pub fn unknown_variables(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let known: Vec<String> = flags()
        .get_arguments()
        .map(|it| variable(name(it)))
        .collect();
    let is_ours = |variable: &String| {
        // Variables of the commands that call a server, and of tests and benchmarks.
        let others = ["PRICHAL_URL", "PRICHAL_TEST_", "PRICHAL_BENCH_"];
        known.contains(variable) || others.iter().any(|other| variable.starts_with(other))
    };
    let names = names.into_iter();
    names
        .filter(|name| name.starts_with("PRICHAL_") && !is_ours(name))
        .collect()
}

impl Config {
    pub fn load(sources: &Sources<'_>) -> Result<Self, BadSetting> {
        let flags = flags();
        let file = sources.file.as_ref();
        let file = file
            .map(|(file, text)| Table::parse(file, text))
            .transpose()?;
        let mut origins = HashMap::new();
        let mut line = Vec::new();
        for setting in flags.get_arguments() {
            let Some((value, origin)) = find(name(setting), sources, file.as_ref()) else {
                continue;
            };
            // Bytes outside Unicode were replaced by this character before.
            if value.contains(char::REPLACEMENT_CHARACTER) {
                return Err(BadSetting::value(setting, &origin, &value, "Unicode text"));
            }
            line.push(format!("--{}={value}", name(setting)));
            origins.insert(name(setting).to_owned(), origin);
        }
        let read = flags.clone().try_get_matches_from(line);
        read.and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| {
                BadSetting::from_clap(&error, |name| origins.get(name).cloned()).unwrap_or_else(
                    || BadSetting::Unreadable {
                        file: "the settings".to_owned(),
                        why: error.kind().to_string(),
                    },
                )
            })
    }
}

/// The value of a setting and its origin; `None` if the default applies.
fn find(name: &str, sources: &Sources<'_>, file: Option<&Table>) -> Option<(String, String)> {
    let flag = (sources.flags)(name).map(|value| (value, format!("--{name}")));
    flag.or_else(|| {
        let variable = variable(name);
        let value = (sources.variables)(&variable).filter(|value| !value.is_empty())?;
        Some((value, variable))
    })
    .or_else(|| file?.find(name))
}

impl BadSetting {
    fn value(setting: &Arg, origin: &str, value: &str, allowed: &str) -> Self {
        Self::Value {
            origin: origin.to_owned(),
            given: if is_secret(setting) {
                "the given value".to_owned()
            } else {
                format!("`{}`", one_line(value))
            },
            name: name(setting).to_owned(),
            allowed: allowed.to_owned(),
        }
    }

    /// The error of a flag's value that `clap` refused.
    pub fn of_flag(error: &clap::Error) -> Option<Self> {
        Self::from_clap(error, |name| Some(format!("--{name}")))
    }

    /// Converts `clap`'s refusal of a value, with the setting's origin.
    fn from_clap(error: &clap::Error, origin: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let text = |kind| match error.get(kind)? {
            ContextValue::String(text) => Some(text.clone()),
            ContextValue::Strings(texts) => Some(texts.join(" or ")),
            _ => None,
        };
        let allowed = match error.kind() {
            ErrorKind::InvalidValue => {
                text(ContextKind::ValidValue).filter(|allowed| !allowed.is_empty())?
            }
            ErrorKind::ValueValidation => std::error::Error::source(error)?.to_string(),
            _ => return None,
        };
        let shown = text(ContextKind::InvalidArg)?;
        let flag = shown.strip_prefix("--")?.split([' ', '=', '[']).next()?;
        let flags = flags();
        let setting = flags.get_arguments().find(|it| name(it) == flag)?;
        let value = text(ContextKind::InvalidValue)?;
        Some(Self::value(
            setting,
            &origin(name(setting))?,
            &value,
            &allowed,
        ))
    }
}

/// A settings file.
struct Table {
    file: String,
    values: toml::Table,
}

impl Table {
    fn parse(file: &str, text: &str) -> Result<Self, BadSetting> {
        let not_toml = |error: toml::de::Error| BadSetting::NotToml {
            file: file.to_owned(),
            line: line_of(text, error.span().map_or(0, |span| span.start)),
            // Only the expectation is shown: the text itself may be a secret.
            why: one_line(error.message()),
        };
        let values: toml::Table = text.parse().map_err(not_toml)?;
        let flags = flags();
        let is_known = |key: &String| flags.get_arguments().any(|setting| name(setting) == key);
        if let Some(key) = values.keys().find(|key| !is_known(key)) {
            return Err(BadSetting::Unknown {
                file: file.to_owned(),
                key: one_line(key),
            });
        }
        Ok(Self {
            file: file.to_owned(),
            values,
        })
    }

    fn find(&self, name: &str) -> Option<(String, String)> {
        let value = match self.values.get(name)? {
            toml::Value::String(text) => text.clone(),
            toml::Value::Boolean(value) => value.to_string(),
            toml::Value::Integer(value) => value.to_string(),
            toml::Value::Float(value) => value.to_string(),
            toml::Value::Datetime(value) => value.to_string(),
            // Arrays are never valid; the message shows the kind of value.
            toml::Value::Array(_) => "[…]".to_owned(),
            toml::Value::Table(_) => "{…}".to_owned(),
        };
        Some((value, format!("`{name}` in {}", self.file)))
    }
}

/// The line of the byte `at`, counted from one.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at);
    before.filter(|byte| *byte == b'\n').count() + 1
}

pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(80)
        .collect();
    if text.chars().count() > 80 {
        line.push('…');
    }
    line
}
