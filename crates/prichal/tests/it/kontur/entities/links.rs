//! Links between entities.

use serde_json::{Value, json};

use super::{UNKNOWN_ID, events, hub_and_space};

#[tokio::test]
async fn links_join_two_ends_once() {
    let (_hub, space) = hub_and_space().await;
    let make = |collection: &str, body: Value| {
        let (space, path) = (space.clone(), format!("/{collection}"));
        async move { space.post(&path, body).await.ok().str("id") }
    };
    let (company, deal, contact) = (
        make("companies", json!({})).await,
        make("deals", json!({})).await,
        make("contacts", json!({})).await,
    );
    let before = events(&space).await.len();
    let link = json!({ "companyId": company, "dealId": deal });
    for _ in 0..2 {
        assert_eq!(
            space.post("/links", link.clone()).await.ok().json,
            json!("OK")
        );
    }
    let linked = json!({ "companyId": company, "contactId": contact });
    space.post("/links", linked.clone()).await.ok();
    assert_eq!(
        space.get(&format!("/contacts/{contact}")).await.ok()["links"]["companyIds"],
        json!([company])
    );
    let delete = |body: Value| {
        let space = space.clone();
        async move {
            space
                .send(
                    reqwest::Method::DELETE,
                    "/links",
                    Some(body.to_string().into_bytes()),
                )
                .await
        }
    };
    for _ in 0..2 {
        assert_eq!(delete(link.clone()).await.ok().json, json!("OK"));
    }
    let new = events(&space).await[before..].to_vec();
    let shapes: Vec<_> = new
        .iter()
        .map(|event| {
            (
                event["type"].as_str().expect("a type"),
                event["entityIds"].clone(),
            )
        })
        .collect();
    assert_eq!(
        shapes,
        [
            ("link", link.clone()),
            ("link", linked),
            ("unlink", link.clone())
        ]
    );
    assert!(new.iter().all(|event| event.get("changeData").is_none()));

    for bad in [
        json!({}),
        json!({ "companyId": company }),
        json!({ "companyId": company, "dealId": deal, "contactId": contact }),
        json!({ "companyId": company, "unicornId": deal }),
        json!({ "companyId": company, "CompanyId": company }),
        json!({ "companyId": company, "companyID": deal }),
        json!({ "companyId": "x", "dealId": deal }),
        json!({ "companyId": 7, "dealId": deal }),
    ] {
        for refused in [
            space.post("/links", bad.clone()).await,
            delete(bad.clone()).await,
        ] {
            assert_eq!(refused.status, 400, "{bad}: {}", refused.text);
        }
    }
    let unknown = space
        .post(
            "/links",
            json!({ "companyId": company, "dealId": UNKNOWN_ID }),
        )
        .await;
    assert_eq!(
        (unknown.status, &unknown["status"], &unknown["message"]),
        (
            409,
            &json!("notFound"),
            &json!(format!("Deal {UNKNOWN_ID} not found"))
        )
    );
}

#[tokio::test]
async fn links_inside_a_contact_are_written_and_changed() {
    let (_hub, space) = hub_and_space().await;
    let one = space
        .post("/companies", json!({ "name": "one" }))
        .await
        .ok()
        .str("id");
    let two = space
        .post("/companies", json!({ "name": "two" }))
        .await
        .ok()
        .str("id");
    let contact = space
        .post("/contacts", json!({ "links": { "companyIds": [one] } }))
        .await
        .ok();
    let path = format!("/contacts/{}", contact.str("id"));
    let before = events(&space).await.len();
    let changed = space
        .patch(
            &path,
            json!([{ "op": "replace", "path": "/links/companyIds", "value": [two] }]),
        )
        .await
        .ok();
    assert_eq!(changed["links"]["companyIds"], json!([two]));
    let kinds: Vec<Value> = events(&space).await[before..]
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert!(
        kinds.contains(&json!("link")) && kinds.contains(&json!("unlink")),
        "{kinds:?}"
    );
    let refused = space
        .patch(
            &path,
            json!([{ "op": "replace", "path": "/links/companyIds", "value": [UNKNOWN_ID] }]),
        )
        .await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(
        space.get(&path).await.ok()["links"]["companyIds"],
        json!([two])
    );
}
