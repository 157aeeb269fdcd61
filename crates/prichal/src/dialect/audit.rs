//! The operations that the audit log records. The table is made of the descriptions of the routes, so each operation has
//! its action, `<tag>.<operationId>`, and only the exceptions are listed here (`docs/audit.md`).

pub mod list;

use std::{collections::HashMap, sync::OnceLock};

use axum::{
    extract::{MatchedPath, Request},
    http::Method,
    middleware::Next,
    response::Response,
};
use prichal_core::event::EntityKind;
use utoipa::openapi::{PathItem, Paths, RefOr, path::Operation as Described};

use crate::platform::{
    audit::{Act, ObjectInPath, Operation, Rule, performing},
    security,
};

/// Operations of the same kind, and the reason why the log does not record them like others.
pub struct Exception {
    pub operations: &'static [&'static str],
    pub reason: &'static str,
}

/// Changes and views that are recorded if a person makes them: the operator, or somebody signed in at the console.
/// Changes of rights are recorded always.
pub const OF_PEOPLE: &[Exception] = &[
    Exception {
        operations: &[
            "create_entity",
            "create_entities",
            "patch_entity",
            "delete_entity",
            "restore_entity",
            "create_link",
            "delete_link",
        ],
        reason: "The event of the change names its author, and the feed has it.",
    },
    Exception {
        operations: &["publish_events"],
        reason: "The event itself is in the feed.",
    },
    Exception {
        operations: &["upload_file", "upload_content", "upload_signature"],
        reason: "A file counts once something names it, which is an act of its own.",
    },
    Exception {
        operations: &[
            "call_started",
            "call_event",
            "call_finished",
            "call_failed",
            "call_recording",
            "register_call",
            "call_out",
            "hang_up",
            "hang_up_by_leg",
            "delete_communication",
            "restore_communication",
        ],
        reason: "The event of the call names its author, and the feed has it.",
    },
    Exception {
        operations: &["send_message", "start_svcscript"],
        reason: "The log of runs and the log of deliveries have it.",
    },
    Exception {
        operations: &["create_outbox", "create_internal", "start_create"],
        reason: "The event of the new document names its author, and the feed has it.",
    },
    Exception {
        operations: &[
            "download_file",
            "download",
            "start_download",
            "get_archive",
            "get_print_form",
        ],
        reason: "A view: it changes nothing, and programs make many.",
    },
];

/// Operations that change nothing although their method could, and traffic that is no act of an administrator.
pub const NEVER: &[Exception] = &[
    Exception {
        operations: &[
            "exec_get",
            "exec_put",
            "exec_post",
            "exec_delete",
            "exec_patch",
            "hook_get",
            "hook_put",
            "hook_post",
            "hook_delete",
            "hook_patch",
            "hook_below_get",
            "hook_below_put",
            "hook_below_post",
            "hook_below_delete",
            "hook_below_patch",
        ],
        reason: "A message of an outside system: the log of runs has it.",
    },
    Exception {
        operations: &["issue_ticket", "issue_stream_ticket"],
        reason: "A ticket for reading, which ends within a minute.",
    },
    Exception {
        operations: &[
            "preview_webhook",
            "verify_signature",
            "check_counterparties",
            "list_employees",
            "get_token",
            "list_operations",
            "list_inbox",
            "list_outbox",
            "create_status",
            "route_status",
            "quick_route_status",
            "inbox_route_status",
            "outbox_content_status",
            "inbox_content_status",
            "outbox_sign_status",
            "inbox_sign_status",
            "download_status",
            "outbox_content",
            "inbox_content",
            "start_outbox_content",
            "start_inbox_content",
        ],
        reason: "It reads.",
    },
];

fn has(exceptions: &[Exception], operation: &str) -> bool {
    let mut all = exceptions.iter();
    all.any(|one| one.operations.contains(&operation))
}

/// The rule for an operation; None if it is not recorded.
fn rule(method: &str, operation: &str) -> Option<Rule> {
    if has(NEVER, operation) {
        None
    } else if has(OF_PEOPLE, operation) {
        Some(Rule::People)
    } else {
        (!matches!(method, "GET" | "HEAD")).then_some(Rule::Always)
    }
}

/// The operations of a route by their methods.
#[derive(Default)]
struct Route {
    methods: Vec<(Method, Target)>,
}

enum Target {
    One(Operation),
    /// One for each collection of entities.
    Each(Vec<(EntityKind, Operation)>),
}

/// The recorded operations of the server.
#[derive(Default)]
pub struct Table(HashMap<String, Route>);

impl Table {
    /// Adds the routes of a router.
    pub fn add(&mut self, paths: &Paths) {
        for (path, item) in &paths.paths {
            for (method, described) in described(item) {
                let id = described.operation_id.as_deref().unwrap_or_default();
                let Some(rule) = rule(method.as_str(), id) else {
                    continue;
                };
                let target = target(path, id, rule, described);
                let route = self.0.entry(path.clone()).or_default();
                route.methods.push((method, target));
            }
        }
    }

    /// Adds signing in and out at the console and the view of secrets there, since its pages have no description.
    pub fn add_console(&mut self) {
        let secrets = "/console/{ws}/integrations/{id}/secrets";
        for (method, path, action, status) in [
            (Method::POST, "/console/sign-in", "console.sign_in", 303),
            (
                Method::GET,
                "/console/oidc/callback",
                "console.sign_in",
                303,
            ),
            (Method::POST, "/console/sign-out", "console.sign_out", 303),
            (Method::POST, secrets, "console.show_secrets", 200),
        ] {
            let operation = Operation {
                action: action.to_owned(),
                rule: Rule::Always,
                status,
                object: object(path),
            };
            let route = self.0.entry(path.to_owned()).or_default();
            route.methods.push((method, Target::One(operation)));
        }
    }

    fn find(&self, method: &Method, route: &str, path: &str) -> Option<&Operation> {
        let mut methods = self.0.get(route)?.methods.iter();
        let (_, target) = methods.find(|(known, _)| known == method)?;
        match target {
            Target::One(operation) => Some(operation),
            Target::Each(all) => {
                let collection = path.split('/').nth(COLLECTION)?;
                let mut all = all.iter();
                let named = |kind: &EntityKind| {
                    kind.collection()
                        .is_some_and(|known| known.eq_ignore_ascii_case(collection))
                };
                all.find(|(kind, _)| named(kind)).map(|(_, one)| one)
            }
        }
    }

    /// Every operation of the table.
    fn all(&self) -> impl Iterator<Item = &Operation> {
        let routes = self.0.values().flat_map(|route| &route.methods);
        routes.flat_map(|(_, target)| match target {
            Target::One(one) => vec![one],
            Target::Each(all) => all.iter().map(|(_, one)| one).collect(),
        })
    }
}

/// The position of the collection in a path of entities.
const COLLECTION: usize = 4;

fn described(item: &PathItem) -> impl Iterator<Item = (Method, &Described)> {
    let all = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    all.into_iter()
        .filter_map(|(method, one)| Some((method, one.as_ref()?)))
}

fn target(path: &str, id: &str, rule: Rule, described: &Described) -> Target {
    let tags = described.tags.iter().flatten();
    let tag = tags.map(|tag| tag.replace(' ', "_")).next();
    let statuses = described.responses.responses.iter();
    let successes = statuses
        .filter(|(_, response)| matches!(response, RefOr::T(_)))
        .filter_map(|(status, _)| status.parse().ok())
        .filter(|status| (200..300).contains(status));
    let operation = |id: &str, path: &str| Operation {
        action: format!("{}.{id}", tag.clone().unwrap_or_default()),
        rule,
        status: successes.clone().max().unwrap_or(200),
        object: object(path),
    };
    if !path.contains("{collection}") {
        return Target::One(operation(id, path));
    }
    let kinds = EntityKind::ALL.iter();
    let each = kinds.filter_map(|kind| {
        let collection = kind.collection()?;
        let id = id
            .replace("entities", &collection.replace('-', "_"))
            .replace("entity", &snake(kind.name()));
        let path = path.replace("{collection}", collection);
        Some((*kind, operation(&id, &path)))
    });
    Target::Each(each.collect())
}

/// `catalog_item` of `catalogItem`.
fn snake(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// The object that a path names: its last parameter. Parameters that may be a token are no ids.
fn object(path: &str) -> Option<ObjectInPath> {
    let segments: Vec<&str> = path.split('/').collect();
    let last = segments
        .iter()
        .rposition(|segment| segment.starts_with('{'))?;
    let kind = |n: usize| {
        let before = segments.get(n.checked_sub(1)?)?;
        Some(noun(before))
    };
    match segments[last] {
        "{ws}" if segments[1] == "admin" => Some(ObjectInPath {
            kind: "workspace".to_owned(),
            segment: None,
        }),
        "{token}" | "{rest}" | "{ws}" => None,
        _ => Some(ObjectInPath {
            kind: kind(last)?,
            segment: Some(last),
        }),
    }
}

/// The kind of the objects below a part of a path.
fn noun(part: &str) -> String {
    let known = match part {
        "instances" | "integrations" => "integration",
        "webHooks" | "webhooks" => "webhook",
        "dead-letters" => "deadLetter",
        "event-types" => "eventType",
        "ui-settings" => "uiSetting",
        "deliveries" => "delivery",
        "integration_points" => "integrationPoint",
        "integration_point_types" => "integrationPointType",
        "svcscripts" => "svcscript",
        "svcscript_runtimes" => "run",
        "quarantine" => "quarantined",
        "download" => "link",
        "document" | "document-events" => "document",
        part if part.starts_with("GetDocument") => "document",
        part => {
            let collection = EntityKind::from_collection(part).map(EntityKind::name);
            return collection.map_or_else(
                || part.strip_suffix('s').unwrap_or(part).to_owned(),
                str::to_owned,
            );
        }
    };
    known.to_owned()
}

static OPERATIONS: OnceLock<Table> = OnceLock::new();

/// Sets the table. Servers of one process, as in tests, have the same one.
pub fn set_operations(table: Table) {
    OPERATIONS.get_or_init(|| table);
}

/// The operation of a method, a route and a path, if it is recorded.
pub fn operation(method: &Method, route: &str, path: &str) -> Option<&'static Operation> {
    OPERATIONS.get()?.find(method, route, path)
}

/// Lets the audit log record a request of this process to itself like one over HTTP.
pub async fn recorded(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let operation =
        route.and_then(|route| operation(request.method(), route.as_str(), request.uri().path()));
    let act = operation.map(|operation| {
        let (agent, id) = security::page()
            .map(|page| (page.agent, page.request))
            .unzip();
        Act::of_request(operation, request.uri(), agent.flatten().as_ref(), id)
    });
    performing(act, next.run(request)).await
}

/// The operation with this id, for acts that are no requests of their own.
pub fn operation_named(id: &str) -> Option<&'static Operation> {
    let mut all = OPERATIONS.get()?.all();
    all.find(|operation| {
        let name = operation.action.split_once('.');
        name.is_some_and(|(_, name)| name == id)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;
    use utoipa::openapi::{
        HttpMethod, ResponseBuilder,
        path::{OperationBuilder, Paths},
    };

    use super::*;

    /// The operations of the committed description, which a test compares with the routes.
    fn described_server() -> Paths {
        let text = include_str!("../../../../docs/openapi/openapi.json");
        let api: Value = serde_json::from_str(text).expect("JSON");
        let mut paths = Paths::new();
        for (path, item) in api["paths"].as_object().expect("paths") {
            for (name, method) in [
                ("get", HttpMethod::Get),
                ("put", HttpMethod::Put),
                ("post", HttpMethod::Post),
                ("patch", HttpMethod::Patch),
                ("delete", HttpMethod::Delete),
            ] {
                let Some(one) = item.get(name) else { continue };
                let mut operation = OperationBuilder::new()
                    .operation_id(one["operationId"].as_str())
                    .tag(one["tags"][0].as_str().unwrap_or_default());
                for status in one["responses"].as_object().expect("responses").keys() {
                    operation = operation.response(status, ResponseBuilder::new().build());
                }
                paths.add_path_operation(path, vec![method], operation);
            }
        }
        paths
    }

    /// The name of an operation among the exceptions, which do not tell collections apart.
    fn listed(path: &str, id: &str) -> String {
        let collection = path.split('/').nth(COLLECTION).unwrap_or_default();
        let Some(kind) =
            EntityKind::from_collection(collection).filter(|_| path.starts_with("/api/v1/"))
        else {
            return id.to_owned();
        };
        id.replace(&collection.replace('-', "_"), "entities")
            .replace(&snake(kind.name()), "entity")
    }

    #[test]
    fn every_writing_operation_is_recorded_or_has_a_reason() {
        let paths = described_server();
        let page = include_str!("../../../../docs/audit.md");
        let exceptions = || OF_PEOPLE.iter().chain(NEVER);
        let (mut seen, mut unknown) = (HashSet::new(), Vec::new());
        for (path, item) in &paths.paths {
            for (method, one) in described(item) {
                let id = one.operation_id.as_deref().expect("an id");
                let name = listed(path, id);
                let exception = exceptions().find(|all| all.operations.contains(&name.as_str()));
                if let Some(exception) = exception {
                    assert!(exception.reason.ends_with('.'), "{id}");
                    seen.insert(name);
                } else if method != Method::GET
                    && rule(method.as_str(), &name) != Some(Rule::Always)
                {
                    unknown.push(id.to_owned());
                }
            }
        }
        assert_eq!(unknown, Vec::<String>::new());
        for name in exceptions().flat_map(|all| all.operations) {
            assert!(seen.contains(*name), "there is no operation {name}");
        }
        for reason in exceptions().map(|all| all.reason) {
            assert!(
                page.contains(reason),
                "docs/audit.md does not say: {reason}"
            );
        }
    }

    #[test]
    fn each_operation_has_an_action_of_its_own() {
        let mut table = Table::default();
        table.add(&described_server());
        let mut actions: Vec<&str> = table.all().map(|one| one.action.as_str()).collect();
        let count = actions.len();
        assert!(count > 80, "{count}");
        actions.sort_unstable();
        actions.dedup();
        assert_eq!(actions.len(), count);
        for action in actions {
            let is_plain =
                |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._".contains(c);
            assert!(action.chars().all(is_plain), "{action}");
        }
    }

    #[test]
    fn paths_name_their_objects() {
        for (path, kind, segment) in [
            ("/admin/v1/workspaces/{ws}/tokens/{id}", "token", Some(6)),
            ("/admin/v1/workspaces/{ws}/quota", "workspace", None),
            (
                "/api/v1/{ws}/integrations/instances/{id}/webHooks/{hookId}/test",
                "webhook",
                Some(8),
            ),
            (
                "/api/v1/{ws}/integrations/{id}/install",
                "integration",
                Some(5),
            ),
            ("/api/v1/{ws}/companies/{id}", "company", Some(5)),
            (
                "/rest/v1/service/integration_points/{id}",
                "integrationPoint",
                Some(5),
            ),
        ] {
            let object = object(path).expect("an object");
            assert_eq!(
                (object.kind.as_str(), object.segment),
                (kind, segment),
                "{path}"
            );
        }
        for path in [
            "/api/v1/{ws}/settings",
            "/hook/{token}",
            "/hook/{token}/{rest}",
            "/exec",
        ] {
            assert_eq!(object(path), None, "{path}");
        }
    }
}
