//! The description of the API: the committed documents are the served ones. Those of OpenAPI keep the rules that linters
//! check; `messages.rs` checks those of AsyncAPI.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::Value;

use crate::harness::{
    description::folder,
    hub::Hub,
    json_schema::{faults, resolve},
    messages,
};

/// The parts of the description; the first one is the whole.
const DOCUMENTS: [&str; 6] = ["openapi", "admin", "kontur", "era", "idocs", "server"];

const VERBS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// The parts of the AsyncAPI description; the first one is the whole.
pub(super) const MESSAGES: [&str; 4] = ["asyncapi", "kontur", "era", "idocs"];

/// The OpenAPI documents that a server serves, by their names.
async fn served() -> BTreeMap<&'static str, String> {
    read("openapi", &DOCUMENTS).await
}

/// The AsyncAPI documents that a server serves, by their names.
pub(super) async fn messages_served() -> BTreeMap<&'static str, String> {
    read("asyncapi", &MESSAGES).await
}

async fn read(standard: &str, names: &'static [&'static str]) -> BTreeMap<&'static str, String> {
    let hub = Hub::start().await;
    let mut found = BTreeMap::new();
    for name in names.iter().copied() {
        let path = if name == standard {
            format!("/docs/{standard}.json")
        } else {
            format!("/docs/{name}/{standard}.json")
        };
        // It is not checked against the committed one, which may be absent.
        let answer = hub.anonymous().stream(&path).await;
        let mut text = answer.text().await.expect("a text");
        text.push('\n');
        found.insert(name, text);
    }
    found
}

#[tokio::test]
async fn the_committed_description_is_the_served_one() {
    let requests = served()
        .await
        .into_iter()
        .map(|(name, text)| (folder(), name, text));
    let events = messages_served().await.into_iter();
    let events = events.map(|(name, text)| (messages::folder(), name, text));
    for (folder, name, text) in requests.chain(events) {
        let file = folder.join(format!("{name}.json"));
        if std::env::var_os("PRICHAL_WRITE_OPENAPI").is_some() {
            std::fs::write(&file, &text).expect("it can be written");
        }
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            committed == text,
            "{} is not what the server describes. Write the files anew, and look at the changes:\n\
             PRICHAL_WRITE_OPENAPI=1 cargo test -p prichal --test it http::description",
            file.display()
        );
    }
}

#[tokio::test]
async fn the_parts_are_the_whole() {
    let documents = served().await;
    let parse = |name: &str| serde_json::from_str::<Value>(&documents[name]).expect("JSON");
    let whole = parse("openapi");
    let mut paths = BTreeSet::new();
    for part in &DOCUMENTS[1..] {
        let part = parse(part);
        for (path, item) in part["paths"].as_object().expect("paths") {
            assert_eq!(&whole["paths"][path], item, "{path}");
            assert!(paths.insert(path.clone()), "{path} is in two parts");
        }
        for kind in ["schemas", "securitySchemes"] {
            for (name, component) in part["components"][kind].as_object().into_iter().flatten() {
                let other = &whole["components"][kind][name];
                assert_eq!(other, component, "two parts have a different {name}");
            }
        }
    }
    let all = whole["paths"].as_object().expect("paths").keys();
    assert_eq!(paths, all.cloned().collect());
}

/// The rules of Redocly's `recommended` and Spectral's `spectral:oas` that can be checked without them.
#[tokio::test]
async fn the_description_keeps_the_linters_rules() {
    for (name, text) in served().await {
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let mut lint = Lint {
            document: &document,
            faults: Vec::new(),
        };
        lint.head();
        lint.paths();
        lint.operations();
        lint.components();
        assert!(lint.faults.is_empty(), "{name}: {:#?}", lint.faults);
    }
}

struct Lint<'a> {
    document: &'a Value,
    faults: Vec<String>,
}

/// The members of an object, or none.
pub(super) fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The elements of a list, or none.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn has_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

impl Lint<'_> {
    fn require(&mut self, holds: bool, at: &str, rule: &str) {
        if !holds {
            self.faults.push(format!("{at}: {rule}"));
        }
    }

    fn head(&mut self) {
        let document = self.document;
        self.require(document["openapi"] == "3.1.0", "openapi", "version");
        let info = &document["info"];
        for member in ["title", "version", "description"] {
            self.require(has_text(&info[member]), "info", member);
        }
        self.require(info["contact"].is_object(), "info", "info-contact");
        let license = &info["license"];
        let is_named = has_text(&license["identifier"]) || has_text(&license["url"]);
        self.require(
            is_named && has_text(&license["name"]),
            "info",
            "info-license-strict",
        );
        self.require(
            items(&document["servers"]).count() > 0,
            "servers",
            "oas3-api-servers",
        );
        for server in items(&document["servers"]) {
            let url = server["url"].as_str().unwrap_or_default();
            let is_example = url.contains("example.com") || url.contains("localhost");
            self.require(!is_example, "servers", "no-server-example.com");
            let is_slashed = url.len() > 1 && url.ends_with('/');
            self.require(!is_slashed, "servers", "no-server-trailing-slash");
        }
        let mut names = BTreeSet::new();
        for tag in items(&document["tags"]) {
            let name = tag["name"].as_str().unwrap_or_default();
            self.require(has_text(&tag["description"]), name, "tag-description");
            self.require(names.insert(name), name, "openapi-tags-uniqueness");
        }
    }

    fn paths(&mut self) {
        let paths: Vec<&String> = members(&self.document["paths"])
            .map(|(path, _)| path)
            .collect();
        for (n, path) in paths.iter().enumerate() {
            self.require(path.starts_with('/'), path, "path-starts-with-slash");
            let is_slashed = path.len() > 1 && path.ends_with('/');
            self.require(!is_slashed, path, "no-path-trailing-slash");
            self.require(!path.contains('?'), path, "path-not-include-query");
            self.require(!path.contains("{}"), path, "path-declaration-must-exist");
            // The vendor's paths. A literal part takes precedence over a parameter.
            let is_vendors = path.starts_with("/api/v1/{ws}/integrations/instances/{id}");
            for other in paths[n + 1..].iter().filter(|_| !is_vendors) {
                self.require(!is_ambiguous(path, other), path, "no-ambiguous-paths");
            }
        }
    }

    fn operations(&mut self) {
        let document = self.document;
        let tags: Vec<&Value> = items(&document["tags"]).map(|tag| &tag["name"]).collect();
        let mut ids = BTreeSet::new();
        for (path, item) in members(&document["paths"]) {
            for (verb, operation) in members(item) {
                let at = &format!("{verb} {path}");
                self.require(VERBS.contains(&verb.as_str()), at, "is no method");
                self.require(has_text(&operation["summary"]), at, "operation-summary");
                self.require(
                    has_text(&operation["description"]),
                    at,
                    "operation-description",
                );
                let id = operation["operationId"].as_str().unwrap_or_default();
                let is_plain = id
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                self.require(
                    is_plain && !id.is_empty(),
                    at,
                    "operation-operationId-url-safe",
                );
                // No exemption: a document with two equal ids is invalid.
                assert!(ids.insert(id), "{at}: operation-operationId-unique {id}");
                let given: Vec<&Value> = items(&operation["tags"]).collect();
                self.require(given.len() == 1, at, "operation-singular-tag");
                let is_defined = given.iter().all(|tag| tags.contains(tag));
                self.require(is_defined, at, "operation-tag-defined");
                self.require(operation["security"].is_array(), at, "security-defined");
                for name in items(&operation["security"])
                    .flat_map(members)
                    .map(|(name, _)| name)
                {
                    let scheme = &document["components"]["securitySchemes"][name];
                    self.require(scheme.is_object(), at, "operation-security-defined");
                }
                self.responses(at, path, operation);
                self.parameters(at, path, operation);
                self.body(at, &operation["requestBody"]);
            }
        }
    }

    fn responses(&mut self, at: &str, path: &str, operation: &Value) {
        let responses = &operation["responses"];
        let has = |start: char| members(responses).any(|(status, _)| status.starts_with(start));
        // The success of a handshake is 101.
        let succeeds = has('2') || path.starts_with("/ws/") && has('1');
        self.require(succeeds, at, "operation-success-response");
        self.require(has('4'), at, "operation-4xx-response");
        self.require(
            responses["default"].is_object(),
            at,
            "describes any other refusal",
        );
        for (status, response) in members(responses) {
            let at = &format!("{at} {status}");
            self.require(
                has_text(&response["description"]),
                at,
                "response-description",
            );
            self.content(at, &response["content"]);
        }
    }

    fn parameters(&mut self, at: &str, path: &str, operation: &Value) {
        let declared = Regex::new(r"\{(\w+)\}").expect("a pattern");
        let declared: BTreeSet<_> = declared
            .captures_iter(path)
            .map(|found| found[1].to_owned())
            .collect();
        let mut given = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for parameter in items(&operation["parameters"]) {
            let name = parameter["name"].as_str().unwrap_or_default();
            let at = &format!("{at} {name}");
            self.require(
                has_text(&parameter["description"]),
                at,
                "parameter-description",
            );
            let is_new = seen.insert((parameter["in"].to_string(), name.to_owned()));
            self.require(is_new, at, "operation-parameters");
            if parameter["in"] == "path" {
                given.insert(name.to_owned());
            }
            let schema = &parameter["schema"];
            self.require(schema.is_object(), at, "has a schema");
            self.schema(at, schema);
            self.example(at, schema, &parameter["example"]);
        }
        self.require(given == declared, at, "path-parameters-defined");
    }

    fn body(&mut self, at: &str, body: &Value) {
        if body.is_object() {
            let at = &format!("{at} body");
            let has_content = members(&body["content"]).count() > 0;
            self.require(has_content, at, "has a content");
            for (kind, media) in members(&body["content"]) {
                let schema = resolve(self.document, &media["schema"]);
                let has_example =
                    !media["example"].is_null() || items(&schema["examples"]).count() > 0;
                // Bytes of files need none.
                let is_file = ["multipart/form-data", "application/zip"].contains(&kind.as_str());
                self.require(has_example || is_file, at, "has an example");
            }
            self.content(at, &body["content"]);
        }
    }

    fn content(&mut self, at: &str, content: &Value) {
        for (kind, media) in members(content) {
            let is_typed = media["schema"].is_object() || kind == "*/*";
            self.require(is_typed, at, "the content has a schema");
            self.schema(at, &media["schema"]);
            self.example(at, &media["schema"], &media["example"]);
            for (_, example) in members(&media["examples"]) {
                self.example(at, &media["schema"], &example["value"]);
            }
        }
    }

    fn example(&mut self, at: &str, schema: &Value, example: &Value) {
        if !example.is_null() {
            let found = faults(self.document, schema, example);
            self.require(
                found.is_empty(),
                at,
                &format!("no-invalid-media-type-examples: {found:?}"),
            );
        }
    }

    /// Checks a schema and those in it.
    fn schema(&mut self, at: &str, schema: &Value) {
        if let Some(object) = schema.as_object() {
            self.example(at, schema, &schema["example"]);
            items(&schema["examples"]).for_each(|example| self.example(at, schema, example));
            self.example(at, schema, &schema["default"]);
            let is_array =
                schema["type"] == "array" || items(&schema["type"]).any(|one| one == "array");
            self.require(!is_array || object.contains_key("items"), at, "array-items");
            let words: BTreeSet<String> = items(&schema["enum"]).map(ToString::to_string).collect();
            let is_once = words.len() == items(&schema["enum"]).count();
            self.require(is_once, at, "duplicated-entry-in-enum");
            for word in items(&schema["enum"]) {
                let is_typed = faults(self.document, schema, word).is_empty();
                self.require(is_typed, at, "no-enum-type-mismatch");
            }
            let required: BTreeSet<String> = items(&schema["required"])
                .map(ToString::to_string)
                .collect();
            let is_once = required.len() == items(&schema["required"]).count();
            self.require(is_once, at, "struct");
            if object.contains_key("properties") {
                for name in items(&schema["required"]) {
                    let is_known = schema["properties"]
                        .get(name.as_str().unwrap_or_default())
                        .is_some();
                    self.require(is_known, at, "no-required-schema-properties-undefined");
                }
            }
            for (name, property) in members(&schema["properties"]) {
                let at = &format!("{at}.{name}");
                self.require(self.is_told(property), at, "the member has a description");
                self.require(!lists_words(property), at, "the words are an enum");
                self.schema(&format!("{at}.{name}"), property);
            }
            for inner in ["items", "additionalProperties"] {
                self.schema(at, &schema[inner]);
            }
            for several in ["allOf", "anyOf", "oneOf"] {
                items(&schema[several]).for_each(|one| self.schema(at, one));
            }
        }
    }

    /// True if a member has a meaning: of its own, of an alternative, or of the schema that it refers to.
    fn is_told(&self, member: &Value) -> bool {
        let schema = resolve(self.document, member);
        let alternatives = ["oneOf", "anyOf", "allOf"].into_iter();
        has_text(&member["description"])
            || has_text(&schema["description"])
            || alternatives
                .flat_map(|several| items(&member[several]))
                .any(|one| has_text(&one["description"]))
    }

    fn components(&mut self) {
        let document = self.document;
        let mut used = BTreeSet::new();
        references(document, &mut used);
        for reference in &used {
            resolve(document, &serde_json::json!({ "$ref": reference }));
        }
        let allowed = Regex::new(r"^[A-Za-z0-9._-]+$").expect("a pattern");
        for (name, schema) in members(&document["components"]["schemas"]) {
            self.require(
                allowed.is_match(name),
                name,
                "spec-components-invalid-map-name",
            );
            let reference = format!("#/components/schemas/{name}");
            self.require(
                used.contains(reference.as_str()),
                name,
                "no-unused-components",
            );
            self.schema(name, schema);
        }
    }
}

/// True if the text of a member lists the words that its value may be, and its schema does not.
fn lists_words(member: &Value) -> bool {
    let list =
        Regex::new(r"(^|[:,] |(is|Always) )`\w+`(, `\w+`)*( or `\w+`)?(\.|$)").expect("a pattern");
    let is_text = member["type"] == "string" || items(&member["type"]).any(|ty| ty == "string");
    let is_open = member["enum"].is_null() && member["const"].is_null();
    let doc = member["description"].as_str().unwrap_or_default();
    is_text && is_open && list.is_match(doc)
}

/// True if a request may be meant for either of two templates.
fn is_ambiguous(one: &str, other: &str) -> bool {
    let (one, other): (Vec<_>, Vec<_>) = (one.split('/').collect(), other.split('/').collect());
    let is_variable = |part: &&str| part.starts_with('{');
    let count = |parts: &[&str]| parts.iter().filter(|part| is_variable(part)).count();
    one.len() == other.len()
        && count(&one) == count(&other)
        && one
            .iter()
            .zip(&other)
            .all(|(a, b)| is_variable(a) || is_variable(b) || a == b)
}

/// The references in a value.
pub(super) fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str));
            object.values().for_each(|member| references(member, found));
        }
        Value::Array(all) => all.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The bodies of creations are accepted as the description shows them.
#[tokio::test]
async fn the_examples_are_accepted() {
    let hub = Hub::start().await;
    let space = hub.workspace("described").await.at("");
    let api = hub.anonymous().get("/docs/openapi.json").await.ok();
    let mut count = 0;
    let mut paths: Vec<_> = members(&api["paths"]).collect();
    // A script is started after it was created.
    paths.sort_by_key(|(path, _)| path.ends_with("/svcscript_runtimes"));
    for (path, item) in paths {
        let media = &item["post"]["requestBody"]["content"]["application/json"];
        let schema = resolve(&api, &media["schema"]);
        // A collection takes a new entity, or a key.
        let schema = items(&schema["oneOf"])
            .next()
            .map_or(schema, |one| resolve(&api, one));
        let caller = match path {
            path if path.starts_with("/admin/v1/") => hub.admin(),
            path if path.starts_with("/rest/v1/") => space.clone(),
            _ => continue,
        };
        let is_creation = media.is_object() && !path.contains("{id}") && !path.contains("rotate");
        if !is_creation {
            continue;
        }
        let given = items(&schema["examples"]).next().cloned();
        let given = given.unwrap_or_else(|| {
            let each = members(&schema["properties"]).filter_map(|(name, member)| {
                let example = items(&member["examples"]).next()?;
                Some((name.clone(), example.clone()))
            });
            Value::Object(each.collect())
        });
        let path = path.replace("{ws}", "described");
        let answer = caller.post(&path, given.clone()).await;
        assert!(answer.status < 300, "{path} {given}: {}", answer.text);
        count += 1;
    }
    assert_eq!(count, 8);
}
