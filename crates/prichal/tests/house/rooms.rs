//! Rooms of the server: a folder of `crates/prichal/src` imports only rooms below it, status codes stay in the rooms
//! that speak HTTP, and neither the domain nor the rules name a vendor.

use std::sync::LazyLock;

use regex::Regex;

use crate::repository::{Source, assert_none};

const SERVER: &str = "crates/prichal/src/";
const RULES: &str = "crates/prichal-core/src/";
/// The rooms of the server, each of which may import itself and those before it.
const ROOMS: [&str; 11] = [
    "error",
    "config",
    "platform",
    "http",
    "domain",
    "delivery",
    "app",
    "dialect",
    "retention",
    "lifecycle",
    "cli",
];
/// Code that may name status codes: the listener, the dialects, the reader of receivers' answers, and the
/// command line, whose commands are clients and receivers of other servers.
const HTTP: [&str; 4] = ["http", "dialect", "platform/outgoing", "cli"];

static CRATE_PATH: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bcrate\s*::\s*(\w+|\{)"));
static STATUS_CODE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bStatusCode\b"));
/// Words of vendors in any case, and their names as whole words, as in `crates/prichal-core/tests/house.rs`.
static VENDOR: LazyLock<Regex> = LazyLock::new(|| {
    let words = "asp\\.net|bitrix|documentbasevm|documentextendedvm|errorinfo|idocs|integrationinstanceid|kedo|kontur|newtonsoft|objectevent|vendor|xcom";
    pattern(&format!(r"(?i:{words})|\b(?:Era|ERA)\b|\B\.NET\b"))
});
/// The sections of contracts that comments refer to, and the author of the server's own events.
static ALLOWED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"docs/contracts/\w+\.md|with: "xcom"\.to_owned\(\)"#));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

/// The faults of a source file in its room.
fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some(path) = source.path.strip_prefix(SERVER)
        && !path.ends_with("tests.rs")
        && !path.contains("/tests/")
    {
        let code = code(&source.text);
        faults.extend(imports(source, path, &code));
        if !HTTP.iter().any(|room| is_in(path, room)) {
            faults.extend(found(source, &code, &STATUS_CODE, "belongs to HTTP"));
        }
    }
    let is_neutral = source.path.starts_with(RULES)
        || source
            .path
            .strip_prefix(SERVER)
            .is_some_and(|path| is_in(path, "domain"));
    if is_neutral {
        let text = blanked(&source.text, &ALLOWED);
        faults.extend(found(source, &text, &VENDOR, "is a vendor's word"));
    }
    faults
}

fn is_in(path: &str, room: &str) -> bool {
    let rest = path.strip_prefix(room);
    rest.is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// The imports of rooms above the file's own, and of names that are not rooms.
fn imports(source: &Source, path: &str, code: &str) -> Vec<String> {
    let own = ROOMS.iter().position(|room| is_in(path, room));
    let mut faults = Vec::new();
    for import in CRATE_PATH.captures_iter(code) {
        let (Some(own), Some(name)) = (own, import.get(1)) else {
            continue;
        };
        let (at, first) = (name.start(), name.as_str());
        let names = if first == "{" {
            group(&code[at + 1..])
        } else {
            vec![first]
        };
        for name in names {
            let fault = match ROOMS.iter().position(|room| *room == name) {
                Some(room) if room > own => format!("{} may not import {name}", ROOMS[own]),
                Some(_) => continue,
                None => format!("{name} is not a room"),
            };
            faults.push(source.fault(code, at, &fault));
        }
    }
    faults
}

/// The first names of the paths in a group of imports, up to the brace that ends it.
fn group(text: &str) -> Vec<&str> {
    let (mut names, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                let path = text[start..at].trim_start();
                let end = path.find(|c: char| c != '_' && !c.is_alphanumeric());
                names.push(&path[..end.unwrap_or(path.len())]);
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 && start == at + 1 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn found(source: &Source, text: &str, pattern: &Regex, what: &str) -> Vec<String> {
    let faults = pattern.find_iter(text);
    let faults =
        faults.map(|word| source.fault(text, word.start(), &format!("{} {what}", word.as_str())));
    faults.collect()
}

/// The text with spaces where the pattern matches.
fn blanked(text: &str, pattern: &Regex) -> String {
    let blank = |found: &regex::Captures<'_>| " ".repeat(found[0].len());
    pattern.replace_all(text, blank).into_owned()
}

/// The lines of a file without comments and without items under `#[cfg(test)]`. The others become empty, so that
/// line numbers stay. An item ends at the first line that closes it, by the indentation of `rustfmt`.
fn code(text: &str) -> String {
    let (mut lines, mut skipped) = (Vec::new(), None::<usize>);
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        if let Some(item) = skipped {
            let is_attribute = trimmed.starts_with("#[");
            let is_end =
                indent == item && (trimmed.starts_with('}') || trimmed.ends_with([';', ',']));
            if is_end && !is_attribute {
                skipped = None;
            }
            lines.push("");
        } else if trimmed == "#[cfg(test)]" {
            skipped = Some(indent);
            lines.push("");
        } else {
            lines.push(line.split("//").next().unwrap_or_default());
        }
    }
    lines.join("\n")
}

#[test]
fn each_room_keeps_its_promises() {
    assert_none(faults);
}

fn assert_faults<const N: usize>(cases: [(&str, &str, &[&str]); N]) {
    for (path, text, expected) in cases {
        let source = Source::new(&format!("{SERVER}{path}"), text);
        let expected = expected.iter();
        let expected: Vec<_> = expected
            .map(|what| format!("{SERVER}{path}:{what}"))
            .collect();
        assert_eq!(faults(&source), expected, "{path}: {text}");
    }
}

#[test]
fn imports_of_later_rooms_are_found() {
    assert_faults([
        ("platform/bus.rs", "use crate::error::Error;", &[]),
        ("platform/bus.rs", "use crate::platform::clock;", &[]),
        (
            "platform.rs",
            "use crate::{config::Config, error::{Error, Result}};",
            &[],
        ),
        (
            "platform/bus.rs",
            "use crate::domain::Domain;",
            &["1: platform may not import domain"],
        ),
        (
            "platform.rs",
            "use crate::app::App;",
            &["1: platform may not import app"],
        ),
        (
            "http/body.rs",
            "use crate::{\n    domain::{self, call},\n    error::Result,\n    cli,\n};\nuse a::{b};",
            &[
                "1: http may not import domain",
                "1: http may not import cli",
            ],
        ),
        (
            "http.rs",
            "use crate::{platform::{a::{b, c}, d}, dialect};",
            &["1: http may not import dialect"],
        ),
        (
            "error.rs",
            "fn f() {\n    crate::config::x();\n}",
            &["2: error may not import config"],
        ),
        (
            "error.rs",
            "/// See [`crate::config`].\nlet a = 1; // crate::config",
            &[],
        ),
        (
            "error.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::cli;",
            &["5: error may not import cli"],
        ),
        (
            "error.rs",
            "#[cfg(test)]\n#[expect(a)]\nmod tests;\nuse crate::cli;",
            &["4: error may not import cli"],
        ),
        ("retention/tests.rs", "use crate::cli;", &[]),
        (
            "config/value.rs",
            "use crate::network::Network;",
            &["1: network is not a room"],
        ),
        ("main.rs", "use crate::cli;", &[]),
    ]);
}

#[test]
fn status_codes_and_vendors_words_are_found() {
    assert_faults([
        ("dialect/era.rs", "use axum::http::StatusCode;", &[]),
        ("platform/outgoing.rs", "use http::StatusCode;", &[]),
        ("platform/outgoing/post.rs", "StatusCode::OK", &[]),
        (
            "platform/bus.rs",
            "StatusCode::OK",
            &["1: StatusCode belongs to HTTP"],
        ),
        (
            "domain/entity.rs",
            "/// No StatusCode.\nlet a = StatusCode::OK;",
            &["2: StatusCode belongs to HTTP"],
        ),
        (
            "domain/entity.rs",
            "/// As Kontur has it.",
            &["1: Kontur is a vendor's word"],
        ),
        (
            "domain.rs",
            "use prichal_dialect::kontur;\nlet era = camera;",
            &["1: kontur is a vendor's word"],
        ),
        (
            "domain.rs",
            "/// ERA, a .NET reader.",
            &["1: ERA is a vendor's word", "1: .NET is a vendor's word"],
        ),
        (
            "domain.rs",
            "/// The feed (`docs/contracts/kontur.md §5`).",
            &[],
        ),
        ("dialect/kontur.rs", "/// Kontur.", &[]),
    ]);
    let rules = |text: &str| faults(&Source::new(&format!("{RULES}event.rs"), text)).len();
    assert_eq!(rules("with: \"xcom\".to_owned(),"), 0);
    assert_eq!(rules("let name = \"Xcom.Api\";"), 1);
}
