//! Client certificates and pinned certificates of subscriptions.

use std::time::Duration;

use prichal_core::id::WebhookId;
use prichal_store::{
    Conn,
    document_hook::INTEGRATION,
    webhook::{self, Key},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    document_subscriber::{BIN, Subscriber, company, pair, status_event},
    hub::{Answer, CapturedLog, Hub},
    receiver::Receiver,
    tls_front::{Authority, TlsFront},
};

/// Longer than the first wait of the schedule of documents.
const WAIT: Duration = Duration::from_secs(10);

/// Changes the settings of the subscription.
async fn change(acme: &Subscriber, id: &str, settings: Value) -> Answer {
    let space = acme.caller.at(&format!("/api/v1/{}", acme.name));
    let body = json!({ "settings": settings }).to_string().into_bytes();
    let path = format!("/webhooks/{id}");
    space.send(Method::PATCH, &path, Some(body)).await
}

/// The row of the subscription's webhook in the store.
async fn stored(hub: &Hub, acme: &Subscriber, id: &str) -> webhook::Webhook {
    let key = Key {
        workspace: acme.id,
        integration: INTEGRATION,
        id: WebhookId::parse(id).expect("an id"),
    };
    let read = move |conn: &mut Conn| webhook::find(conn, key);
    hub.app.db.read(read).await.expect("a read").expect("a row")
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_companys_receiver() {
    let log = CapturedLog::new();
    let (receiver, authority) = (Receiver::good().await, Authority::new());
    let front = TlsFront::start(&receiver, Some(&authority)).await;
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let made = acme.subscribe(&front.url).await.ok();
    let id = made.str("subscriptionId");
    acme.draft(&hub, "1").await;
    let attempts = acme.attempts(1).await;
    assert_eq!(
        attempts[0]["error"],
        "no TLS connection: the certificate is self-signed"
    );
    let pin = json!({ "serverFingerprint": front.fingerprint });
    let pinned = change(&acme, &id, pin.clone()).await.ok();
    assert_eq!(pinned["settings"], pin);
    hub.advance(WAIT);
    let attempts = acme.attempts(2).await;
    assert_eq!(
        attempts[0]["error"],
        "no TLS connection: the host wants a certificate of the client"
    );

    let (certificate, key) = authority.client();
    let (_, other) = authority.client();
    let client =
        |key: &str| json!({ "clientCertificate": { "certificate": certificate, "key": key } });
    let refused = change(&acme, &id, client(&other)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    assert!(
        refused.text.contains("not that of the first certificate"),
        "{}",
        refused.text
    );
    let changed = change(&acme, &id, client(&key)).await.ok();
    assert_eq!(
        changed["settings"]["clientCertificate"],
        client("***")["clientCertificate"]
    );
    hub.advance(6 * WAIT);
    assert_eq!(status_event(&receiver.next().await), pair("1", "DRAFT"));
    let attempts = acme.attempts(3).await;
    assert_eq!(attempts[0]["status"], "delivered");

    // Nobody sees the key again, and it is kept as long as it is masked.
    let secret = key.lines().nth(1).expect("a key in PEM");
    let again = change(&acme, &id, client("***")).await.ok();
    let shown = acme.subscription().await;
    for text in [&changed.text, &again.text, &shown.text] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(!log.has(secret));
    let row = stored(&hub, &acme, &id).await;
    assert!(row.definition.contains("clientCertificate"));
    assert!(!row.definition.contains(secret), "{}", row.definition);
    let sealed = row.secrets.expect("sealed secrets");
    assert!(!String::from_utf8_lossy(&sealed).contains(secret));
    let hub = hub.restart().await;
    let acme = acme.at(&hub);
    acme.draft(&hub, "2").await;
    assert_eq!(status_event(&receiver.next().await), pair("2", "DRAFT"));
}

#[tokio::test]
async fn a_subscription_with_certificates_and_without_tls_is_not_called() {
    let receiver = Receiver::good().await;
    let front = TlsFront::start(&receiver, None).await;
    let hub = Hub::start().await;
    let acme = company(&hub, "acme", BIN).await;
    let made = acme.subscribe(&receiver.url).await.ok();
    let id = made.str("subscriptionId");
    let pin = json!({ "serverFingerprint": front.fingerprint });
    change(&acme, &id, pin).await.ok();
    acme.draft(&hub, "1").await;
    let attempts = acme.attempts(1).await;
    assert_eq!(
        (&attempts[0]["status"], &attempts[0]["error"]),
        (
            &json!("deferred"),
            &json!("a client certificate or a fingerprint is set, but the URL is not https")
        )
    );
    assert_eq!(receiver.waiting(), 0);
    // The next call has the URL as it is then, and the certificate of the settings.
    acme.subscribe(&front.url).await.ok();
    assert_eq!(status_event(&receiver.next().await), pair("1", "DRAFT"));
    acme.attempts(2).await;
    let other = json!({ "serverFingerprint": "00".repeat(32) });
    change(&acme, &id, other).await.ok();
    // Attempts of one time have no order.
    hub.advance(WAIT);
    acme.draft(&hub, "2").await;
    let attempts = acme.attempts(3).await;
    assert_eq!(
        attempts[0]["error"],
        "no TLS connection: the certificate has another fingerprint than the set one"
    );
    change(&acme, &id, json!({ "serverFingerprint": null }))
        .await
        .ok();
    acme.subscribe(&receiver.url).await.ok();
    assert_eq!(status_event(&receiver.next().await), pair("2", "DRAFT"));
}
