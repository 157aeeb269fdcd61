//! The console's pages and actions by role: `console_table.txt` has a line for each route, and here it is tried at the
//! real server, with things that are there and forms that are right.
//!
//! A route without a line fails the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    console::{Person, browser, form, link, submit},
    console_offers::{Offer, offers, walk},
    console_routes::{IN, Route, route_of, routes, table},
};
use crate::harness::{
    channel_workspace::{ChannelWorkspace, CreatedChannel, POINTS, SCRIPTS, TYPES},
    document_exchange::{IINS, PDF},
    document_subscriber::BIN,
    hub::{Answer, Caller, Hub},
    integration::Integration,
    telephony_exchange::{TelephonyExchange, UNKNOWN_ID, item, register},
};

const VISITORS: [&str; 6] = [
    "operator",
    "admin",
    "integrator",
    "employee",
    "viewer",
    "nobody",
];

// ---- The workspace --------------------------------------------------------------------------------

/// A workspace with a thing of each kind.
struct World {
    pbx: TelephonyExchange,
    rest: Caller,
    clerk: String,
    hook: String,
    call: String,
    recording: String,
    delivery: String,
    resend: String,
    offset: String,
    run: String,
    document: String,
    file: String,
    asset: String,
}

impl World {
    async fn new() -> Self {
        let hub = Hub::with(|config| config.rate_limit.most = 0).await;
        let body = json!({ "name": "acme", "bin": BIN, "companyName": "Acme" });
        let made = hub.admin().post("/admin/v1/workspaces", body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let space = hub.token("acme", "admin").await;
        let head = json!({ "login": "head", "firstName": "Ivan", "isAdmin": true, "iin": IINS[0] });
        space.post("/users", head).await.ok();
        let clerk =
            json!({ "login": "clerk", "firstName": "Ada", "permissions": ["DOCUMENT_VIEW"] });
        let clerk = space.post("/users", clerk).await.ok().str("id");

        let integration = Integration::install(&space, "Partner", "http://127.0.0.1:9").await;
        let hook = integration.subscribe().await;
        let api = space.access_key(&integration.access_key().await);
        space
            .post("/companies", json!({ "name": "Horns" }))
            .await
            .ok();
        let delivery = integration.attempts(1).await[0]["id"].clone();
        let resend = json!({ "deliveryIds": [&delivery] });
        let resend = space.post("/resends", resend).await.str("id");
        let log = space.get("/log?entityType=company").await.ok();

        let era = ChannelWorkspace {
            rest: space.at(""),
            space: space.clone(),
            hub,
        };
        let channel = era.sync_channel("failing", "throw new Error('no')").await;
        era.hook(&channel, json!({})).await;
        let run = era.run("failing", "failed").await["id"].clone();
        let ChannelWorkspace { hub, rest, .. } = era;

        let pbx = TelephonyExchange {
            hub,
            space,
            integration,
            api,
        };
        let file = pbx.upload("talk.mp3").await;
        let mut legs = json!([item("1", Some(1), 9, &[&file])]);
        legs[0]["to"]["userId"] = clerk.as_str().into();
        pbx.send("register-call", register("1", legs)).await.ok();
        let calls = pbx.space.get("/communications").await.ok();
        let call = &calls["items"][0];
        let recording = &call["data"]["call"]["items"][0]["recordings"][0]["fileId"];

        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut world = Self {
            clerk,
            hook,
            call: text(&call["id"]),
            recording: text(recording),
            delivery: text(&delivery),
            resend,
            offset: text(&log["items"][0]["offset"]),
            run: text(&run),
            document: String::new(),
            file: String::new(),
            asset: String::new(),
            rest,
            pbx,
        };
        let admin = world.sign_in("admin").await;
        world.document = world.draft(&admin).await;
        let page = format!("/console/acme/documents/{}", world.document);
        let page = admin.browser.get(&page).await.ok();
        let after = |begin: &str| {
            let (_, rest) = page.text.split_once(begin).expect("an address");
            rest.split(['"', '?']).next().expect("an id").to_owned()
        };
        world.file = after("/files/");
        world.asset = after("/console/assets/");
        world
    }

    fn hub(&self) -> &Hub {
        &self.pbx.hub
    }

    /// A person with a new session.
    async fn sign_in(&self, role: &str) -> Person {
        let mut body = match role {
            "operator" => json!({}),
            "integrator" => json!({ "role": role, "integrations": [self.pbx.integration.id] }),
            "employee" => json!({ "userId": self.clerk }),
            role => json!({ "role": role }),
        };
        if role != "operator" {
            body["workspace"] = "acme".into();
        }
        Person::sign_in(self.hub(), &link(self.hub(), body).await).await
    }

    /// Uploads a new document.
    async fn draft(&self, admin: &Person) -> String {
        let path = "/console/acme/documents/new";
        let made = send(&admin.browser, path, &Self::upload("", &admin.form_token())).await;
        let to = made.header("location").unwrap_or_default();
        let id = to.rsplit('/').next().unwrap_or_default();
        assert_eq!(made.status, 303, "{}", made.text);
        id.split('?').next().expect("an id").to_owned()
    }

    /// The body of a form with a file.
    fn upload(part: &str, token: &str) -> Form {
        let part = if part.is_empty() {
            "documentContent"
        } else {
            part
        };
        let mut body = Vec::new();
        for (field, value) in [
            ("_form", token),
            ("name", "Contract"),
            ("number", "7"),
            ("date", "2026-01-01"),
            ("group", "Legal"),
        ] {
            let head = format!("--edge\r\nContent-Disposition: form-data; name=\"{field}\"");
            body.extend(format!("{head}\r\n\r\n{value}\r\n").into_bytes());
        }
        let head = format!("name=\"{part}\"; filename=\"a.pdf\"");
        let head = format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        body.extend(head.into_bytes());
        body.extend(PDF);
        body.extend(b"\r\n--edge--\r\n");
        Form {
            kind: "multipart/form-data; boundary=edge",
            body,
        }
    }

    /// The address of a route in a workspace. Things that an action ends are made anew.
    async fn address(&self, (method, path): &Route, ws: &str, n: usize) -> String {
        let admin = async || self.sign_in("admin").await;
        let code = format!("made-{n}");
        let is_action = method == "POST";
        let id = match path.as_str() {
            path if path.contains("/calls/") => self.call.clone(),
            "/console/{ws}/channels/points/{id}/delete" => self.channel(&code).await.id,
            path if path.contains("/channels/points/") => self.channel(&code).await.id,
            path if path.contains("/channels/types/") => {
                let body = json!({ "type": code });
                self.rest.post(TYPES, body).await.ok().str("id")
            }
            path if path.contains("/channels/scripts/") => {
                let data = json!({ "language": "javascript", "source": "1" });
                let body = json!({ "code": code, "name": code, "scriptdata": data });
                self.rest.post(SCRIPTS, body).await.ok().str("id")
            }
            path if path.contains("/channels/runs/") => self.run.clone(),
            path if path.contains("/deliveries/resends/") => self.resend.clone(),
            path if path.contains("/deliveries/") => self.delivery.clone(),
            path if path.contains("/documents/") && is_action => self.draft(&admin().await).await,
            path if path.contains("/documents/") => self.document.clone(),
            path if path.contains("/integrations/") => self.pbx.integration.id.clone(),
            path if path.contains("/people/") => self.clerk.clone(),
            path if path.contains("/tokens/") => {
                let body = json!({ "name": code, "role": "viewer" });
                let path = "/admin/v1/workspaces/acme/tokens";
                self.hub().admin().post(path, body).await.str("id")
            }
            // An alert, or something in quarantine.
            _ => UNKNOWN_ID.to_owned(),
        };
        let file = match path.as_str() {
            path if path.contains("/assets/") => &self.asset,
            path if path.contains("/recording/") => &self.recording,
            _ => &self.file,
        };
        path.replace("{ws}", ws)
            .replace("{id}", &id)
            .replace("{file}", file)
            .replace("{hook}", &self.hook)
            .replace("{offset}", &self.offset)
            .replace("{link}", UNKNOWN_ID)
            .replace("{step}", "delete")
            .replace("{*rest}", "no/such/page")
    }

    async fn channel(&self, code: &str) -> CreatedChannel {
        let body = json!({ "code": code, "type": "public" });
        let made = self.rest.post(POINTS, body).await.ok();
        CreatedChannel {
            id: made.str("id"),
            token: made.str("token_local"),
        }
    }

    /// The form of an action, as a page would send it.
    async fn form(&self, (_, path): &Route, token: &str, n: usize) -> Form {
        let (code, made) = (format!("code-{n}"), format!("made-{n}"));
        let path = path.strip_prefix("/console").expect("a path");
        let path = path.strip_prefix("/{ws}").unwrap_or(path);
        if ["/documents/new", "/documents/{id}/sign"].contains(&path) {
            let part = if path.ends_with("sign") {
                "signatureContent"
            } else {
                ""
            };
            return Self::upload(part, token);
        }
        let url = match path {
            "/sign-in" => link(self.hub(), json!({ "workspace": "acme" })).await,
            _ => String::new(),
        };
        let fields: &[(&str, &str)] = match path {
            "/sign-in" => &[("credential", &url)],
            "/language" => &[("language", "en")],
            "/server/quarantine/{id}" => &[("act", "release")],
            "/calls" => &[("clientPhone", "79997775533")],
            "/calls/{id}" => &[("leg", "1"), ("userId", &self.clerk)],
            "/channels/new" | "/channels/points/{id}" => &[("code", &code), ("type", "public")],
            "/channels/types/new" => &[("type", &code)],
            "/channels/types/{id}" => &[("type", &made)],
            "/channels/scripts/new" | "/channels/scripts/{id}" => {
                &[("code", &code), ("name", "a"), ("source", "1")]
            }
            "/channels/scripts/{id}/try" => {
                &[("source", "1"), ("method", "POST"), ("url", "/hook")]
            }
            "/deliveries/resend" => &[("status", "deferred")],
            "/documents/{id}/route" => &[("kind", "outbox"), ("senderSigns", "on")],
            "/integrations" => &[
                ("name", &made.replace('-', "")),
                ("version", "1.0"),
                ("baseUrl", "http://127.0.0.1:9"),
            ],
            "/integrations/{id}" => &[("act", "install")],
            "/integrations/{id}/setup" => &[("parameters", "host=pbx.example")],
            "/integrations/{id}/webhooks" => &[("relativeUrl", "/x"), ("entityType", "deal")],
            "/integrations/{id}/webhooks/{hook}" => &[("act", "on")],
            "/settings/people/{id}" => &[("permission", "DOCUMENT_VIEW")],
            "/settings/tokens" => &[("name", &code), ("role", "viewer")],
            "/settings/limits" => &[("eventsDays", "90")],
            "/settings/alerts" => &[("silence", "5"), ("recovery", "5")],
            _ => &[],
        };
        Form {
            kind: "application/x-www-form-urlencoded",
            body: form(&[fields, &[("_form", token)]].concat()),
        }
    }

    /// The newest acts that were done, by which a refused one is known to have done nothing.
    async fn done(&self) -> Vec<Value> {
        let log = "/admin/v1/audit?result=done&limit=1000";
        let log = self.hub().admin().get(log).await.ok();
        let records = log["items"].as_array().expect("records").iter();
        let of_pages = records.filter(|record| {
            let actor = &record["actor"];
            let is_operator = actor["kind"] == "operator" && actor["id"].is_string();
            is_operator || actor["kind"] == "session"
        });
        of_pages.map(|record| record["id"].clone()).collect()
    }
}

struct Form {
    kind: &'static str,
    body: Vec<u8>,
}

async fn send(browser: &Caller, path: &str, form: &Form) -> Answer {
    let browser = browser.clone().without("content-type");
    let browser = browser.header("content-type", form.kind);
    browser
        .send(Method::POST, path, Some(form.body.clone()))
        .await
}

/// The answer as the table has it.
fn class(status: u16, location: Option<&str>) -> String {
    match location {
        Some(to) if status == 303 && to.starts_with("/console/sign-in?next=") => IN.to_owned(),
        _ => status.to_string(),
    }
}

/// A visitor: a browser, and the token of its forms.
struct Visitor {
    name: &'static str,
    browser: Caller,
    token: String,
}

impl Visitor {
    async fn new(world: &World, name: &'static str) -> Self {
        if name == "nobody" {
            let browser = browser(world.hub());
            let token = "no-session".to_owned();
            return Self {
                name,
                browser,
                token,
            };
        }
        let person = world.sign_in(name).await;
        Self {
            name,
            token: person.form_token(),
            browser: person.browser,
        }
    }
}

/// The address of a route, of things that need not be there.
fn plain(route: &Route, ws: &str) -> String {
    let address = route.1.replace("{ws}", ws).replace("{*rest}", "a/b");
    address.replace(['{', '}'], "")
}

/// Tries a route. Returns the class of the answer, and the page.
async fn visit(
    world: &World,
    visitor: &Visitor,
    route: &Route,
    address: &str,
    n: usize,
) -> (String, String) {
    if address.ends_with("/live") {
        let answer = visitor.browser.stream(address).await;
        let to = answer.headers().get("location");
        let to = to.and_then(|to| to.to_str().ok());
        return (class(answer.status().as_u16(), to), String::new());
    }
    let answer = if route.0 == "GET" {
        visitor.browser.get(address).await
    } else {
        let form = world.form(route, &visitor.token, n).await;
        send(&visitor.browser, address, &form).await
    };
    let what = format!("{} {route:?}: {}", visitor.name, answer.text);
    assert!(answer.status < 500, "{what}");
    (class(answer.status, answer.header("location")), answer.text)
}

#[tokio::test]
async fn each_role_reaches_its_pages_and_actions_alone() {
    let world = World::new().await;
    let routes = routes();
    let known = table();
    let missing: Vec<_> = routes
        .iter()
        .filter(|route| !known.contains_key(*route))
        .collect();
    let gone: Vec<_> = known
        .keys()
        .filter(|route| !routes.contains(*route))
        .collect();
    let mut found: BTreeMap<&Route, Vec<String>> = BTreeMap::new();
    let mut offered: BTreeSet<(usize, Offer)> = BTreeSet::new();
    let mut n = 0;
    // Those who may do little come first.
    for (column, name) in VISITORS.into_iter().enumerate().rev() {
        let visitor = Visitor::new(&world, name).await;
        let mut seen = BTreeSet::new();
        for route in &routes {
            n += 1;
            let address = world.address(route, "acme", n).await;
            let before = world.done().await;
            let ends_sessions = ["/console/sign-out", "/console/sign-in"];
            let (answer, page) = if ends_sessions.contains(&route.1.as_str()) {
                let leaving = Visitor::new(&world, name).await;
                visit(&world, &leaving, route, &address, n).await
            } else {
                visit(&world, &visitor, route, &address, n).await
            };
            if ["403", "404", IN].contains(&answer.as_str()) && route.0 == "POST" {
                assert_eq!(
                    world.done().await,
                    before,
                    "{name} {route:?} has changed something"
                );
            }
            if answer == "200" {
                seen.insert(address.clone());
                offered.extend(offers(&page).map(|offer| (column, offer)));
            }
            let row = found
                .entry(route)
                .or_insert_with(|| vec![String::new(); VISITORS.len()]);
            row[column] = answer;
        }
        let own = offered.iter().filter(|(of, _)| *of == column);
        let own = own.map(|(_, offer)| offer.clone()).collect();
        let more = walk(&visitor.browser, seen, own).await;
        offered.extend(more.into_iter().map(|offer| (column, offer)));
    }
    let mut text = String::new();
    let mut wrong = Vec::new();
    for (route, row) in &found {
        let line = format!("{:<4} {:<58} {}", route.0, route.1, row.join(" "));
        if known.get(*route) != Some(row) {
            wrong.push(line.clone());
        }
        text += &(line + "\n");
    }
    assert!(
        missing.is_empty(),
        "routes without a line: {missing:#?}\n{text}"
    );
    assert!(gone.is_empty(), "lines without a route: {gone:#?}");
    assert!(
        wrong.is_empty(),
        "these lines differ:\n{}",
        wrong.join("\n")
    );
    // A page offers nothing that its reader is refused.
    let mut traps = Vec::new();
    for (column, (method, address)) in offered {
        let route = route_of(routes.iter(), method, &address);
        let route = route.unwrap_or_else(|| panic!("a page names {method} {address}"));
        let row = &found[route];
        let is_refused = |answer: &String| ["403", "404", IN].contains(&answer.as_str());
        // Nobody reaches what this workspace does not have.
        let is_nowhere = row[column] == "404" && row.iter().all(is_refused);
        if is_refused(&row[column]) && !is_nowhere {
            traps.push(format!("{} {method} {address}", VISITORS[column]));
        }
    }
    assert!(
        traps.is_empty(),
        "pages offer what is refused:\n{}",
        traps.join("\n")
    );
}

#[tokio::test]
async fn another_workspace_does_not_exist() {
    let world = World::new().await;
    world.hub().workspace("other").await;
    for (n, name) in VISITORS.into_iter().enumerate() {
        let visitor = Visitor::new(&world, name).await;
        // All workspaces are the operator's.
        let other = if name == "operator" {
            "nowhere"
        } else {
            "other"
        };
        for route in routes().iter().filter(|route| route.1.contains("{ws}")) {
            let address = plain(route, other);
            let expected = match name {
                "nobody" if !route.1.ends_with("{*rest}") => IN,
                _ => "404",
            };
            let (answer, page) = visit(&world, &visitor, route, &address, n).await;
            assert_eq!(answer, expected, "{name} {route:?}: {page}");
        }
    }
}

#[tokio::test]
async fn stolen_and_foreign_forms_are_refused() {
    let world = World::new().await;
    let admin = Visitor::new(&world, "admin").await;
    let other = Visitor::new(&world, "admin").await;
    let before = world.done().await;
    let foreign = |name: &str, value: &str| {
        let sent = admin.browser.clone().without("sec-fetch-site");
        sent.header(name, value)
    };
    let from = [
        foreign("sec-fetch-site", "cross-site"),
        foreign("sec-fetch-site", "same-site"),
        foreign("sec-fetch-site", "none"),
        foreign("origin", "https://evil.example"),
        foreign("origin", "null"),
        foreign("x-nothing", "neither header"),
    ];
    let mut tried = 0;
    for route in routes().iter().filter(|route| route.0 == "POST") {
        if route.1.ends_with("{*rest}") {
            continue;
        }
        tried += 1;
        let address = plain(route, "acme");
        for (n, browser) in from.iter().enumerate() {
            let form = world.form(route, &admin.token, n).await;
            let answer = send(browser, &address, &form).await;
            assert_eq!(answer.status, 403, "{route:?} {n}: {}", answer.text);
        }
        // These have no session, and so no token.
        if ["/console/sign-in", "/console/language"].contains(&route.1.as_str()) {
            continue;
        }
        for token in ["", "x", &other.token] {
            let form = world.form(route, token, tried).await;
            let answer = send(&admin.browser, &address, &form).await;
            assert_eq!(answer.status, 403, "{route:?} {token}: {}", answer.text);
        }
    }
    assert!(tried > 30, "{tried}");
    assert_eq!(world.done().await, before, "nothing was done");
}

#[tokio::test]
async fn a_session_that_has_ended_opens_nothing() {
    let world = World::new().await;
    let hub = world.hub();
    let late = link(hub, json!({ "workspace": "acme" })).await;
    let used = link(hub, json!({ "workspace": "acme" })).await;
    Person::sign_in(hub, &used).await;
    hub.advance(Duration::from_secs(601));
    for (what, url) in [("expired", late), ("used", used)] {
        let again = submit(&browser(hub), "/console/sign-in", &[("credential", &url)]).await;
        assert_eq!(again.status, 401, "a link that is {what}");
        assert_eq!(again.header("set-cookie"), None, "{what}");
    }
    let ended = Visitor::new(&world, "admin").await;
    let sessions = world.pbx.space.get("/sessions").await.ok();
    let newest = sessions["items"].as_array().expect("sessions").iter();
    let newest = newest.max_by_key(|one| one["createdAt"].as_str().map(str::to_owned));
    let id = newest.expect("a session")["id"].clone();
    let path = format!("/sessions/{}", id.as_str().expect("an id"));
    assert_eq!(world.pbx.space.delete(&path).await.status, 204);
    let idle = Visitor::new(&world, "operator").await;
    let reaches = async |visitor: &Visitor| {
        let known = table();
        for (route, row) in known.iter().filter(|(route, _)| route.1.contains("{ws}")) {
            let address = plain(route, "acme");
            let (answer, _) = visit(&world, visitor, route, &address, 0).await;
            assert_eq!(Some(&answer), row.last(), "{} {route:?}", visitor.name);
        }
    };
    let before = world.done().await;
    reaches(&ended).await;
    hub.advance(Duration::from_hours(12));
    reaches(&idle).await;
    assert_eq!(world.done().await, before, "nothing was done");
}
