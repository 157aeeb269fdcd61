//! The sessions of the console: how one replaces another, their bounds, and their names in the audit log
//! (`docs/access.md`, `docs/audit.md`).

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    console::{Person, browser, link, submit},
    console_live::field,
};
use crate::harness::{
    event_stream::EventStream,
    hub::{Caller, Hub},
};

const SIGN_IN: &str = "/console/sign-in";

/// The records of an action, the newest first.
async fn records(reader: &Caller, query: &str) -> Vec<Value> {
    let log = reader.get(&format!("/admin/v1/audit?{query}")).await;
    let log = log.ok().json;
    log["items"].as_array().expect("records").clone()
}

#[tokio::test]
async fn a_sign_in_replaces_the_session_of_the_browser_by_a_form_that_tells_of_it() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let viewer = json!({ "workspace": "acme", "role": "viewer", "name": "Ada" });
    let person = Person::sign_in(&hub, &link(&hub, viewer).await).await;
    let page = person.browser.get(SIGN_IN).await.ok();
    assert!(page.text.contains("data-asks"), "{}", page.text);
    assert!(page.text.contains("Ada"), "{}", page.text);

    let foreign = link(&hub, json!({ "workspace": "acme" })).await;
    let fields = [("credential", foreign.as_str())];
    let refused = submit(&person.browser, SIGN_IN, &fields).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert!(refused.header("set-cookie").is_none());
    person.browser.get("/console/acme/deliveries").await.ok();

    let token = person.form_token();
    let fields = [("credential", foreign.as_str()), ("_form", token.as_str())];
    let replaced = submit(&person.browser, SIGN_IN, &fields).await;
    assert_eq!(replaced.status, 303, "the link is not used up");
    assert!(replaced.header("set-cookie").is_some());
    let old = person.browser.get("/console/acme/deliveries").await;
    assert_eq!(old.status, 303, "the earlier session has ended");
    assert!(
        browser(&hub)
            .get(SIGN_IN)
            .await
            .ok()
            .text
            .contains("sign-in")
    );
}

#[tokio::test]
async fn a_session_leads_to_its_link_and_never_looks_like_the_operator() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let named = json!({ "role": "admin", "name": "Operator" });
    let made = space.post("/login-links", named).await;
    let person = Person::sign_in(&hub, &made.str("url")).await;
    let operator = Person::sign_in(&hub, &link(&hub, json!({})).await).await;
    for one in [&person, &operator] {
        let token = one.form_token();
        let fields = [
            ("silence", "5"),
            ("recovery", "5"),
            ("_form", token.as_str()),
        ];
        let agent = one.browser.clone().header("user-agent", "browser/1");
        let path = "/console/acme/settings/alerts";
        let saved = submit(&agent, path, &fields).await;
        assert_eq!(saved.status, 303, "{}", saved.text);
    }

    let admin = hub.admin();
    let acts = records(&admin, "result=done&limit=100").await;
    let by = |kind: &str| {
        let of_browser = |one: &&Value| one["userAgent"] == "browser/1";
        let mut found = acts.iter().filter(of_browser);
        let found = found.find(|one| one["actor"]["kind"] == kind);
        found.unwrap_or_else(|| panic!("{kind}: {acts:#?}"))
    };
    let (of_person, of_operator) = (by("session"), by("operator"));
    assert_eq!(of_person["actor"]["name"], "Operator (admin)");
    assert!(of_operator["actor"]["id"].is_string(), "its session");
    for one in [of_person, of_operator] {
        assert!(one["requestId"].is_string(), "{one}");
    }

    let id = of_person["actor"]["id"].as_str().expect("a session");
    let begun = records(&admin, &format!("action=console.sign_in&actorId={id}")).await;
    assert_eq!(begun[0]["object"]["kind"], "loginLink", "{begun:?}");
    let link = begun[0]["object"]["id"].as_str().expect("an id");
    let of_link = records(&admin, &format!("objectId={link}")).await;
    let made = of_link.last().expect("the first record of the link");
    assert_eq!(made["action"], "sessions.create_login_link", "{of_link:?}");
    assert_eq!(made["actor"]["kind"], "token", "{of_link:?}");
}

#[tokio::test]
async fn a_refused_link_is_recorded_with_its_holder() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let user = space.post("/users", json!({ "login": "ada" })).await.ok();
    let of_ada = json!({ "workspace": "acme", "name": "Ada", "userId": user.str("id") });
    let spent = link(&hub, of_ada.clone()).await;
    Person::sign_in(&hub, &spent).await;
    let expired = link(&hub, of_ada).await;
    let of_operator = link(&hub, json!({})).await;
    hub.advance(Duration::from_mins(11));
    let anybody = browser(&hub);
    let actor = json!({ "kind": "session", "name": "Ada", "userId": user.str("id") });
    for (link, actor) in [
        (&spent, actor.clone()),
        (&expired, actor),
        (&of_operator, json!({ "kind": "operator" })),
    ] {
        let refused = submit(&anybody, SIGN_IN, &[("credential", link)]).await;
        assert_eq!(refused.status, 401, "{}", refused.text);
        let found = records(&hub.admin(), "action=console.sign_in&limit=1").await;
        assert_eq!(found[0]["result"], "refused", "{found:?}");
        assert_eq!(found[0]["actor"], actor, "{found:?}");
        assert_eq!(found[0]["address"], "127.0.0.1", "{found:?}");
        assert_eq!(found[0]["object"]["kind"], "loginLink", "{found:?}");
        let is_of_workspace = found[0]["workspaceId"].is_string();
        assert_eq!(is_of_workspace, actor["kind"] == "session", "{found:?}");
        let id = found[0]["object"]["id"].as_str().expect("an id");
        let of_link = records(&hub.admin(), &format!("objectId={id}")).await;
        let made = of_link.last().expect("the first record of the link");
        assert_eq!(made["action"], "administration.create_any_login_link");
    }
}

#[tokio::test]
async fn strangers_cannot_fill_the_audit_log() {
    let hub = Hub::with(|config| config.guess_limit.most = 0).await;
    hub.workspace("acme").await;
    let spent = link(&hub, json!({ "workspace": "acme" })).await;
    Person::sign_in(&hub, &spent).await;
    let anybody = browser(&hub);
    let refused = async || {
        records(&hub.admin(), "result=refused&limit=100")
            .await
            .len()
    };
    for n in 0..70 {
        let guess = format!("#guess-{n}");
        let answer = submit(&anybody, SIGN_IN, &[("credential", &guess)]).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    assert_eq!(refused().await, 0, "a secret of no link");
    for _ in 0..70 {
        let answer = submit(&anybody, SIGN_IN, &[("credential", &spent)]).await;
        assert_eq!(answer.status, 401, "{}", answer.text);
    }
    assert_eq!(refused().await, 60, "the bound of a minute");
}

#[tokio::test]
async fn a_view_of_secrets_is_recorded() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let own =
        json!({ "name": "own.connector", "version": "1.0", "baseUrl": "http://127.0.0.1:9000" });
    let made = space.post("/private-integrations", own).await.ok();
    let id = made.str("id");
    for (role, status, result) in [("admin", 200, "done"), ("viewer", 404, "refused")] {
        let body = json!({ "workspace": "acme", "role": role });
        let person = Person::sign_in(&hub, &link(&hub, body).await).await;
        let token = person.form_token();
        let path = format!("/console/acme/integrations/{id}/secrets");
        let shown = submit(&person.browser, &path, &[("_form", &token)]).await;
        assert_eq!(shown.status, status, "{}", shown.text);
        let found = records(&hub.admin(), "action=console.show_secrets&limit=1").await;
        assert_eq!(found[0]["result"], result);
        assert_eq!(
            found[0]["object"],
            json!({ "kind": "integration", "id": id })
        );
        assert!(found[0]["workspaceId"].is_string(), "{found:?}");
    }
}

#[tokio::test]
async fn a_holder_pushes_out_own_sessions_only() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let admin = Person::sign_in(&hub, &link(&hub, json!({ "workspace": "acme" })).await).await;
    let member = hub.token("acme", "member").await.bearer_token();
    let first = Person::sign_in(&hub, &member).await;
    hub.advance(Duration::from_secs(2));
    for _ in 1..50 {
        Person::sign_in(&hub, &member).await;
    }
    let to = async |person: &Person| {
        let answer = person.browser.get("/console/acme").await;
        answer.header("location").unwrap_or_default().to_owned()
    };
    assert!(!to(&first).await.starts_with(SIGN_IN), "50 are allowed");
    Person::sign_in(&hub, &member).await;
    assert!(to(&first).await.starts_with(SIGN_IN));
    assert!(!to(&admin).await.starts_with(SIGN_IN));
}

#[tokio::test]
async fn a_session_has_so_many_live_streams() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let one = Person::sign_in(&hub, &link(&hub, json!({ "workspace": "acme" })).await).await;
    let other = Person::sign_in(&hub, &link(&hub, json!({ "workspace": "acme" })).await).await;
    let path = "/console/acme/live";
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut stream = EventStream::open(&one.browser, path).await;
        field(&mut stream, "id:").await;
        open.push(stream);
    }
    assert_eq!(one.browser.stream(path).await.status(), 503);
    let mut stream = EventStream::open(&other.browser, path).await;
    field(&mut stream, "id:").await;
}
