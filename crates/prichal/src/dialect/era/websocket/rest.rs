//! The capability `rest`: requests to `/rest/v1` over the websocket.

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, Uri},
    middleware::from_fn,
};
use http_body_util::BodyExt as _;
use prichal_core::schema::{Field, Object};
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    params::{CLASSPATH, CONTENT, ENTITY_ID, ID, OPERATION, SELECTION},
    rights::Rights,
};
use crate::{
    app::App,
    dialect::{
        audit,
        era::{
            caller::{AsChannel, Tenant},
            error_response, service,
        },
        guard, guard_methods, paths, render_errors,
    },
    error::{Error, Result},
    platform::{
        access::ChannelHandle,
        memory::Payer,
        security::{self, Event},
    },
};

const ROOT: &str = "/rest/v1/";

/// The content of an answer, or the code and the text of an error.
pub(super) type Answer = Result<Value, (i64, String)>;

fn service() -> Router<App> {
    static SERVICE: OnceLock<Router<App>> = OnceLock::new();
    let make = || {
        let (router, _) = service::service().split_for_parts();
        let router = router.fallback(async |uri: Uri| Error::NoRoute(paths().missing(uri.path())));
        let router = guard_methods(router, guard::<Tenant>);
        render_errors(router, "era", error_response::words).layer(from_fn(audit::recorded))
    };
    SERVICE.get_or_init(make).clone()
}

/// Serves the request that a message describes, as the channel.
pub(super) async fn ask(
    app: App,
    handle: Arc<ChannelHandle>,
    rights: Rights,
    payer: Payer,
    asked: &Object,
) -> Answer {
    let request = read(asked).map_err(|error| said(&error))?;
    let (method, path) = (request.method().as_str(), request.uri().path());
    if !rights.allow(method, path) {
        security::record(
            Event::Forbidden,
            None,
            "no route of the channel's roles opens this",
        );
        return Err((1403, "Access denied by IAM (route not found)".to_owned()));
    }
    let mut request = request;
    request.extensions_mut().insert(AsChannel(handle));
    request.extensions_mut().insert(payer);
    let served = service().with_state(app).oneshot(request).await;
    let response = served.unwrap_or_else(|never| match never {});
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body
        .map_err(|_| (1500, "Internal error".to_owned()))?
        .to_bytes();
    let content: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(content);
    }
    let code = content["error_code"].as_i64();
    let text = content["error_message"].as_str().unwrap_or_default();
    Err((
        code.unwrap_or(1000 + i64::from(status.as_u16())),
        text.to_owned(),
    ))
}

pub(super) fn said(error: &Error) -> (i64, String) {
    (
        1000 + i64::from(error_response::status(error).as_u16()),
        error_response::message(error),
    )
}

fn read(asked: &Object) -> Result<Request<Body>> {
    let text = |name: &str| asked.get(name).and_then(Value::as_str);
    let operation = text(OPERATION.name).unwrap_or_default();
    let (method, has_content) = match operation {
        "read" => (Method::GET, false),
        "create" => (Method::POST, true),
        "replace" => (Method::PUT, true),
        "update" => (Method::PATCH, true),
        "delete" => (Method::DELETE, false),
        "clear" => (extension("CLEAR"), false),
        "lookup" => (extension("LOOKUP"), true),
        _ => {
            let shown: String = operation.chars().take(64).collect();
            let why = format!(
                "`operation` `{shown}` is unknown: read, create, replace, update, delete, clear, lookup."
            );
            return Err(Error::invalid("operation", why));
        }
    };
    let path = text(CLASSPATH.name)
        .unwrap_or_default()
        .trim_start_matches('/');
    let path = path
        .strip_prefix(&ROOT[1..])
        .unwrap_or(path)
        .trim_end_matches('/');
    let bad_path = || {
        Error::invalid(
            "classpath",
            "The classpath must be the path of a collection, such as service/integration_points.",
        )
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '/' || c == '-';
    if path.is_empty() || !path.chars().all(is_plain) || path.contains("//") {
        return Err(bad_path());
    }
    let mut uri = format!("{ROOT}{path}");
    match asked.get(ENTITY_ID.name) {
        None | Some(Value::Null) => {}
        Some(Value::String(id)) if (ID.accepts)(id) => {
            uri.push('/');
            uri.push_str(id);
        }
        Some(other) => return Err(vec![ID.fault(ENTITY_ID.name, other)].into()),
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    for Field { name, .. } in SELECTION {
        match asked.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(value)) => drop(query.append_pair(name, value)),
            Some(value) => drop(query.append_pair(name, &value.to_string())),
        }
    }
    let query = query.finish();
    if !query.is_empty() {
        uri.push('?');
        uri.push_str(&query);
    }
    let content = asked.get(CONTENT.name).filter(|_| has_content);
    let body = content.map_or_else(String::new, Value::to_string);
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri.parse::<Uri>().map_err(|_| bad_path())?;
    Ok(request)
}

fn extension(verb: &str) -> Method {
    Method::from_bytes(verb.as_bytes()).unwrap_or(Method::OPTIONS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dialect::era::websocket::params::OPERATIONS;

    fn line(asked: &Value) -> Option<String> {
        let request = read(asked.as_object()?).ok()?;
        Some(format!("{} {}", request.method(), request.uri()))
    }

    #[test]
    fn every_operation_is_known() {
        for operation in OPERATIONS.words {
            let asked = json!({ "operation": operation, "classpath": "a" });
            assert!(line(&asked).is_some(), "{operation}");
        }
    }

    #[test]
    fn a_message_becomes_a_request() {
        for (asked, expected) in [
            (
                json!({ "operation": "read", "classpath": "service/svcscripts", "limit": 2, "filter": { "a": 1 } }),
                Some("GET /rest/v1/service/svcscripts?filter=%7B%22a%22%3A1%7D&limit=2"),
            ),
            (
                json!({ "operation": "update", "classpath": "/rest/v1/service/svcscripts/", "id": "x-1" }),
                Some("PATCH /rest/v1/service/svcscripts/x-1"),
            ),
            (
                json!({ "operation": "lookup", "classpath": "service/svcscripts", "content": "a" }),
                Some("LOOKUP /rest/v1/service/svcscripts"),
            ),
            (json!({ "operation": "steal", "classpath": "a" }), None),
            (
                json!({ "operation": "read", "classpath": "../admin/v1" }),
                None,
            ),
            (json!({ "operation": "read", "classpath": "a?b" }), None),
            (
                json!({ "operation": "read", "classpath": "a", "id": "../b" }),
                None,
            ),
            (json!({ "operation": "read", "classpath": "" }), None),
        ] {
            assert_eq!(line(&asked).as_deref(), expected, "{asked}");
        }
    }
}
