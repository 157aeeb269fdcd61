//! Client certificates and pinned certificates of webhooks.

use prichal_core::id::{IntegrationId, WebhookId, WorkspaceId};
use prichal_store::{Conn, webhook};
use serde_json::{Value, json};

use super::settings::change;
use crate::harness::{
    hub::{Caller, CapturedLog, Hub},
    integration::{Integration, company},
    receiver::Receiver,
    tls_front::{Authority, TlsFront},
};

/// The error of a test call, or nothing after a success.
async fn error_of_test(integration: &Integration, hook: &str) -> Value {
    let path = format!("{}/webHooks/{hook}/test", integration.instance());
    integration.space.post(&path, json!({})).await.ok()["error"].clone()
}

async fn hook_at(space: &Caller, url: &str) -> (Integration, String) {
    let integration = Integration::install(space, "bot", url).await;
    let hook = integration.subscribe().await;
    (integration, hook)
}

#[tokio::test]
async fn a_pinned_certificate_is_the_only_one() {
    let receiver = Receiver::good().await;
    let front = TlsFront::start(&receiver, None).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let (integration, hook) = hook_at(&space, &front.url).await;
    assert_eq!(
        error_of_test(&integration, &hook).await,
        "no TLS connection: the certificate is self-signed"
    );
    let pin = |text: &str| json!({ "serverFingerprint": text });
    let shown = change(&space, &hook, pin(&front.fingerprint.to_uppercase()));
    assert_eq!(
        shown.await.ok()["settings"],
        pin(&front.fingerprint),
        "it is no secret"
    );
    company(&space, "A").await;
    assert_eq!(receiver.next().await.path, "/callbacks");
    integration.attempts(1).await;
    // The next call is made by the new settings.
    change(&space, &hook, pin(&"0".repeat(64))).await.ok();
    let different = "no TLS connection: the certificate has another fingerprint than the set one";
    assert_eq!(error_of_test(&integration, &hook).await, different);
    company(&space, "B").await;
    let attempts = integration.attempts(2).await;
    assert_eq!(attempts[0]["error"], different);
    change(&space, &hook, pin(&front.fingerprint)).await.ok();
    assert_eq!(error_of_test(&integration, &hook).await, Value::Null);
    receiver.next().await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_its_receiver() {
    let log = CapturedLog::new();
    let (receiver, authority) = (Receiver::good().await, Authority::new());
    let front = TlsFront::start(&receiver, Some(&authority)).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let (integration, hook) = hook_at(&space, &front.url).await;
    let pinned = change(
        &space,
        &hook,
        json!({ "serverFingerprint": front.fingerprint }),
    );
    pinned.await.ok();
    assert_eq!(
        error_of_test(&integration, &hook).await,
        "no TLS connection: the host wants a certificate of the client"
    );
    let (certificate, key) = Authority::new().client();
    let settings = json!({ "clientCertificate": { "certificate": certificate, "key": key } });
    change(&space, &hook, settings).await.ok();
    let error = error_of_test(&integration, &hook).await;
    let error = error.as_str().expect("a reason");
    assert!(error.contains("of the client"), "{error}");

    let (certificate, key) = authority.client();
    let client = json!({ "certificate": certificate, "key": key });
    let changed = change(&space, &hook, json!({ "clientCertificate": client }))
        .await
        .ok();
    let masked = json!({ "certificate": certificate, "key": "***" });
    assert_eq!(changed["settings"]["clientCertificate"], masked);
    company(&space, "A").await;
    assert_eq!(receiver.next().await.path, "/callbacks");

    // Nobody sees the key again, and it is kept as long as it is masked.
    let secret = key.lines().nth(1).expect("a key in PEM");
    let listed = space.get("/webhooks").await.ok();
    let instance = space.get(&integration.instance()).await.ok();
    let again = change(&space, &hook, json!({ "clientCertificate": masked }))
        .await
        .ok();
    for text in [&changed.text, &listed.text, &instance.text, &again.text] {
        assert!(
            text.contains("clientCertificate") && !text.contains(secret),
            "{text}"
        );
    }
    assert!(!log.has(secret));
    let feed = space.get("/events?limit=100").await.ok();
    assert!(!feed.text.contains(secret));
    let row = stored(&hub, &integration, &hook).await;
    assert!(!row.definition.contains(secret), "{}", row.definition);
    let sealed = row.secrets.expect("sealed secrets");
    assert!(!String::from_utf8_lossy(&sealed).contains(secret));
    let hub = hub.restart().await;
    let space = hub.adopt(&space);
    let integration = Integration {
        space,
        ..integration
    };
    assert_eq!(error_of_test(&integration, &hook).await, Value::Null);
    receiver.next().await;
}

/// The row of a webhook in the store.
async fn stored(hub: &Hub, integration: &Integration, hook: &str) -> webhook::Webhook {
    let workspaces = hub.admin().get("/admin/v1/workspaces").await.ok();
    let workspace = workspaces["items"][0]["id"].as_str().expect("an id");
    let key = webhook::Key {
        workspace: WorkspaceId::parse(workspace).expect("an id"),
        integration: IntegrationId::parse(&integration.id).expect("an id"),
        id: WebhookId::parse(hook).expect("an id"),
    };
    let read = move |conn: &mut Conn| webhook::find(conn, key);
    hub.app.db.read(read).await.expect("a read").expect("a row")
}

#[tokio::test]
async fn bad_certificates_are_refused() {
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let (integration, hook) = hook_at(&space, &receiver.url).await;
    let authority = Authority::new();
    let (certificate, key) = authority.client();
    let (_, other) = authority.client();
    let client = |certificate: &str, key: &str| json!({ "clientCertificate": { "certificate": certificate, "key": key } });
    for (settings, words) in [
        (
            client(&certificate, &other),
            "not that of the first certificate",
        ),
        (client(&certificate, "x"), "not an unencrypted private key"),
        (client("x", &key), "not one to ten certificates"),
        (client(&certificate, "***"), "no key yet"),
        (
            json!({ "serverFingerprint": "00ff" }),
            "64 hexadecimal digits",
        ),
    ] {
        let refused = change(&space, &hook, settings).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(refused.text.contains(words), "{}", refused.text);
        assert!(!refused.text.contains("PRIVATE KEY"), "{}", refused.text);
    }
    let path = format!("/webHooks/{hook}/settings/clientCertificate");
    let value = json!({ "certificate": certificate, "key": other });
    let patched = integration
        .patch(json!([{ "op": "add", "path": path, "value": value }]))
        .await;
    assert_eq!(patched.status, 409, "{}", patched.text);
    assert!(!patched.text.contains("PRIVATE KEY"), "{}", patched.text);
    assert!(
        patched.text.contains("first certificate"),
        "{}",
        patched.text
    );

    // The settings are good, the URL does not go with them.
    change(&space, &hook, client(&certificate, &key)).await.ok();
    assert_eq!(
        error_of_test(&integration, &hook).await,
        "a client certificate or a fingerprint is set, but the URL is not https"
    );
    company(&space, "A").await;
    let attempts = integration.attempts(1).await;
    assert_eq!(attempts[0]["status"], "deferred", "{}", attempts[0]);
    assert_eq!(receiver.waiting(), 0);
}
