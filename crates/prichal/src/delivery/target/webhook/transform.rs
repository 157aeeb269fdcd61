//! Calls of a webhook whose script decides what is sent (`docs/contracts/prichal.md §6.2`).

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use bytes::Bytes;
use prichal_core::{
    delivery_settings::DeliverySettings,
    id::{WebhookId, WorkspaceId},
    retry::Failure,
    schema::Object,
    transformation::{self, Changes, Transformed},
};
use prichal_store::{delivery::MAX_OWN_BODY, webhook::Key};
use serde_json::{Value, json};

use super::{
    super::RESERVED_HEADERS, AttemptResult, Payload, REPLAY_FIELD, Receiver, headers, new_echo,
};
use crate::{
    delivery::{Delivery, RETRY_DELAY},
    domain::webhook::script::{self, Ran, Run},
    error::Result,
    http::form,
    platform::outgoing::{
        Answer, Outgoing,
        connections::Connections,
        post::{ID_FIELD, JSON, MAX_ANSWER_BYTES, not_made, send},
        target::Target,
    },
};

/// The script of a webhook, and the parts of its `request` that are the same for all calls.
pub(super) struct Scripted {
    workspace: WorkspaceId,
    webhook: WebhookId,
    code: String,
    /// Path and query.
    url: String,
    query: Value,
    /// The headers without a secret that are the same for all calls.
    headers: Object,
}

/// A request to a receiver.
pub struct Message {
    pub method: Method,
    pub target: Target,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A call as the script makes it, not sent.
pub struct Preview {
    /// `None` if the event is skipped. The error is the reason of a failure.
    pub message: Result<Option<Message>, String>,
    pub log: Vec<String>,
}

impl Scripted {
    /// `None` if the settings name no script.
    pub(super) fn of(key: Key, receiver: &Receiver, settings: &DeliverySettings) -> Option<Self> {
        let code = settings.script.clone()?;
        let url = receiver.target.as_ref().map_or("/", Target::path);
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let open = settings.headers.iter().filter(|header| !header.is_secret);
        let open = open.map(|one| (one.name.to_ascii_lowercase(), one.value.as_str().into()));
        Some(Self {
            workspace: key.workspace,
            webhook: key.id,
            code,
            query: form::query(query).into(),
            url: url.to_owned(),
            headers: open.collect(),
        })
    }

    /// Runs the script and makes the call that it asks for.
    pub(super) async fn call(
        &self,
        app: &Delivery,
        receiver: &Receiver,
        connections: &Connections,
        payload: Payload,
        is_awaited: bool,
    ) -> AttemptResult {
        let started_at = app.clock.now();
        let ran = match self.run(app, receiver, &payload, is_awaited).await {
            Ok(Some(ran)) => ran,
            // The server stops. The next start continues with this event.
            Ok(None) => return AttemptResult::Postponed(started_at),
            Err(error) => {
                let (workspace, id) = (self.workspace, self.webhook);
                tracing::error!(error = &error as &dyn std::error::Error, %workspace, webhook.id = %id, "webhook {id}: cannot read its script; trying again");
                return AttemptResult::Postponed(app.clock.now() + RETRY_DELAY);
            }
        };
        let echo = new_echo();
        let made = ran.made.and_then(|made| match made {
            Transformed::Skipped => Ok(None),
            Transformed::Call(changes) => {
                Message::of(app, receiver, payload, &echo, changes).map(Some)
            }
        });
        let message = match made {
            Ok(Some(message)) => message,
            Ok(None) => return AttemptResult::Skipped,
            Err(reason) => {
                let error = script::described(&reason, &ran.log);
                let mut outcome = not_made(started_at, Failure::Script, error);
                outcome.duration = app.clock.now().since(started_at);
                return AttemptResult::Called(Box::new(outcome));
            }
        };
        let body = message.body.slice(..message.body.len().min(MAX_OWN_BODY));
        let request = Outgoing {
            method: message.method,
            headers: message.headers,
            body: message.body,
            keep: MAX_ANSWER_BYTES,
        };
        let read = |answer: &Answer| receiver.judge(answer, &echo);
        let (target, timeout) = (&message.target, receiver.timeout);
        let mut outcome = send(app, connections, target, timeout, request, read).await;
        outcome.exchange.body = Some(body.to_vec());
        AttemptResult::Called(Box::new(outcome))
    }

    async fn run(
        &self,
        app: &Delivery,
        receiver: &Receiver,
        payload: &Payload,
        is_awaited: bool,
    ) -> Result<Option<Ran>> {
        let mut headers = self.headers.clone();
        let mut put = |name: &str, value: &str| headers.insert(name.to_owned(), value.into());
        put(
            header::CONTENT_TYPE.as_str(),
            JSON.to_str().unwrap_or_default(),
        );
        put(ID_FIELD.name, &payload.id.to_string());
        if payload.replay {
            put(REPLAY_FIELD.name, "true");
        }
        let request = json!({
            "method": Method::POST.as_str(),
            "url": self.url,
            "query": self.query,
            "headers": headers,
            "text": String::from_utf8_lossy(&payload.body),
        });
        let run = Run {
            workspace: self.workspace,
            webhook: self.webhook,
            code: &self.code,
            timeout: receiver.timeout,
            is_awaited,
            reserved: &RESERVED_HEADERS,
        };
        script::run(app, run, &request).await
    }
}

/// The message that would be sent now. `None` if the server stops.
pub async fn preview(
    app: &Delivery,
    receiver: &Receiver,
    payload: Payload,
) -> Result<Option<Preview>> {
    let ran = match &receiver.script {
        Some(script) => {
            script
                .run(app, receiver, &payload, super::IS_AWAITED)
                .await?
        }
        None => Some(Ran {
            made: Ok(Transformed::Call(Changes::default())),
            log: Vec::new(),
        }),
    };
    Ok(ran.map(|ran| Preview {
        message: ran.made.and_then(|made| match made {
            Transformed::Skipped => Ok(None),
            Transformed::Call(changes) => {
                Message::of(app, receiver, payload, &new_echo(), changes).map(Some)
            }
        }),
        log: ran.log,
    }))
}

impl Message {
    /// The message of a call with the changes of a script. Its signature is over the changed body.
    fn of(
        app: &Delivery,
        receiver: &Receiver,
        mut payload: Payload,
        echo: &str,
        changes: Changes,
    ) -> Result<Self, String> {
        let target = receiver.target.as_ref().map_err(Clone::clone)?;
        let target = match &changes.path {
            None => target.clone(),
            Some(path) => target
                .at(path)
                .ok_or("the path is not one of the webhook's host")?,
        };
        let content_type = changes.body.map(|body| {
            payload.body = body.bytes.into();
            HeaderValue::from_static(body.content_type)
        });
        let mut headers = headers(app, receiver, &payload, echo, app.clock.now());
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        for (name, value) in changes.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            match value {
                None => {
                    headers.remove(name);
                }
                Some(value) => {
                    let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
                    headers.insert(name, value);
                }
            }
        }
        Ok(Self {
            method: method(changes.method),
            target,
            headers,
            body: payload.body,
        })
    }
}

fn method(of: transformation::Method) -> Method {
    match of {
        transformation::Method::Post => Method::POST,
        transformation::Method::Put => Method::PUT,
        transformation::Method::Patch => Method::PATCH,
        transformation::Method::Delete => Method::DELETE,
    }
}
