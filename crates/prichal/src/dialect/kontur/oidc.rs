//! `/api/v1/{ws}/oidc`: signing in with the company's OpenID provider at the command line, by the device flow (RFC 8628).
//! The page of the console signs in by itself.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use prichal_core::{
    id::{TokenId, generate},
    schema::{self, Field, Type, object},
};
use prichal_store::{
    Tx,
    token::{self, Token},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    app::App,
    dialect::openapi::schema::{body, described, example},
    error::{Error, Result},
    http::{answer::json_text, body::Json, extract::Path},
    platform::{
        access::Caller,
        guess,
        oidc::Oidc,
        security::{self, Event},
        session,
        vault::{random_token, sha256_hex},
    },
};

/// The lifetime of a token of the command line.
const TOKEN_LIFETIME: Duration = Duration::from_hours(12);

const ID_TOKEN: Field = Field::new("idToken", Type::Text)
    .required()
    .chars(16_384)
    .doc("The ID token that the provider gave to the command line within the last ten minutes.");
const MEMBERS: &[Field] = &[ID_TOKEN];

described! {
    /// The proof of a sign-in with the provider.
    pub(super) NewOidcToken = body(MEMBERS).examples(example(r#"{"idToken": "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"}"#));
}

/// The settings with which the command line signs in.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OidcSettings {
    /// The provider. Its description is at `/.well-known/openid-configuration` below it.
    issuer: String,
    /// The id of the command line among the provider's clients.
    client_id: String,
    /// The scopes to ask for besides `openid`.
    scopes: Vec<String>,
}

/// A token of the workspace.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OidcToken {
    /// The token itself, which no other answer shows.
    token: String,
    /// The role that the groups of the person have.
    role: String,
    /// The user of the workspace with the person's e-mail address or login.
    #[schema(nullable = false, format = "uuid")]
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    /// The end of the token.
    #[schema(format = "date-time")]
    expires_at: String,
}

fn provider(app: &App) -> Result<&Oidc> {
    let none = || Error::NotFound("The OpenID provider".to_owned());
    app.oidc.as_ref().ok_or_else(none)
}

/// Tell the settings of a sign-in at the command line. They are the same for every workspace.
#[utoipa::path(get, path = "/api/v1/{ws}/oidc", tag = "sessions", security(()),
    params(("ws" = String, Path, description = "The name or the id of the workspace")),
    responses((status = 200, body = OidcSettings)))]
pub(super) async fn get_oidc_settings(State(app): State<App>) -> Result<Response> {
    let oidc = provider(&app)?;
    let none = || Error::NotFound("The provider's client for the command line".to_owned());
    let settings = OidcSettings {
        issuer: oidc.issuer().to_owned(),
        client_id: oidc.cli_client().ok_or_else(none)?.to_owned(),
        scopes: oidc.scopes().to_vec(),
    };
    let text = serde_json::to_string(&settings).map_err(Error::internal)?;
    Ok(json_text(StatusCode::OK, text))
}

/// Exchange an ID token of the device flow for a token of the workspace, which is valid for twelve hours.
#[utoipa::path(post, path = "/api/v1/{ws}/oidc", tag = "sessions", security(()),
    params(("ws" = String, Path, description = "The name or the id of the workspace")),
    request_body = NewOidcToken, responses((status = 201, body = OidcToken)))]
pub(super) async fn create_oidc_token(
    State(app): State<App>,
    Path(ws): Path<String>,
    Json(body): Json,
) -> Result<Response> {
    let oidc = provider(&app)?;
    let now = app.clock.now();
    let given = schema::read(MEMBERS, object(&body)?, &mut || generate(now))?;
    let text = given.get(ID_TOKEN.name).and_then(Value::as_str);
    let Some(person) = oidc.check(&app, text.unwrap_or_default()).await? else {
        guess::mark_guess();
        return Err(Error::Unauthenticated);
    };
    let holder = oidc.holder_in(&app, &person, &ws).await?;
    let Some((workspace, holder)) = holder.and_then(|holder| Some((holder.workspace?, holder)))
    else {
        let why = "The credentials are not for this workspace";
        return Err(Error::Forbidden(why));
    };
    let token = Token {
        id: TokenId::generate(now),
        workspace,
        name: holder.name.clone(),
        role: holder.role,
        user: holder.user,
        integrations: Vec::new(),
        session: None,
        expires_at: Some(now + TOKEN_LIFETIME),
        created_at: now,
        used_at: None,
        used_from: None,
    };
    let secret = random_token();
    let issued = OidcToken {
        token: secret.clone(),
        role: token.role.name().to_owned(),
        user_id: token.user.map(|user| user.to_string()),
        expires_at: (now + TOKEN_LIFETIME).to_string(),
    };
    let object = format!("token:{}", token.id);
    security::set_actor(&Caller::Token(Arc::new(token.clone())));
    let write = move |tx: &mut Tx<'_>| {
        session::check_holder(tx, &holder)?;
        token::insert(tx, &token, &sha256_hex(secret.as_bytes()))?;
        Ok::<_, Error>(())
    };
    app.db.write(workspace, write).await?;
    security::record(Event::TokenCreated, Some(workspace), &object);
    let text = serde_json::to_string(&issued).map_err(Error::internal)?;
    Ok(json_text(StatusCode::CREATED, text))
}
