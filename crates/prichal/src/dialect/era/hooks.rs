//! `/exec` and `/hook/{token_local}[/…]`: requests of outside systems to a channel (`docs/contracts/era.md §7`).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use prichal_script::{Failure, Outcome, is_reserved};
use prichal_store::{Tx, run};

use super::{
    caller::{HOOK_PATH, channel_of},
    error_response::{SCRIPT_FAILED, TIMED_OUT},
};
use crate::{
    app::App,
    domain::channel::{
        self, Loaded, queue,
        request::{self, Request},
        run::{ImmediateRun, run_now},
    },
    error::{Code, Error, Result},
    http::{body::read_body, sender},
    platform::{access::ChannelHandle, memory::Payer, writes},
};

/// The headers of every script's answer: its content is a tenant's, and must not act on this server's pages.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Answers a request to a channel, of any method. The script sees method, path, headers and body as they came.
pub(super) async fn hook(State(app): State<App>, request: HttpRequest) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let handle = channel_of(&app, &parts).await?;
    // A GET makes a run, too, and its script may write.
    writes::admit(&app, handle.workspace)?;
    channel::admit_run(&app, handle.workspace).await?;
    let code = handle.channel.text("recv_svcscriptcode");
    if code.is_empty() {
        return Err(no_script(&handle, "The receiving script of this channel"));
    }
    let loaded = channel::script(&app, handle.workspace, code).await?;
    let loaded =
        loaded.ok_or_else(|| no_script(&handle, "The receiving script of this channel"))?;
    let mut seen = describe(&app, &parts);
    let limit = app.config.hook_body_limit;
    let payer = Payer::of(&parts.extensions);
    let body = read_body(HttpRequest::from_parts(parts, body), limit).await?;
    if let Some(payer) = payer {
        // Once as text, once as the script's copy.
        payer.take(2 * body.len()).await?;
    }
    seen.set_body(&body);
    if handle.channel.is_sync() {
        answer(&app, &handle, &loaded, seen).await
    } else {
        accept(&app, &handle, &seen).await
    }
}

fn no_script(handle: &ChannelHandle, what: &str) -> Error {
    tracing::warn!(
        workspace = %handle.workspace,
        channel = %handle.channel.id,
        "channel {} has no receiving script, so its hook was refused",
        handle.channel.id
    );
    Error::NotFound(what.to_owned())
}

/// Describes a request to its script, without the body and without the channel's token.
fn describe(app: &App, parts: &Parts) -> Request {
    let is_ours = !parts.uri.path().starts_with(HOOK_PATH);
    // The body is decoded before the script sees it.
    let shown = |name: &HeaderName| {
        !(is_ours && name == header::AUTHORIZATION) && name != header::CONTENT_ENCODING
    };
    let headers = parts.headers.iter().filter(|(name, _)| shown(name));
    let url = parts.uri.path_and_query();
    Request {
        method: parts.method.as_str().to_owned(),
        url: url.map_or_else(String::new, ToString::to_string),
        headers: headers
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
        ip: sender(app, &parts.headers, &parts.extensions)
            .map_or_else(String::new, |sender| sender.to_string()),
        protocol: "http".to_owned(),
        ..Request::default()
    }
}

/// Queues the run durably. The answer 200 promises that it will run.
async fn accept(app: &App, handle: &Arc<ChannelHandle>, request: &Request) -> Result<Response> {
    let run = request::hook(app, handle, request, app.clock.now())?;
    let (at, workspace) = (app.clone(), handle.workspace);
    let work = async move {
        let place = at.channels.queue.reserve(run);
        let (run, owner) = (place.run().clone(), place.owner(&at));
        let write = move |tx: &mut Tx<'_>| {
            run::insert(tx, &run, owner);
            Ok::<_, Error>(())
        };
        at.db.write(workspace, write).await?;
        place.take(&at);
        Ok(())
    };
    queue::enqueue(app, work).await?;
    Ok(StatusCode::OK.into_response())
}

/// Runs the script while the sender waits for its answer.
async fn answer(
    app: &App,
    handle: &Arc<ChannelHandle>,
    loaded: &Loaded,
    request: Request,
) -> Result<Response> {
    let now = ImmediateRun {
        handle: Some(handle),
        workspace: handle.workspace,
        kind: run::Kind::Hook,
        loaded,
        request,
        connection: None,
        author: handle.author(),
        time: handle.channel.timeout(),
        may_repeat: None,
    };
    let outcome = run_now(app, now, std::future::pending()).await?;
    match outcome {
        Outcome {
            failure: Some(Failure { stopped: true, .. }),
            ..
        } => Err(Error::refused(Code::ScriptTimedOut, TIMED_OUT)),
        Outcome {
            failure: Some(_), ..
        } => Err(Error::refused(Code::ScriptFailed, SCRIPT_FAILED)),
        Outcome { response: None, .. } => Ok(StatusCode::OK.into_response()),
        Outcome {
            response: Some(given),
            ..
        } => {
            let status = StatusCode::from_u16(given.status).unwrap_or(StatusCode::OK);
            let headers = given.headers.clone();
            let mut response = Response::new(Body::from(given.into_body()));
            *response.status_mut() = status;
            put_headers(response.headers_mut(), headers);
            Ok(response)
        }
    }
}

fn put_headers(headers: &mut HeaderMap, given: Vec<(String, String)>) {
    for (name, value) in given {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
            // The script's process checks this, too, but it is not trusted.
            && !is_reserved(name.as_str())
        {
            headers.append(name, value);
        }
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}
