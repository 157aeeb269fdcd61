//! `manifest.json` (`docs/contracts/kontur.md §4.2`).

use serde_json::Value;
use uuid::Uuid;

use super::url::{BASE_URL, MAX_LENGTH};
use crate::schema::{self, Fault, Field, Form, Object, Preset, Type};

const MAX_VERSION: usize = 64;
const MAX_TITLE: usize = 200;

/// The form of names.
static NAME: Form = Form::new(
    "1 to 100 Latin letters, digits, dots and underscores, a letter first",
    "^[A-Za-z][A-Za-z0-9_.]{0,99}$",
    is_name,
);

/// The form of versions.
static VERSION: Form = Form::new(
    "major.minor[.patch[.build]][-prerelease]",
    r"^[0-9]+(\.[0-9]+){1,3}(-[0-9A-Za-z]+)?$",
    is_version,
);

/// The members of a manifest.
pub const MANIFEST: &[Field] = &[
    Field::new("name", Type::Text)
        .required()
        .form(&NAME)
        .doc("Latin letters, digits, dots and underscores, a letter first.")
        .example("ws.myIntegration2020"),
    Field::new("version", Type::Text)
        .or(Preset::Text("1.0"))
        .chars(MAX_VERSION)
        .form(&VERSION)
        .doc("`major.minor[.patch[.build]][-prerelease]`.")
        .example("1.0"),
    Field::new("baseUrl", Type::Text)
        .chars(MAX_LENGTH)
        .form(&BASE_URL)
        .doc("The absolute URL of the integration. Without it only webhooks with absolute URLs can be called.")
        .example("https://my-integration.ru"),
    Field::new("title", Type::Text)
        .chars(MAX_TITLE)
        .doc("The name for people."),
];

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
        Ok(Self {
            name: text(&read, "name").unwrap_or_default(),
            version: text(&read, "version").unwrap_or_default(),
            base_url: text(&read, "baseUrl").filter(|url| !url.is_empty()),
            title: text(&read, "title"),
        })
    }
}

fn text(object: &Object, member: &str) -> Option<String> {
    object.get(member)?.as_str().map(str::to_owned)
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
    name.len() <= 100
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(fits)
}

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
