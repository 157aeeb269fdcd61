//! `/admin/v1/workspaces/{ws}/tokens`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use prichal_core::{
    id::{TokenId, WorkspaceId},
    schema::{self, Field, Type},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    token::{self, Token},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    caller::{Administrator, Requester},
    workspaces::find,
};
use crate::{
    app::App,
    dialect::{
        openapi::schema::{body, described},
        sign_in::{INTEGRATIONS, ROLE, USER, holder, role_words},
    },
    error::{Error, Result},
    http::{
        body::Raw,
        extract::Path,
        idempotency::{IdempotencyKey, JsonAnswer, write_once_and},
        page::Page,
    },
    platform::{
        reading::parse_json_strictly,
        security::{self, Event},
        session::{self, Holder},
        vault::{random_token, sha256_hex},
    },
};

described! {
    /// A new token of a workspace.
    NewToken = body(FIELDS);
}

const FIELDS: &[Field] = &[
    Field::new("name", Type::Text)
        .required()
        .chars(256)
        .worded(|path, _| format!("The {path} must be 1 to 256 characters."))
        .doc("A name for people.")
        .example("integrator"),
    ROLE.required(),
    USER,
    INTEGRATIONS,
    Field::new("expiresAt", Type::Moment)
        .doc("The end of the token, in the future. By default it has none.")
        .example("2099-01-01T00:00:00Z"),
];

/// A token of a workspace.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Token)]
pub(super) struct TokenModel {
    /// The id, with which the token is revoked.
    #[schema(format = "uuid")]
    id: String,
    /// The name for people.
    name: String,
    #[schema(schema_with = role_words)]
    role: &'static str,
    /// The user for whom the token acts; null if it acts for none.
    #[schema(required = true, format = "uuid")]
    user_id: Option<String>,
    /// The integrations that an integrator's token acts for.
    integrations: Vec<String>,
    /// The end of the token; null if it has none.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// The last use, to the minute; null if it was not used yet.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
    /// The address of the sender of that use.
    #[schema(required = true)]
    last_used_from: Option<String>,
}

/// A token of a workspace, as its creation shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedToken {
    #[serde(flatten)]
    model: TokenModel,
    /// The token itself, which no other answer shows.
    token: String,
}

impl TokenModel {
    fn new(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            role: token.role.name(),
            user_id: token.user.map(|user| user.to_string()),
            integrations: token.integrations.iter().map(ToString::to_string).collect(),
            expires_at: token.expires_at.map(|at| at.to_string()),
            last_used_at: token.used_at.map(|at| at.to_string()),
            last_used_from: token.used_from.clone(),
        }
    }
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenList {
    /// The number of all tokens of the workspace.
    count: i64,
    /// The tokens, in the order of their creation.
    items: Vec<TokenModel>,
}

/// Create a workspace token. Only this answer shows it.
#[utoipa::path(post, path = "/admin/v1/workspaces/{ws}/tokens", tag = "administration", params(("ws" = String, Path, description = "The name or the id of the workspace"), IdempotencyKey),
    request_body = NewToken, responses((status = 201, body = CreatedToken)))]
pub(super) async fn create_token(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    key: IdempotencyKey,
    Raw(body): Raw,
) -> Result<JsonAnswer> {
    let workspace = find(&app, &ws).await?.id;
    let now = app.clock.now();
    let (new, holder) = read_new(&parse_json_strictly(&body)?, workspace, now)?;
    let secret = random_token();
    let (stored, hash) = (new.clone(), sha256_hex(secret.as_bytes()));
    let object = format!("token:{}", new.id);
    let created = CreatedToken {
        model: TokenModel::new(&new),
        token: secret,
    };
    let text = serde_json::to_string(&created).map_err(Error::internal)?;
    let requester = Requester {
        app,
        workspace,
        now,
    };
    let write = move |tx: &mut Tx<'_>| {
        session::check_holder(tx, &holder)?;
        token::insert(tx, &stored, &hash)?;
        let answer = JsonAnswer::new(StatusCode::CREATED, text.as_str());
        Ok((answer, ()))
    };
    let (answer, done) = write_once_and(&requester, key, &body, write).await?;
    if done.is_some() {
        security::record(Event::TokenCreated, Some(workspace), &object);
    }
    Ok(answer)
}

fn read_new(
    body: &serde_json::Value,
    workspace: WorkspaceId,
    now: Timestamp,
) -> Result<(Token, Holder)> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let body = schema::read_strictly(FIELDS, body, &mut || prichal_core::id::generate(now))?;
    let text = |name: &str| body.get(name).and_then(|value| value.as_str());
    let expires_at = text("expiresAt").and_then(Timestamp::parse);
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid(
            "expiresAt",
            "The value of expiresAt is in the past.",
        ));
    }
    let holder = holder(&body, workspace)?;
    let token = Token {
        id: TokenId::generate(now),
        workspace,
        name: holder.name.clone(),
        role: holder.role,
        user: holder.user,
        integrations: holder.integrations.clone(),
        session: None,
        expires_at,
        created_at: now,
        used_at: None,
        used_from: None,
    };
    Ok((token, holder))
}

/// List the tokens of a workspace, without the tokens themselves.
#[utoipa::path(get, path = "/admin/v1/workspaces/{ws}/tokens", tag = "administration",
    params(("ws" = String, Path, description = "The name or the id of the workspace"), Page),
    responses((status = 200, body = TokenList)))]
pub(super) async fn list_tokens(
    State(app): State<App>,
    _: Administrator,
    Path(ws): Path<String>,
    page: Page,
) -> Result<Answer<TokenList>> {
    let workspace = find(&app, &ws).await?.id;
    let (count, found) = app
        .db
        .read(move |conn| token::list(conn, workspace, page.offset, page.limit))
        .await?;
    Ok(Answer(TokenList {
        count,
        items: found.iter().map(TokenModel::new).collect(),
    }))
}

/// Revoke a token.
#[utoipa::path(delete, path = "/admin/v1/workspaces/{ws}/tokens/{id}", tag = "administration",
    params(("ws" = String, Path, description = "The name or the id of the workspace"), ("id" = Uuid, Path, description = "The id of the token")), responses((status = 204)))]
pub(super) async fn delete_token(
    State(app): State<App>,
    _: Administrator,
    Path((ws, id)): Path<(String, String)>,
) -> Result<StatusCode> {
    let workspace = find(&app, &ws).await?.id;
    let unknown = || Error::NotFound(format!("Token {id}"));
    let token = TokenId::parse(&id).ok_or_else(unknown)?;
    let now = app.clock.now();
    let delete = move |tx: &mut Tx<'_>| token::delete(tx, workspace, token, now);
    if !app.db.write(workspace, delete).await? {
        return Err(unknown());
    }
    app.access.forget_tokens();
    let object = format!("token:{token}");
    security::record(Event::TokenRevoked, Some(workspace), &object);
    Ok(StatusCode::NO_CONTENT)
}
