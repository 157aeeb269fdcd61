//! The AsyncAPI description: its documents keep the rules of AsyncAPI 3.0.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::{Value, json};

use super::description::{MESSAGES, has_text, items, members, messages_served, references};
use crate::harness::json_schema::faults;

/// The members that the standard allows in each of its objects, as far as the description uses them.
const ALLOWED: &[(&str, &[&str])] = &[
    (
        "document",
        &[
            "asyncapi",
            "info",
            "defaultContentType",
            "servers",
            "channels",
            "operations",
            "components",
        ],
    ),
    (
        "info",
        &[
            "title",
            "version",
            "description",
            "tags",
            "contact",
            "license",
        ],
    ),
    ("tag", &["name", "description"]),
    ("contact", &["name", "url", "email"]),
    ("license", &["name", "url"]),
    ("components", &["messages", "schemas", "securitySchemes"]),
    ("server", &["host", "protocol", "description", "variables"]),
    ("variable", &["default", "description"]),
    (
        "channel",
        &[
            "address",
            "description",
            "servers",
            "parameters",
            "messages",
            "bindings",
        ],
    ),
    ("parameter", &["description"]),
    (
        "operation",
        &[
            "action",
            "channel",
            "summary",
            "description",
            "messages",
            "reply",
            "bindings",
            "security",
        ],
    ),
    ("reply", &["channel", "messages"]),
    (
        "message",
        &[
            "name",
            "title",
            "contentType",
            "headers",
            "payload",
            "correlationId",
            "examples",
            "bindings",
        ],
    ),
    ("example", &["payload"]),
];

/// The keywords of JSON Schema's draft 7 that a schema may have. `example` is OpenAPI's, and says nothing.
const KEYWORDS: &[&str] = &[
    "$ref",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "readOnly",
    "type",
    "format",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minItems",
    "maxItems",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "allOf",
    "anyOf",
    "oneOf",
];

#[tokio::test]
async fn the_documents_keep_the_standard() {
    for (name, text) in messages_served().await {
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let mut check = Check {
            document: &document,
            faults: Vec::new(),
        };
        check.head();
        check.servers();
        check.channels();
        check.operations();
        check.messages();
        check.references();
        assert!(check.faults.is_empty(), "{name}: {:#?}", check.faults);
    }
}

#[tokio::test]
async fn the_parts_are_the_whole() {
    let documents = messages_served().await;
    let parse = |name: &str| serde_json::from_str::<Value>(&documents[name]).expect("JSON");
    let whole = parse("asyncapi");
    for kind in [
        "/servers",
        "/channels",
        "/operations",
        "/components/messages",
        "/components/schemas",
        "/components/securitySchemes",
    ] {
        let mut seen = BTreeSet::new();
        for part in &MESSAGES[1..] {
            let part = parse(part);
            for (name, value) in members(part.pointer(kind).expect("members")) {
                let other = &whole.pointer(kind).expect("members")[name];
                assert_eq!(other, value, "two parts have a different {name}");
                let is_new = seen.insert(name.clone());
                let may_be_shared = kind == "/components/schemas";
                assert!(is_new || may_be_shared, "{kind}/{name} is in two parts");
            }
        }
        let all = members(whole.pointer(kind).expect("members"));
        assert_eq!(seen, all.map(|(name, _)| name.clone()).collect(), "{kind}");
    }
}

struct Check<'a> {
    document: &'a Value,
    faults: Vec<String>,
}

impl Check<'_> {
    fn require(&mut self, holds: bool, at: &str, rule: &str) {
        if !holds {
            self.faults.push(format!("{at}: {rule}"));
        }
    }

    /// Checks the names of an object's members.
    fn known(&mut self, kind: &str, at: &str, object: &Value) {
        let (_, allowed) = ALLOWED
            .iter()
            .find(|(known, _)| *known == kind)
            .expect("a kind of object");
        for (name, _) in members(object) {
            let is_allowed = allowed.contains(&name.as_str());
            self.require(is_allowed, at, &format!("a {kind} has no {name}"));
        }
        self.require(object.is_object(), at, &format!("is no {kind}"));
    }

    fn head(&mut self) {
        let document = self.document;
        self.known("document", "document", document);
        self.require(document["asyncapi"] == "3.0.0", "asyncapi", "version");
        self.require(
            document["defaultContentType"] == "application/json",
            "document",
            "content type",
        );
        let info = &document["info"];
        self.known("info", "info", info);
        self.known("contact", "contact", &info["contact"]);
        self.known("license", "license", &info["license"]);
        self.known("components", "components", &document["components"]);
        for text in ["title", "version", "description"] {
            self.require(has_text(&info[text]), "info", text);
        }
        self.require(has_text(&info["contact"]["name"]), "contact", "name");
        for text in ["name", "url"] {
            self.require(has_text(&info["license"][text]), "license", text);
        }
        let tags = info["tags"].as_array().map_or(&[][..], Vec::as_slice);
        self.require(!tags.is_empty(), "info", "tags");
        for tag in tags {
            self.known("tag", "tag", tag);
            for text in ["name", "description"] {
                self.require(has_text(&tag[text]), "tag", text);
            }
        }
        let plain = Regex::new(r"^[\w.-]+$").expect("a pattern");
        for kind in ["servers", "channels", "operations"] {
            for (name, _) in members(&document[kind]) {
                self.require(plain.is_match(name), name, "a name");
            }
        }
        for (_, components) in members(&document["components"]) {
            for (name, _) in members(components) {
                self.require(plain.is_match(name), name, "a name");
            }
        }
    }

    fn servers(&mut self) {
        for (at, server) in members(&self.document["servers"]) {
            self.known("server", at, server);
            self.require(has_text(&server["description"]), at, "description");
            let is_known = ["http", "https", "ws"].contains(&text(&server["protocol"]));
            self.require(is_known, at, "protocol");
            self.variables(at, &server["host"], &server["variables"]);
            for (_, variable) in members(&server["variables"]) {
                self.known("variable", at, variable);
                self.require(has_text(&variable["description"]), at, "description");
                let default = text(&variable["default"]);
                let is_host = !default.is_empty() && !default.contains(['/', '{']);
                self.require(is_host, at, "default of the host");
            }
        }
    }

    /// Checks that a template has exactly these variables.
    fn variables(&mut self, at: &str, template: &Value, given: &Value) {
        let variable = Regex::new(r"\{(\w+)\}").expect("a pattern");
        let used: BTreeSet<_> = variable
            .captures_iter(text(template))
            .map(|found| found[1].to_owned())
            .collect();
        let given = members(given).map(|(name, _)| name.clone()).collect();
        self.require(has_text(template) && used == given, at, "variables");
    }

    fn channels(&mut self) {
        for (at, channel) in members(&self.document["channels"]) {
            self.known("channel", at, channel);
            self.require(has_text(&channel["description"]), at, "description");
            self.variables(at, &channel["address"], &channel["parameters"]);
            for (_, parameter) in members(&channel["parameters"]) {
                self.known("parameter", at, parameter);
                self.require(has_text(&parameter["description"]), at, "description");
            }
            self.require(items(&channel["servers"]).count() == 1, at, "one server");
            for server in items(&channel["servers"]) {
                self.points_into(at, server, "#/servers/");
            }
            for (name, message) in members(&channel["messages"]) {
                let expected = format!("#/components/messages/{name}");
                self.require(message["$ref"] == *expected, at, "reference to a message");
            }
        }
    }

    fn operations(&mut self) {
        let mut used = BTreeSet::new();
        for (at, operation) in members(&self.document["operations"]) {
            self.known("operation", at, operation);
            for member in ["summary", "description"] {
                self.require(has_text(&operation[member]), at, member);
            }
            let action = text(&operation["action"]);
            self.require(["send", "receive"].contains(&action), at, "action");
            let channel = &operation["channel"];
            self.points_into(at, channel, "#/channels/");
            let own = format!("{}/messages/", text(&channel["$ref"]));
            let mut lists = vec![&operation["messages"]];
            if let Some(reply) = operation.get("reply") {
                self.known("reply", at, reply);
                self.require(reply["channel"] == *channel, at, "channel of the reply");
                lists.push(&reply["messages"]);
            }
            for list in lists {
                self.require(items(list).count() > 0, at, "has messages");
                for message in items(list) {
                    self.points_into(at, message, &own);
                    used.extend(text(&message["$ref"]).rsplit('/').next());
                }
            }
            for scheme in items(&operation["security"]) {
                self.points_into(at, scheme, "#/components/securitySchemes/");
            }
            if let Some(http) = operation.pointer("/bindings/http") {
                let is_method = ["GET", "POST"].contains(&text(&http["method"]));
                self.require(is_method, at, "method");
                self.require(http["bindingVersion"] == "0.3.0", at, "version of bindings");
                self.schema(at, http.get("query").unwrap_or(&Value::Bool(true)));
            }
        }
        for (name, _) in members(&self.document["components"]["messages"]) {
            self.require(
                used.contains(name.as_str()),
                name,
                "belongs to no operation",
            );
        }
    }

    fn messages(&mut self) {
        for (at, message) in members(&self.document["components"]["messages"]) {
            self.known("message", at, message);
            self.require(message["name"] == **at, at, "name");
            self.require(has_text(&message["title"]), at, "title");
            self.require(message["contentType"] == "application/json", at, "type");
            self.schema(at, &message["payload"]);
            if let Some(headers) = message.get("headers") {
                self.require(headers["type"] == "object", at, "headers are an object");
                self.schema(at, headers);
            }
            if let Some(correlation) = message.get("correlationId") {
                let place = text(&correlation["location"]);
                self.require(place.starts_with("$message.payload#/"), at, "correlation");
            }
            let has_example = items(&message["examples"]).count() > 0;
            self.require(has_example, at, "has an example");
            for example in items(&message["examples"]) {
                self.known("example", at, example);
                self.is_valid(at, &message["payload"], &example["payload"]);
            }
        }
        for (at, schema) in members(&self.document["components"]["schemas"]) {
            self.schema(at, schema);
        }
    }

    fn is_valid(&mut self, at: &str, schema: &Value, value: &Value) {
        let found = faults(self.document, schema, value);
        self.require(found.is_empty(), at, &format!("example: {found:?}"));
    }

    /// Checks a schema and those in it.
    fn schema(&mut self, at: &str, schema: &Value) {
        for (keyword, rule) in members(schema) {
            let is_known = KEYWORDS.contains(&keyword.as_str());
            self.require(is_known, at, &format!("draft 7 has no {keyword}"));
            match keyword.as_str() {
                "properties" => {
                    for (name, property) in members(rule) {
                        self.schema(&format!("{at}.{name}"), property);
                    }
                }
                "items" if rule.is_object() => self.schema(at, rule),
                "items" | "allOf" | "anyOf" | "oneOf" => {
                    items(rule).for_each(|one| self.schema(at, one));
                }
                "additionalProperties" => self.schema(at, rule),
                "examples" => items(rule).for_each(|one| self.is_valid(at, schema, one)),
                "example" => self.is_valid(at, schema, rule),
                _ => {}
            }
        }
    }

    fn points_into(&mut self, at: &str, reference: &Value, place: &str) {
        let is_inside = text(&reference["$ref"]).starts_with(place);
        self.require(is_inside, at, &format!("a reference into {place}"));
    }

    /// Checks that references lead somewhere, and that nothing is unused.
    fn references(&mut self) {
        let mut used = BTreeSet::new();
        references(self.document, &mut used);
        for reference in &used {
            let pointer = reference.strip_prefix('#').unwrap_or_default();
            let is_there = self
                .document
                .pointer(pointer)
                .is_some_and(|found| *found != json!(null));
            self.require(is_there, reference, "leads nowhere");
        }
        for (kind, components) in members(&self.document["components"]) {
            for (name, _) in members(components) {
                let reference = format!("#/components/{kind}/{name}");
                self.require(used.contains(reference.as_str()), name, "is unused");
            }
        }
        for (name, _) in members(&self.document["servers"]) {
            let reference = format!("#/servers/{name}");
            self.require(used.contains(reference.as_str()), name, "is unused");
        }
    }
}

/// A text, or an empty one.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
