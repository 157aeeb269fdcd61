//! Rotation of master keys and admin tokens while the server runs, and sealed values that open only in their own row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce, aead::Aead as _};
use hmac::{Hmac, Mac as _};
use prichal::{
    config::MasterKey,
    platform::vault::{AccessKey, Vault},
};
use prichal_core::id::{IntegrationId, WorkspaceId};
use prichal_store::{hub, sealed};
use serde_json::json;
use sha2::Sha256;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS},
    document_subscriber,
    hub::{Caller, CapturedLog, Hub, Installation, START, eventually, on_postgres, spawn},
    integration::{Integration, company},
};

const OLD_KEY: [u8; 32] = [42; 32];
const NEW_KEY: [u8; 32] = [43; 32];
const AUTH_PUBLIC: &str = "/api/v1/authorization/authorize-integration";

/// An installation whose servers know the old master key in phase 0, both in phase 1, the new one in phase 2. The
/// phase is read at each start.
fn installation(phase: &Arc<AtomicU8>) -> Installation {
    let phase = phase.clone();
    Installation::new(move |config| {
        let (key, previous) = match phase.load(Ordering::Relaxed) {
            0 => (OLD_KEY, None),
            1 => (NEW_KEY, Some(OLD_KEY)),
            _ => (NEW_KEY, None),
        };
        config.master_key = Some(MasterKey::new(key));
        config.previous_master_key = previous.map(MasterKey::new);
    })
}

/// The id of the key that seals every value of the store.
async fn resealed(hub: &Hub) -> Option<String> {
    let read = |conn: &mut prichal_store::Conn| hub::find(conn, "resealed");
    hub.app.db.read(read).await.expect("the store answers")
}

/// Waits until everything is sealed with the key of a server.
async fn is_resealed(hub: &Hub) {
    let wanted = prichal::platform::vault::hex(&hub.app.vault.id());
    eventually("everything is sealed anew", || async {
        hub.advance(Duration::from_millis(500));
        (resealed(hub).await.as_ref() == Some(&wanted)).then_some(())
    })
    .await;
}

/// The number of values of a column that are not sealed with the server's key.
async fn stale(hub: &Hub, column: sealed::Column) -> usize {
    let prefix = hub.app.vault.prefix();
    let read = move |conn: &mut prichal_store::Conn| {
        sealed::list(conn, column, &prefix, None, 1000).map(|stretch| stretch.stale.len())
    };
    hub.app.db.read(read).await.expect("the store answers")
}

/// Installs a public integration that finds the workspace by a secret. Returns its API key and its id.
async fn known_by_a_secret(space: &Caller, secret: &str) -> (String, String) {
    let manifest = json!({ "name": "bridge", "version": "1.0", "baseUrl": "https://b.example" });
    let made = space.post("/integrations", manifest).await.ok();
    let id = made.str("id");
    let key = space
        .post(&format!("/integrations/{id}/api-key"), json!({}))
        .await
        .ok()
        .str("apiKey");
    space
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await
        .ok();
    let secret =
        json!([{ "op": "add", "path": "/secrets", "value": { "id": "token", "value": secret } }]);
    space
        .patch(&format!("/integrations/instances/{id}"), secret)
        .await
        .ok();
    (key, id)
}

#[tokio::test]
async fn a_master_key_takes_the_place_of_another() {
    let phase = Arc::new(AtomicU8::new(0));
    let era = ChannelWorkspace::at(installation(&phase).start().await).await;
    let channel = era
        .sync_channel("echo", "respond(200, {body: ctx.request.body})")
        .await;
    era.queued_channel("broken", "throw new Error('no')").await;
    let broken = era
        .channel("failing", json!({ "recv_svcscriptcode": "broken" }))
        .await;
    era.hook(&broken, json!({ "n": 1 })).await.ok();
    let (api_key, id) = known_by_a_secret(&era.space, "pin-of-acme").await;
    let integration = Integration::install(&era.space, "mine", "https://c.example").await;
    let access_key = integration.access_key().await;
    let documents =
        document_subscriber::company(&era.hub, "papers", document_subscriber::BIN).await;
    let subscribed = documents.subscribe("https://a.example/hook").await.ok();
    let once = era.space.clone().header("idempotency-key", "k");
    let first = once
        .post("/companies", json!({ "name": "once" }))
        .await
        .ok();
    is_resealed(&era.hub).await;

    phase.store(1, Ordering::Relaxed);
    let log = CapturedLog::new();
    let hub = era.hub.restart().await;
    let (space, rest) = (hub.adopt(&era.space), hub.adopt(&era.rest));
    // Access keys signed with the previous master key are still valid.
    let with_key = space.access_key(&access_key);
    with_key.get(&integration.instance()).await.ok();
    let sign_in = |hub: &Hub| {
        let caller = hub
            .anonymous()
            .header("x-xcom-integration-apikey", &api_key);
        caller.header("x-xcom-integration-secret", "token=pin-of-acme")
    };
    sign_in(&hub).post(AUTH_PUBLIC, json!({})).await.ok();
    is_resealed(&hub).await;
    eventually("the log says that the old key is not needed", || async {
        hub.advance(Duration::from_millis(500));
        log.has("is not needed any more").then_some(())
    })
    .await;
    for column in sealed::Column::ALL {
        if !column.is_text() {
            assert_eq!(stale(&hub, column).await, 0, "{}", column.name());
        }
    }
    with_key.get(&integration.instance()).await.ok();
    sign_in(&hub).post(AUTH_PUBLIC, json!({})).await.ok();
    // Secrets stay unique across the keys that hash them.
    let other = hub.workspace("other").await;
    other
        .post(&format!("/integrations/{id}/install"), json!({}))
        .await
        .ok();
    let clash = json!([{ "op": "add", "path": "/secrets", "value": { "id": "token", "value": "pin-of-acme" } }]);
    let refused = other
        .patch(&format!("/integrations/instances/{id}"), clash)
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text);

    phase.store(2, Ordering::Relaxed);
    let hub = hub.restart().await;
    let rest = hub.adopt(&rest);
    sign_in(&hub).post(AUTH_PUBLIC, json!({})).await.ok();
    assert_eq!(
        rest.get(&format!("{POINTS}/{}", channel.id))
            .await
            .ok()
            .str("token_local"),
        channel.token
    );
    let again = hub.adopt(&once);
    let again = again.post("/companies", json!({ "name": "once" })).await;
    assert_eq!(again.ok().str("id"), first.str("id"));
    let rotated = documents.at(&hub).caller;
    let path = format!("{}/rotate-secret", document_subscriber::SUBSCRIPTION);
    let secret = rotated.post(&path, json!({})).await.ok().str("secret");
    assert_ne!(secret, subscribed.str("secret"));

    // The old key alone is refused by now.
    let installation = hub.stop().await;
    phase.store(0, Ordering::Relaxed);
    let refused = spawn(async move { drop(installation.start().await) }).await;
    assert!(refused.is_err_and(|error| error.is_panic()));
}

#[tokio::test]
async fn a_sealed_value_opens_nowhere_but_where_it_belongs() {
    let era = ChannelWorkspace::new().await;
    let [one, two] = [
        era.sync_channel("one", "respond(200)").await,
        era.sync_channel("two", "respond(200)").await,
    ];
    is_resealed(&era.hub).await;
    let hub = era.hub.restart().await;
    hub.installation.execute(&format!(
        "UPDATE channel SET tokens = (SELECT tokens FROM channel WHERE id = '{}') WHERE id = '{}'",
        one.id, two.id
    ));
    let rest = hub.adopt(&era.rest);
    rest.get(&format!("{POINTS}/{}", one.id)).await.ok();
    let moved = rest.get(&format!("{POINTS}/{}", two.id)).await;
    assert_eq!(moved.status, 500, "{}", moved.text);
    assert!(!moved.text.contains(&one.token));
}

/// A value as it was sealed before it had a place.
fn sealed_without_a_place(text: &str) -> Vec<u8> {
    let mut key = Hmac::<Sha256>::new_from_slice(&OLD_KEY).expect("any length");
    key.update(b"prichal sealing 1");
    let cipher = XChaCha20Poly1305::new(&key.finalize().into_bytes());
    let nonce = [9; 24];
    let sealed = cipher.encrypt(&XNonce::from(nonce), text.as_bytes());
    [&nonce[..], &sealed.expect("sealed")].concat()
}

#[tokio::test]
async fn values_from_before_there_were_places_are_given_theirs() {
    let era = ChannelWorkspace::new().await;
    let made = era.sync_channel("one", "respond(200)").await;
    is_resealed(&era.hub).await;
    let installation = era.hub.stop().await;
    let tokens = json!({ "local": made.token, "remote": "r", "remote2": "" });
    let bytes = prichal::platform::vault::hex(&sealed_without_a_place(&tokens.to_string()));
    let value = if on_postgres() {
        format!("'\\x{bytes}'")
    } else {
        format!("X'{bytes}'")
    };
    installation.execute(&format!(
        "UPDATE channel SET tokens = {value} WHERE id = '{}'; DELETE FROM hub WHERE name = 'resealed'",
        made.id
    ));
    let hub = installation.start().await;
    let rest = hub.adopt(&era.rest);
    is_resealed(&hub).await;
    assert_eq!(stale(&hub, sealed::Column::ChannelTokens).await, 0);
    let shown = rest.get(&format!("{POINTS}/{}", made.id)).await.ok();
    assert_eq!(
        (shown.str("token_local"), shown.str("token_remote")),
        (made.token, "r".to_owned())
    );
}

#[tokio::test]
async fn a_channel_is_given_another_token() {
    let era = ChannelWorkspace::new().await;
    let made = era.sync_channel("one", "respond(200)").await;
    let path = format!("{POINTS}/{}/rotate_token", made.id);
    let turned = era
        .rest
        .post(&path, json!({ "overlap_seconds": 600 }))
        .await
        .ok();
    let fresh = turned.str("token_local");
    assert!(fresh.len() == 32 && fresh != made.token, "{fresh}");
    assert!(!turned.text.contains(&made.token));
    let with = |token: &str| era.hub.anonymous().bearer(token);
    let checks = format!("/rest/v1/service/integration_tokens/{}", made.token);
    for token in [&made.token, &fresh] {
        with(token).post("/exec", json!({})).await.ok();
    }
    era.rest.get(&checks).await.ok();
    era.hub.advance(Duration::from_mins(10));
    with(&fresh).post("/exec", json!({})).await.ok();
    assert_eq!(with(&made.token).post("/exec", json!({})).await.status, 401);
    assert_eq!(era.rest.get(&checks).await.status, 404);

    let turned = era
        .rest
        .post(&path, json!({ "overlap_seconds": 0 }))
        .await
        .ok();
    assert_eq!(with(&fresh).post("/exec", json!({})).await.status, 401);
    with(&turned.str("token_local"))
        .post("/exec", json!({}))
        .await
        .ok();
    // The vendor's way to change a channel does not change its token.
    let patched = json!({ "token_local": "00000000000000000000000000000000" });
    let refused = era.change(&format!("{POINTS}/{}", made.id), patched).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    for bad in [
        json!({ "overlap_seconds": -1 }),
        json!({ "overlap_seconds": "1h" }),
    ] {
        let refused = era.rest.post(&path, bad).await;
        assert!(refused.status == 400 && refused.text.contains("overlap_seconds"));
    }
    let missing = format!("{POINTS}/00000000-0000-0000-0000-000000000001/rotate_token");
    assert_eq!(era.rest.post(&missing, json!({})).await.status, 404);
}

#[tokio::test]
async fn the_admin_token_is_exchanged_while_the_server_runs() {
    let installation = Installation::new(|config| config.admin_token = None);
    let hub = installation.start().await;
    let file = installation.data_dir().join("admin-token");
    let kept = || {
        std::fs::read_to_string(&file)
            .expect("kept")
            .trim()
            .to_owned()
    };
    let first = kept();
    let with = |hub: &Hub, token: &str| hub.anonymous().bearer(token);
    let path = "/admin/v1/admin-token/rotate";
    let body = json!({ "overlapSeconds": 60 });
    let turned = with(&hub, &first).post(path, body).await.ok();
    let second = turned.str("token");
    assert_eq!(kept(), second);
    for token in [&first, &second] {
        with(&hub, token).get("/admin/v1/workspaces").await.ok();
    }
    hub.advance(Duration::from_mins(1));
    let late = with(&hub, &first).get("/admin/v1/workspaces").await;
    assert_eq!(late.status, 401);
    let hub = hub.restart().await;
    with(&hub, &second).get("/admin/v1/workspaces").await.ok();
    std::fs::write(&file, "a-long-token-that-was-put-there-by-hand\n").expect("written");
    eventually("the file is read again", || async {
        hub.advance(Duration::from_secs(1));
        let by_hand = with(&hub, "a-long-token-that-was-put-there-by-hand");
        let answer = by_hand.get("/admin/v1/workspaces").await;
        (answer.status == 200).then_some(())
    })
    .await;
    let before = with(&hub, &second).get("/admin/v1/workspaces").await;
    assert_eq!(before.status, 401);
}

#[tokio::test]
#[ignore = "needs PostgreSQL; ./test has it"]
async fn nodes_go_over_to_a_new_master_key_together() {
    let phase = Arc::new(AtomicU8::new(0));
    let installation = installation(&phase);
    let era = ChannelWorkspace::at(installation.start().await).await;
    is_resealed(&era.hub).await;
    phase.store(1, Ordering::Relaxed);
    let second = installation.second_node().start().await;
    eventually("both nodes are known", || async {
        second.advance(Duration::from_millis(500));
        let now = installation.clock.now();
        let read =
            move |conn: &mut prichal_store::Conn| prichal_store::webhook::list_nodes(conn, now);
        let nodes = second.app.db.read::<_, prichal_store::Error>(read).await;
        (nodes.expect("nodes").len() == 2).then_some(())
    })
    .await;
    // A node that does not know the new key can read the values that the other writes.
    let elsewhere = second.adopt(&era.rest);
    let body = json!({ "code": "late", "type": "public" });
    let made = elsewhere.post(POINTS, body).await.ok();
    let path = format!("{POINTS}/{}", made.str("id"));
    era.rest.get(&path).await.ok();
    company(&era.space, "before").await;
    let first = era.hub.restart().await;
    is_resealed(&second).await;
    assert_eq!(stale(&second, sealed::Column::ChannelTokens).await, 0);
    for hub in [&first, &second] {
        hub.adopt(&era.rest).get(&path).await.ok();
    }
}

/// An access key signed with the old master key, with an expiry a year ahead.
fn signed_with_the_old_key(space_id: &str, integration: &str, name: &str) -> String {
    let id = |text: &str| uuid::Uuid::parse_str(text).expect("an id");
    Vault::new(&OLD_KEY).issue(&AccessKey {
        workspace: WorkspaceId(id(space_id)),
        integration: IntegrationId(id(integration)),
        round: 1,
        expires: START.secs() + 365 * 24 * 3600,
        name: name.to_owned(),
    })
}

/// Access keys signed with a retired master key expire, although it stays configured.
#[tokio::test]
async fn access_keys_of_a_retired_master_key_expire() {
    let phase = Arc::new(AtomicU8::new(0));
    let hub = installation(&phase).start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "mine", "https://c.example").await;
    let acme = hub.admin().get("/admin/v1/workspaces/acme").await.ok();
    let key = signed_with_the_old_key(&acme.str("id"), &integration.id, "mine");
    let path = integration.instance();
    space.access_key(&key).get(&path).await.ok();
    is_resealed(&hub).await;

    phase.store(1, Ordering::Relaxed);
    let hub = hub.restart().await;
    let forged = hub.adopt(&space).access_key(&key);
    is_resealed(&hub).await;
    let log = CapturedLog::new();
    forged.get(&path).await.ok();
    // A restart does not move the end.
    hub.advance(Duration::from_mins(15));
    let hub = hub.restart().await;
    let forged = hub.adopt(&forged);
    forged.get(&path).await.ok();
    eventually("the log says when the old key's access ends", || async {
        hub.advance(Duration::from_millis(100));
        log.has("has signed are refused from").then_some(())
    })
    .await;
    hub.advance(Duration::from_mins(6));
    assert_eq!(forged.get(&path).await.status, 401);
    let hub = hub.restart().await;
    assert_eq!(hub.adopt(&forged).get(&path).await.status, 401);
    // Keys signed with the new master key are valid.
    let integration = Integration {
        space: hub.adopt(&space),
        ..integration
    };
    let fresh = integration.access_key().await;
    integration.space.access_key(&fresh).get(&path).await.ok();
}
