//! `/admin/v1/backups`: backups, reported by whoever makes them.

use std::time::Duration;

use axum::{Json as Answer, extract::State, http::StatusCode};
use prichal_core::{
    id::{WorkspaceId, generate},
    schema::{self, Field, Type, object},
    time::Timestamp,
};
use prichal_store::{
    Conn, Tx,
    backup::{self, Backup},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::Administrator;
use crate::{
    app::App,
    dialect::openapi::schema::{body, described, example},
    error::{Error, Result},
    http::body::Raw,
    platform::reading::parse_json_strictly,
};

/// The time that the clock of the machine with the backup may be ahead.
const MAX_AHEAD: Duration = Duration::from_mins(1);

const AT: Field = Field::new("at", Type::Moment)
    .doc("The time of the state that the backup has: when it began. Now, if absent.");
const BYTES: Field = Field::new("bytes", Type::Int)
    .at_least(0)
    .doc("The size of the backup.");
const NOTE: Field = Field::new("note", Type::Text)
    .chars(200)
    .doc("A note, such as the place of the backup.");

const FIELDS: &[Field] = &[AT, BYTES, NOTE];

described! {
    /// A backup that was made.
    NewBackup = body(FIELDS)
        .examples(example(r#"{"bytes": 73400320, "note": "nightly, s3://backups"}"#));
}

/// A backup that was reported.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Backup)]
pub(super) struct BackupModel {
    /// The id of the report.
    id: Uuid,
    /// The time of the state that the backup has.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
    /// The time of the report.
    #[schema(value_type = String, format = "date-time")]
    reported_at: Timestamp,
    /// The size of the backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    bytes: Option<i64>,
    /// The note of the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    note: Option<String>,
}

impl From<Backup> for BackupModel {
    fn from(backup: Backup) -> Self {
        Self {
            id: backup.id,
            at: backup.made_at,
            reported_at: backup.reported_at,
            bytes: backup.bytes,
            note: backup.note,
        }
    }
}

/// The backups that were reported.
#[derive(Serialize, ToSchema)]
#[schema(as = Backups)]
pub(super) struct BackupList {
    /// The backups, the newest first. The last 20 are kept.
    items: Vec<BackupModel>,
}

/// Report a backup that was made. The server makes none itself, and shows the age of the newest one.
#[utoipa::path(post, path = "/admin/v1/backups", tag = "administration", request_body = NewBackup,
    responses((status = 201, body = BackupModel)))]
pub(super) async fn report_backup(
    State(app): State<App>,
    _: Administrator,
    Raw(body): Raw,
) -> Result<(StatusCode, Answer<BackupModel>)> {
    let now = app.clock.now();
    let body = parse_json_strictly(&body)?;
    let given = schema::read_strictly(FIELDS, object(&body)?, &mut || generate(now))?;
    let text = |field: &Field| given.get(field.name).and_then(Value::as_str);
    let made_at = text(&AT).and_then(Timestamp::parse).unwrap_or(now);
    if made_at > now + MAX_AHEAD {
        let why = format!("The backup cannot be from the future: it is {now} now.");
        return Err(Error::invalid(AT.name, why));
    }
    let backup = Backup {
        id: generate(now),
        made_at,
        reported_at: now,
        bytes: given.get(BYTES.name).and_then(Value::as_i64),
        note: text(&NOTE).map(str::to_owned),
    };
    let written = backup.clone();
    let write = move |tx: &mut Tx<'_>| backup::insert(tx, &written);
    app.db.write(WorkspaceId(Uuid::nil()), write).await?;
    Ok((StatusCode::CREATED, Answer(backup.into())))
}

/// List the backups that were reported.
#[utoipa::path(get, path = "/admin/v1/backups", tag = "administration", responses((status = 200, body = BackupList)))]
pub(super) async fn list_backups(
    State(app): State<App>,
    _: Administrator,
) -> Result<Answer<BackupList>> {
    let read = |conn: &mut Conn| Ok::<_, Error>(backup::list(conn)?);
    let found = app.db.read(read).await?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(Answer(BackupList { items }))
}
