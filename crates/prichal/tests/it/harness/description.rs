//! The check of each answer against the OpenAPI description.

use std::{path::PathBuf, sync::LazyLock};

use percent_encoding::percent_decode_str;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{
    hub::Answer,
    json_schema::{faults, resolve},
};

/// The beginnings of paths of pages and their files, which are for people.
const PAGES: &[&str] = &["/docs", "/swagger", "/check", "/console"];

/// Texts of content types that iDocs' dialect uses for JSON when a client prefers them.
const OTHER_NAMES_OF_JSON: &[&str] = &["text/plain", "text/json"];

/// The folder with the committed descriptions.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi"))
}

/// The committed description. `http::description` tests that it is the served one.
static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = std::fs::read(folder().join("openapi.json")).expect("a description");
    serde_json::from_slice(&text).expect("JSON")
});

/// Fails unless the description has this answer: its operation, status, content type and members. A refusal of an
/// unknown path or method needs no description.
#[track_caller]
pub(crate) fn check(method: &Method, url: &str, answer: &Answer) {
    let path = path_of(url);
    let what = format!("{method} {path} {}", answer.status);
    let Some(operation) = find(method, &path) else {
        let is_page = PAGES.iter().any(|start| path.starts_with(start));
        let is_expected = answer.status >= 400 || method == Method::OPTIONS || is_page;
        assert!(is_expected, "{what} is not described");
        return;
    };
    if answer.status == 304 {
        return;
    }
    let responses = &operation["responses"];
    let response = responses.get(answer.status.to_string());
    let response = response.or_else(|| responses.get("default"));
    let response = response.unwrap_or_else(|| panic!("the status of {what} is not described"));
    let content = resolve(&DOCUMENT, response)["content"].as_object();
    if *method == Method::HEAD || content.is_some_and(|content| content.contains_key("*/*")) {
        return;
    }
    let Some(content) = content.filter(|content| !content.is_empty()) else {
        assert!(
            answer.bytes.is_empty(),
            "{what} is described without a body: {}",
            answer.text
        );
        return;
    };
    let given = answer.header("content-type").unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default();
    let described = content.get(given).or_else(|| {
        let is_json = OTHER_NAMES_OF_JSON.contains(&given);
        content.get("application/json").filter(|_| is_json)
    });
    let described =
        described.unwrap_or_else(|| panic!("{what}: the content type {given} is not described"));
    let lines: Vec<Value>;
    let values = match given {
        "application/x-ndjson" => {
            let read = |line| serde_json::from_str(line).expect("a line of JSON");
            lines = answer.text.lines().map(read).collect();
            &lines[..]
        }
        given if given.ends_with("json") => std::slice::from_ref(&answer.json),
        _ => &[],
    };
    for value in values {
        let found = faults(&DOCUMENT, &described["schema"], value);
        assert!(
            found.is_empty(),
            "{what} is not as described: {found:#?} in {value}"
        );
    }
}

/// The path of an address, without a query.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// The operation with the most literal template that matches a path.
fn find(method: &Method, path: &str) -> Option<&'static Value> {
    let verb = match method.as_str() {
        // OpenAPI 3.1 cannot describe LOOKUP, which is answered like a POST with a header.
        "LOOKUP" => "post".to_owned(),
        other => other.to_lowercase(),
    };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let matching = paths.iter().filter(|(template, _)| matches(template, path));
    let (_, item) = matching.min_by_key(|(template, _)| template.matches('{').count())?;
    item.get(&verb).or_else(|| {
        let is_head = *method == Method::HEAD;
        item.get("get").filter(|_| is_head)
    })
}

/// True if a path is one of a template's. Some dialects accept words in any case and doubled slashes.
fn matches(template: &str, path: &str) -> bool {
    let mut given = path.split('/').filter(|part| !part.is_empty());
    for part in template.split('/').filter(|part| !part.is_empty()) {
        let Some(given) = given.next() else {
            return false;
        };
        match part {
            "{rest}" => return true,
            _ if part.starts_with('{') => {}
            _ if part.eq_ignore_ascii_case(given) => {}
            _ => return false,
        }
    }
    given.next().is_none()
}
