//! Our own search over all folders, and the view of one document (`docs/contracts/idocs.md §1.10`).

use serde_json::{Value, json};

use crate::harness::{
    document_exchange::{
        ACTION, CREATE, Company, DocumentExchange, INTERNAL, INTERNAL_ROUTE, PDF, REJECT, ROUTE,
        Side,
    },
    hub::Caller,
};

const SEARCH: &str = "/documents/v1/documents";

/// The numbers of the documents that a search finds on its first page.
async fn numbers(api: &Caller, query: &str) -> Vec<String> {
    let found = api.get(&format!("{SEARCH}?{query}")).await.ok();
    let items = found["items"].as_array().expect("a list").iter();
    items
        .map(|one| one["documentNumber"].as_str().expect("a number").to_owned())
        .collect()
}

/// A draft with this number, a day later for each one.
async fn draft(company: &Company, n: i64, name: &str) -> String {
    let blob = company.content("договор.pdf", PDF).await;
    let mut body = company.metadata(&[&blob]);
    body["documentMetadata"]["documentNumber"] = json!(format!("N-{n}"));
    body["documentMetadata"]["documentName"] = json!(name);
    body["documentMetadata"]["documentDate"] = json!(1_767_225_600 + n * 86_400);
    company.api.post(CREATE, body).await.ok().str("id")
}

async fn sent(us: &Company, them: &Company, n: i64, name: &str) -> String {
    let document = draft(us, n, name).await;
    us.quick_route(&document, &[&them.bin]).await.ok();
    us.quick_sign(Side::Outbox, &document).await.ok();
    document
}

#[tokio::test]
async fn folders_and_criteria() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    sent(&us, &them, 1, "Договор поставки").await;
    let finished = sent(&us, &them, 2, "АКТ сверки").await;
    them.quick_sign(Side::Inbox, &finished).await.ok();
    let refused = sent(&us, &them, 3, "Счёт").await;
    let body = json!({ "documentId": refused, "employeeId": them.employee, "reason": "late" });
    them.api.post(REJECT, body).await.ok();
    draft(&us, 4, "Черновик").await;
    let quick = draft(&us, 5, "Ждёт подписи").await;
    us.quick_route(&quick, &[&them.bin]).await.ok();
    sent(&them, &us, 6, "Встречный").await;

    for (query, ours, theirs) in [
        ("", "6 5 4 3 2 1", "6 3 2 1"),
        ("folder=waiting", "6 5", "1"),
        ("folder=pending", "6", "1"),
        ("folder=received", "6", "3 2 1"),
        ("folder=sent", "3 2 1", "6"),
        ("folder=drafts", "5 4", ""),
        ("folder=finished", "2", "2"),
        ("folder=refused", "3", "3"),
        ("status=SENT_BY_SENDER", "1", "6"),
        ("folder=finished&status=DRAFT", "", ""),
        ("text=n-2", "2", "2"),
        ("text=акт", "2", "2"),
        ("text=%25", "", ""),
        (&format!("text={}", them.bin), "6 5 3 2 1", "6 3 2 1"),
        (&format!("counterpartyBin={}", them.bin), "6 5 3 2 1", ""),
        (
            "documentDateFrom=1767398400&documentDateTo=1767484800",
            "3 2",
            "3 2",
        ),
    ] {
        for (company, expected) in [(&us, ours), (&them, theirs)] {
            let found = numbers(&company.api, query)
                .await
                .join(" ")
                .replace("N-", "");
            assert_eq!(found, expected, "{query} of {}", company.name);
        }
    }
    for query in [
        "folder=trash",
        "status=LOST",
        "before=1",
        "limit=0",
        "counterpartyBin=17",
    ] {
        let answer = us.api.get(&format!("{SEARCH}?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
    }
}

/// Each page ends where the next one begins, also if documents have the same date and only some of them fit.
#[tokio::test]
async fn pages_follow_each_other() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    for n in 0..7 {
        draft(
            &us,
            n / 3,
            if n % 2 == 0 {
                "Чётный"
            } else {
                "Нечётный"
            },
        )
        .await;
    }
    for (query, total) in [
        ("", 7),
        ("text=нечётный", 3),
        ("folder=drafts&text=чётный", 7),
    ] {
        let (mut ids, mut before) = (Vec::new(), String::new());
        for _ in 0..9 {
            let path = format!("{SEARCH}?{query}&limit=2{before}");
            let page = us.api.get(&path).await.ok();
            let items = page["items"].as_array().expect("a list");
            assert!(items.len() <= 2);
            ids.extend(items.iter().map(|one| one["id"].to_string()));
            match &page["next"] {
                Value::Null => break,
                next => before = format!("&before={}", next.as_str().expect("a cursor")),
            }
        }
        assert_eq!(ids.len(), total, "{query}");
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), total, "{query}: each once");
    }
}

#[tokio::test]
async fn a_document_waits_for_the_employee_whose_turn_it_is() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let space = exchange.hub.token(&us.name, "admin").await;
    let rights = json!(["DOCUMENT_VIEW", "DOCUMENT_APPROVE", "DOCUMENT_REJECT"]);
    let clerk = json!({ "login": "clerk", "lastName": "Ким", "permissions": rights });
    let clerk = space.post("/users", clerk).await.ok().str("id");
    let by_clerk = exchange.hub.user_token(&us.name, &clerk).await.at("");
    let document = draft(&us, 1, "Договор").await;
    let mut body = us.to(&document, &[&them.bin]);
    body["route"]["external"]["isSignRequiredBySender"] = json!(true);
    body["route"]["internal"] = json!({ "routeActionOrderingType": "SEQUENTIAL", "nodes": [
        { "order": 0, "employeeId": clerk, "requiredAction": "APPROVE" },
        { "order": 1, "employeeId": us.employee, "requiredAction": "SIGN" },
    ]});
    us.api.post(ROUTE, body).await.ok();

    let waiting = |employee: &str| format!("folder=waiting&employeeId={employee}");
    assert_eq!(numbers(&us.api, &waiting(&us.employee)).await, [""; 0]);
    assert_eq!(numbers(&us.api, &waiting(&clerk)).await, ["N-1"]);
    assert_eq!(numbers(&us.api, "folder=pending").await, ["N-1"]);
    assert_eq!(numbers(&by_clerk, "folder=waiting").await, ["N-1"]);
    let one = format!("{SEARCH}/{document}");
    let seen = by_clerk.get(&one).await.ok();
    assert_eq!(seen["steps"], json!(["APPROVE", "REFUSE"]));
    assert_eq!(seen["employeeId"], json!(clerk));
    let seen = us
        .api
        .get(&format!("{one}?employeeId={}", us.employee))
        .await
        .ok();
    assert_eq!(seen["steps"], json!([]));

    let act = json!({ "documentId": document, "employeeId": clerk, "action": "APPROVE" });
    by_clerk.post(ACTION, act).await.ok();
    assert_eq!(numbers(&by_clerk, "folder=waiting").await, [""; 0]);
    assert_eq!(numbers(&us.api, &waiting(&us.employee)).await, ["N-1"]);
    let seen = us.api.get(&one).await.ok();
    assert_eq!(seen["steps"], json!(["SIGN", "REFUSE"]));
    us.quick_sign(Side::Outbox, &document).await.ok();
    let seen = us.api.get(&one).await.ok();
    assert_eq!(seen["steps"], json!(["RECALL"]));
    // The other company sees what it may do, and nothing of our employees.
    let seen = them.api.get(&one).await.ok();
    assert_eq!(seen["steps"], json!(["SIGN", "REJECT", "INBOX_ROUTE"]));
    assert!(!seen.text.contains(&clerk));
    them.quick_sign(Side::Inbox, &document).await.ok();
    let seen = us.api.get(&one).await.ok();
    assert_eq!(seen["documentStatus"], "FINISHED");
    assert_eq!(seen["steps"], json!([]));
    // A sender who signs at the end may decline.
    let last = draft(&us, 2, "Акт").await;
    let mut body = us.to(&last, &[&them.bin]);
    body["route"]["external"]["isSignRequiredBySender"] = json!(true);
    us.api.post(ROUTE, body).await.ok();
    them.quick_sign(Side::Inbox, &last).await.ok();
    assert_eq!(numbers(&us.api, &waiting(&us.employee)).await, ["N-2"]);
    let seen = us.api.get(&format!("{SEARCH}/{last}")).await.ok();
    assert_eq!(seen["documentStatus"], "WAITING_FOR_SENDER");
    assert_eq!(seen["isQuickRoute"], json!(false));
    assert_eq!(seen["steps"], json!(["SIGN", "DECLINE"]));
    // Another employee's token asks for nobody else.
    let answer = by_clerk
        .get(&format!("{one}?employeeId={}", us.employee))
        .await;
    assert_eq!(answer.status, 400, "{}", answer.text);
}

#[tokio::test]
async fn an_internal_document_waits_inside() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let blob = us.content("приказ.txt", "Приказ".as_bytes()).await;
    let document = us.api.post(INTERNAL, us.metadata(&[&blob])).await.ok();
    let document = document.str("id");
    assert_eq!(numbers(&us.api, "folder=waiting").await, [""; 0]);
    let node = json!({ "employeeId": us.employee, "requiredAction": "APPROVE" });
    let body = json!({ "documentId": document, "employeeId": us.employee, "nodes": [node] });
    us.api.post(INTERNAL_ROUTE, body).await.ok();
    for folder in ["waiting", "pending"] {
        let query = format!("folder={folder}");
        assert_eq!(numbers(&us.api, &query).await, ["17/1"]);
    }
    assert_eq!(numbers(&us.api, "folder=sent").await, ["17/1"]);
    let seen = us.api.get(&format!("{SEARCH}/{document}")).await.ok();
    assert_eq!(seen["isInternal"], json!(true));
    assert_eq!(seen["files"][0]["mimeType"], "text/plain");
}

#[tokio::test]
async fn files_are_for_those_who_sign_or_download() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = draft(&us, 1, "Договор").await;
    let one = format!("{SEARCH}/{document}");
    let seen = us.api.get(&one).await.ok();
    assert_eq!(seen["sender"]["bin"], json!(us.bin));
    assert_eq!(seen["sender"]["name"], "ТОО «Компания 0»");
    assert_eq!(seen["steps"], json!(["ROUTE", "DELETE"]));
    let file = &seen["files"][0];
    assert_eq!(
        (&file["fileName"], &file["size"]),
        (&json!("договор.pdf"), &json!(PDF.len()))
    );
    let path = format!("{one}/files/{}", file["id"].as_str().expect("an id"));
    let answer = us.api.get(&path).await.ok();
    assert_eq!(answer.bytes, PDF);
    assert_eq!(answer.header("content-type"), Some("application/pdf"));

    // Another company sees neither the document nor its files, and a file belongs to its document.
    for path in [&one, &path] {
        assert_eq!(them.api.get(path).await.status, 404, "{path}");
    }
    let other = draft(&us, 2, "Другой").await;
    let wrong = path.replace(&document, &other);
    assert_eq!(us.api.get(&wrong).await.status, 404);

    let space = exchange.hub.token(&us.name, "admin").await;
    for (right, list, file) in [
        ("DOCUMENT_VIEW", 200, 400),
        ("DOCUMENT_DOWNLOAD", 400, 200),
        ("DOCUMENT_SIGN", 400, 200),
        ("DOCUMENT_CREATE", 400, 400),
    ] {
        let user = json!({ "login": right, "permissions": [right] });
        let user = space.post("/users", user).await.ok().str("id");
        let api = exchange.hub.user_token(&us.name, &user).await.at("");
        assert_eq!(api.get(SEARCH).await.status, list, "{right}");
        assert_eq!(api.get(&one).await.status, list, "{right}");
        assert_eq!(api.get(&path).await.status, file, "{right}");
    }
}
