//! The opening of capabilities, and the state of a connection.

use prichal_core::{schema::Object, time::Timestamp};
use serde_json::{Value, value::RawValue};

use super::{ConnectionInfo, NotOpened, Opened, Session, SetUp, SetUpResult, may};
use crate::{
    dialect::era::{
        svcscript_runtimes::SITE,
        websocket::{
            frame::{self, Done, answered},
            params::{CAPABILITIES, CAPABILITY_KEY, WORDS},
            rest::said,
        },
    },
    error::Result,
    platform::{
        access,
        security::{self, Event},
    },
};

const ACCESS_DENIED: &str = "Access denied by IAM (route not found)";

impl Session {
    /// Opens capabilities.
    pub(super) fn setup<'a>(&mut self, asked: &'a Object, qid: Option<&RawValue>) -> String {
        let wanted = asked.get(CAPABILITIES.name).and_then(Value::as_array);
        let key = |one: &'a Value| one.get(CAPABILITY_KEY.name)?.as_str();
        let keys = wanted.map(|wanted| wanted.iter().map(key));
        let Some(keys) = keys.and_then(Iterator::collect::<Option<Vec<&str>>>) else {
            let why = "The capabilities must be a list of objects with a key".to_owned();
            return answered("setup", qid, Err::<Done, _>((1400, why)));
        };
        let mut capabilities = Vec::new();
        for key in keys.into_iter().take(64) {
            let known = WORDS.words.iter().copied().find(|known| *known == key);
            let error = match known {
                None => Some("Unknown capability"),
                Some(known) if !may(&self.handle, &self.standing.rights, known) => {
                    let object = format!("/ws#{known}");
                    security::record(Event::Forbidden, None, &object);
                    Some(ACCESS_DENIED)
                }
                Some(known) => {
                    self.open.insert(known);
                    None
                }
            };
            let key = key.to_owned();
            capabilities.push(match error {
                None => SetUp::Open(Opened {
                    key,
                    result: frame::Success::Ok,
                }),
                Some(errormsg) => SetUp::Closed(NotOpened {
                    key,
                    result: frame::Failure::Error,
                    errormsg,
                }),
            });
        }
        answered("setup", qid, Ok(SetUpResult { capabilities }))
    }

    pub(super) async fn info(&self) -> Result<ConnectionInfo, (i64, String)> {
        let channel = &self.handle.channel;
        let id = self.handle.workspace.to_string();
        let workspace = access::find_workspace(&self.app, &id).await;
        let workspace = workspace.map_err(|error| said(&error))?;
        let now = self.app.clock.now();
        Ok(ConnectionInfo {
            result: frame::Success::Ok,
            site: SITE,
            ownertype: "token",
            domain: workspace.map(|found| found.name.clone()),
            sessionid: self.id,
            connectionid: self.id,
            capabilities: self.open.iter().copied().collect(),
            datetime: millis(now),
            timestamp: now.micros() / 1000,
            integration_point_id: channel.id.to_string(),
            integration_point_type: channel.text("type").to_owned(),
            roles: channel.roles().map(str::to_owned).collect(),
            token: self.token.clone(),
        })
    }
}

/// A time as RFC 3339 with milliseconds.
fn millis(at: Timestamp) -> String {
    at.to_millis()
}
