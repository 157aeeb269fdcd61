//! `/admin/v1/workspaces`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use prichal_core::{
    id::WorkspaceId,
    identifier,
    schema::{self, Field, Type},
    time::Timestamp,
    workspace_name,
};
use prichal_store::{
    Tx, integration,
    job::{Items, Kind as JobKind},
    workspace::{self, Workspace},
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::caller::{Administrator, Requester};
use crate::{
    app::App,
    dialect::openapi::schema::{body, described},
    domain::job,
    error::{Code, Error, Result},
    http::{
        body::Raw,
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        page::Page,
    },
    platform::{
        access,
        reading::parse_json_strictly,
        security::{self, Event},
    },
};

described! {
    /// A new workspace.
    NewWorkspace = body(FIELDS);
}

const FIELDS: &[Field] = &[
    Field::new("name", Type::Text)
        .required()
        .form(&workspace_name::NAME)
        .doc("The name in paths, unique: a letter, then lower-case letters, digits and hyphens. `authorization` is reserved.")
        .example("acme"),
    title("title", "A name for people.").example("Acme"),
    Field::new("bin", Type::Text)
        .form(&identifier::DIGITS)
        .doc("The company's business identification number: 12 digits with a valid check digit, unique.")
        .example("971240001315"),
    title("companyName", "The company's name in documents.").example("ТОО «Acme»"),
];

const fn title(name: &'static str, doc: &'static str) -> Field {
    Field::new(name, Type::Text)
        .chars(256)
        .worded(|path, _| format!("The {path} must be at most 256 characters."))
        .doc(doc)
}

/// A workspace.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Workspace)]
pub(super) struct WorkspaceModel {
    /// The id, which paths accept as well as the name.
    #[schema(format = "uuid")]
    id: String,
    /// The name in paths.
    name: String,
    /// The name for people.
    #[schema(required = true)]
    title: Option<String>,
    /// The company's business identification number.
    #[schema(required = true)]
    bin: Option<String>,
    /// The company's name in documents.
    #[schema(required = true)]
    company_name: Option<String>,
    /// The creation and the last change.
    update_info: Updated,
}

/// The creation and the last change.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WorkspaceUpdateInfo)]
#[expect(clippy::struct_field_names, reason = "the contract's names")]
struct Updated {
    /// The time of the last change.
    #[schema(format = DateTime)]
    updated_at: String,
    /// The application that made the last change.
    updated_with: &'static str,
    /// The time of the creation.
    #[schema(format = DateTime)]
    created_at: String,
    /// The application that created the workspace.
    created_with: &'static str,
}

/// The author of workspaces: the administrator of the server is not a user of theirs.
const AUTHOR: &str = "xcom";

impl From<&Workspace> for WorkspaceModel {
    fn from(workspace: &Workspace) -> Self {
        let Workspace {
            id,
            name,
            title,
            bin,
            company_name,
            created_at,
            updated_at,
        } = workspace.clone();
        let time = |at: Timestamp| at.to_string();
        let update_info = Updated {
            updated_at: time(updated_at),
            updated_with: AUTHOR,
            created_at: time(created_at),
            created_with: AUTHOR,
        };
        Self {
            id: id.to_string(),
            name,
            title,
            bin,
            company_name,
            update_info,
        }
    }
}

/// A page of workspaces.
#[derive(Serialize, ToSchema)]
pub(super) struct WorkspaceList {
    /// The number of all workspaces.
    count: i64,
    /// The workspaces, in the order of their creation.
    items: Vec<WorkspaceModel>,
}

/// Create a workspace.
#[utoipa::path(post, path = "/admin/v1/workspaces", tag = "administration", params(IdempotencyKey), request_body = NewWorkspace,
    responses((status = 201, body = WorkspaceModel)))]
pub(super) async fn create_workspace(
    State(app): State<App>,
    _: Administrator,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let now = app.clock.now();
    let new = read_new(&app, &parse_json_strictly(&body)?, now)?;
    let requester = Requester {
        app,
        workspace: WorkspaceId(Uuid::nil()),
        now,
    };
    let write = move |tx: &mut Tx<'_>| {
        let mut new = new.clone();
        // Documents may have been sent to the company before it had a workspace. They name its id.
        if let Some(bin) = &new.bin {
            new.id = workspace::awaited_id(tx.conn()?, bin)?;
        }
        if !workspace::insert(tx, &new)? {
            let has_name = workspace::find(tx.conn()?, &new.name)?.is_some();
            let what = match &new.bin {
                Some(bin) if !has_name => format!("A workspace with the bin {bin} exists already"),
                _ => format!("A workspace named `{}` exists already", new.name),
            };
            return Err(Error::refused(Code::Conflict, what));
        }
        let model = WorkspaceModel::from(&new);
        let text = serde_json::to_string(&model).map_err(Error::internal)?;
        let answer = JsonAnswer::new(StatusCode::CREATED, text);
        Ok((answer, new.id))
    };
    let (answer, made) = write_once_and(&requester, key, &body, write).await?;
    if made.is_some() {
        security::record(Event::WorkspaceCreated, made, "");
    }
    Ok(answer)
}

fn read_new(app: &App, body: &serde_json::Value, now: Timestamp) -> Result<Workspace> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let body = schema::read_strictly(FIELDS, body, &mut || prichal_core::id::generate(now))?;
    let text = |name: &str| {
        body.get(name)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    let name = text("name").unwrap_or_default();
    let bin = text("bin");
    if let Some(bin) = &bin
        && !app.config.identifier_check.accepts(bin)
    {
        let fault = identifier::DIGITS.fault("bin", &bin.as_str().into());
        return Err(vec![fault].into());
    }
    let (title, company_name) = (text("title"), text("companyName"));
    Ok(Workspace {
        id: WorkspaceId::generate(now),
        name,
        title,
        bin,
        company_name,
        created_at: now,
        updated_at: now,
    })
}

/// List the workspaces.
#[utoipa::path(get, path = "/admin/v1/workspaces", tag = "administration",
    params(Page),
    responses((status = 200, body = WorkspaceList)))]
pub(super) async fn list_workspaces(
    State(app): State<App>,
    _: Administrator,
    page: Page,
) -> Result<Answer<WorkspaceList>> {
    let (count, found) = app
        .db
        .read(move |conn| workspace::list(conn, page.offset, page.limit))
        .await?;
    Ok(Answer(WorkspaceList {
        count,
        items: found.iter().map(Into::into).collect(),
    }))
}

/// Read a workspace, by its name or id.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace")),
    responses((status = 200, body = WorkspaceModel)))]
pub(super) async fn get_workspace(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<Answer<WorkspaceModel>> {
    let found = find(&app, &ws).await?;
    Ok(Answer((&*found).into()))
}

/// Delete a workspace: its tokens and keys end, its webhooks stop.
#[utoipa::path(delete, path = "/admin/v1/workspaces/{ws}", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace")),
    responses((status = 204)))]
pub(super) async fn delete_workspace(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
) -> Result<StatusCode> {
    let id = match find(&app, &ws).await {
        Ok(workspace) => workspace.id,
        Err(gone) => {
            // A repeated deletion gets the first answer again.
            let wanted = ws.to_ascii_lowercase();
            let known = app
                .db
                .read(move |conn| workspace::was_deleted(conn, &wanted))
                .await?;
            return if known {
                Ok(StatusCode::NO_CONTENT)
            } else {
                Err(gone)
            };
        }
    };
    let now = app.clock.now();
    let ended = app
        .db
        .write(id, move |tx| {
            let ended = integration::revoke_all(tx, id, now)?;
            workspace::delete(tx, id, now)?;
            job::begin(tx, id, JobKind::ClearWorkspace, "", &())?;
            Ok::<_, Error>(ended)
        })
        .await?;
    ended
        .into_iter()
        .for_each(|revocation| app.access.revoke(revocation));
    app.access.forget_all();
    app.channels.forget_channels();
    app.channels.forget_scripts();
    // Closes the websockets of its channels.
    app.channels.sockets.workspace_changed(id);
    security::record(Event::WorkspaceDeleted, Some(id), "");
    app.dispatch.hooks_changed(id);
    let all = Items::One(String::new());
    crate::delivery::job::finish(&app, id, JobKind::ClearWorkspace, all).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A workspace by its name or id; `NotFound` if there is none.
pub(super) async fn find(app: &App, ws: &str) -> Result<std::sync::Arc<Workspace>> {
    access::find_workspace(app, ws)
        .await?
        .ok_or_else(|| Error::NotFound(format!("Workspace {ws}")))
}
