//! Refusals of every operation: unknown callers, malformed bodies, objects of others.

use serde_json::{Value, json};

use super::*;
use crate::harness::{
    document_exchange::{BINS, PDF, text},
    hub::Answer,
};

/// Every operation, with a request for it.
async fn ask_everything(caller: &Caller) -> Vec<Answer> {
    let mut all = Vec::new();
    for json_operation in json_operations(UNUSED_ID, BINS[1], UNUSED_ID, UNUSED_ID) {
        all.push(caller.post(&json_operation.path, json_operation.body).await);
    }
    for path in [CONTENT, SIGNATURE, TOKEN] {
        all.push(sent(caller, path, "").await);
    }
    for path in BY_ID {
        all.push(caller.get(&format!("{path}{UNUSED_ID}")).await);
    }
    for path in ENUM_MEMBERS {
        all.push(caller.get(path).await);
    }
    all.push(caller.delete(&format!("{DRAFT}{UNUSED_ID}")).await);
    all
}

#[tokio::test]
async fn no_operation_without_a_token() {
    let scene = Scene::new().await;
    let anybody = scene.exchange.hub.anonymous();
    for caller in [anybody.clone(), anybody.clone().bearer("0123456789")] {
        for answer in ask_everything(&caller).await {
            refused(&answer, 401, "PERMISSION_ERROR", "Authorization");
        }
        let nowhere = caller.get("/api/v3/sync/nowhere").await;
        refused(&nowhere, 401, "PERMISSION_ERROR", "Authorization");
    }
    // An employee's token that is not of a company, and the server's own.
    let space = scene.exchange.hub.workspace("no-bin").await.at("");
    for caller in [space, scene.exchange.hub.admin()] {
        for answer in ask_everything(&caller).await {
            refused(&answer, 400, "PERMISSION_ERROR", "БИН");
        }
    }
    let known = scene.us.api.get("/api/v3/sync/nowhere").await;
    refused(&known, 404, "RESOURCE_NOT_FOUND", "API");
    let wrong = scene.us.api.get(CREATE).await;
    refused(&wrong, 405, "UNKNOWN", "HTTP");
    assert_eq!(wrong.header("allow"), Some("POST"));
    let wrong = scene.us.api.post(ENUM_MEMBERS[0], json!({})).await;
    refused(&wrong, 405, "UNKNOWN", "HTTP");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    let wrong = anybody.get(CREATE).await;
    refused(&wrong, 401, "PERMISSION_ERROR", "Authorization");
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let scene = Scene::new().await;
    let us = &scene.us;
    for json_operation in json_operations(&us.employee, BINS[1], UNUSED_ID, UNUSED_ID) {
        for body in [
            "",
            "{",
            "{\"documentId\":",
            "[1",
            "\u{0}",
            "text",
            "[]",
            "7",
            "\"x\"",
            "null",
            "true",
        ] {
            let answer = sent(&us.api, &json_operation.path, body).await;
            assert_eq!(
                (answer.status, code(&answer).as_str()),
                (400, "VALIDATION_ERROR"),
                "{} {body}",
                json_operation.path
            );
        }
        let endless = format!("{{\"a\":{}", "[".repeat(5000));
        invalid(&sent(&us.api, &json_operation.path, &endless).await, "");
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        invalid(
            &sent(&us.api, &json_operation.path, &large).await,
            "1048576",
        );
    }
}

#[tokio::test]
async fn all_faults_of_a_request_are_named() {
    let scene = Scene::new().await;
    let us = &scene.us;
    let told = |errors: &Value, names: &[&str]| {
        let errors = errors.as_array().expect("a list");
        assert_eq!(errors.len(), names.len(), "{errors:?}");
        for (error, name) in errors.iter().zip(names) {
            assert_eq!(error["errorCode"], "VALIDATION_ERROR");
            let reason = text(&error["errorDescription"]);
            assert!(reason.contains(name), "{name}: {reason}");
        }
    };
    let metadata = json!({ "documentName": 5, "documentDate": "soon", "documentGroup": "Other" });
    let contents = json!([{ "blobId": "x" }, { "blobId": UNUSED_ID }, {}]);
    let body = json!({ "documentMetadata": metadata, "documentBinaryContents": contents });
    let names = [
        "documentMetadata.documentDate",
        "documentMetadata.documentName",
        "documentMetadata.documentNumber",
        "documentMetadata.documentGroup",
        "documentBinaryContents[0].blobId",
        "documentBinaryContents[2].blobId",
    ];
    let refused = us.api.post(CREATE, body.clone()).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    told(&refused["errors"], &names);
    // An element of a bulk call has a list of errors as well.
    let (bulk, _) = BULK[0];
    let body = json!({ "operations": [{ "data": body }] });
    let started = us.api.post(bulk, body).await.ok();
    let ended = us.ended(bulk, &started).await;
    told(&ended[0]["operationErrors"], &names);
    let query = "/api/1/webhooks/document-events?dateFrom=x&dateTo=1&skip=y&top=z";
    let refused = us.api.get(query).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    told(&refused["errors"], &["dateFrom", "skip", "top"]);
}

#[tokio::test]
async fn members_of_a_wrong_type() {
    let scene = Scene::new().await;
    let us = &scene.us;
    for json_operation in json_operations(&us.employee, BINS[1], UNUSED_ID, UNUSED_ID) {
        let JsonOperation {
            path,
            body,
            members,
            ..
        } = &json_operation;
        let good = us.api.post(path, body.clone()).await;
        for (name, kind, required) in members {
            let wrong = match kind {
                Kind::Text => vec![json!(7), json!({}), json!([]), json!(true)],
                Kind::Id => vec![
                    json!("no-uuid"),
                    json!(7),
                    json!({}),
                    json!(&UNUSED_ID[1..]),
                ],
                Kind::Int => vec![
                    json!("many"),
                    json!(1.5),
                    json!({}),
                    json!(true),
                    json!(u64::MAX),
                ],
                Kind::Flag => vec![json!("yes"), json!([]), json!({})],
                Kind::Word => vec![
                    json!("NO_SUCH"),
                    json!(99),
                    json!(-1),
                    json!({}),
                    json!(true),
                ],
                Kind::Object => vec![json!("x"), json!([]), json!(7)],
                Kind::List => vec![json!("x"), json!({}), json!(7)],
            };
            for value in wrong {
                let mut changed = body.clone();
                *at(&mut changed, name) = value.clone();
                let answer = us.api.post(path, changed).await;
                assert_eq!(answer.status, 400, "{path} {name} {value}: {}", answer.text);
                invalid(&answer, name);
            }
            // A null counts as a missing member.
            let mut changed = body.clone();
            *at(&mut changed, name) = Value::Null;
            let answer = us.api.post(path, changed).await;
            if *required {
                assert_eq!(answer.status, 400, "{path} {name}: {}", answer.text);
                invalid(&answer, name);
            } else if answer.status != 200 {
                assert_eq!(code(&answer), code(&good), "{path} {name}: {}", answer.text);
            }
            if *kind == Kind::Id && *required {
                let mut changed = body.clone();
                *at(&mut changed, name) = json!("00000000-0000-0000-0000-000000000000");
                invalid(&us.api.post(path, changed).await, name);
            }
        }
    }
}

/// Names and words in another case, numbers in place of words, unknown members: all are accepted.
#[tokio::test]
async fn bodies_in_another_spelling() {
    fn respell(value: &Value, name: &dyn Fn(&str) -> String) -> Value {
        match value {
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| (name(key), respell(value, name)))
                .chain([(name("notAsked"), json!({ "for": 7 }))])
                .collect(),
            Value::Array(list) => list.iter().map(|value| respell(value, name)).collect(),
            other => other.clone(),
        }
    }
    let scene = Scene::new().await;
    let us = &scene.us;
    let pascal = |name: &str| format!("{}{}", name[..1].to_uppercase(), &name[1..]);
    for json_operation in json_operations(&us.employee, BINS[1], UNUSED_ID, UNUSED_ID) {
        let JsonOperation {
            path,
            body,
            members,
            ..
        } = &json_operation;
        let mut good = us.api.post(path, body.clone()).await;
        let mut spelt = vec![
            respell(body, &pascal),
            respell(body, &str::to_uppercase),
            respell(body, &str::to_lowercase),
        ];
        for how in 0..3 {
            let mut changed = body.clone();
            for (name, _, _) in members.iter().filter(|(_, kind, _)| *kind == Kind::Word) {
                let value = at(&mut changed, name);
                let word = value.as_str().expect("a word").to_owned();
                *value = match how {
                    0 => json!(word.to_lowercase()),
                    1 => number(&word).into(),
                    _ => number(&word).to_string().into(),
                };
            }
            spelt.push(changed);
        }
        for body in spelt {
            let mut answer = us.api.post(path, body.clone()).await;
            // Ids of elements are new each time.
            for answer in [&mut good, &mut answer] {
                if let Some(all) = answer
                    .json
                    .pointer_mut("/operations")
                    .and_then(Value::as_array_mut)
                {
                    all.iter_mut()
                        .for_each(|one| one["operationId"] = Value::Null);
                }
            }
            assert_eq!(
                (answer.status, &answer.json),
                (good.status, &good.json),
                "{path} {body}"
            );
        }
    }
}

fn number(word: &str) -> u64 {
    match word {
        "Legal" => 3,
        "PARALLEL" | "APPROVE" | "DRAFT" => 1,
        "SEQUENTIAL" => 2,
        other => panic!("{other}"),
    }
}

/// An object of another company is answered like one that does not exist.
#[tokio::test]
async fn objects_of_other_companies_do_not_exist() {
    let scene = Scene::new().await;
    let (us, them) = (&scene.us, &scene.them);
    let theirs = them.draft().await;
    let routed = them.draft().await;
    them.quick_route(&routed, &[&us.bin]).await.ok();
    let generated = them
        .generate(crate::harness::document_exchange::Side::Outbox, &routed)
        .await
        .ok();
    let link = generated.str("downloadLink");
    let link = link.rsplit('/').next().expect("an id").to_owned();
    let blob = them.content("a.pdf", PDF).await;

    let without_id = |answer: &Answer, id: &str| (answer.status, answer.text.replace(id, "ID"));
    for foreign in [&theirs, &routed] {
        let known = json_operations(&us.employee, BINS[1], foreign, &blob);
        let unknown = json_operations(&us.employee, BINS[1], UNUSED_ID, &blob);
        for (known, unknown) in known.into_iter().zip(unknown) {
            if known.body.get("documentId").is_none() {
                continue;
            }
            let answer = us.api.post(&known.path, known.body).await;
            refused(&answer, 404, "RESOURCE_NOT_FOUND", foreign);
            let nothing = us.api.post(&unknown.path, unknown.body).await;
            assert_eq!(
                without_id(&answer, foreign),
                without_id(&nothing, UNUSED_ID),
                "{}",
                known.path
            );
        }
        for path in BY_ID {
            let answer = us.api.get(&format!("{path}{foreign}")).await;
            let nothing = us.api.get(&format!("{path}{UNUSED_ID}")).await;
            assert_eq!(
                without_id(&answer, foreign),
                without_id(&nothing, UNUSED_ID),
                "{path}"
            );
            let bare = [ONE_OUTBOX, ONE_INBOX, STATUS, PRINT_FORM, ARCHIVE].contains(&path);
            if bare {
                assert_eq!((answer.status, answer.text.as_str()), (404, "{}"), "{path}");
            } else if path == PERMISSION {
                invalid(&answer, foreign);
            } else {
                refused(&answer, 404, "RESOURCE_NOT_FOUND", foreign);
            }
        }
        let answer = us.api.delete(&format!("{DRAFT}{foreign}")).await;
        refused(&answer, 404, "RESOURCE_NOT_FOUND", foreign);
    }
    let answer = us.api.get(&format!("{DOWNLOAD}{link}")).await;
    refused(&answer, 404, "RESOURCE_NOT_FOUND", &link);
    let answer = us.api.get(&format!("{PERMISSION}{}", them.employee)).await;
    invalid(&answer, &them.employee);

    // Blobs.
    for (path, body) in [
        (CREATE, us.metadata(&[&blob])),
        (INTERNAL, us.metadata(&[&blob])),
    ] {
        refused(
            &us.api.post(path, body).await,
            404,
            "RESOURCE_NOT_FOUND",
            &blob,
        );
    }
    let own = us.draft().await;
    us.quick_route(&own, &[&them.bin]).await.ok();
    let generated = us
        .generate(crate::harness::document_exchange::Side::Outbox, &own)
        .await
        .ok();
    let signature = them
        .signature(&us.sign(&us.download(&generated).await, true))
        .await;
    let ticket = generated.str("idempotencyTicket");
    let saved = us
        .save(
            crate::harness::document_exchange::Side::Outbox,
            &own,
            &signature,
            &ticket,
        )
        .await;
    refused(&saved, 404, "RESOURCE_NOT_FOUND", &signature);
    let action = json!({ "action": "SIGN", "signature": { "blobId": signature } });
    let signed = us.act(ACTION, &own, action).await;
    refused(&signed, 404, "RESOURCE_NOT_FOUND", &signature);
    assert_eq!(us.status(&own).await, "DRAFT");
    assert_eq!(them.status(&theirs).await, "DRAFT");

    // Malformed ids.
    for path in BY_ID {
        for id in ["x", "0", "%00", "..%2f..", &"9".repeat(500)] {
            let answer = us.api.get(&format!("{path}{id}")).await;
            invalid(&answer, "");
        }
    }
    invalid(&us.api.delete(&format!("{DRAFT}x")).await, "x");
}
