//! `/rest/v1/service/svcscript_runtimes/{id}/request`: what a run was started by. This is our own.

use axum::{http::StatusCode, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use prichal_core::{
    channel::{MASK, Tokens},
    schema::{Field, Type},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    caller::{Admin, HOOK_PATH},
    script_trials::kept_request,
    svcscript_runtimes::find as find_run,
};
use crate::{
    dialect::openapi::schema::parameters,
    domain::channel::{
        by_id,
        request::{Request, may_be_secret},
    },
    error::{Error, Result},
    http::{answer::json_text, extract::Path, page::Query},
};

/// The size in bytes behind which a body is cut, unless all of it is asked for.
const MAX_BODY: usize = 1 << 20;

/// The parameters of a request of a run.
const SHOWN: &[Field] = &[Field::new("whole", Type::Bool)
    .doc("True for the whole body. Otherwise it is cut behind its first MiB.")];

parameters! {
    /// The extent of a request.
    pub(super) Extent = SHOWN;
}

/// The request or message that has started a run. Values of headers and parameters whose names tell of secrets are
/// `***`, and so are the tokens of the channel.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServiceScriptRuntimeRequest)]
pub(super) struct RunRequest {
    /// The method of a hook; `SEND` for a message to be sent, `START` for a script that was started by hand.
    #[schema(examples("POST"))]
    method: String,
    /// Path and query of a hook; empty for others.
    #[schema(examples("/exec?a=1"))]
    url: String,
    /// Pairs of a name in lower case and a value.
    #[schema(value_type = Vec<Vec<String>>)]
    headers: Vec<(String, String)>,
    /// The body or the message as text.
    body: String,
    /// The size of the whole body in bytes.
    size: usize,
    /// True if only the beginning of the body is here.
    is_cut: bool,
    /// False if the body has bytes that are no text. U+FFFD stands for them.
    is_text: bool,
    /// The address of the sender; empty without one.
    ip: String,
    /// The parameters of a script that was started by hand.
    params: Vec<Value>,
}

impl RunRequest {
    fn new(request: Request, tokens: &Tokens, is_whole: bool) -> Self {
        let bytes = request
            .base64
            .as_ref()
            .and_then(|text| STANDARD.decode(text).ok());
        let size = bytes.as_ref().map_or(request.text.len(), Vec::len);
        let is_text = bytes.is_none() || !request.text.contains(char::REPLACEMENT_CHARACTER);
        let mut body = tokens.mask_json(request.text);
        let is_cut = !is_whole && body.len() > MAX_BODY;
        if is_cut {
            body.truncate(body.floor_char_boundary(MAX_BODY));
        }
        let headers = request.headers.into_iter().map(|(name, value)| {
            let value = if may_be_secret(&name) {
                MASK.to_owned()
            } else {
                tokens.mask_text(value)
            };
            (name, value)
        });
        Self {
            method: request.method,
            url: tokens.mask_text(masked_url(&request.url)),
            headers: headers.collect(),
            body,
            size,
            is_cut,
            is_text,
            ip: request.ip,
            params: request
                .params
                .into_iter()
                .map(|one| tokens.mask(one))
                .collect(),
        }
    }
}

/// A path and query without the token of a hook's path, and without the values of parameters that may be secret.
fn masked_url(url: &str) -> String {
    let (path, query) = match url.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (url, None),
    };
    let path = match path.strip_prefix(HOOK_PATH) {
        Some(rest) => {
            let below = rest.split_once('/').map(|(_, below)| below);
            let below = below.map_or_else(String::new, |below| format!("/{below}"));
            format!("{HOOK_PATH}{MASK}{below}")
        }
        None => path.to_owned(),
    };
    let Some(query) = query else {
        return path;
    };
    let masked = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if is_secret_parameter(name) => format!("{name}={MASK}"),
        _ => pair.to_owned(),
    };
    let pairs: Vec<String> = query.split('&').map(masked).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn is_secret_parameter(name: &str) -> bool {
    may_be_secret(&percent_decode_str(name).decode_utf8_lossy())
}

/// Read the request or message that has started a run.
///
/// It is kept until the run succeeds, and those of websockets are not kept at all.
#[utoipa::path(get, path = "/rest/v1/service/svcscript_runtimes/{id}/request", tag = "channels",
    params(("id" = Uuid, Path, description = "The id of the run"), Extent),
    responses((status = 200, body = RunRequest)))]
pub(super) async fn get_svcscript_runtime_request(
    Admin(tenant): Admin,
    Path(id): Path<String>,
    query: Query,
) -> Result<Response> {
    let is_whole = query.read("whole", "true or false", |text| match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    })?;
    let run = find_run(&tenant, &id).await?;
    let request = kept_request(&tenant, &run)?;
    let handle = by_id(&tenant.app, run.lane).await?;
    let tokens = handle.map_or_else(Tokens::default, |handle| handle.channel.tokens.clone());
    let shown = RunRequest::new(request, &tokens, is_whole.unwrap_or(false));
    let text = serde_json::to_string(&shown).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_an_address_are_masked() {
        for (url, shown) in [
            ("/exec", "/exec"),
            ("/hook/abc123", "/hook/***"),
            ("/hook/abc123/", "/hook/***/"),
            ("/hook/abc123/updates/1?a=1", "/hook/***/updates/1?a=1"),
            (
                "/exec?api%5Fkey=s&b&Access_Token=t=u&c=",
                "/exec?api%5Fkey=***&b&Access_Token=***&c=",
            ),
        ] {
            assert_eq!(masked_url(url), shown);
        }
    }

    #[test]
    fn a_long_body_is_cut_between_characters() {
        let of = |text: String, is_whole| {
            let request = Request {
                text,
                ..Request::default()
            };
            RunRequest::new(request, &Tokens::default(), is_whole)
        };
        let text = format!("a{}", "é".repeat(MAX_BODY / 2));
        let cut = of(text.clone(), false);
        assert!(cut.is_cut && cut.body.len() == MAX_BODY - 1 && cut.size == MAX_BODY + 1);
        let whole = of(text, true);
        assert!(!whole.is_cut && whole.body.len() == MAX_BODY + 1);
        assert!(!of("x".repeat(MAX_BODY), false).is_cut);
    }

    #[test]
    fn bytes_that_are_no_text_are_told() {
        let mut request = Request::default();
        request.set_body(b"a\xff");
        let shown = RunRequest::new(request, &Tokens::default(), false);
        assert_eq!((&*shown.body, shown.size), ("a\u{fffd}", 2));
        assert!(!shown.is_text);
    }
}
