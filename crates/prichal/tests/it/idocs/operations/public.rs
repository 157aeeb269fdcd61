//! The public page, and the settings of signature checks.

use serde_json::json;

use super::*;
use crate::harness::document_exchange::{Side, pem};

#[tokio::test]
async fn the_check_page() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let anybody = scene.exchange.hub.anonymous();
    let blob = us
        .content("тайна.txt", "совершенно секретно".as_bytes())
        .await;
    let mut body = us.metadata(&[&blob]);
    body["documentMetadata"]["documentNumber"] = json!("<script>alert('1')</script>&\"");
    body["documentMetadata"]["documentName"] = json!("Секретный договор");
    let document = us.api.post(CREATE, body).await.ok().str("id");
    let path = format!("/check/{document}");

    for nothing in [
        path.clone(),
        format!("/check/{UNUSED_ID}"),
        "/check/x".into(),
        "/check/%00".into(),
    ] {
        let page = anybody.get(&nothing).await;
        assert_eq!(page.status, 404, "{nothing}");
        assert!(
            page.text.contains("Такого документа здесь нет"),
            "{}",
            page.text
        );
        assert!(page.header("content-security-policy").is_some());
    }
    us.quick_route(&document, &[&them.bin]).await.ok();
    assert_eq!(anybody.get(&path).await.status, 404, "still a draft");
    us.quick_sign(Side::Outbox, &document).await.ok();

    for (language, word) in [
        ("ru", "Подпись действительна"),
        ("kk", "Қолтаңба жарамды"),
        ("en", "The signature is valid"),
    ] {
        let page = anybody
            .clone()
            .header("accept-language", language)
            .get(&path)
            .await
            .ok();
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert!(page.text.contains(word), "{}", page.text);
        assert!(
            page.text.contains(&format!("<html lang=\"{language}\">")),
            "{}",
            page.text
        );
        let number = "&#60;script&#62;alert(&#39;1&#39;)&#60;/script&#62;&#38;&#34;";
        assert!(page.text.contains(number), "{}", page.text);
        assert!(!page.text.contains("<script>"), "{}", page.text);
        assert!(
            page.text.contains("2026-01-01") && page.text.contains(&us.bin),
            "{}",
            page.text
        );
        assert!(page.text.contains("ИВАНОВ ИВАН"), "{}", page.text);
        for secret in [
            "секретно",
            "Секретный",
            "тайна",
            &us.iin,
            &us.employee,
            &blob,
        ] {
            assert!(!page.text.contains(secret), "{secret}: {}", page.text);
        }
    }
    them.quick_sign(Side::Inbox, &document).await.ok();
    let page = anybody.get(&path).await.ok();
    assert_eq!(page.text.matches("state good").count(), 2, "{}", page.text);

    // A document that was sent without a signature.
    let unsigned = us.draft().await;
    us.api
        .post(ROUTE, us.to(&unsigned, &[&them.bin]))
        .await
        .ok();
    let page = anybody.get(&format!("/check/{unsigned}")).await.ok();
    assert!(page.text.contains("ещё никем не подписан"), "{}", page.text);
}

#[tokio::test]
async fn signature_policies() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let hub = &scene.exchange.hub;
    let admin = hub.admin();
    let made = json!({ "name": "fresh" });
    assert_eq!(admin.post("/admin/v1/workspaces", made).await.status, 201);
    let path = "/admin/v1/workspaces/fresh/signature-policy";
    let default = json!({
        "policy": "kz", "trustAnchors": [], "checkBin": null, "checkIin": null, "indeterminate": "accept",
    });
    exactly(&admin.get(path).await, default.clone());
    exactly(&admin.put(path, default.clone()).await, default.clone());
    let anchor = pem(&scene.exchange.authority.root.der);
    let changed = json!({
        "policy": "ru", "trustAnchors": [anchor], "checkBin": false, "checkIin": false, "indeterminate": "refuse",
    });
    exactly(&admin.put(path, changed.clone()).await, changed.clone());
    exactly(&admin.get(path).await, changed.clone());

    for (body, names) in [
        (json!({ "policy": "mars" }), "policy"),
        (json!({ "policy": 7 }), "policy"),
        (json!({ "trustAnchors": ["no pem"] }), "trustAnchors[0]"),
        (json!({ "trustAnchors": [anchor, ""] }), "trustAnchors[1]"),
        (json!({ "trustAnchors": anchor }), "trustAnchors"),
        (
            json!({ "trustAnchors": vec![anchor.clone(); 101] }),
            "trustAnchors",
        ),
        (json!({ "checkBin": "yes" }), "checkBin"),
        (json!({ "checkIin": 1 }), "checkIin"),
        (json!({ "indeterminate": "perhaps" }), "indeterminate"),
        (json!([]), "object"),
    ] {
        let answer = admin.put(path, body.clone()).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text);
        assert!(answer.text.contains(names), "{body}: {}", answer.text);
    }
    exactly(&admin.get(path).await, changed);
    // Members that are left out have their defaults.
    exactly(&admin.put(path, json!({})).await, default);

    let nowhere = "/admin/v1/workspaces/nowhere/signature-policy";
    assert_eq!(admin.get(nowhere).await.status, 404);
    assert_eq!(admin.put(nowhere, json!({})).await.status, 404);
    for stranger in [hub.anonymous(), us.api.clone()] {
        let answer = stranger.get(path).await;
        assert!([401, 403].contains(&answer.status), "{}", answer.text);
        let answer = stranger.put(path, json!({ "policy": "test" })).await;
        assert!([401, 403].contains(&answer.status), "{}", answer.text);
    }
    assert_eq!(admin.get(path).await.ok()["policy"], "kz");
    assert_eq!(admin.post(path, json!({})).await.status, 405);
}
