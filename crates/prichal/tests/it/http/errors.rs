//! Errors that say what is wrong, with the value, and what would be right, in every dialect.

use std::time::Duration;

use prichal::config::Rate;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::{ChannelWorkspace, POINTS, RUNS, SCRIPTS, TYPES},
    document_exchange::{DocumentExchange, RECALL, reason},
    hub::{Answer, Caller, CapturedLog, Hub},
    integration::Integration,
};

const TOKENS: &str = "/admin/v1/workspaces/acme/tokens";

/// Fails unless an answer has this status and its body has all of these words.
#[track_caller]
fn says(answer: &Answer, status: u16, words: &[&str]) {
    assert_eq!(answer.status, status, "{}", answer.text);
    for word in words {
        assert!(answer.text.contains(word), "{word}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_refused_patch_names_the_member_and_the_allowed_values() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "mine", "https://c.example").await;
    let reason = async |list: &str, operation: Value| {
        let refused = integration.patch(json!([operation])).await;
        assert_eq!(refused.status, 409, "{}", refused.text);
        assert_eq!(
            refused["errorInfo"]["message"],
            "Patch contains invalid operations"
        );
        let reason = &refused["errorInfo"][list][0]["reason"];
        reason.as_str().unwrap_or(&refused.text).to_owned()
    };
    let add = |hook: Value| json!({ "op": "add", "path": "/webHooks", "value": hook });
    let hook = json!({ "relativeUrl": "/x", "triggerType": "entityEvents" });
    assert_eq!(
        reason("invalidDatas", add(hook)).await,
        "`triggerType` `entityEvents` is unknown: entityEvent, schedule."
    );
    let hook = json!({ "relativeUrl": "/x", "triggerType": "entityEvent", "filter": { "items": [{ "entityType": "firm" }] } });
    let why = reason("invalidDatas", add(hook)).await;
    assert!(
        why.starts_with(
            "`filter.items[0].entityType` `firm` is unknown: user, group, role, company, "
        ),
        "{why}"
    );
    let hook = json!({ "relativeUrl": "/x", "triggerType": 7 });
    assert_eq!(
        reason("invalidValueTypes", add(hook)).await,
        "`triggerType` must be entityEvent or schedule, not 7."
    );
    assert_eq!(
        reason("invalidDatas", add(json!({ "relativeUrl": "/x" }))).await,
        "The triggerType field is required."
    );
    let secret = json!({ "op": "add", "path": "/secrets", "value": "hidden" });
    let why = reason("invalidValueTypes", secret).await;
    assert_eq!(why, "`secrets` must be a JSON object.");
    let misspelt = json!({ "op": "replace", "path": "/webHook", "value": [] });
    let why = reason("invalidPaths", misspelt).await;
    assert!(
        why.starts_with("There is no field `webHook` that could be changed: ")
            && why.contains("webHooks"),
        "{why}"
    );
}

#[tokio::test]
async fn a_value_that_cannot_be_read_has_the_vendors_text_and_ours() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let body = json!({ "login": "x", "status": "asleep", "isAdmin": "maybe" });
    let refused = space.post("/users", body).await;
    says(&refused, 400, &[]);
    let vendor = "Error converting value \"asleep\" to type 'Xcom.Api.Models.Users.UserStatus'. Path 'status'";
    assert_eq!(refused["errors"]["status"], json!([vendor]));
    let detail = refused.str("detail");
    for ours in [
        "`status` `asleep` is unknown: active, inactive.",
        "`isAdmin` must be true or false, not \"maybe\".",
    ] {
        assert!(detail.contains(ours), "{detail}");
    }
    // Texts that say it already stand alone.
    let refused = space.post("/users", json!({ "login": "" })).await;
    says(&refused, 400, &["The login field is required."]);
    assert!(refused.get("detail").is_none(), "{}", refused.text);
}

#[tokio::test]
async fn a_trace_id_is_found_in_the_log() {
    let log = CapturedLog::new();
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let refused = space.post("/users", json!({ "isAdmin": "maybe" })).await;
    says(&refused, 400, &[]);
    let request = refused.header("x-request-id").expect("an id").to_owned();
    assert_eq!(log.count(&[&refused.str("traceId"), &request]), 1);
    // Each problem has an id of its own; an answer without one leaves none.
    let again = space.post("/users", json!({ "isAdmin": "maybe" })).await;
    assert_ne!(again.str("traceId"), refused.str("traceId"));
    let fine = space.get("/users").await.ok();
    let request = fine.header("x-request-id").expect("an id");
    assert_eq!(log.count(&[request]), 1);
    assert_eq!(log.count(&[request, "trace.id"]), 0);
    // A path that does not exist is in the log as well, without its text.
    let lost = hub.anonymous().get("/nosuch").await;
    let request = lost.header("x-request-id").expect("an id");
    assert_eq!(log.count(&[request]), 1);
    assert_eq!(log.count(&[request, "nosuch"]), 0);
}

#[tokio::test]
async fn the_administration_has_its_own_words() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let admin = hub.admin();
    let refused = admin
        .post(TOKENS, json!({ "name": "t", "role": "boss" }))
        .await;
    says(&refused, 400, &[]);
    assert_eq!(
        refused["detail"],
        "`boss` is not a role: admin, member, viewer or integrator."
    );
    let expected = json!([{ "field": "role", "detail": "`boss` is not a role: admin, member, viewer or integrator." }]);
    assert_eq!(refused["errors"], expected);
    let policy = "/admin/v1/workspaces/acme/signature-policy";
    let quota = "/admin/v1/workspaces/acme/quota";
    for (path, body, words) in [
        (
            policy,
            json!({ "policy": "uk" }),
            "`uk` is not a policy: kz, ru, eu-baseline or test.",
        ),
        (
            policy,
            json!({ "indeterminate": "skip" }),
            "`indeterminate` `skip` is unknown: accept, refuse.",
        ),
        (
            policy,
            json!({ "checkBin": "yes" }),
            "`checkBin` must be true or false, not \\\"yes\\\".",
        ),
        (quota, json!({ "file": 1 }), "There is no quota `file`: "),
        (
            quota,
            json!({ "files": -1 }),
            "at least 0, or null, not -1.",
        ),
    ] {
        says(&admin.put(path, body).await, 400, &[words]);
    }
    for (body, words) in [
        (
            json!({ "name": "Acme" }),
            "'authorization' is reserved, not \\\"Acme\\\".",
        ),
        (
            json!({ "name": "authorization" }),
            "'authorization' is reserved, not",
        ),
        (
            json!({ "name": "b", "bin": "123456789012" }),
            "The name must be 2 to 63 characters: ",
        ),
        (
            json!({ "name": "other", "bin": "123456789012" }),
            "The bin must be 12 digits with a valid check digit, not \\\"123456789012\\\".",
        ),
    ] {
        says(
            &admin.post("/admin/v1/workspaces", body).await,
            400,
            &[words],
        );
    }
    let taken = admin
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    says(&taken, 409, &["A workspace named `acme` exists already"]);
    let list = "/admin/v1/quarantine?kind=runs";
    let words = "The value 'runs' of 'kind' is not run, delivery, tick,";
    says(&admin.get(list).await, 400, &[words]);
}

#[tokio::test]
async fn a_path_that_does_not_exist_is_answered_with_those_that_do() {
    let exchange = DocumentExchange::new().await;
    let (us, hub) = (exchange.company(0).await, &exchange.hub);
    let english = us.api.clone().header("accept-language", "en");
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let collections =
        "users, groups, roles, companies, contacts, deals, tasks, notifications, catalog-items";
    let misspelt = "There is no `contcts` in `/api/v1/{ws}`: ";
    for answer in [
        space.get("/contcts").await,
        space.post("/contcts", json!({})).await,
        space
            .get("/contcts/00000000-0000-0000-0000-000000000009")
            .await,
    ] {
        says(
            &answer,
            404,
            &[misspelt, collections, "communications", "events", "files"],
        );
        assert_eq!(answer["status"], "notFound");
    }
    for (caller, path, words) in [
        (
            &space,
            "/communications/callbacks/telephony/call-ended",
            "`call-ended` in `/api/v1/{ws}/communications/callbacks/telephony`: ",
        ),
        (
            &hub.admin(),
            "/admin/v1/workspace",
            "There is no `workspace` in `/admin/v1`: ",
        ),
        (
            &hub.admin(),
            "/admin/v1",
            "`/admin/v1` alone is not a path of the API: ",
        ),
        (
            &us.api.at(""),
            "/rest/v1/service/integration_point",
            "integration_point_types, integration_points, ",
        ),
        (
            &us.api.at(""),
            "/nowhere",
            "There is no `nowhere` in `/`: admin, api, check, docs, documents, exec, healthz, hook, metrics, readyz, rest, ws",
        ),
        (
            &us.api.at(""),
            "/hook",
            "`/hook` alone is not a path of the API",
        ),
        (
            &us.api.at(""),
            "/healthz/x",
            "There is no `x` in `/healthz`",
        ),
        (
            &us.api.at(""),
            "/docs/nowhere",
            "There is no `nowhere` in `/docs`: admin, asyncapi.json, era, idocs, kontur, openapi.json, server",
        ),
        (
            &us.api.at(""),
            "/docs/era/x.json",
            "There is no `x.json` in `/docs/era`: asyncapi.json, openapi.json",
        ),
        (
            &hub.admin(),
            "/admin/v1/Workspaces",
            "The path is written `/admin/v1/workspaces`, ",
        ),
        (
            &english,
            "/api/v3/sync/references/status",
            "The API has no status in /api/v3/sync/references. There are: document-groups, statuses, route-actions, permissions, ",
        ),
        (
            &us.api,
            "/api/v3/sync/external",
            "Сам по себе /api/v3/sync/external не метод API. Есть: documents-query, ",
        ),
        (
            &us.api,
            "/api/v3/sync/nowhere",
            "В API нет nowhere в /api/v3/sync. Есть: blobs, bulk, external",
        ),
    ] {
        says(&caller.get(path).await, 404, &[words]);
    }
    // A part that may be a token is not repeated.
    let secret = "5".repeat(64);
    let answer = hub.admin().get(&format!("/admin/v1/{secret}")).await;
    says(&answer, 404, &["There is no `…` in `/admin/v1`"]);
    assert!(!answer.text.contains("555"), "{}", answer.text);
    // A long id is cut.
    let long = "y".repeat(6000);
    let answer = hub
        .admin()
        .get(&format!("/admin/v1/workspaces/{long}/usage"))
        .await;
    assert_eq!(answer.status, 404);
    assert!(answer.text.len() < 1000, "{}", answer.text);
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_right_ones() {
    let exchange = DocumentExchange::new().await;
    let (us, admin) = (exchange.company(0).await, exchange.hub.admin());
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    let clear = Method::from_bytes(b"CLEAR").expect("a method");
    for (caller, method, path, allowed) in [
        (
            &admin,
            Method::PUT,
            "/admin/v1/workspaces",
            "GET, HEAD, POST",
        ),
        (&space, Method::PUT, "/companies", "GET, HEAD, POST"),
        (
            &us.api,
            Method::GET,
            "/api/v3/sync/external/documents-query/outbox",
            "POST",
        ),
        (&us.api, clear, POINTS, "GET, HEAD, POST, LOOKUP"),
        (&us.api, Method::PUT, RUNS, "GET, HEAD, POST"),
    ] {
        let answer = caller.send(method, path, None).await;
        says(&answer, 405, &[allowed]);
        let header = answer.header("allow").expect("an Allow");
        let mut header: Vec<&str> = header.split(',').map(str::trim).collect();
        let mut allowed: Vec<&str> = allowed.split(", ").collect();
        header.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(header, allowed, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_status_of_a_document_is_answered_with_the_right_ones() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let draft = us.draft().await;
    let refused = us.act(RECALL, &draft, json!({ "reason": "нет" })).await;
    assert_eq!(
        (refused.status, reason(&refused).as_str()),
        (
            400,
            "Действие недоступно для документа в статусе DRAFT, доступно в SENT_BY_SENDER."
        )
    );
}

#[tokio::test]
async fn wrong_parameters_are_named_with_their_bounds() {
    let era = ChannelWorkspace::new().await;
    let filter = |text: &str| format!("{POINTS}?filter={text}");
    for (caller, path, words) in [
        (
            &era.space,
            "/companies?limit=0".to_owned(),
            "The value of 'limit' must be at least 1, not 0.",
        ),
        (
            &era.space,
            "/companies?offset=-3".to_owned(),
            "The value of 'offset' must be at least 0, not -3.",
        ),
        (
            &era.space,
            "/companies?limit=ten".to_owned(),
            "The value 'ten' of 'limit' is not a whole number.",
        ),
        (
            &era.space,
            "/communications?direction=in".to_owned(),
            "The value 'in' of 'direction' is not inbound, outbound or internal.",
        ),
        (
            &era.space,
            "/communications?include=all".to_owned(),
            "The value 'all' of 'include' is not facts.",
        ),
        (
            &era.rest,
            format!("{POINTS}?limit=1001"),
            "The value of 'limit' must be 0 to 1000, not 1001.",
        ),
        (
            &era.rest,
            format!("{POINTS}?mask=kode"),
            "mask: there is no field `kode`: id, code, type, ",
        ),
        (
            &era.rest,
            filter("{\"kode\":1}"),
            "filter: there is no field `kode`: id, code, type, ",
        ),
        (
            &era.rest,
            filter("{\"code\":1}"),
            "filter: the code must be a text, not 1.",
        ),
        (
            &era.rest,
            format!("{RUNS}?filter={{\"state\":\"x\"}}"),
            "filter: there is no field `state`: id, code, status, integrationPointId.",
        ),
        (
            &era.rest,
            format!("{RUNS}?filter={{\"status\":\"done\"}}"),
            "filter: the status must be queued, deferred, finished or failed.",
        ),
    ] {
        says(&caller.get(&path).await, 400, &[words]);
    }
}

#[tokio::test]
async fn a_body_of_channels_is_refused_in_our_words() {
    let era = ChannelWorkspace::new().await;
    let script = json!({ "code": "a", "name": "a", "scriptdata": { "language": "javascript", "source": 7 } });
    for (path, body, words) in [
        (
            POINTS,
            json!({ "code": "a", "typo": 1 }),
            "There is no field `typo`: code, ",
        ),
        (
            POINTS,
            json!({ "code": "a", "opts": { "syncro": true } }),
            "There is no field `opts.syncro`: ",
        ),
        (
            POINTS,
            json!({ "code": 5, "type": "public" }),
            "`code` must be a text without U+0000, not 5.",
        ),
        (SCRIPTS, script, "scriptdata.source"),
        (
            SCRIPTS,
            json!({ "code": "a", "name": "a", "scriptdata": { "language": "lua", "source": "" } }),
            "The scriptdata.language must be javascript, not \\\"lua\\\".",
        ),
        (
            POINTS,
            json!({ "code": "a", "type": "t", "opts": { "recv_timeout": 100 } }),
            "The opts.recv_timeout must be 0 to 60 seconds, not 100.",
        ),
        (
            POINTS,
            json!({ "code": "a", "type": "t", "opts": { "ip_mask": ["::1", "10.0.0.0/33"] } }),
            "The opts.ip_mask[1] must be an address or a network, such as 10.0.0.0/8, not \\\"10.0.0.0/33\\\".",
        ),
        (
            POINTS,
            json!({ "code": "a", "type": "t", "token_local": 5 }),
            "The token_local must be a text without control characters.",
        ),
        (
            TYPES,
            json!({ "type": "t", "quota": -1 }),
            "The quota must be at least 0, not -1.",
        ),
        (
            RUNS,
            json!({ "code": "a", "param1": 1 }),
            "There is no field `param1`: code, startparam1 to startparam",
        ),
    ] {
        let refused = era.rest.post(path, body).await;
        says(&refused, 400, &[words]);
        assert_eq!(refused["error_code"], 1400);
    }
    let xml = era.rest.clone().header("content-type", "application/xml");
    let refused = xml.post(POINTS, json!({})).await;
    says(
        &refused,
        415,
        &["must be application/json", "not application/xml"],
    );
    let ends = json!({ "companyId": "x", "firmId": "y" });
    let refused = era.space.post("/links", ends).await;
    says(
        &refused,
        400,
        &[
            "The member 'firmId' is not the id of an entity: ",
            "companyId, contactId",
        ],
    );
}

#[tokio::test]
async fn a_401_and_a_403_say_what_is_wanted() {
    let era = ChannelWorkspace::new().await;
    let member = era.hub.token("acme", "member").await;
    let anybody = era.hub.anonymous();
    let admin = "/admin/v1/workspaces";
    for (answer, status, words) in [
        (
            anybody.get(admin).await,
            401,
            "The admin token is required in the header `Authorization: Bearer`",
        ),
        (
            member.at("").get(admin).await,
            403,
            "The admin token is required here",
        ),
        (
            anybody.get(POINTS).await,
            401,
            "A workspace's token is required in the header `Authorization: Bearer`",
        ),
        (
            era.hub.admin().get(POINTS).await,
            403,
            "A workspace's token is required",
        ),
        (
            member.post("/private-integrations", json!({})).await,
            403,
            "An administrator of the workspace is required",
        ),
        (
            anybody.get("/api/v1/acme/companies").await,
            401,
            "\"Unauthorized\"",
        ),
    ] {
        says(&answer, status, &[words]);
    }
    let wrong = anybody.bearer("wrong").get("/api/v1/acme/companies").await;
    let challenge = wrong.header("www-authenticate").expect("a challenge");
    assert!(
        challenge.contains("error_description=\"The token or key is unknown, expired or revoked\"")
    );
}

#[tokio::test]
async fn a_limit_is_named_when_it_is_reached() {
    let exchange = DocumentExchange::with(|config| {
        config.rate_limit = Rate {
            most: 1,
            period: Duration::from_mins(1),
        };
    })
    .await;
    let us = exchange.company(0).await;
    let outbox = "/api/v3/sync/external/documents-query/outbox";
    let ask = async |caller: &Caller| caller.post(outbox, json!({})).await;
    ask(&us.api).await;
    let over = ask(&us.api).await;
    assert_eq!(
        (over.status, reason(&over).as_str()),
        (
            429,
            "Слишком много запросов: токену разрешено 1 за 60 с, повторите через 60 с."
        )
    );
    let english = us.api.clone().header("accept-language", "en");
    says(
        &ask(&english).await,
        429,
        &["a token may send 1 in 60 seconds, try again in 60 seconds."],
    );
    let long = json!({ "title": "x".repeat(2 << 20) });
    let admin = exchange.hub.admin();
    let limit = "The request body is larger than 1048576 bytes";
    says(
        &admin.post("/admin/v1/workspaces", long.clone()).await,
        413,
        &[limit],
    );
    let space = us.api.at(&format!("/api/v1/{}", us.name));
    says(
        &space.post("/companies", long).await,
        409,
        &["bodyTooLarge", limit],
    );
    let coded = space.header("content-encoding", "zstd");
    let words = "The Content-Encoding zstd is not known here: gzip, deflate and br are";
    says(&coded.post("/companies", json!({})).await, 415, &[words]);
}

#[tokio::test]
async fn a_workspace_that_has_written_too_much_learns_how_much_it_may() {
    let hub = Hub::with(|config| config.write_bytes_per_minute = 20_000).await;
    let space = hub.workspace("acme").await;
    let mut answer = space.get("/companies").await.ok();
    for _ in 0..20 {
        answer = space
            .post("/companies", json!({ "name": "x".repeat(2000) }))
            .await;
    }
    says(
        &answer,
        429,
        &["20000 written bytes of a workspace in a minute are allowed, try again in 60 seconds"],
    );
    assert_eq!(answer["status"], "tooManyRequests");
}
