//! Servers that are killed among deliveries of webhooks with settings: rates, bounds, orders, scripts, outages, resends,
//! dead letters and published events. Every event arrives, in the order that the settings promise.
//!
//! `PRICHAL_TEST_KILL_SEEDS` is the number of drills, each with other moments of the kills. The default is one.

mod checks;
mod receiver;
mod sender;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::{
    receiver::Arrivals,
    sender::{Random, Sender, Sent},
};
use crate::harness::{
    channel_workspace::SCRIPTS,
    hub::{Caller, Database, anonymous_at, eventually},
    integration::Integration,
    receiver::Receiver,
    server_process::{LOG, ServerProcess, free_address},
};

/// The rounds of a drill. Each has a load, one kill or two in a row, and the delivery of all that has waited.
const ROUNDS: u64 = 5;
const SENDERS: usize = 4;
/// The number of events that the resends select.
const ARCHIVED: u64 = 150;
/// The calls of a side queue that run at once, and so the events that a slow resend takes at a time.
const SIDE_CALLS: u64 = 8;

/// The waits after failed calls. The long ones are for slow machines: a drill ends them by a call for what was missed.
fn schedule() -> Value {
    json!([&["1s"; 10][..], &["15s"; 20][..]].concat())
}

/// The webhooks for companies, with their settings.
fn company_hooks() -> Vec<(&'static str, Value)> {
    vec![
        ("/loose", json!({})),
        (
            "/rate",
            json!({ "rateLimit": { "count": 60, "per": "second" } }),
        ),
        ("/narrow", json!({ "maxConcurrency": 2 })),
        (
            "/entity",
            json!({ "order": "entity", "retrySchedule": schedule() }),
        ),
        ("/slow", json!({ "order": "entity" })),
        ("/outage", json!({ "retrySchedule": schedule() })),
        ("/scripted/shape", json!({ "script": "shape" })),
        ("/scripted/skip", json!({ "script": "skip" })),
        (
            "/scripted/brittle",
            json!({ "script": "brittle", "retrySchedule": schedule() }),
        ),
    ]
}

/// The other webhooks, with their filters and settings.
fn other_hooks() -> Vec<(&'static str, Value, Value)> {
    let of_type = |name: &str| json!([{ "eventTypes": [name] }]);
    vec![
        (
            "/whole",
            json!([{ "entityType": "deal" }]),
            json!({ "maxConcurrency": 1, "retrySchedule": schedule() }),
        ),
        ("/own", of_type("order.*"), json!({})),
        (
            "/dead",
            of_type("dead"),
            json!({ "maxConcurrency": 2, "retrySchedule": [] }),
        ),
        ("/archive", of_type("archive"), json!({})),
    ]
}

struct Drill {
    folder: tempfile::TempDir,
    database: Database,
    listen: String,
    _receiver: Receiver,
    arrivals: Arc<Arrivals>,
    space: Caller,
    /// The ids of the webhooks by their paths.
    hooks: BTreeMap<String, String>,
    integration: String,
    brittle: String,
    random: Random,
    sent: Sent,
    /// The number of answered requests of the senders.
    answered: Arc<AtomicUsize>,
    /// The number of senders that have sent all, in all rounds.
    finished: Arc<AtomicUsize>,
    /// The calls that the log has shown.
    logged: HashSet<String>,
}

impl Drop for Drill {
    #[expect(
        clippy::print_stdout,
        reason = "a failure shows the server's last lines"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
            let from = log.lines().count().saturating_sub(40);
            log.lines().skip(from).for_each(|line| println!("{line}"));
        }
    }
}

impl Drill {
    async fn new(seed: u64) -> (Self, ServerProcess) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (database, listen) = (Database::new(), free_address());
        let (receiver, arrivals) = Arrivals::start().await;
        let server = ServerProcess::start_at(&listen, folder.path(), &database).await;
        let admin = server.admin();
        let made = admin.post("/admin/v1/workspaces", json!({ "name": "acme" }));
        assert_eq!(made.await.status, 201);
        let token = json!({ "name": "t", "role": "admin" });
        let token = admin.post("/admin/v1/workspaces/acme/tokens", token).await;
        let space = anonymous_at(&server.url).bearer(&token.str("token"));
        let space = space.at("/api/v1/acme");
        for name in ["order.created", "dead", "archive"] {
            let versions = json!([{ "version": 1, "schema": { "type": "object" } }]);
            let body = json!({ "name": name, "versions": versions });
            space.post("/event-types", body).await.ok();
        }
        let mut brittle = String::new();
        for (code, source) in [
            (
                "shape",
                "send({ method: 'PUT', body: `<a>${request.body.id}</a>` })",
            ),
            (
                "skip",
                "if (request.body.changeData.new.name.endsWith('1')) skip(); else send()",
            ),
            ("brittle", "throw new Error('not yet')"),
        ] {
            let data = json!({ "language": "javascript", "source": source });
            let body = json!({ "code": code, "name": code, "scriptdata": data });
            brittle = space.at("").post(SCRIPTS, body).await.ok().str("id");
        }
        let integration = Integration::install(&space, "listener", &receiver.url).await;
        let companies = company_hooks().into_iter();
        let companies = companies
            .map(|(path, settings)| (path, json!([{ "entityType": "company" }]), settings));
        let mut hooks = BTreeMap::new();
        for (path, items, mut settings) in companies.chain(other_hooks()) {
            settings["success"] = json!("2xx");
            let hook = json!({ "relativeUrl": path, "triggerType": "entityEvent", "filter": { "items": items },
                "settings": settings });
            hooks.insert(path.to_owned(), integration.add_hook(hook).await);
        }
        let drill = Self {
            folder,
            database,
            listen,
            _receiver: receiver,
            arrivals,
            space,
            hooks,
            integration: integration.id,
            brittle,
            random: Random(seed),
            sent: Sent::default(),
            answered: Arc::default(),
            finished: Arc::default(),
            logged: HashSet::new(),
        };
        (drill, server)
    }

    async fn start(&self) -> ServerProcess {
        ServerProcess::start_at(&self.listen, self.folder.path(), &self.database).await
    }

    /// Publishes the events that the resends are about, and waits until each has a call in the log.
    async fn archive(&self) {
        let items: Vec<Value> = (0..ARCHIVED)
            .map(|n| json!({ "type": "archive", "data": { "n": n } }))
            .collect();
        let body = json!({ "items": items });
        self.space.post("/events", body).await.ok();
        let filter =
            json!({ "webHookId": self.hooks["/archive"], "status": "delivered", "preview": true });
        eventually("the archive is delivered", || async {
            let preview = self.space.post("/resends", filter.clone()).await.ok();
            (preview["count"] == ARCHIVED).then_some(())
        })
        .await;
    }

    /// Starts the senders of a round, which end by themselves or with the server.
    fn load(&mut self, round: u64) -> JoinSet<Sent> {
        let mut load = JoinSet::new();
        for n in 0..SENDERS {
            let sender = Sender {
                space: self.space.clone(),
                answered: self.answered.clone(),
                finished: self.finished.clone(),
                name: format!("{round}-{n}"),
                ids: Random(self.random.next()),
            };
            load.spawn(sender.run());
        }
        load
    }

    /// Waits for a moment within the load, another one each time. `finished` senders had sent all before the load.
    async fn wait_for_moment(&mut self, round: u64, finished: usize) {
        if round == 0 {
            let path = format!("/webhooks/{}/state", self.hooks["/slow"]);
            return eventually("a call that is open for a second has a row", || async {
                let state = self.space.get(&path).await.ok();
                (state["waiting"] != 0).then_some(())
            })
            .await;
        }
        let is_over = || self.finished.load(Ordering::SeqCst) - finished == SENDERS;
        let answers = || self.answered.load(Ordering::SeqCst);
        let (kind, more) = (self.random.below(3), self.random.below(60));
        let (calls_before, answers_before) = (self.arrivals.count(), answers());
        let is_there = || match kind {
            0 => self.arrivals.count() > calls_before + 5 * more,
            1 => answers() > answers_before + more,
            _ => false,
        };
        let what = format!("the moment of the kill in round {round}");
        wait_while_rising(&what, answers, || is_there() || is_over()).await;
    }

    /// Notes the newest calls of the log.
    async fn read_log(&mut self) {
        let page = self.space.get("/deliveries?limit=200").await.ok();
        let items = page["items"].as_array().expect("items");
        let ids = items.iter().filter_map(|one| one["id"].as_str());
        self.logged.extend(ids.map(str::to_owned));
    }

    /// Kills the server among the calls, possibly a second time while it begins anew.
    async fn kill(&mut self, server: ServerProcess, load: JoinSet<Sent>) -> ServerProcess {
        if self.random.below(2) == 0 {
            self.read_log().await;
        }
        server.kill();
        self.arrivals.release();
        let published = self.sent.published.len();
        for sent in load.join_all().await {
            self.sent.changes.extend(sent.changes);
            self.sent.published.extend(sent.published);
        }
        let mut server = self.start().await;
        if self.random.below(2) == 0 {
            for _ in 0..self.random.below(40) {
                anonymous_at(&server.url).get("/healthz").await.ok();
            }
            server.kill();
            server = self.start().await;
        }
        // Those that were answered, too.
        let again = json!({ "items": self.sent.published[published..] });
        self.space.post("/events", again).await.ok();
        server
    }

    /// Waits until each of these webhooks has got all events so far.
    async fn wait_for_delivery(&self, is_included: impl Fn(&str) -> bool) {
        for (path, events) in self.expected().await {
            if !is_included(path) {
                continue;
            }
            let what = format!("{path} gets all events");
            let is_done = || {
                let delivered = self.arrivals.delivered(path);
                events.iter().all(|(id, _)| delivered.contains(id))
            };
            wait_while_rising(&what, || self.arrivals.count(), is_done).await;
        }
    }

    async fn resend(&self, filter: Value) -> String {
        let begun = self.space.post("/resends", filter).await;
        assert_eq!(begun.status, 202, "{}", begun.text);
        begun.str("id")
    }

    /// The criteria of all that a webhook has missed: its dead letters, and what it waits for.
    fn missed(&self, path: &str) -> Value {
        json!({ "integrationId": self.integration, "webHookId": self.hooks[path], "deadLetters": true })
    }

    async fn progress(&self, resend: &str) -> Value {
        let found = self.space.get(&format!("/resends/{resend}")).await.ok();
        found.json
    }

    async fn dead_letters(&self) -> BTreeSet<String> {
        let page = self.space.get("/dead-letters?limit=1000").await.ok();
        let items = page["items"].as_array().expect("items");
        let ids = items.iter().filter_map(|one| one["eventId"].as_str());
        ids.map(str::to_owned).collect()
    }
}

/// Waits as long as a count rises, since a machine may be slow.
async fn wait_while_rising(what: &str, count: impl Fn() -> usize, is_done: impl Fn() -> bool) {
    while !is_done() {
        let before = count();
        eventually(what, || async {
            (count() > before || is_done()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_among_deliveries_it_keeps_what_the_settings_promise() {
    let seeds = std::env::var("PRICHAL_TEST_KILL_SEEDS");
    let seeds = seeds.map_or(1, |seeds| seeds.parse().expect("a number"));
    for seed in 1..=seeds {
        #[expect(clippy::print_stdout, reason = "a failure names the seed")]
        {
            println!("seed {seed}");
        }
        drill(seed).await;
    }
}

async fn drill(seed: u64) {
    let (mut drill, mut server) = Drill::new(seed).await;
    let arrivals = drill.arrivals.clone();
    drill.archive().await;
    let archive = json!({ "webHookId": drill.hooks["/archive"], "status": "delivered" });
    let resend_at = |rate: u64| {
        let mut filter = archive.clone();
        filter["rate"] = json!(rate);
        filter
    };
    let (mut resent, mut cancelled, mut revived) = (None, None, None);
    let (mut waited, mut given_up) = (ARCHIVED, 0);
    for round in 0..ROUNDS {
        arrivals.hold();
        let finished = drill.finished.load(Ordering::SeqCst);
        let load = drill.load(round);
        match round {
            1 => {
                let (begun, at) = (drill.resend(resend_at(1)).await, Instant::now());
                eventually("some events are sent again", || async {
                    (!arrivals.replayed("/archive").is_empty()).then_some(())
                })
                .await;
                let path = format!("/resends/{begun}/cancel");
                drill.space.post(&path, json!({})).await.ok();
                let most = SIDE_CALLS * (1 + at.elapsed().as_secs() / SIDE_CALLS);
                cancelled = Some((begun, most));
            }
            2 => resent = Some(drill.resend(resend_at(50)).await),
            3 => {
                arrivals.recover();
                let source =
                    json!({ "scriptdata": { "language": "javascript", "source": "send()" } });
                let path = format!("{SCRIPTS}/{}", drill.brittle);
                let body = Some(source.to_string().into_bytes());
                let rest = drill.space.at("");
                rest.send(Method::PATCH, &path, body).await.ok();
                for path in ["/outage", "/scripted/brittle"] {
                    drill.resend(drill.missed(path)).await;
                }
            }
            4 => revived = Some(drill.resend(drill.missed("/dead")).await),
            _ => {}
        }
        drill.wait_for_moment(round, finished).await;
        server = drill.kill(server, load).await;

        if let Some((id, most)) = &cancelled {
            assert_eq!(drill.progress(id).await["state"], "cancelled");
            let sent = arrivals.replayed("/archive").len() as u64;
            assert!(resent.is_some() || sent <= *most, "{sent} of {most}");
        }
        if let Some(id) = &resent {
            let progress = drill.progress(id).await;
            if progress["state"] != "selecting" {
                assert_eq!(progress["selected"], ARCHIVED);
                let waiting = progress["waiting"].as_u64().expect("a number");
                assert!(waiting <= waited, "it goes on: {progress}");
                waited = waiting;
            }
        }
        let is_up = round >= 3;
        let lags = |path: &str| {
            path == "/dead" || !is_up && ["/outage", "/scripted/brittle"].contains(&path)
        };
        drill.wait_for_delivery(|path| !lags(path)).await;
        if round == 3 {
            let refused = drill.sent.published.iter();
            let refused = refused.filter(|event| event["data"]["refused"] == true);
            let refused: BTreeSet<String> = refused
                .filter_map(|event| event["id"].as_str())
                .map(str::to_owned)
                .collect();
            eventually("each event that was given up is a dead letter", || async {
                (drill.dead_letters().await == refused).then_some(())
            })
            .await;
            given_up = refused.len();
            arrivals.accept_all();
        }
    }

    drill.wait_for_delivery(|_| true).await;
    for (id, selected) in [(resent, json!(ARCHIVED)), (revived, json!(given_up))] {
        let id = id.expect("it has begun");
        let done = eventually("the resend is done", || async {
            let found = drill.progress(&id).await;
            (found["state"] == "done").then_some(found)
        })
        .await;
        assert_eq!(
            (&done["waiting"], &done["selected"]),
            (&json!(0), &selected)
        );
    }
    eventually("no dead letter is left", || async {
        drill.dead_letters().await.is_empty().then_some(())
    })
    .await;
    let expected = drill.expected().await;
    let archived: HashSet<String> = expected["/archive"]
        .iter()
        .map(|(id, _)| id.clone())
        .collect();
    eventually("each selected event is sent again", || async {
        (arrivals.replayed("/archive") == archived).then_some(())
    })
    .await;
    let (id, _) = cancelled.expect("it has begun");
    assert_eq!(drill.progress(&id).await["state"], "cancelled");

    drill.check_feed().await;
    drill.check_order().await;
    drill.check_log().await;
    let held = server.admin().get("/admin/v1/quarantine").await.ok();
    assert_eq!(held["items"], json!([]), "no event was at fault");
    let log = std::fs::read_to_string(drill.folder.path().join(LOG)).expect("a log");
    assert!(!log.contains(" ERROR "), "{log}");
    assert_eq!(server.terminate(), Some(0), "a clean stop");
}
