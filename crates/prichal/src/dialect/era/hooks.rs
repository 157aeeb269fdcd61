//! `/exec` and `/hook/{token_local}[/…]`: requests of outside systems to a channel (`docs/contracts/era.md §7`).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request as HttpRequest, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use prichal_script::{Failure, Outcome, is_reserved};
use prichal_store::{Tx, run, usage};

use super::error_response::{SCRIPT_FAILED, TIMED_OUT};
use crate::{
    app::App,
    domain::channel::{
        self, Loaded, queue,
        request::{self, Request},
        run::{ImmediateRun, run_now},
    },
    error::{Error, Result},
    http::{body::read_body, extract::bearer, sender},
    platform::{
        access::{Caller, ChannelHandle},
        memory::Payer,
        quota, security, writes,
    },
};

/// Where the token of a hook stands in a path.
pub(super) const IN_PATH: &str = "/hook/";

/// What a script answers is a tenant's: it must not act on this server's pages.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// A request to a channel. Any method will do; the script sees it, the path and all else as it came.
pub(super) async fn hook(State(app): State<App>, request: HttpRequest) -> Result<Response> {
    let (parts, body) = request.into_parts();
    let handle = dock(&app, &parts).await?;
    // Whatever its method, a hook has a run and what its script writes.
    writes::admit(&app, handle.workspace)?;
    let kinds = [
        usage::Kind::Entities,
        usage::Kind::Events,
        usage::Kind::Runs,
        usage::Kind::Records,
    ];
    quota::admit(&app, handle.workspace, &kinds, 0).await?;
    let code = handle.channel.text("recv_svcscriptcode");
    if code.is_empty() {
        return Err(refuse(&handle, "The receiving script of this channel"));
    }
    let loaded = channel::script(&app, handle.workspace, code).await?;
    let loaded = loaded.ok_or_else(|| refuse(&handle, "The receiving script of this channel"))?;
    let mut seen = describe(&app, &parts);
    let limit = app.config.hook_body_limit;
    let payer = Payer::of(&parts.extensions);
    let body = read_body(HttpRequest::from_parts(parts, body), limit).await?;
    if let Some(payer) = payer {
        // As text, and as the script is told of it.
        payer.take(2 * body.len()).await?;
    }
    seen.set_body(&body);
    if handle.channel.is_sync() {
        answer(&app, &handle, &loaded, seen).await
    } else {
        accept(&app, &handle, &seen).await
    }
}

fn refuse(handle: &ChannelHandle, what: &str) -> Error {
    tracing::warn!(channel = %handle.channel.id, "a hook has no script");
    Error::NotFound(what.to_owned())
}

/// The channel of a request, whose token stands in its path or its header, and whose sender it admits.
pub(super) async fn dock(app: &App, parts: &Parts) -> Result<Arc<ChannelHandle>> {
    let path = parts.uri.path();
    let in_path = path
        .strip_prefix(IN_PATH)
        .or_else(|| path.strip_prefix(super::websocket::IN_PATH));
    let token = match in_path {
        Some(rest) => rest.split('/').next(),
        None => bearer(&parts.headers),
    };
    let token = token.ok_or(Error::Unauthenticated)?;
    let handle = channel::by_token(app, token).await?;
    let handle = handle.ok_or(Error::Unauthenticated)?;
    Payer::name(&parts.extensions, Some(handle.workspace), handle.channel.id);
    tracing::Span::current().record("workspace", tracing::field::display(handle.workspace));
    security::known(&Caller::Channel(handle.clone()));
    if !sender(app, &parts.headers, &parts.extensions)
        .is_some_and(|sender| handle.channel.admits(sender))
    {
        return Err(Error::Forbidden("The channel does not admit this sender"));
    }
    Ok(handle)
}

/// A request as its script sees it, but for the body. The token that let it in is no part of that.
fn describe(app: &App, parts: &Parts) -> Request {
    let is_ours = !parts.uri.path().starts_with(IN_PATH);
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

/// Queues the run: whoever was answered 200 has it run, whatever happens.
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

/// Runs the script while the sender waits.
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
    };
    let (_, outcome) = run_now(app, now, std::future::pending()).await;
    match outcome {
        Outcome {
            failure: Some(Failure { stopped: true, .. }),
            ..
        } => Err(Error::refused(TIMED_OUT.0, TIMED_OUT.1)),
        Outcome {
            failure: Some(_), ..
        } => Err(Error::refused(SCRIPT_FAILED.0, SCRIPT_FAILED.1)),
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
            // The script's process has looked at that already, and is not believed.
            && !is_reserved(name.as_str())
        {
            headers.append(name, value);
        }
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
}
