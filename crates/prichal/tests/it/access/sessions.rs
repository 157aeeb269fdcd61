//! Sessions at the console, and the links that begin them (`docs/access.md`).

use std::time::Duration;

use prichal::{
    app::App,
    platform::session::{self, Browser},
};
use serde_json::{Value, json};

use crate::harness::{
    channel_workspace::POINTS,
    hub::{ADMIN_TOKEN, Caller, Hub, Installation},
};

const LINKS: &str = "/admin/v1/login-links";

/// The secret of a link in an answer.
fn secret_of(answer: &Value) -> String {
    let url = answer["url"].as_str().expect("a url");
    let (page, secret) = url.split_once('#').expect("a fragment");
    assert!(page.ends_with("/console/sign-in"), "{page}");
    secret.to_owned()
}

pub(super) async fn link(maker: &Caller, path: &str, body: Value) -> String {
    let made = maker.post(path, body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    secret_of(&made.json)
}

/// Signs in by a link; the secret of the session.
pub(super) async fn sign_in(app: &App, link: &str) -> Option<String> {
    let begun = session::begin_by_link(app, link, &Browser::default()).await;
    begun.expect("the store answers").map(|begun| begun.secret)
}

async fn is_live(app: &App, secret: &str) -> bool {
    let found = session::find(app, secret).await;
    found.expect("the store answers").is_some()
}

#[tokio::test]
async fn a_link_is_used_once_within_ten_minutes() {
    let hub = Hub::start().await;
    let admin = hub.admin();
    let first = link(&admin, LINKS, json!({})).await;
    let session = sign_in(&hub.app, &first).await.expect("signed in");
    assert!(is_live(&hub.app, &session).await);
    assert_eq!(sign_in(&hub.app, &first).await, None, "used");
    assert_eq!(sign_in(&hub.app, "a-guess").await, None, "guessed");
    assert_eq!(
        sign_in(&hub.app, &session).await,
        None,
        "a session is no link"
    );
    assert!(!is_live(&hub.app, &first).await, "a link is no session");

    let late = link(&admin, LINKS, json!({})).await;
    hub.advance(Duration::from_mins(10));
    assert_eq!(sign_in(&hub.app, &late).await, None, "expired");
    let timely = link(&admin, LINKS, json!({})).await;
    hub.advance(Duration::from_secs(599));
    assert!(sign_in(&hub.app, &timely).await.is_some());
}

#[tokio::test]
async fn two_tries_at_one_link_begin_one_session() {
    let hub = Hub::start().await;
    for _ in 0..10 {
        let once = link(&hub.admin(), LINKS, json!({})).await;
        let tries = [0; 8].map(|_| sign_in(&hub.app, &once));
        let begun = futures_util::future::join_all(tries).await;
        assert_eq!(begun.iter().flatten().count(), 1);
    }
}

#[tokio::test]
async fn an_administrator_makes_links_for_the_workspace_alone() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let foreign = hub.workspace("other").await;
    let user = space.post("/users", json!({ "login": "clerk" })).await.ok();
    let of_user = json!({ "userId": user.str("id") });
    for role in ["admin", "member", "viewer"] {
        link(&space, "/login-links", json!({ "role": role })).await;
    }
    link(&space, "/login-links", of_user.clone()).await;
    for (who, path, body, status) in [
        (&foreign, "/api/v1/acme/login-links", json!({}), 403),
        (&foreign, "/api/v1/other/login-links", of_user.clone(), 400),
        (&space, LINKS, json!({}), 403),
        (
            &hub.token("acme", "member").await,
            "/api/v1/acme/login-links",
            json!({}),
            403,
        ),
        (
            &hub.token("acme", "viewer").await,
            "/api/v1/acme/login-links",
            json!({}),
            403,
        ),
        (&hub.anonymous(), "/api/v1/acme/login-links", json!({}), 401),
        (&hub.admin(), LINKS, json!({ "role": "viewer" }), 400),
        (&hub.admin(), LINKS, json!({ "workspace": "nowhere" }), 404),
        (
            &hub.admin(),
            LINKS,
            json!({ "workspace": "acme", "role": "king" }),
            400,
        ),
    ] {
        let answer = who.at("").post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_and_after_seven_days() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    for body in [json!({}), json!({ "workspace": "acme" })] {
        let idle = link(&hub.admin(), LINKS, body.clone()).await;
        let idle = sign_in(&hub.app, &idle).await.expect("signed in");
        hub.advance(Duration::from_hours(12) - Duration::from_secs(1));
        assert!(is_live(&hub.app, &idle).await, "{body}");
        hub.advance(Duration::from_hours(12));
        assert!(!is_live(&hub.app, &idle).await, "{body}");

        let used = link(&hub.admin(), LINKS, body.clone()).await;
        let used = sign_in(&hub.app, &used).await.expect("signed in");
        for hours in (0..7 * 24 - 1).step_by(11) {
            assert!(is_live(&hub.app, &used).await, "{body} after {hours} hours");
            hub.advance(Duration::from_hours(11));
        }
        assert!(!is_live(&hub.app, &used).await, "{body}");
    }
}

/// The sessions that a list shows.
async fn listed(who: &Caller, path: &str) -> Vec<Value> {
    let list = who.get(path).await.ok();
    let items = list["items"].as_array().expect("items").clone();
    assert_eq!(list["count"], items.len());
    items
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let foreign = hub.workspace("other").await;
    let of_space = link(
        &space,
        "/login-links",
        json!({ "role": "viewer", "name": "Ada" }),
    )
    .await;
    let of_space = sign_in(&hub.app, &of_space).await.expect("signed in");
    let operator = link(&hub.admin(), LINKS, json!({})).await;
    let operator = sign_in(&hub.app, &operator).await.expect("signed in");

    let own = listed(&space, "/sessions").await;
    assert_eq!(own.len(), 1);
    assert_eq!(
        (&own[0]["name"], &own[0]["role"]),
        (&json!("Ada"), &json!("viewer"))
    );
    assert_eq!(listed(&foreign, "/sessions").await.len(), 0);
    let all = listed(&hub.admin(), "/admin/v1/sessions").await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["workspaceId"], Value::Null, "the newest first");

    let path = |base: &str, of: &Value| format!("{base}/{}", of["id"].as_str().expect("an id"));
    assert_eq!(
        foreign.delete(&path("/sessions", &own[0])).await.status,
        409
    );
    assert_eq!(space.delete(&path("/sessions", &all[0])).await.status, 409);
    assert_eq!(space.delete(&path("/sessions", &own[0])).await.status, 204);
    assert!(!is_live(&hub.app, &of_space).await);
    assert!(is_live(&hub.app, &operator).await);
    let admin = hub.admin();
    let ended = admin.delete(&path("/admin/v1/sessions", &all[0])).await;
    assert_eq!(ended.status, 204, "{}", ended.text);
    assert!(!is_live(&hub.app, &operator).await);
    assert_eq!(listed(&admin, "/admin/v1/sessions").await.len(), 0);
}

#[tokio::test]
async fn a_session_ends_with_what_it_stands_for() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let admin = hub.admin();
    let user = space.post("/users", json!({ "login": "clerk" })).await.ok();
    let user = user.str("id");
    let of_user = json!({ "userId": user });
    let signed_in = async |body: &Value| {
        let secret = link(&space, "/login-links", body.clone()).await;
        sign_in(&hub.app, &secret).await.expect("signed in")
    };
    let pasted = async |token: &str| {
        let begun = session::begin_by_token(&hub.app, token, &Browser::default()).await;
        begun.expect("the store answers").map(|begun| begun.secret)
    };

    // The user.
    let by_link = signed_in(&of_user).await;
    let by_token = pasted(&hub.user_token("acme", &user).await.bearer_token()).await;
    let unused = link(&space, "/login-links", of_user.clone()).await;
    space.delete(&format!("/users/{user}")).await.ok();
    assert!(!is_live(&hub.app, &by_link).await);
    assert!(!is_live(&hub.app, &by_token.expect("signed in")).await);
    assert_eq!(sign_in(&hub.app, &unused).await, None);
    let restore = format!("/users/{user}/restore");
    space.post(&restore, json!({})).await.ok();
    assert!(!is_live(&hub.app, &by_link).await);

    // The token that was shown, and the links that it has made.
    let token = hub.token("acme", "admin").await;
    let by_token = pasted(&token.bearer_token()).await.expect("signed in");
    let other = signed_in(&json!({})).await;
    let unused = link(&token, "/login-links", json!({})).await;
    assert!(is_live(&hub.app, &by_token).await);
    let tokens = "/admin/v1/workspaces/acme/tokens";
    let made = admin.get(tokens).await.ok();
    let last = made["items"]
        .as_array()
        .expect("tokens")
        .last()
        .expect("one");
    let path = format!("{tokens}/{}", last["id"].as_str().expect("an id"));
    assert_eq!(admin.delete(&path).await.status, 204);
    assert!(!is_live(&hub.app, &by_token).await);
    assert!(is_live(&hub.app, &other).await);
    assert_eq!(sign_in(&hub.app, &unused).await, None);
    assert_eq!(pasted(&token.bearer_token()).await, None);

    // The end of the token.
    let now = hub.installation.clock.now();
    let body = json!({ "name": "brief", "role": "member", "expiresAt": (now + Duration::from_mins(5)).to_string() });
    let brief = hub.token_with("acme", body).await;
    let brief = pasted(&brief.bearer_token()).await.expect("signed in");
    hub.advance(Duration::from_mins(4));
    assert!(is_live(&hub.app, &brief).await);
    hub.advance(Duration::from_mins(1));
    assert!(!is_live(&hub.app, &brief).await);

    // The workspace.
    assert_eq!(admin.delete("/admin/v1/workspaces/acme").await.status, 204);
    assert!(!is_live(&hub.app, &other).await);
}

#[tokio::test]
async fn sessions_of_an_admin_token_end_with_it() {
    let installation = Installation::new(|config| config.admin_token = None);
    let hub = installation.start().await;
    let token = || {
        let file = installation.data_dir().join("admin-token");
        let text = std::fs::read_to_string(file).expect("a token");
        text.trim().to_owned()
    };
    let admin = hub.anonymous().bearer(&token());
    let operator = link(&admin, LINKS, json!({})).await;
    let unused = link(&admin, LINKS, json!({})).await;
    let operator = sign_in(&hub.app, &operator).await.expect("signed in");
    let rotated = admin.post("/admin/v1/admin-token/rotate", json!({})).await;
    rotated.ok();
    assert!(!is_live(&hub.app, &operator).await);
    assert_eq!(sign_in(&hub.app, &unused).await, None);

    // A token that was changed while the server was stopped.
    let begun = session::begin_by_token(&hub.app, &token(), &Browser::default()).await;
    let operator = begun.expect("the store answers").expect("signed in").secret;
    assert!(is_live(&hub.app, &operator).await);
    hub.stop().await;
    std::fs::remove_file(installation.data_dir().join("admin-token")).expect("removed");
    let hub = installation.start().await;
    crate::harness::hub::eventually("the session ends", || async {
        hub.advance(Duration::from_secs(1));
        (!is_live(&hub.app, &operator).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sessions_survive_a_kill() {
    let installation = Installation::new(|_| ());
    let hub = installation.start().await;
    hub.workspace("acme").await;
    let body = json!({ "workspace": "acme" });
    let used = link(&hub.admin(), LINKS, body.clone()).await;
    let unused = link(&hub.admin(), LINKS, body).await;
    let secret = sign_in(&hub.app, &used).await.expect("signed in");
    hub.kill();
    let hub = installation.start().await;
    assert!(is_live(&hub.app, &secret).await);
    assert_eq!(sign_in(&hub.app, &used).await, None);
    assert!(sign_in(&hub.app, &unused).await.is_some());
}

#[tokio::test]
async fn the_secret_of_a_session_is_no_token() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let token = space.bearer_token();
    let begun = session::begin_by_token(&hub.app, &token, &Browser::default()).await;
    let begun = begun.expect("the store answers").expect("signed in");
    let id = begun.live.session.id;
    let workspace = begun.live.session.workspace.expect("a workspace");
    let names = [
        begun.secret.clone(),
        format!("session:{id}:{workspace}"),
        id.to_string(),
    ];
    for path in ["/api/v1/acme/settings", POINTS, "/admin/v1/workspaces"] {
        for name in &names {
            let answer = hub.anonymous().bearer(name).get(path).await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text);
        }
        for cookie in ["prichal_session", "__Secure-prichal_session", "session"] {
            let cookie = format!("{cookie}={}", begun.secret);
            let answer = hub.anonymous().header("cookie", &cookie).get(path).await;
            assert_eq!(answer.status, 401, "{path}: {}", answer.text);
        }
    }
    let again = session::begin_by_token(&hub.app, &begun.secret, &Browser::default()).await;
    assert!(again.expect("the store answers").is_none());
    let tokens = hub
        .admin()
        .get("/admin/v1/workspaces/acme/tokens")
        .await
        .ok();
    assert_eq!(tokens["count"], 1, "{}", tokens.text);
}

#[tokio::test]
async fn an_operator_acts_as_an_administrator_of_each_workspace() {
    let hub = Hub::start().await;
    hub.workspace("acme").await;
    let begun = session::begin_by_token(&hub.app, ADMIN_TOKEN, &Browser::default()).await;
    let begun = begun.expect("the store answers").expect("signed in");
    let found = prichal::platform::access::find_workspace(&hub.app, "acme").await;
    let acme = found.expect("the store answers").expect("a workspace").id;
    let entered = [0; 8].map(|_| session::enter(&hub.app, &begun.live, acme));
    let entered = futures_util::future::join_all(entered).await;
    let names: std::collections::BTreeSet<String> = entered
        .into_iter()
        .map(|one| one.expect("entered").caller.identity())
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let tokens = hub
        .admin()
        .get("/admin/v1/workspaces/acme/tokens")
        .await
        .ok();
    assert_eq!(tokens["count"], 1, "{}", tokens.text);
}

#[tokio::test]
#[ignore = "needs PostgreSQL and NATS; ./test has them"]
async fn two_nodes_share_sessions_and_use_a_link_up_once() {
    let installation = Installation::new(|_| ());
    let first = installation.start().await;
    let second = installation.second_node().start().await;
    let space = first.workspace("acme").await;
    for _ in 0..10 {
        let once = link(&space, "/login-links", json!({})).await;
        let both = tokio::join!(sign_in(&first.app, &once), sign_in(&second.app, &once));
        let begun: Vec<String> = both.0.into_iter().chain(both.1).collect();
        assert_eq!(begun.len(), 1);
        assert!(is_live(&first.app, &begun[0]).await);
        assert!(is_live(&second.app, &begun[0]).await);
        let newest = listed(&space, "/sessions").await;
        let path = format!("/sessions/{}", newest[0]["id"].as_str().expect("an id"));
        assert_eq!(space.delete(&path).await.status, 204);
        assert!(!is_live(&first.app, &begun[0]).await);
        first.advance(Duration::from_secs(2));
        assert!(!is_live(&second.app, &begun[0]).await);
    }
}
