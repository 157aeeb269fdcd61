//! `/api/v1/{ws}/stream`: what happens in a workspace, as server-sent events (`docs/contracts/prichal.md §6.4`).

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream};
use prichal_core::{
    id::WorkspaceId,
    schema::{Field, Type},
    time::Timestamp,
};
use prichal_store::Conn;
use tokio::sync::watch;

use super::{
    communications::LastEvent,
    stream_tickets::{Credential, StreamCaller},
};
use crate::{
    app::App,
    domain::{
        document,
        stream::{
            Listener,
            topic::{Sight, TOLD, Topic, Topics},
        },
    },
    error::{Error, Result},
    platform::{
        access::{self, Caller},
        clock::Clock,
    },
};

/// The interval at which the rights of a stream are checked again. On the node of a change they are checked at once.
const RIGHTS_INTERVAL: Duration = Duration::from_secs(2);
/// The number of these intervals between two comments that keep a connection open.
const HEARTBEAT: u32 = 7;
/// The time after which a stream ends and the client has to connect again.
const MAX_STREAM_DURATION: Duration = Duration::from_mins(10);

pub(super) const TOPICS: Field = Field::new("topics", Type::Text)
    .doc("The topics, with commas between them: `events`, `calls` and `documents` of the log; `alerts`, `deliveries`, `states` and `runs` for administrators.")
    .example("events,deliveries");
pub(super) const TOPIC_LIST: &str =
    "a list of events, calls, documents, deliveries, states, runs and alerts";
pub(super) const NO_TOPICS: &str = "The value of 'topics' is required.";

/// Follow a workspace as server-sent events: `event`, `call`, `document` and `alert` of its log, `delivery`, `state` and
/// `run` as they happen.
///
/// `Last-Event-ID` resumes the log where a stream has ended, without a gap. The other topics are not kept: a listener
/// that is too slow gets `missed` with their number, and should read again what it shows. So does one that resumes among
/// events of the log that were removed by their age.
#[utoipa::path(get, path = "/api/v1/{ws}/stream", tag = "stream",
    security(("token" = [])), params(StreamCaller, LastEvent),
    responses((status = 200, description = "The events of the topics. The data of each is an object", content_type = "text/event-stream", body = String)))]
pub(super) async fn follow_workspace(
    StreamCaller {
        member,
        credential,
        topics,
    }: StreamCaller,
    LastEvent(resume): LastEvent,
) -> Result<Response> {
    let (app, workspace) = (member.app.clone(), member.workspace_id());
    let rights = app.access.listen();
    let sight = sight_of(&app, workspace, &member.caller, topics).await?;
    let listener = Listener::start(app.domain.clone(), workspace, topics, sight, resume).await?;
    let opening = listener.mark();
    let ends = app.clock.now() + MAX_STREAM_DURATION;
    let following = Following {
        ends,
        tick: tick(&app.clock, ends),
        app,
        workspace,
        topics,
        credential,
        listener,
        rights,
        quiet: 0,
    };
    let later = stream::unfold(following, |mut following| async move {
        let text = following.next().await?;
        Some((text, following))
    });
    let texts = stream::iter([opening]).chain(later);
    let mut response = Response::new(Body::from_stream(texts.map(Ok::<Bytes, Infallible>)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// A stream, with what may end it.
struct Following {
    app: App,
    workspace: WorkspaceId,
    topics: Topics,
    credential: Credential,
    listener: Listener,
    rights: watch::Receiver<()>,
    ends: Timestamp,
    tick: BoxFuture<'static, ()>,
    /// The number of intervals since the last text.
    quiet: u32,
}

/// Waits until the rights are checked again, or until the stream ends.
fn tick(clock: &Clock, ends: Timestamp) -> BoxFuture<'static, ()> {
    let at = (clock.now() + RIGHTS_INTERVAL).min(ends);
    let clock = clock.clone();
    Box::pin(async move { clock.sleep_until(at).await })
}

impl Following {
    /// Waits for the next text. `None` at the end of the stream.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.app.stopping.cancelled() => return None,
                _ = self.rights.changed() => self.check_rights().await?,
                () = &mut self.tick => {
                    if self.app.clock.now() >= self.ends {
                        return None;
                    }
                    self.check_rights().await?;
                    self.listener.ask_other_nodes();
                    self.quiet += 1;
                    self.tick = tick(&self.app.clock, self.ends);
                    if self.quiet >= HEARTBEAT {
                        self.quiet = 0;
                        return Some(self.listener.mark());
                    }
                }
                text = self.listener.next() => {
                    self.quiet = 0;
                    return text.inspect_err(|error| self.log(error)).ok();
                }
            }
        }
    }

    /// `None` if the caller may not follow the topics any more.
    async fn check_rights(&mut self) -> Option<()> {
        let checked = self.credential.caller(&self.app).await;
        let checked = match checked {
            Ok(caller) => {
                let caller = caller.filter(|caller| caller.may_enter(self.workspace))?;
                sight_of(&self.app, self.workspace, &caller, self.topics).await
            }
            Err(error) => Err(error),
        };
        match checked {
            Ok(sight) => self.listener.sight = sight,
            Err(Error::Forbidden(_)) => return None,
            // The rights are not known, so nothing more is shown. The client connects again and resumes.
            Err(error) => {
                self.log(&error);
                return None;
            }
        }
        Some(())
    }

    fn log(&self, error: &Error) {
        let workspace = self.workspace;
        tracing::error!(
            error = error as &dyn std::error::Error,
            %workspace,
            "cannot go on with a stream of workspace {workspace}"
        );
    }
}

/// The events that a caller may see. Refuses topics that the caller may not read.
pub(super) async fn sight_of(
    app: &App,
    workspace: WorkspaceId,
    caller: &Caller,
    topics: Topics,
) -> Result<Sight> {
    if caller.integrations().is_some() {
        return Err(Error::Forbidden(
            "An integration follows the log by its webhooks and by the feed",
        ));
    }
    if caller.reads_all() {
        // A token ends with its workspace, the admin token does not.
        let found = access::find_workspace(app, &workspace.to_string()).await?;
        return found.map(|_| Sight::ALL).ok_or(Error::Unauthenticated);
    }
    if TOLD
        .into_iter()
        .chain([Topic::Alerts])
        .any(|topic| topics.has(topic))
    {
        return Err(Error::Forbidden(
            "The topics `deliveries`, `states`, `runs` and `alerts` are for administrators of the workspace",
        ));
    }
    let user = caller.user();
    let read = move |conn: &mut Conn| document::may_view(conn, workspace, user);
    let may_view = app.db.read(read).await?;
    if topics.has(Topic::Documents) && !may_view {
        return Err(Error::Forbidden(
            "The permission DOCUMENT_VIEW is required to follow documents",
        ));
    }
    Ok(Sight {
        documents: may_view,
        alerts: false,
        own_calls: caller.own_calls(),
    })
}

/// Waits until a stream has to end: with the server, after [`MAX_STREAM_DURATION`], or after its credential was
/// revoked.
pub(super) async fn ended(app: App, credential: Credential) {
    let mut rights = app.access.listen();
    let revoked = async {
        loop {
            tokio::select! {
                _ = rights.changed() => {}
                () = app.clock.sleep(RIGHTS_INTERVAL) => {}
            }
            if let Ok(None) = credential.caller(&app).await {
                return;
            }
        }
    };
    tokio::select! {
        () = app.stopping.cancelled() => {}
        () = app.clock.sleep(MAX_STREAM_DURATION) => {}
        () = revoked => {}
    }
}

/// True for the streams that pages may read: `/api/v1/{ws}/stream` and `/api/v1/{ws}/communications/live`.
pub(super) fn is_open_to_pages(path: &str) -> bool {
    let below = path.strip_prefix("/api/v1/").unwrap_or_default();
    let Some((ws, stream)) = below.split_once('/') else {
        return false;
    };
    !ws.is_empty() && ["communications/live", "stream"].contains(&stream)
}

#[cfg(test)]
mod tests {
    use super::is_open_to_pages;

    #[test]
    fn only_the_streams_are_open() {
        assert!(is_open_to_pages("/api/v1/acme/communications/live"));
        assert!(is_open_to_pages("/api/v1/acme/stream"));
        for path in [
            "/api/v1/communications/live",
            "/api/v1//communications/live",
            "/api/v1/acme/communications/live/ticket",
            "/api/v1/acme/stream/ticket",
            "/api/v1//stream",
            "/api/v1/stream",
            "/api/v1/acme/communications",
            "/",
        ] {
            assert!(!is_open_to_pages(path), "{path}");
        }
    }
}
