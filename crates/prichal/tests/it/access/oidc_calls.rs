//! The calls of the company's OpenID provider: how often it is asked, and whose user a person is. The provider is a
//! stand-in with a key of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openidconnect::{
    JsonWebKeyId, PrivateSigningKey as _,
    core::{CoreEdDsaPrivateSigningKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm},
};
use prichal_store::token::Role;
use serde_json::{Value, json};

use super::oidc::{at_hub, begin, cookie, right, sessions};
use crate::harness::{
    hub::{Answer, Caller, Hub},
    receiver::{Call, Receiver, Reply},
};

const DISCOVERY: &str = "/.well-known/openid-configuration";
const KEYS: &str = "/keys";

/// The numbers of calls, and the paths that fail.
#[derive(Default)]
struct State {
    discoveries: AtomicUsize,
    reads_of_keys: AtomicUsize,
    has_no_discovery: AtomicBool,
    has_no_keys: AtomicBool,
}

struct Provider {
    receiver: Receiver,
    state: Arc<State>,
}

impl Provider {
    async fn start() -> Self {
        let state = Arc::new(State::default());
        let shared = state.clone();
        let receiver = Receiver::start(move |call| answer(&shared, call)).await;
        Self { receiver, state }
    }

    /// A hub with this provider, and with a workspace.
    async fn hub(&self) -> (Hub, Caller) {
        let issuer = self.receiver.url.clone();
        let hub = Hub::with(move |config| {
            config.public_url = Some("https://hub.test".to_owned());
            config.oidc_issuer = Some(issuer.clone());
            config.oidc_client_id = Some("hub".to_owned());
            config.oidc_private = true;
            config.oidc_rights = vec![right("crm", Some(("acme", Role::Viewer)))];
        })
        .await;
        let space = hub.workspace("acme").await;
        (hub, space)
    }

    /// The number of calls for the description, and for the keys.
    fn calls(&self) -> (usize, usize) {
        let State {
            discoveries,
            reads_of_keys,
            ..
        } = &*self.state;
        (discoveries.load(Relaxed), reads_of_keys.load(Relaxed))
    }
}

fn key() -> CoreEdDsaPrivateSigningKey {
    // PKCS #8 of a key of Ed25519 (RFC 8410 §7).
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([7; 32]);
    let text = STANDARD.encode(der);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let id = JsonWebKeyId::new("one".to_owned());
    CoreEdDsaPrivateSigningKey::from_ed25519_pem(&pem, Some(id)).expect("a key")
}

/// A token with these claims.
fn signed(claims: &Value) -> String {
    let head = json!({ "alg": "EdDSA", "kid": "one", "typ": "JWT" });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&head), part(claims));
    let signature = key().sign(&CoreJwsSigningAlgorithm::EdDsa, text.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(signature.expect("a signature"));
    format!("{text}.{signature}")
}

fn answer(state: &State, call: &Call) -> Reply {
    let issuer = format!("http://{}", call.header("host").unwrap_or_default());
    let body = match call.path.as_str() {
        DISCOVERY => {
            state.discoveries.fetch_add(1, Relaxed);
            if state.has_no_discovery.load(Relaxed) {
                return Reply::Status(500);
            }
            json!({
                "issuer": issuer,
                "authorization_endpoint": format!("{issuer}/auth"),
                "token_endpoint": format!("{issuer}/token"),
                "jwks_uri": format!("{issuer}{KEYS}"),
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["EdDSA"],
            })
        }
        KEYS => {
            state.reads_of_keys.fetch_add(1, Relaxed);
            if state.has_no_keys.load(Relaxed) {
                return Reply::Status(500);
            }
            let keys = CoreJsonWebKeySet::new(vec![key().as_verification_key()]);
            serde_json::to_value(keys).expect("JSON")
        }
        "/token" => {
            let mut form = form_urlencoded::parse(call.body.as_bytes());
            // The code is the person, as the test has chosen.
            let code = form.find(|(name, _)| name == "code").expect("a code").1;
            let mut claims: Value = serde_json::from_str(&code).expect("claims");
            claims["iss"] = issuer.into();
            json!({ "access_token": "x", "token_type": "Bearer", "id_token": signed(&claims) })
        }
        other => panic!("an unexpected call of {other}"),
    };
    Reply::Body(body.to_string().into_bytes())
}

/// Signs a person in, as the provider confirms them.
async fn sign_in(hub: &Hub, subject: &str, email: &str) -> Answer {
    let (page, browser) = begin(hub).await;
    let page = url::Url::parse(&page).expect("a url");
    let value = |name: &str| {
        let mut pairs = page.query_pairs();
        let found = pairs.find(|(known, _)| known == name);
        found.expect("a parameter").1.into_owned()
    };
    let now = hub.installation.clock.now().micros() / 1_000_000;
    let claims = json!({
        "aud": "hub", "sub": subject, "email": email, "email_verified": true, "groups": ["crm"],
        "iat": now, "exp": now + 300, "nonce": value("nonce"),
    });
    let mut path = url::Url::parse("https://hub.test/console/oidc/callback").expect("a url");
    path.query_pairs_mut()
        .append_pair("state", &value("state"))
        .append_pair("code", &claims.to_string());
    browser.get(at_hub(path.as_str())).await
}

#[tokio::test]
async fn a_provider_that_fails_is_asked_again_after_a_pause() {
    let provider = Provider::start().await;
    let (hub, _) = provider.hub().await;
    let (state, anybody) = (&provider.state, hub.anonymous());
    let status = async || anybody.get("/console/oidc/start").await.status;
    let second = Duration::from_secs(1);

    // Many who come at once are one question, and so are those within the pause.
    state.has_no_discovery.store(true, Relaxed);
    let all = futures_util::future::join_all((0..8).map(|_| status())).await;
    assert_eq!(all, [503; 8]);
    assert_eq!(provider.calls(), (1, 0));
    hub.advance(4 * second);
    assert_eq!(status().await, 503);
    assert_eq!(provider.calls(), (1, 0), "within the pause");
    hub.advance(second);
    assert_eq!(status().await, 503);
    assert_eq!(provider.calls(), (2, 0), "after the pause");

    // The description without its keys is a failure as well.
    state.has_no_discovery.store(false, Relaxed);
    state.has_no_keys.store(true, Relaxed);
    assert_eq!(status().await, 503);
    assert_eq!(provider.calls(), (2, 0), "within the second pause");
    hub.advance(5 * second);
    assert_eq!(status().await, 503);
    state.has_no_keys.store(false, Relaxed);
    assert_eq!(status().await, 503);
    assert_eq!(provider.calls(), (3, 1));
    hub.advance(5 * second);
    assert_eq!(status().await, 303);
    assert_eq!(provider.calls(), (4, 2));

    // The keys are kept for an hour. A failure then has its pause, too.
    hub.advance(Duration::from_mins(59));
    assert_eq!(status().await, 303);
    assert_eq!(provider.calls(), (4, 2));
    hub.advance(Duration::from_mins(1));
    state.has_no_discovery.store(true, Relaxed);
    assert_eq!([status().await, status().await], [503; 2]);
    assert_eq!(provider.calls(), (5, 2));
    state.has_no_discovery.store(false, Relaxed);
    hub.advance(5 * second);
    assert_eq!([status().await, status().await], [303; 2]);
    assert_eq!(provider.calls(), (6, 3));
}

#[tokio::test]
async fn a_person_is_the_user_with_the_address_or_the_login() {
    let provider = Provider::start().await;
    let (hub, space) = provider.hub().await;
    let user = async |body: Value| space.post("/users", body).await.ok().str("id");
    let ada = user(json!({ "login": "ada", "email": "Ada@Acme.example" })).await;
    let bob = user(json!({ "login": "sub-7" })).await;
    // The user of the newest session.
    let is_user = async |subject: &str, email: &str, expected: Option<&str>| {
        hub.advance(Duration::from_secs(1));
        let answer = sign_in(&hub, subject, email).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        assert!(cookie(&answer, "__Secure-prichal_session").is_some());
        let newest = sessions(&hub).await.remove(0);
        assert_eq!(newest["userId"], json!(expected), "{subject} {email}");
    };
    is_user("1", "aDA@acme.example", Some(&ada)).await;
    is_user("sub-7", "", Some(&bob)).await;
    is_user("Sub-7", "acme.example", None).await;

    let path = format!("/users/{ada}");
    let other = json!([{ "op": "replace", "path": "/email", "value": "new@acme.example" }]);
    space.patch(&path, other).await.ok();
    is_user("1", "ada@acme.example", None).await;
    is_user("1", "new@acme.example", Some(&ada)).await;
    space.delete(&path).await.ok();
    is_user("1", "new@acme.example", None).await;
    space.post(&format!("{path}/restore"), json!({})).await.ok();
    is_user("1", "new@acme.example", Some(&ada)).await;
}
