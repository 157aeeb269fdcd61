//! How many requests a token may send (`--rate-limit`, `docs/contracts/idocs.md §8`). Each node counts for itself.

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use serde_json::json;

use super::{
    error_response::UNKNOWN,
    language::{Language, Said},
};
use crate::{
    app::App,
    http::{answer::json_text, extract::bearer},
    platform::access::{self, Caller},
};

/// Counts a request, and answers one too many itself.
pub(super) async fn limit(State(app): State<App>, request: Request, next: Next) -> Response {
    let rate = app.config.rate_limit;
    if rate.most == 0 {
        return next.run(request).await;
    }
    let token = match bearer(request.headers()) {
        Some(text) => access::by_token(&app, text).await,
        None => Ok(None),
    };
    let Ok(Some(Caller::Token(token))) = token else {
        // Refused where it is looked at.
        return next.run(request).await;
    };
    let left = app.limiter.take(token.id, rate, app.clock.now());
    let language = Language::of(request.headers());
    let mut response = match left.requests {
        Some(_) => next.run(request).await,
        None => too_many(language),
    };
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", rate.most.into());
    headers.insert("x-ratelimit-remaining", left.requests.unwrap_or(0).into());
    headers.insert("x-ratelimit-reset", HeaderValue::from(left.reset));
    if left.requests.is_none() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(left.reset));
    }
    response
}

fn too_many(language: Language) -> Response {
    let error = json!({
        "errorCode": UNKNOWN,
        "errorDescription": TOO_MANY.text(language, &[]),
        "errorDocumentationLink": null,
    });
    let body = json!({ "response": null, "errors": [error] });
    json_text(StatusCode::TOO_MANY_REQUESTS, body.to_string())
}

pub(super) const TOO_MANY: Said = Said::new(
    "Слишком много запросов, повторите позже.",
    "Сұраулар тым көп, кейінірек қайталаңыз.",
    "Too many requests, try again later.",
);
