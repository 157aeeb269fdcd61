//! `/admin/v1/workspaces/{ws}/tokens`.

use axum::{Json as Answer, extract::State, http::StatusCode};
use prichal_core::{
    event::EntityKind,
    id::{EntityId, TokenId, UserId, WorkspaceId},
    names,
    schema::{self, Field, Type, Words},
    time::Timestamp,
};
use prichal_store::{
    Tx, entity,
    token::{self, Role, Token},
};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Object};

use super::{
    caller::{Administrator, Requester},
    workspaces::find,
};
use crate::{
    app::App,
    dialect::openapi::schema::{body, described, words},
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
        vault::{random_token, sha256_hex},
    },
};

described! {
    /// A new token of a workspace.
    NewToken = body(FIELDS);
}

/// The meaning of a token's role.
const RIGHTS: &str = "The rights of the holder.";

static ROLES: Words = Words {
    name: "role",
    words: &names!(Role),
};

const FIELDS: &[Field] = &[
    Field::new("name", Type::Text)
        .required()
        .chars(256)
        .worded(|path, _| format!("The {path} must be 1 to 256 characters."))
        .doc("A name for people.")
        .example("integrator"),
    Field::new("role", Type::Enum(&ROLES))
        .required()
        .doc(RIGHTS)
        .example("admin"),
    Field::new("userId", Type::Guid).doc("The user of the workspace for whom the token acts."),
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
    /// The end of the token; null if it has none.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
}

/// A token of a workspace, as its creation shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedToken {
    #[serde(flatten)]
    model: TokenModel,
    /// The token itself, which no other answer shows.
    token: String,
}

fn role_words() -> Object {
    words(ROLES.words, RIGHTS)
}

impl TokenModel {
    fn new(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            role: token.role.name(),
            user_id: token.user.map(|user| user.to_string()),
            expires_at: token.expires_at.map(|at| at.to_string()),
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
    let new = read_new(&parse_json_strictly(&body)?, workspace, now)?;
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
        if let Some(user) = stored.user {
            let (kind, id) = (EntityKind::User, EntityId(user.0));
            let user = entity::find_for_update(tx, workspace, kind, id)?;
            if user.is_none_or(|user| user.deleted_at.is_some()) {
                return Err(Error::invalid(
                    "userId",
                    "The userId is not a user of this workspace.",
                ));
            }
        }
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

fn read_new(body: &serde_json::Value, workspace: WorkspaceId, now: Timestamp) -> Result<Token> {
    let body = body
        .as_object()
        .ok_or_else(|| Error::invalid("", "The request body must be a JSON object."))?;
    let body = schema::read_strictly(FIELDS, body, &mut || prichal_core::id::generate(now))?;
    let text = |name: &str| body.get(name).and_then(|value| value.as_str());
    let name = text("name").unwrap_or_default().to_owned();
    let role = text("role")
        .and_then(Role::parse)
        .ok_or_else(|| Error::invalid("role", "The role must be admin or member."))?;
    let expires_at = text("expiresAt").and_then(Timestamp::parse);
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid(
            "expiresAt",
            "The value of expiresAt is in the past.",
        ));
    }
    let user = text("userId").and_then(UserId::parse);
    Ok(Token {
        id: TokenId::generate(now),
        workspace,
        name,
        role,
        user,
        expires_at,
        created_at: now,
    })
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
    let hash = app
        .db
        .write(workspace, move |tx| {
            token::delete(tx, workspace, token, now)
        })
        .await?
        .ok_or_else(unknown)?;
    app.access.forget_token(&hash);
    let object = format!("token:{token}");
    security::record(Event::TokenRevoked, Some(workspace), &object);
    Ok(StatusCode::NO_CONTENT)
}
