//! Signing in with the company's OpenID provider: the authorization code flow with PKCE for the console, and ID tokens of
//! the device flow for the command line (OpenID Connect Core 1.0; RFC 7636; RFC 8628).
//!
//! The provider tells who somebody is and their groups. The settings say what a group may do here.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, Method, header};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use openidconnect::{
    AdditionalClaims, AsyncHttpClient, AuthenticationFlow, AuthorizationCode, ClientId,
    ClientSecret, CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    HttpRequest, HttpResponse, IdToken, IdTokenFields, IdTokenVerifier, IssuerUrl, JsonWebKeySet,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata,
        CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
        CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use prichal_core::{
    entity::{email_name, login_name},
    time::Timestamp,
};
use prichal_store::{Conn, audit::ActorKind, sign_in_name};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::{
    config::{Config, OidcRight},
    error::{Error, Result},
    platform::{
        Platform, access,
        outgoing::{
            CallError, Connector, Outgoing, connections::Connections, names::Requester,
            target::Target,
        },
        security::{self, SigningIn},
        session::Holder,
    },
};

/// The timeout of one call of the provider.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of the provider's answers.
const MAX_ANSWER: usize = 1 << 20;
/// The time for which the provider's description and keys are kept.
const METADATA_LIFETIME: Duration = Duration::from_hours(1);
/// The age from which they are read again for a signature by an unknown key.
const MIN_METADATA_AGE: Duration = Duration::from_mins(1);
/// The time after a failure for which the provider is not asked for them.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// The tolerated difference between the provider's clock and ours.
const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// The maximum age of an ID token, which is used at once.
const MAX_TOKEN_AGE: Duration = Duration::from_mins(10);
/// The maximum number of characters of a person's name.
const MAX_NAME: usize = 256;

/// The claims of an ID token beyond the standard ones.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct OtherClaims(#[serde(default)] Map<String, Value>);

impl AdditionalClaims for OtherClaims {}

type Token = IdToken<
    OtherClaims,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Answer = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type Client = openidconnect::Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The company's provider.
pub struct Oidc {
    issuer: IssuerUrl,
    client: ClientId,
    secret: Option<ClientSecret>,
    /// The client of the command line, which has no secret.
    cli_client: Option<String>,
    scopes: Vec<String>,
    groups_claim: String,
    rights: Vec<OidcRight>,
    connector: Connector,
    /// Held while the provider is asked, so that one request asks for all.
    known: Mutex<Known>,
}

/// The provider's description and keys.
#[derive(Default)]
struct Known {
    metadata: Option<(Timestamp, Arc<CoreProviderMetadata>)>,
    failed_at: Option<Timestamp>,
}

/// The failure of a call of the provider. The texts name no secret.
#[derive(Debug, thiserror::Error)]
enum CallFailure {
    #[error("the URL cannot be called")]
    BadUrl,
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("the answer is not valid")]
    Invalid,
}

/// The values by which the answer of the provider is known. The browser keeps them until it comes back.
#[derive(Deserialize, Serialize)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
}

/// A person as the provider knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub subject: String,
    /// The e-mail address, if the provider has verified it.
    pub email: Option<String>,
    pub name: Option<String>,
    pub groups: Vec<String>,
}

impl Identity {
    /// The name for people.
    fn display_name(&self) -> String {
        let name = self.name.as_ref().or(self.email.as_ref());
        let name = name.unwrap_or(&self.subject);
        name.chars().take(MAX_NAME).collect()
    }

    /// The names of the person's user: the verified address, or the subject as a login.
    fn sign_in_names(&self) -> Vec<String> {
        let email = self.email.as_deref().and_then(email_name);
        email.into_iter().chain(login_name(&self.subject)).collect()
    }

    /// The person as the actor of a sign-in, before it is known whether they have a right.
    fn signing_in(&self) -> SigningIn {
        let name = self.display_name();
        SigningIn {
            kind: ActorKind::Session,
            identity: format!("provider:{name}"),
            name: Some(name),
            user: None,
            workspace: None,
        }
    }
}

/// The client of the provider, as its library needs it.
struct Caller<'a> {
    oidc: &'a Oidc,
    app: &'a Platform,
}

impl<'c> AsyncHttpClient<'c> for Caller<'_> {
    type Error = CallFailure;
    type Future = BoxFuture<'c, Result<HttpResponse, CallFailure>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.oidc.call(self.app, request))
    }
}

impl Oidc {
    /// The provider that the settings name. Reads files.
    pub fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let (Some(issuer), Some(client)) = (&config.oidc_issuer, &config.oidc_client_id) else {
            return Ok(None);
        };
        let secret = config.oidc_client_secret_file.as_ref();
        let secret = secret.map(|file| {
            std::fs::read_to_string(file)
                .map(|text| ClientSecret::new(text.trim().to_owned()))
                .map_err(|error| anyhow::anyhow!("cannot read `{}`: {error}", file.display()))
        });
        let mut reach = config.clone();
        reach.allow_private_targets |= config.oidc_private;
        Ok(Some(Self {
            issuer: IssuerUrl::new(issuer.clone())?,
            client: ClientId::new(client.clone()),
            secret: secret.transpose()?,
            cli_client: config.oidc_cli_client_id.clone(),
            scopes: config.oidc_scopes.clone(),
            groups_claim: config.oidc_groups_claim.clone(),
            rights: config.oidc_rights.clone(),
            connector: Connector::of(&reach)?,
            known: Mutex::default(),
        }))
    }

    /// The issuer.
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// The client id of the command line; `None` if it may not sign in.
    pub fn cli_client(&self) -> Option<&str> {
        self.cli_client.as_deref()
    }

    /// The scopes that are asked for besides `openid`.
    pub fn scopes(&self) -> &[String] {
        &self.scopes
    }

    fn caller<'a>(&'a self, app: &'a Platform) -> Caller<'a> {
        Caller { oidc: self, app }
    }

    /// Makes one call of the provider. Redirects are not followed.
    async fn call(
        &self,
        app: &Platform,
        request: HttpRequest,
    ) -> Result<HttpResponse, CallFailure> {
        let (parts, body) = request.into_parts();
        let target = Target::parse(&parts.uri.to_string()).map_err(|_| CallFailure::BadUrl)?;
        let mut headers: HeaderMap = parts.headers;
        let agent = crate::platform::outgoing::post::USER_AGENT;
        headers.insert(header::USER_AGENT, agent);
        let request = Outgoing {
            method: Method::from_bytes(parts.method.as_str().as_bytes())
                .map_err(|_| CallFailure::Invalid)?,
            headers,
            body: Bytes::from(body),
            keep: MAX_ANSWER,
        };
        let connections = Connections::new(1, Requester::Server);
        let deadline = app.clock.sleep(CALL_TIMEOUT);
        let answer = self
            .connector
            .call(&connections, &target, request, deadline)
            .await?;
        if answer.truncated {
            return Err(CallFailure::TooLarge);
        }
        let mut response = HttpResponse::new(answer.body.to_vec());
        let status = answer.status.try_into();
        *response.status_mut() = status.map_err(|_| CallFailure::Invalid)?;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }

    /// The provider's description and keys, at most `age` old.
    async fn metadata(&self, app: &Platform, age: Duration) -> Result<Arc<CoreProviderMetadata>> {
        let mut known = self.known.lock().await;
        let now = app.clock.now();
        if let Some((since, metadata)) = &known.metadata
            && now < *since + age
        {
            return Ok(metadata.clone());
        }
        if known.failed_at.is_some_and(|at| now < at + FAILURE_PAUSE) {
            return Err(Error::Busy);
        }
        let http = self.caller(app);
        let found = CoreProviderMetadata::discover_async(self.issuer.clone(), &http).await;
        let found = found.map_err(|error| {
            known.failed_at = Some(app.clock.now());
            unreachable_provider(&error)
        })?;
        let found = Arc::new(found);
        *known = Known {
            metadata: Some((now, found.clone())),
            failed_at: None,
        };
        Ok(found)
    }

    fn client(&self, metadata: &CoreProviderMetadata, redirect: RedirectUrl) -> Client {
        Client::from_provider_metadata(metadata.clone(), self.client.clone(), self.secret.clone())
            .set_redirect_uri(redirect)
    }

    /// Begins a sign-in: the page of the provider, and a value for [`Oidc::finish`] in base64url, which the browser keeps.
    pub async fn begin(&self, app: &Platform) -> Result<(String, String)> {
        let metadata = self.metadata(app, METADATA_LIFETIME).await?;
        let client = self.client(&metadata, redirect_url(app)?);
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in &self.scopes {
            request = request.add_scope(Scope::new(scope.clone()));
        }
        let (url, state, nonce) = request.url();
        let pending = Pending {
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
        };
        let pending = serde_json::to_vec(&pending).map_err(Error::internal)?;
        Ok((url.to_string(), URL_SAFE_NO_PAD.encode(pending)))
    }

    /// Exchanges the code of the provider's answer. `None` if the answer is not the expected one, or the provider
    /// refuses the code.
    pub async fn finish(
        &self,
        app: &Platform,
        pending: &str,
        state: &str,
        code: &str,
    ) -> Result<Option<Identity>> {
        use subtle::ConstantTimeEq as _;
        let pending = URL_SAFE_NO_PAD.decode(pending).ok();
        let pending = pending.and_then(|pending| serde_json::from_slice::<Pending>(&pending).ok());
        let Some(pending) = pending else {
            return Ok(None);
        };
        let is_expected: bool = pending.state.as_bytes().ct_eq(state.as_bytes()).into();
        if !is_expected || code.is_empty() {
            return Ok(None);
        }
        let metadata = self.metadata(app, METADATA_LIFETIME).await?;
        let client = self.client(&metadata, redirect_url(app)?);
        let code = AuthorizationCode::new(code.to_owned());
        let request = client.exchange_code(code).map_err(Error::internal)?;
        let http = self.caller(app);
        let answered = request
            .set_pkce_verifier(PkceCodeVerifier::new(pending.verifier))
            .request_async(&http)
            .await;
        let answer = match answered {
            Ok(answer) => answer,
            Err(openidconnect::RequestTokenError::ServerResponse(refusal)) => {
                tracing::info!(error = %refusal.error(), "the OpenID provider refuses a code");
                return Ok(None);
            }
            Err(error) => return Err(unreachable_provider(&error)),
        };
        let Some(token) = answer.id_token() else {
            tracing::warn!("the OpenID provider has answered without an ID token");
            return Ok(None);
        };
        let nonce = Nonce::new(pending.nonce);
        let verifier = |keys| {
            let (client, issuer) = (self.client.clone(), self.issuer.clone());
            match self.secret.clone() {
                Some(secret) => {
                    IdTokenVerifier::new_confidential_client(client, secret, issuer, keys)
                }
                None => IdTokenVerifier::new_public_client(client, issuer, keys),
            }
        };
        self.verify(app, token, &verifier, Some(&nonce)).await
    }

    /// The person of an ID token that the command line has just got by the device flow. `None` if the token is not valid
    /// for it, or older.
    pub async fn check(&self, app: &Platform, text: &str) -> Result<Option<Identity>> {
        let Some(client) = &self.cli_client else {
            return Ok(None);
        };
        let Ok(token) = text.parse::<Token>() else {
            return Ok(None);
        };
        let verifier = |keys| {
            let client = ClientId::new(client.clone());
            IdTokenVerifier::new_public_client(client, self.issuer.clone(), keys)
        };
        self.verify(app, &token, &verifier, None).await
    }

    /// Checks issuer, audience, times, nonce and signature. Keys that are not known are asked for, at most once a minute.
    async fn verify<'v>(
        &self,
        app: &Platform,
        token: &Token,
        verifier: &(
             dyn Fn(JsonWebKeySet<CoreJsonWebKey>) -> IdTokenVerifier<'v, CoreJsonWebKey> + Sync
         ),
        nonce: Option<&Nonce>,
    ) -> Result<Option<Identity>> {
        for age in [METADATA_LIFETIME, MIN_METADATA_AGE] {
            let metadata = self.metadata(app, age).await?;
            let now = moment(app.clock.now())?;
            let earliest = moment(app.clock.now() - CLOCK_SKEW)?;
            let oldest = moment(app.clock.now() - MAX_TOKEN_AGE)?;
            let latest = moment(app.clock.now() + CLOCK_SKEW)?;
            let verifier = verifier(metadata.jwks().clone())
                .set_allowed_algs(signing_algorithms(&metadata))
                .set_time_fn(move || earliest)
                .set_issue_time_verifier_fn(move |at| {
                    let is_fresh = oldest <= at && at <= latest;
                    let why = || format!("issued at {at}, and it is {now}");
                    is_fresh.then_some(()).ok_or_else(why)
                });
            let checked = token.claims(&verifier, |found: Option<&Nonce>| match (nonce, found) {
                (None, _) => Ok(()),
                (Some(nonce), Some(found)) if nonce.secret() == found.secret() => Ok(()),
                _ => Err("another nonce".to_owned()),
            });
            match checked {
                Ok(claims) => {
                    let other = &claims.additional_claims().0;
                    let email = claims
                        .email()
                        .filter(|_| claims.email_verified() == Some(true));
                    let name = claims.name().and_then(|name| name.get(None));
                    let person = Identity {
                        subject: claims.subject().to_string(),
                        email: email.map(|email| email.to_string()),
                        name: name.map(|name| name.to_string()),
                        groups: groups(other.get(&self.groups_claim)),
                    };
                    // The record of a refusal names a person who has no right here.
                    security::set_actor(person.signing_in());
                    return Ok(Some(person));
                }
                Err(error) => tracing::info!(%error, "an ID token is refused"),
            }
        }
        Ok(None)
    }

    /// The holder that a person becomes at the console: by the operator's right, or by one in the workspace with this name
    /// or id, or else by the first one that their groups have. `None` if they have none here.
    pub async fn holder(
        &self,
        app: &Platform,
        person: &Identity,
        workspace: &str,
    ) -> Result<Option<Holder>> {
        let is_operator = self.rights_of(person).any(|right| right.of.is_none());
        if is_operator {
            return Ok(Some(Holder {
                name: person.display_name(),
                ..Holder::operator()
            }));
        }
        if let Some(found) = self.holder_in(app, person, workspace).await? {
            return Ok(Some(found));
        }
        for right in self.rights_of(person) {
            let Some((workspace, _)) = &right.of else {
                continue;
            };
            if let Some(found) = self.holder_in(app, person, workspace).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The holder that a person becomes in the workspace with this name or id. `None` if they have no right there, or if
    /// there is no such workspace.
    pub async fn holder_in(
        &self,
        app: &Platform,
        person: &Identity,
        workspace: &str,
    ) -> Result<Option<Holder>> {
        let Some(found) = access::find_workspace(app, workspace).await? else {
            return Ok(None);
        };
        let id = found.id.to_string();
        let mut roles = self.rights_of(person).filter_map(|right| {
            let (workspace, role) = right.of.as_ref()?;
            (*workspace == found.name || *workspace == id).then_some(*role)
        });
        let Some(role) = roles.next() else {
            return Ok(None);
        };
        let (id, names) = (found.id, person.sign_in_names());
        let find = move |conn: &mut Conn| sign_in_name::find(conn, id, &names);
        let user = app.db.read(find).await?;
        Ok(Some(Holder {
            workspace: Some(id),
            name: person.display_name(),
            role,
            user,
            integrations: Vec::new(),
        }))
    }

    /// The rights of a person's groups, in the order of the settings.
    fn rights_of(&self, person: &Identity) -> impl Iterator<Item = &OidcRight> {
        let groups = &person.groups;
        self.rights
            .iter()
            .filter(|right| groups.contains(&right.group))
    }
}

/// The algorithms of the provider's signatures. A token without one is refused, whatever the provider supports.
fn signing_algorithms(metadata: &CoreProviderMetadata) -> Vec<CoreJwsSigningAlgorithm> {
    let all = metadata.id_token_signing_alg_values_supported().iter();
    all.filter(|one| **one != CoreJwsSigningAlgorithm::None)
        .cloned()
        .collect()
}

/// The address to which the provider sends the browser back.
fn redirect_url(app: &Platform) -> Result<RedirectUrl> {
    let url = format!("{}/console/oidc/callback", app.config.public_url());
    RedirectUrl::new(url).map_err(Error::internal)
}

/// The failure to ask the provider.
fn unreachable_provider(error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::warn!(error, "the OpenID provider cannot be asked");
    Error::Busy
}

fn moment(at: Timestamp) -> Result<DateTime<Utc>> {
    let at = DateTime::from_timestamp_micros(at.micros());
    at.ok_or_else(|| Error::internal("the time is out of range"))
}

/// The groups of a claim: a list of texts, or one.
fn groups(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(some)) => some
            .iter()
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_are_a_list_or_one() {
        assert_eq!(groups(Some(&json!(["a", 1, "b"]))), ["a", "b"]);
        assert_eq!(groups(Some(&json!("a"))), ["a"]);
        assert!(groups(Some(&json!({ "a": true }))).is_empty());
        assert!(groups(None).is_empty());
    }
}
