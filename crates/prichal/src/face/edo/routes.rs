//! What there is under `/api/v3` and `/api/1`, in the order of the vendor's list.

use axum::{
    Router,
    extract::Request,
    http::Uri,
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
use serde_json::{Value, json};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{events, hooks, limit::limit, references};
use crate::{
    app::App,
    face::{self, once::JsonAnswer},
};

pub use super::{caller::Company as Guard, language::Language, words::words};

pub fn router(app: &App) -> OpenApiRouter<App> {
    v3().layer(from_fn_with_state(app.clone(), limit))
        .merge(webhooks())
}

fn webhooks() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(
            hooks::put_subscription,
            hooks::get_subscription,
            hooks::delete_subscription
        ))
        .routes(routes!(hooks::rotate_secret))
        .routes(routes!(hooks::list_deliveries))
        .routes(routes!(hooks::replay_events))
        .routes(routes!(hooks::get_history))
        .routes(routes!(hooks::list_history))
}

fn v3() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(references::list_employees))
        .routes(routes!(references::get_permissions))
        .routes(routes!(references::get_token))
        .routes(routes!(references::check_counterparties))
        .routes(routes!(references::list_words))
        .routes(routes!(events::list_events))
}

/// Words the errors of this face, in the language of each client.
pub fn worded(router: Router<App>, app: &App) -> Router<App> {
    let app = app.clone();
    face::worded_for::<Guard>(
        router.layer(from_fn(note_language)),
        "edo",
        move |error, left| words(&app, error, left.get().copied().unwrap_or_default()),
    )
}

async fn note_language(request: Request, next: Next) -> Response {
    let language = Language::of(request.headers());
    let mut response = next.run(request).await;
    response.extensions_mut().insert(language);
    response
}

/// Names in paths that are not all lower-case.
const NAMES: [&str; 3] = [
    "GetDocumentStatusByDocumentId",
    "GetDocumentPrintFormByDocumentId",
    "GetDocumentArchiveByDocumentId",
];

/// The path as it is registered here, if it was written in another way that the vendor's server takes:
/// slashes doubled or at the end, letters in either case (`reference/edo.md` §8).
pub fn canonical(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let is_api = segments.next()?.eq_ignore_ascii_case("api");
    let version = segments.next()?;
    if !is_api || !(version.eq_ignore_ascii_case("v3") || version == "1") {
        return None;
    }
    let mut written = format!("/api/{}", version.to_ascii_lowercase());
    for segment in segments {
        let known = NAMES.iter().find(|name| name.eq_ignore_ascii_case(segment));
        written.push('/');
        match known {
            Some(name) => written.push_str(name),
            None => written.push_str(&segment.to_ascii_lowercase()),
        }
    }
    if written == path {
        return None;
    }
    if let Some(query) = uri.query() {
        written.push('?');
        written.push_str(query);
    }
    written.parse().ok()
}

/// An answer in the vendor's envelope.
pub(super) fn wrapped(response: &Value) -> JsonAnswer {
    JsonAnswer::ok(json!({ "response": response, "errors": null }).to_string())
}

/// An answer without it.
pub(super) fn bare(response: &Value) -> JsonAnswer {
    JsonAnswer::ok(response.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_the_vendor_takes_them() {
        for (given, expected) in [
            ("/api/v3/sync/references/statuses", None),
            (
                "/api/v3//sync/references/statuses/",
                Some("/api/v3/sync/references/statuses"),
            ),
            (
                "/API/V3/Sync/References/Statuses?a=B",
                Some("/api/v3/sync/references/statuses?a=B"),
            ),
            (
                "/api/v3/sync/single/document/getdocumentstatusbydocumentid/X",
                Some("/api/v3/sync/single/document/GetDocumentStatusByDocumentId/x"),
            ),
            ("/api//1/webhooks", Some("/api/1/webhooks")),
            ("/api/v1//x", None),
            ("/", None),
        ] {
            let found = canonical(&given.parse().expect("a path"));
            assert_eq!(
                found.map(|uri| uri.to_string()).as_deref(),
                expected,
                "{given}"
            );
        }
    }
}
