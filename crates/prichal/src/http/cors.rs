//! Pages of other origins, all of them or those in the settings, may read what a dialect opens to them. There are no
//! cookies, so a browser sends no credential that the page did not add itself, a token or a ticket.

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};

use crate::{config::value::ANY_ORIGIN, platform::Platform};

/// The access of a request's origin.
pub struct Open {
    /// True if the path may be read by other origins.
    is_open: bool,
    /// The request's origin, if it is allowed.
    origin: Option<HeaderValue>,
}

impl Open {
    /// `is_open`: true if the path may be read by other origins.
    pub fn of(app: &Platform, request: &Request, is_open: bool) -> Self {
        let origin = request.headers().get(header::ORIGIN).filter(|origin| {
            let mut allowed = app.config.allowed_origins.iter();
            is_open && allowed.any(|one| one == ANY_ORIGIN || one.as_bytes() == origin.as_bytes())
        });
        Self {
            is_open,
            origin: origin.cloned(),
        }
    }

    /// The answer to a preflight request from an allowed origin.
    pub fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request
                .headers()
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        (asks && self.origin.is_some()).then(|| {
            let lines = [
                (header::ACCESS_CONTROL_ALLOW_METHODS, "GET"),
                (
                    header::ACCESS_CONTROL_ALLOW_HEADERS,
                    "Authorization, Last-Event-ID",
                ),
                (header::ACCESS_CONTROL_MAX_AGE, "600"),
            ];
            (StatusCode::NO_CONTENT, lines).into_response()
        })
    }

    /// Sets the headers that allow the page to read the answer.
    pub fn mark(&self, headers: &mut HeaderMap) {
        if self.is_open {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = &self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::value::origin;

    #[test]
    fn an_origin_is_read_as_browsers_send_it() {
        for (text, expected) in [
            ("https://crm.example", Some("https://crm.example")),
            ("https://CRM.example/", Some("https://crm.example")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://crm.example/x", None),
            ("https://crm.example:443", None),
            ("crm.example", None),
            ("*", Some("*")),
            ("null", None),
        ] {
            assert_eq!(origin(text).as_deref(), expected, "{text}");
        }
    }
}
