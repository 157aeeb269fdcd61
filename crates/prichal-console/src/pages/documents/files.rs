//! Files of documents, passed through from the API with a type that the browser may trust.

use axum::{
    body::Body,
    extract::{Path, RawQuery},
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, Method, header};

use crate::{
    answer::Fault,
    api::{self, collect, json_request, segment},
    form::Fields,
    visit::Visit,
};

/// The policy of a shown file: it loads nothing, sends nothing, and runs nothing.
const SANDBOXED: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox";
/// The same for a PDF. Browsers show it in a viewer of their own, which confines the document's scripts. Safari's viewer
/// does not start in a sandbox.
const OF_VIEWER: &str = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; \
     frame-ancestors 'self'";

/// The kind of a file that a browser shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Pdf,
    Text,
    Png,
    Jpeg,
}

impl Shown {
    /// The kind by the extension of a name. Others are only downloaded.
    fn of(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "pdf" => Some(Self::Pdf),
            "txt" => Some(Self::Text),
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg),
            _ => None,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Text => "text/plain; charset=utf-8",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
        }
    }

    const fn policy(self) -> &'static str {
        match self {
            Self::Pdf => OF_VIEWER,
            Self::Text | Self::Png | Self::Jpeg => SANDBOXED,
        }
    }
}

/// True if a browser shows a file with this name.
pub(super) fn is_shown(name: &str) -> bool {
    Shown::of(name).is_some()
}

/// An original of a document: shown by its extension (`as`), else downloaded.
pub(super) async fn original(
    visit: Visit,
    Path((_, id, file)): Path<(String, String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Response, Fault> {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let path = format!(
        "/documents/v1/documents/{}/files/{}",
        segment(&id),
        segment(&file)
    );
    pass(&visit, &path, Shown::of(fields.text("as"))).await
}

/// The content to sign, by the end of its link.
pub(super) async fn content(
    visit: Visit,
    Path((_, _, link)): Path<(String, String, String)>,
) -> Result<Response, Fault> {
    let path = format!("/api/v3/sync/sign-content/download/{}", segment(&link));
    pass(&visit, &path, None).await
}

/// The archive of a document with all its signatures.
pub(super) async fn archive(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let name = "GetDocumentArchiveByDocumentId";
    let path = format!("/api/v3/sync/single/document/{name}/{}", segment(&id));
    pass(&visit, &path, None).await
}

/// The print form of a document.
pub(super) async fn print_form(
    visit: Visit,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let name = "GetDocumentPrintFormByDocumentId";
    let path = format!("/api/v3/sync/single/document/{name}/{}", segment(&id));
    pass(&visit, &path, None).await
}

/// Passes a file through. The type is ours, so that a file that claims to be a page is none.
async fn pass(visit: &Visit, path: &str, shown: Option<Shown>) -> Result<Response, Fault> {
    let answer = visit.raw(json_request(Method::GET, path, None)).await;
    if !answer.status().is_success() {
        return Err(match collect(answer).await {
            Ok(_) => Fault::NotFound,
            Err(error) => error.into(),
        });
    }
    let (head, body) = answer.into_parts();
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for name in [header::CONTENT_LENGTH, header::CONTENT_DISPOSITION] {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let (kind, policy) = match shown {
        Some(shown) => (shown.media_type(), shown.policy()),
        None => ("application/octet-stream", SANDBOXED),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy),
    );
    if shown.is_some() {
        let inline = HeaderValue::from_static("inline");
        headers.insert(header::CONTENT_DISPOSITION, inline);
        let own = HeaderValue::from_static("SAMEORIGIN");
        headers.insert(header::X_FRAME_OPTIONS, own);
    }
    Ok(response)
}

/// Sends a form with a file on to the API.
pub(super) async fn send_file<T: serde::de::DeserializeOwned>(
    visit: &Visit,
    path: &str,
    file: crate::upload::File,
) -> Result<T, api::ApiError> {
    let mut request: http::Request<Body> = json_request(Method::POST, path, None);
    *request.body_mut() = file.body;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, file.content_type);
    api::parse(visit.raw(request).await).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_kinds_are_shown() {
        for (name, shown) in [
            ("a.pdf", Some(Shown::Pdf)),
            ("a.b.TXT", Some(Shown::Text)),
            ("a.jpeg", Some(Shown::Jpeg)),
            ("a.html", None),
            ("a.svg", None),
            ("pdf", None),
            ("", None),
        ] {
            assert_eq!(Shown::of(name), shown, "{name}");
        }
    }
}
