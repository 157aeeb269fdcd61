//! The limit of requests per token (`--rate-limit`, `docs/contracts/idocs.md §8`), which each node counts by itself.

use axum::{
    extract::{Request, State},
    http::HeaderValue,
    middleware::Next,
    response::Response,
};

use super::{error_response::words, language::Language};
use crate::{
    app::App,
    error::{Error, RateLimit},
    http::extract::bearer,
    platform::access::{self, Caller},
};

/// Counts a request, and refuses one beyond the limit.
pub(super) async fn limit(State(app): State<App>, request: Request, next: Next) -> Response {
    let rate = app.config.rate_limit;
    if rate.most == 0 {
        return next.run(request).await;
    }
    let caller = access::of_request(&app, request.extensions(), bearer(request.headers())).await;
    let Ok(Caller::Token(token)) = caller else {
        // Authentication refuses the request.
        return next.run(request).await;
    };
    let left = app.limiter.take(token.id, rate, app.clock.now());
    let language = Language::of(request.headers());
    let mut response = if left.requests.is_some() {
        next.run(request).await
    } else {
        let seconds = left.reset;
        let limit = RateLimit::Requests {
            most: rate.most,
            period: rate.period,
        };
        words(&app, &Error::TooMany { seconds, limit }, language)
    };
    let headers = response.headers_mut();
    headers.insert("x-ratelimit-limit", rate.most.into());
    headers.insert("x-ratelimit-remaining", left.requests.unwrap_or(0).into());
    headers.insert("x-ratelimit-reset", HeaderValue::from(left.reset));
    response
}
