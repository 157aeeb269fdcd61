//! Routes and their members.

use serde_json::{Value, json};

use super::*;
use crate::harness::document_exchange::{BINS, Side, text};

async fn external(company: &Company, document: &str) -> Value {
    let seen = company
        .api
        .get(&format!("{ONE_OUTBOX}{document}"))
        .await
        .ok();
    seen["response"]["documentRoute"]["external"]["nodes"].clone()
}

#[tokio::test]
async fn to_whom_a_document_may_go() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let document = us.draft().await;
    let node = "route.external.nodes[0]";
    let with = async |path: &str, member: &str, value: Value| {
        let mut body = us.to(&document, &[&them.bin]);
        body["route"]["external"]["nodes"][0][member] = value;
        us.api.post(path, body).await
    };
    for path in [QUICK, ROUTE] {
        for bad in [
            "123456789012",
            "97124000131",
            "9712400013155",
            "abcdefghijkl",
            "000000000000",
            "",
            " 971240001315",
        ] {
            let answer = with(path, "counterpartyBin", json!(bad)).await;
            invalid(&answer, &format!("{node}.counterpartyBin"));
        }
        let answer = with(path, "counterpartyBin", json!(us.bin)).await;
        invalid(&answer, &format!("{node}.counterpartyBin"));
        // A company or person that is not registered, without an address to write to.
        for individual in [false, true] {
            let mut body = us.to(&document, &[BINS[3]]);
            body["route"]["external"]["nodes"][0]["isIndividual"] = json!(individual);
            let answer = us.api.post(path, body).await;
            invalid(&answer, &format!("{node}.counterpartyBin"));
            assert!(
                reason(&answer).contains("counterpartyEmails"),
                "{}",
                answer.text
            );
        }
        for bad in [
            json!("no-address"),
            json!("a@b"),
            json!("@b.kz"),
            json!("a b@c.kz"),
            json!(7),
            Value::Null,
            json!("a@.kz"),
        ] {
            let answer = with(path, "counterpartyEmails", json!(["a@example.kz", bad])).await;
            invalid(&answer, &format!("{node}.counterpartyEmails[1]"));
        }
        invalid(
            &with(path, "comment", json!("я".repeat(1001))).await,
            &format!("{node}.comment"),
        );
        invalid(
            &with(path, "order", json!(1_i64 << 31)).await,
            &format!("{node}.order"),
        );
        let twice = us
            .api
            .post(path, us.to(&document, &[&them.bin, &them.bin]))
            .await;
        invalid(&twice, "route.external.nodes[1].counterpartyBin");
        invalid(
            &us.api.post(path, us.to(&document, &[])).await,
            "route.external.nodes",
        );
        let many = us
            .api
            .post(path, us.to(&document, &[them.bin.as_str(); 101]))
            .await;
        invalid(&many, "route.external.nodes");
        assert_eq!(external(us, &document).await, json!([]));
    }

    // A second route replaces the first one of a draft. After dispatch it is refused.
    us.quick_route(&document, &[&them.bin]).await.ok();
    let mut body = us.to(&document, &[BINS[2]]);
    body["route"]["external"]["nodes"][0]["counterpartyEmails"] =
        json!(["a@example.kz", "b@example.kz"]);
    us.api.post(QUICK, body).await.ok();
    let nodes = external(us, &document).await;
    assert_eq!(nodes.as_array().map(Vec::len), Some(1));
    assert_eq!(nodes[0]["counterpartyCompanyBin"], BINS[2]);
    assert_eq!(
        nodes[0]["counterpartyCompanyEmails"],
        json!(["a@example.kz", "b@example.kz"])
    );
    us.quick_route(&document, &[&them.bin]).await.ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    for path in [QUICK, ROUTE] {
        let late = us.api.post(path, us.to(&document, &[&them.bin])).await;
        invalid(&late, "SENT_BY_SENDER");
    }
}

/// The guide's word and the schema's flag for a required signature.
#[tokio::test]
async fn required_signers() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let document = us.draft().await;
    for (word, flag, required) in [
        (json!("SIGN"), Value::Null, true),
        (json!("Signature"), Value::Null, true),
        (json!("sign"), Value::Null, true),
        (json!(0), Value::Null, true),
        (Value::Null, Value::Null, true),
        (json!("APPROVE"), Value::Null, false),
        (json!("INFORM"), Value::Null, false),
        (json!(2), Value::Null, false),
        (json!("APPROVE"), json!(true), true),
        (json!("SIGN"), json!(false), false),
    ] {
        let mut body = us.to(&document, &[&them.bin]);
        body["route"]["external"]["nodes"][0]["requiredActionType"] = word.clone();
        body["route"]["external"]["nodes"][0]["isSignRequiredByCounterparty"] = flag.clone();
        us.api.post(QUICK, body).await.ok();
        let nodes = external(us, &document).await;
        assert_eq!(nodes[0]["isSignRequired"], required, "{word} {flag}");
    }
    let mut body = us.to(&document, &[&them.bin]);
    body["route"]["external"]["nodes"][0]["isSignRequiredByCounterparty"] = Value::Null;
    body["route"]["external"]["nodes"][0]["requiredActionType"] = json!("DANCE");
    let answer = us.api.post(QUICK, body).await;
    invalid(&answer, "route.external.nodes[0].requiredActionType");
}

/// Companies in their order, or all at once.
#[tokio::test]
async fn companies_sign_in_order_or_at_once() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let third = scene.exchange.company(2).await;
    for (ordering, second) in [
        (json!("SEQUENTIAL"), "404"),
        (json!(2), "404"),
        (json!("parallel"), "IN_NEW"),
        (json!("NONE"), "IN_NEW"),
        (Value::Null, "IN_NEW"),
    ] {
        let document = us.draft().await;
        let mut body = us.to(&document, &[&them.bin, &third.bin]);
        body["route"]["external"]["routeOrderType"] = ordering.clone();
        body["route"]["external"]["nodes"][0]["order"] = json!(7);
        body["route"]["external"]["nodes"][1]["order"] = json!(9);
        us.api.post(ROUTE, body).await.ok();
        assert_eq!(them.status(&document).await, "IN_NEW", "{ordering}");
        assert_eq!(third.status(&document).await, second, "{ordering}");
        if second == "404" {
            let early = third.generate(Side::Inbox, &document).await;
            refused(&early, 404, "RESOURCE_NOT_FOUND", &document);
            let early = third.act(REJECT, &document, json!({})).await;
            refused(&early, 404, "RESOURCE_NOT_FOUND", &document);
            them.quick_sign(Side::Inbox, &document).await.ok();
            assert_eq!(third.status(&document).await, "IN_NEW");
        }
        let mut body = us.to(&document, &[&them.bin]);
        body["route"]["external"]["routeOrderType"] = json!("SOMEHOW");
        invalid(
            &us.api.post(ROUTE, body).await,
            "route.external.routeOrderType",
        );
    }
}

/// Actions that do not fit the kind of the document, the side, or the moment.
#[tokio::test]
async fn actions_out_of_turn_are_refused() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let clerk = scene
        .clerk("clerk", &["DOCUMENT_APPROVE", "DOCUMENT_SIGN"])
        .await;
    let draft = us.draft().await;
    let blob = us
        .content("a.pdf", crate::harness::document_exchange::PDF)
        .await;
    let internal = us
        .api
        .post(INTERNAL, us.metadata(&[&blob]))
        .await
        .ok()
        .str("id");
    let nodes =
        |action: Value| json!([{ "order": 0, "employeeId": clerk, "requiredAction": action }]);

    invalid(&us.quick_route(&internal, &[&them.bin]).await, "внешних");
    invalid(&us.act(RECALL, &internal, json!({})).await, "внешних");
    invalid(&us.act(DECLINE, &internal, json!({})).await, "внешних");
    let inside = json!({ "nodes": nodes(json!("SIGN")) });
    invalid(&us.act(INTERNAL_ROUTE, &draft, inside).await, "внутренних");
    for word in [json!("REJECT"), json!(3)] {
        let answer = us
            .act(INTERNAL_ROUTE, &internal, json!({ "nodes": nodes(word) }))
            .await;
        invalid(&answer, "nodes[0].requiredAction");
    }
    let none = us
        .act(INTERNAL_ROUTE, &internal, json!({ "nodes": [] }))
        .await;
    invalid(&none, "nodes");
    let many = json!({ "nodes": vec![nodes(json!(1))[0].clone(); 101] });
    invalid(&us.act(INTERNAL_ROUTE, &internal, many).await, "nodes");
    for id in [&draft, &internal] {
        invalid(&us.generate(Side::Outbox, id).await, "DRAFT");
        invalid(
            &us.act(ACTION, id, json!({ "action": "APPROVE" })).await,
            "DRAFT",
        );
        let inbox = us.generate(Side::Inbox, id).await;
        refused(&inbox, 404, "RESOURCE_NOT_FOUND", id);
        assert_eq!(us.api.get(&format!("{ONE_INBOX}{id}")).await.text, "{}");
    }
    for path in [RECALL, DECLINE] {
        invalid(&us.act(path, &draft, json!({})).await, "DRAFT");
    }
    refused(
        &us.act(REJECT, &draft, json!({})).await,
        404,
        "RESOURCE_NOT_FOUND",
        &draft,
    );

    // INFORM requires no action. The rest waits for the named employee.
    let all = json!({ "nodes": [
        { "order": 0, "employeeId": us.employee, "requiredAction": "INFORM" },
        { "order": 1, "employeeId": clerk, "requiredAction": "APPROVE" },
    ], "routeActionOrderingType": "SEQUENTIAL" });
    us.act(INTERNAL_ROUTE, &internal, all).await.ok();
    assert_eq!(us.status(&internal).await, "IN_PROCESS");
    invalid(
        &us.act(ACTION, &internal, json!({ "action": "APPROVE" }))
            .await,
        "сотрудника",
    );
    invalid(
        &us.act(ACTION, &internal, json!({ "action": "INFORM" }))
            .await,
        "action",
    );
    invalid(
        &us.act(ACTION, &internal, json!({ "action": "SIGN" })).await,
        "signature",
    );
    invalid(
        &us.act(ACTION, &internal, json!({ "action": "DANCE" }))
            .await,
        "action",
    );
    invalid(
        &us.act(
            ACTION,
            &internal,
            json!({ "action": "REJECT", "reason": "я".repeat(1001) }),
        )
        .await,
        "reason",
    );
    let approve = json!({ "documentId": internal, "employeeId": clerk, "action": 1 });
    us.api.post(ACTION, approve.clone()).await.ok();
    assert_eq!(us.status(&internal).await, "FINISHED_BY_COMPANY");
    invalid(&us.api.post(ACTION, approve).await, "FINISHED_BY_COMPANY");

    // From the wrong side.
    let document = us.sent(&[&them.bin]).await;
    refused(
        &us.act(REJECT, &document, json!({})).await,
        404,
        "RESOURCE_NOT_FOUND",
        &document,
    );
    refused(
        &them.act(DECLINE, &document, json!({})).await,
        404,
        "RESOURCE_NOT_FOUND",
        &document,
    );
    refused(
        &them.generate(Side::Outbox, &document).await,
        404,
        "RESOURCE_NOT_FOUND",
        &document,
    );
    invalid(
        &us.act(DECLINE, &document, json!({})).await,
        "SENT_BY_SENDER",
    );
    them.act(REJECT, &document, json!({ "reason": "нет" }))
        .await
        .ok();
    invalid(
        &them.act(REJECT, &document, json!({})).await,
        "REJECTED_BY_RECIPIENT",
    );
    invalid(
        &them.generate(Side::Inbox, &document).await,
        "REJECTED_BY_RECIPIENT",
    );
    let route = json!({ "route": { "internal": { "nodes": [
        { "order": 0, "employeeId": them.employee, "requiredAction": "APPROVE" },
    ] } } });
    invalid(
        &them.act(INBOX_ROUTE, &document, route).await,
        "REJECTED_BY_RECIPIENT",
    );
    let seen = us.api.get(&format!("{ONE_OUTBOX}{document}")).await.ok();
    let state = &seen["response"]["documentRoute"]["external"]["nodes"][0]["state"];
    assert_eq!(text(&state["rejectMetadata"]["rejectReason"]), "нет");
    assert_eq!(state["status"], "CompletedWithFail");
}

/// A link is written as one slash or two.
#[tokio::test]
async fn links_with_two_slashes() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let document = us.draft().await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    let generated = us.generate(Side::Outbox, &document).await.ok();
    let zip = us.download(&generated).await;
    let link = generated.str("downloadLink");
    let id = link.rsplit('/').next().expect("an id");
    for path in [
        format!("{DOWNLOAD}/{id}"),
        format!("{DOWNLOAD}{id}/"),
        format!("/API/V3/Sync/Sign-Content/Download//{}", id.to_uppercase()),
    ] {
        assert_eq!(us.api.get(&path).await.ok().bytes, zip, "{path}");
    }
    let anybody = scene.exchange.hub.anonymous();
    let answer = anybody.get(&format!("{DOWNLOAD}/{id}")).await;
    refused(&answer, 401, "PERMISSION_ERROR", "Authorization");
}

/// Without a required signature a document is finished on arrival. A comment for one recipient is hidden from the
/// others.
#[tokio::test]
async fn a_route_without_signatures_is_finished_on_arrival() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let third = scene.exchange.company(2).await;
    let document = us.draft().await;
    let mut body = us.to(&document, &[&them.bin, &third.bin]);
    for (n, node) in body["route"]["external"]["nodes"]
        .as_array_mut()
        .expect("nodes")
        .iter_mut()
        .enumerate()
    {
        node["isSignRequiredByCounterparty"] = json!(false);
        node["comment"] = json!(format!("comment {n}"));
        node["counterpartyEmails"] = json!([format!("a{n}@example.kz")]);
    }
    us.api.post(ROUTE, body).await.ok();
    for company in [us, them, &third] {
        assert_eq!(company.status(&document).await, "FINISHED");
    }
    for (company, own) in [(them, 0), (&third, 1)] {
        let seen = company
            .api
            .get(&format!("{ONE_INBOX}{document}"))
            .await
            .ok();
        let nodes = &seen["response"]["documentRoute"]["external"]["nodes"];
        assert_eq!(nodes[own]["comment"], format!("comment {own}"));
        assert_eq!(nodes[1 - own]["comment"], Value::Null);
        assert_eq!(nodes[1 - own]["counterpartyCompanyEmails"], Value::Null);
        assert!(
            !seen.text.contains(&format!("a{}@", 1 - own)),
            "{}",
            seen.text
        );
        let late = company.generate(Side::Inbox, &document).await;
        invalid(&late, "FINISHED");
    }
    invalid(&us.act(RECALL, &document, json!({})).await, "FINISHED");
    let none = us.api.get(&format!("{SIGNATURES}{document}")).await;
    exactly(&none, json!([]));
}
