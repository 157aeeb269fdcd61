//! `manifest.json` (`docs/contracts/kontur.md §4.2`).

use serde_json::Value;
use uuid::Uuid;

use super::url::is_base_url;
use crate::schema::{self, Fault, Field, Object, Preset, Type};

const MAX_NAME: usize = 100;
const MAX_VERSION: usize = 64;
const MAX_TITLE: usize = 200;

const NAME_RULE: &str = "Latin letters, digits, dots and underscores, a letter first";
const VERSION_RULE: &str = "major.minor[.patch[.build]][-prerelease]";

/// The members of a manifest.
pub const MANIFEST: &[Field] = &[
    Field::new("name", Type::Text)
        .required()
        .bytes(MAX_NAME)
        .worded(|path, _| sentence(path, NAME_RULE))
        .doc("Latin letters, digits, dots and underscores, a letter first.")
        .example("ws.myIntegration2020"),
    Field::new("version", Type::Text)
        .or(Preset::Text("1.0"))
        .bytes(MAX_VERSION)
        .worded(|path, _| sentence(path, VERSION_RULE))
        .doc("`major.minor[.patch[.build]][-prerelease]`.")
        .example("1.0"),
    Field::new("baseUrl", Type::Text)
        .doc("The absolute URL of the integration. Without it only webhooks with absolute URLs can be called.")
        .example("https://my-integration.ru"),
    Field::new("title", Type::Text)
        .chars(MAX_TITLE)
        .worded(|path, _| sentence(path, "at most 200 characters"))
        .doc("The name for people."),
];

fn sentence(path: &str, allowed: &str) -> String {
    format!("The {path} field is invalid: {allowed} is allowed.")
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    pub version: String,
    /// Without one only webhooks with absolute URLs can be called.
    pub base_url: Option<String>,
    pub title: Option<String>,
}

impl Manifest {
    pub fn read(body: &Value) -> Result<Self, Vec<Fault>> {
        let object = schema::object(body)?;
        // No member of a manifest has an id.
        let read = schema::read(MANIFEST, object, &mut Uuid::nil)?;
        let read = schema::complete(MANIFEST, read);
        let manifest = Self {
            name: text(&read, "name").unwrap_or_default(),
            version: text(&read, "version").unwrap_or_default(),
            base_url: text(&read, "baseUrl").filter(|url| !url.is_empty()),
            title: text(&read, "title"),
        };
        let faults = manifest.faults();
        if faults.is_empty() {
            Ok(manifest)
        } else {
            Err(faults)
        }
    }

    fn faults(&self) -> Vec<Fault> {
        let base_url_fits = self.base_url.as_deref().is_none_or(is_base_url);
        let checks = [
            (is_name(&self.name), "name", NAME_RULE),
            (is_version(&self.version), "version", VERSION_RULE),
            (
                base_url_fits,
                "baseUrl",
                "an absolute http or https URL without query",
            ),
        ];
        let broken = checks.into_iter().filter(|(fits, ..)| !fits);
        broken
            .map(|(_, path, allowed)| Fault::invalid(path, format!("{allowed} is allowed")))
            .collect()
    }
}

fn text(object: &Object, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

/// `^[A-Za-z][A-Za-z0-9_.]*$`
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(fits)
}

/// `^\d+(\.\d+){1,3}(-[0-9A-Za-z]+)?$`
fn is_version(version: &str) -> bool {
    let (numbers, label) = match version.split_once('-') {
        Some((numbers, label)) => (numbers, Some(label)),
        None => (version, None),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    (2..=4).contains(&numbers.split('.').count())
        && numbers.split('.').all(is_number)
        && label.is_none_or(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric())
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_documented_manifest() {
        let body = json!({"name": "ws.myIntegration2020", "version": "1.0", "baseUrl": "https://my-integration.ru"});
        let manifest = Manifest::read(&body).unwrap();
        assert_eq!(manifest.name, "ws.myIntegration2020");
        assert_eq!(
            manifest.base_url.as_deref(),
            Some("https://my-integration.ru")
        );
        assert_eq!(manifest.title, None);
    }

    #[test]
    fn only_the_name_is_required() {
        let manifest = Manifest::read(&json!({"Name": "a", "baseUrl": ""})).unwrap();
        assert_eq!(
            (manifest.version.as_str(), manifest.base_url),
            ("1.0", None)
        );
        for (body, path) in [
            (json!({}), "name"),
            (json!({"name": null}), "name"),
            (json!({"name": 5}), "name"),
            (json!({"name": "1a"}), "name"),
            (json!({"name": "a-b"}), "name"),
            (json!({"name": "имя"}), "name"),
            (json!({"name": "a".repeat(101)}), "name"),
            (json!({"name": "a", "version": "1"}), "version"),
            (
                json!({"name": "a", "version": format!("1.{}", "0".repeat(63))}),
                "version",
            ),
            (
                json!({"name": "a", "baseUrl": "my-integration.ru"}),
                "baseUrl",
            ),
            (json!({"name": "a", "baseUrl": "https://a?b"}), "baseUrl"),
            (json!({"name": "a", "title": "x".repeat(201)}), "title"),
            (json!([]), ""),
        ] {
            let faults = Manifest::read(&body).unwrap_err();
            assert_eq!(faults[0].path, path, "{body}");
        }
    }

    #[test]
    fn versions() {
        for good in [
            "1.0",
            "1.0.1",
            "0.0.1.146",
            "1.12-pre2020",
            "1.2.3-alpha",
            "100.1.3.256-beta40",
        ] {
            assert!(is_version(good), "{good}");
        }
        for bad in [
            "",
            "1",
            "1.",
            ".1",
            "1.2.3.4.5",
            "1.0-",
            "1.0-a-b",
            "1.0-a.b",
            "v1.0",
            "1.x",
        ] {
            assert!(!is_version(bad), "{bad}");
        }
    }
}
