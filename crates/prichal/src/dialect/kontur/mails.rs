//! `/api/v1/{ws}/mails`: the mails of a workspace and what became of them (`docs/contracts/prichal.md §6.6`).

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    id::{self, generate},
    schema::{self, Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    mail::{self, Kind, Mail, Status},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::{ToSchema, openapi::Object};
use uuid::Uuid;

use super::caller::Admin;
use crate::{
    dialect::openapi::schema::{body, described, example, parameters, words},
    domain::mail::{is_address, queue_test},
    error::{Error, Result},
    http::{
        answer::json_text,
        body::Json,
        page::{LIMIT, Query},
    },
};

/// The maximum number of characters of an address.
const MAX_ADDRESS: usize = 254;

const BEFORE: Field = Field::new("before", Type::Guid)
    .doc("Only mails before this one, which is the `next` of the page before.");
const TO: Field = Field::new("to", Type::Text)
    .required()
    .chars(MAX_ADDRESS)
    .doc("The address that the mail goes to.")
    .example("oncall@example.com");

described! {
    /// A test of the way of mails.
    TestMail = body(&[TO]).examples(example(r#"{"to": "oncall@example.com"}"#));
}

parameters! {
    /// The page of mails.
    pub(super) MailQuery = &[BEFORE, LIMIT];
}

/// A mail to one recipient.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Mail)]
pub(super) struct MailModel {
    /// The id of the mail. Its `Message-ID` begins with it.
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    #[schema(schema_with = kind_word)]
    kind: &'static str,
    #[schema(schema_with = status_word)]
    status: &'static str,
    /// The address of the recipient.
    to: String,
    /// The subject. Empty as long as a mail of the kind `rest` waits.
    subject: String,
    /// The number of attempts so far.
    attempts: i64,
    /// The time at which the mail was queued.
    #[schema(value_type = String, format = "date-time")]
    created_at: Timestamp,
    /// The time of the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time", nullable = false)]
    next_attempt_at: Option<Timestamp>,
    /// The time at which the mail was sent or given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time", nullable = false)]
    finished_at: Option<Timestamp>,
    /// The last answer of the SMTP server, or the reason why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    answer: Option<String>,
    /// The number of mails that a mail of the kind `rest` stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    left_out: Option<i64>,
}

fn kind_word() -> Object {
    let meaning = "The occasion: an alert, a daily digest, a test, or the number of mails that were left out.";
    words(&Kind::NAMES, meaning)
}

fn status_word() -> Object {
    let meaning = "`failed` if the SMTP server has refused the mail for good, or the last attempt has failed.";
    words(&Status::NAMES, meaning)
}

/// A page of mails.
#[derive(Serialize, ToSchema)]
pub(super) struct MailList {
    /// The number of mails on the page.
    count: usize,
    /// The mails, newest first.
    items: Vec<MailModel>,
    /// The value of `before` for the next page. Absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid", nullable = false)]
    next: Option<Uuid>,
}

/// List the mails of the last week, and the last answers of the SMTP server.
#[utoipa::path(get, operation_id = "list_mails", path = "/api/v1/{ws}/mails", tag = "alerts",
    params(Admin, MailQuery), responses((status = 200, body = MailList)))]
pub(super) async fn list_mails(Admin(member): Admin, query: Query) -> Result<Response> {
    let (workspace, limit) = (member.workspace_id(), query.limit()?);
    let before = query.read(BEFORE.name, "a valid id", id::parse_any)?;
    let read = move |conn: &mut Conn| {
        let found = mail::list(conn, workspace, before, limit + 1)?;
        Ok::<_, Error>(found)
    };
    let mut found = member.app.db.read(read).await?;
    let page = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = found.len() > page;
    found.truncate(page);
    let next = found.last().filter(|_| has_more).map(|mail| mail.id);
    let list = MailList {
        count: found.len(),
        items: found.into_iter().map(model).collect(),
        next,
    };
    shown(StatusCode::OK, &list)
}

/// Send a test mail. `GET /mails` tells what became of it.
///
/// A workspace may have five test mails in an hour. A server without an SMTP server refuses (`notSupported`).
#[utoipa::path(post, operation_id = "send_test_mail", path = "/api/v1/{ws}/mails/test", tag = "alerts",
    params(Admin), request_body = TestMail, responses((status = 202, body = MailModel)))]
pub(super) async fn send_test_mail(Admin(member): Admin, Json(body): Json) -> Result<Response> {
    let given = schema::object(&body)?;
    let given = schema::read(&[TO], given, &mut || generate(member.now))?;
    let to = given.get(TO.name).and_then(Value::as_str);
    let to = to.filter(|to| is_address(to)).ok_or_else(|| {
        let why = "The value of 'to' is not an address such as oncall@example.com.";
        Error::invalid(TO.name, why)
    })?;
    let (app, workspace, now) = (member.app.clone(), member.workspace.clone(), member.now);
    let to = to.to_owned();
    let write = move |tx: &mut Tx<'_>| {
        let of = (workspace.id, workspace.name.as_str());
        let id = queue_test(&app, tx, of, &to, now)?;
        let found = mail::find(tx.conn()?, workspace.id, id)?;
        found.ok_or_else(|| Error::internal("a mail is gone"))
    };
    let queued = member.app.db.write(member.workspace_id(), write).await?;
    shown(StatusCode::ACCEPTED, &model(queued))
}

fn shown(status: StatusCode, model: &impl Serialize) -> Result<Response> {
    let text = serde_json::to_string(model).map_err(Error::internal)?;
    Ok(json_text(status, text))
}

fn model(mail: Mail) -> MailModel {
    MailModel {
        id: mail.id,
        kind: mail.kind.name(),
        status: mail.status.name(),
        to: mail.recipient,
        subject: mail.subject,
        attempts: mail.attempts,
        created_at: mail.created_at,
        next_attempt_at: mail.due_at,
        finished_at: mail.finished_at,
        answer: mail.answer,
        left_out: (mail.kind == Kind::Rest).then_some(mail.left_out),
    }
}
