//! Durable work that crashed the server: quarantine, its list, release and removal.

use std::time::Duration;

use prichal::{
    delivery,
    domain::journal::{self, held, slots::PreviousJournal},
    error::Error,
};
use prichal_core::id::WorkspaceId;
use prichal_store::{
    event,
    job::Job,
    quarantine::{self, HELD, Interrupted, Item, Kind, MAX_DEATHS},
    signature, webhook,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{
    channel_workspace::{ChannelWorkspace, RUNS},
    document_exchange::{DocumentExchange, PDF, text},
    hub::{CapturedLog, Hub, Installation, eventually, spawn},
    integration::{Integration, company, schedule_hook},
    receiver::{Receiver, Reply},
    telephony_exchange::TelephonyExchange,
};

fn uuid(text: &str) -> Uuid {
    Uuid::try_parse(text).expect("an id")
}

/// The id of a workspace.
async fn workspace(hub: &Hub, name: &str) -> WorkspaceId {
    let path = format!("/admin/v1/workspaces/{name}");
    WorkspaceId(uuid(&hub.admin().get(&path).await.ok().str("id")))
}

/// An entry of the journal: the process died while this item alone was under way.
fn alone(item: Item) -> Interrupted {
    Interrupted {
        item,
        was_alone: true,
    }
}

/// Puts an item into quarantine, as three deaths do.
async fn hold(hub: &Hub, item: Item) {
    let now = hub.installation.clock.now();
    for _ in 0..MAX_DEATHS {
        let process = Uuid::new_v4();
        let count = move |tx: &mut prichal_store::Tx<'_>| {
            let counted = quarantine::count_death(tx, alone(item), process, now)?;
            if counted
                .as_ref()
                .is_some_and(quarantine::Suspect::is_held_now)
            {
                held::show(tx, &item, now)?;
            }
            Ok::<_, Error>(counted)
        };
        let counted = hub.app.db.write(item.workspace, count).await;
        assert!(counted.expect("counted").is_some());
    }
}

/// The items in quarantine.
async fn held(hub: &Hub, filter: &str) -> Vec<Value> {
    let path = format!("/admin/v1/quarantine{filter}");
    hub.admin().get(&path).await.ok()["items"]
        .as_array()
        .expect("a list")
        .clone()
}

/// Releases all items.
async fn release(hub: &Hub) {
    for item in held(hub, "").await {
        let path = format!("/admin/v1/quarantine/{}/release", text(&item["id"]));
        assert_eq!(hub.admin().post(&path, json!({})).await.status, 204);
    }
}

/// Gives up all items.
async fn give_up(hub: &Hub) {
    for item in held(hub, "").await {
        let path = format!("/admin/v1/quarantine/{}", text(&item["id"]));
        assert_eq!(hub.admin().delete(&path).await.status, 204);
        assert_eq!(hub.admin().delete(&path).await.status, 404);
    }
}

/// Kills and starts the server this many times, with this item under way each time.
async fn die_of(installation: &Installation, mut hub: Hub, entry: Interrupted, times: i64) -> Hub {
    let path = installation.data_dir().join("under-way");
    let previous = || PreviousJournal::open(path.clone()).expect("opens");
    let mut forged = Uuid::nil();
    for n in 0..=times {
        eventually("the server has begun", || async {
            (previous().process != forged).then_some(())
        })
        .await;
        if n == times {
            break;
        }
        let mut slots = previous().replace().expect("begun");
        slots.note(&entry).expect("noted");
        forged = previous().process;
        hub.kill();
        hub = installation.start().await;
    }
    hub
}

/// A channel workspace with a run under way that waits for the receiver's answer at `/poison`.
async fn poisoned(receiver: &Receiver) -> (ChannelWorkspace, Item) {
    let era = ChannelWorkspace::new().await;
    let source = "await fetch(request.entity.url)";
    era.script("c", source).await;
    let url = format!("{}/poison", receiver.url);
    let members = json!({ "recv_svcscriptcode": "c", "url": url });
    let channel = era.channel("poison", members).await;
    era.hook(&channel, json!({})).await.ok();
    receiver.next().await;
    let item = Item {
        kind: Kind::Run,
        workspace: workspace(&era.hub, "acme").await,
        parent: Uuid::nil(),
        id: uuid(&text(&era.runs("c").await[0]["id"])),
        seq: 0,
    };
    (era, item)
}

/// The workspace after this many crashes of its server with this item under way.
async fn outlived(
    installation: &Installation,
    era: ChannelWorkspace,
    entry: Interrupted,
    times: i64,
) -> ChannelWorkspace {
    let ChannelWorkspace { hub, space, rest } = era;
    let hub = die_of(installation, hub, entry, times).await;
    ChannelWorkspace {
        space: hub.adopt(&space),
        rest: hub.adopt(&rest),
        hub,
    }
}

/// Other work waits for five seconds. After them a crash is no longer blamed on the suspect alone.
#[tokio::test]
async fn a_suspect_is_alone_for_a_short_time() {
    let receiver = Receiver::start(|call| match call.path.as_str() {
        "/poison" => Reply::Silence,
        _ => Reply::Good,
    })
    .await;
    let (era, item) = poisoned(&receiver).await;
    let url = format!("{}/other", receiver.url);
    let members = json!({ "recv_svcscriptcode": "c", "url": url });
    let other = era.channel("other", members).await;
    let installation = era.hub.installation.clone();
    let era = outlived(&installation, era, alone(item), MAX_DEATHS - 1).await;
    let noted = || {
        let path = installation.data_dir().join("under-way");
        let entries = PreviousJournal::open(path).expect("opens").interrupted;
        let it = entries.iter().find(|entry| entry.item == item);
        (it.map(|entry| entry.was_alone), entries.len())
    };
    era.hub.advance(Duration::from_secs(1));
    assert_eq!(receiver.next().await.path, "/poison");
    era.hook(&other, json!({})).await.ok();
    assert_eq!((noted(), receiver.waiting()), ((Some(true), 1), 0));
    era.hub.advance(Duration::from_secs(5));
    assert_eq!(receiver.next().await.path, "/other");
    assert_eq!(noted().0, Some(false));
    assert_eq!(held(&era.hub, "").await, Vec::<Value>::new());
}

/// Kills and starts the server. The work that is in progress counts as its cause.
async fn crash(hub: Hub) -> Hub {
    let installation = hub.installation.clone();
    let path = installation.data_dir().join("under-way");
    let previous = || PreviousJournal::open(path.clone()).expect("opens");
    let interrupted = previous().interrupted;
    let mut slots = previous().replace().expect("begun");
    for entry in &interrupted {
        slots.note(entry).expect("noted");
    }
    let forged = previous().process;
    hub.kill();
    let hub = installation.start().await;
    eventually("the server has begun", || async {
        (previous().process != forged).then_some(())
    })
    .await;
    hub
}

/// The work of a crash goes on one by one in each workspace. One with a receiver that hangs delays no other, and new
/// events wait for none of it, in its own workspace neither.
#[tokio::test]
async fn suspects_of_a_receiver_that_hangs_hold_up_nobody_else() {
    // As many calls as a webhook makes at once.
    const COUNT: usize = 32;
    let hub = Hub::start().await;
    let [slow, beside, other] = [(); 3].map(|()| Receiver::start(|_| Reply::Silence));
    let (slow, beside, other) = (slow.await, beside.await, other.await);
    let (one, two) = (hub.workspace("one").await, hub.workspace("two").await);
    for (space, name, receiver) in [
        (&one, "slow", &slow),
        (&one, "beside", &beside),
        (&two, "other", &other),
    ] {
        let integration = Integration::install(space, name, &receiver.url).await;
        integration.subscribe().await;
    }
    for n in 0..COUNT {
        for space in [&one, &two] {
            company(space, &format!("{n}")).await;
        }
    }
    for receiver in [&slow, &beside, &other] {
        receiver.take(COUNT).await;
    }
    let hub = crash(hub).await;
    for receiver in [&beside, &other] {
        receiver.answer(|_| Reply::Good);
    }
    hub.advance(Duration::from_secs(1));
    for (space, receiver) in [(&one, &beside), (&two, &other)] {
        let fresh = company(&hub.adopt(space), "fresh").await;
        eventually("the new event arrives", || async {
            receiver.ever_saw(&fresh).then_some(())
        })
        .await;
    }
    other.take(COUNT + 1).await;
    // The calls for one suspect and for the new event hang. The other suspects wait for the end of a turn.
    assert!(slow.waiting() <= 2);
}

/// An item is not held if others were under way at each crash.
#[tokio::test]
async fn an_item_that_ran_beside_others_is_not_held() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let (era, item) = poisoned(&receiver).await;
    let installation = era.hub.installation.clone();
    let beside = Interrupted {
        item,
        was_alone: false,
    };
    let era = outlived(&installation, era, beside, 2 * MAX_DEATHS).await;
    receiver.answer(|_| Reply::Good);
    eventually("it ends", || async {
        era.hub.advance(Duration::from_secs(1));
        (era.runs("c").await[0]["status"] == "finished").then_some(())
    })
    .await;
    eventually("it is no suspect any more", || async {
        let all = era.hub.app.db.read(quarantine::all).await.ok()?;
        all.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_work_begins_before_the_journal_is_open() {
    let installation = Installation::new(|_| ());
    let app = prichal::app::open(installation.config(), installation.clock.clone());
    let app = app.await.expect("opens");
    let item = Item {
        kind: Kind::Run,
        workspace: WorkspaceId(Uuid::from_u128(1)),
        parent: Uuid::nil(),
        id: Uuid::from_u128(2),
        seq: 0,
    };
    let entries = || {
        let path = installation.data_dir().join("under-way");
        PreviousJournal::open(path).expect("opens").interrupted
    };
    let at = app.clone();
    let begun = spawn(async move { journal::begin(&at, item).await });
    // All work that needs no journal has been done.
    app.db.read(quarantine::count_held).await.expect("read");
    assert!(!begun.is_finished() && entries().is_empty());
    journal::open(&app).await;
    let guard = begun.await.expect("no panic").expect("it begins");
    assert_eq!(entries().len(), 1);
    drop(guard);
    assert!(entries().is_empty());
}

#[tokio::test]
async fn an_event_that_kills_the_server_holds_up_no_other() {
    let log = CapturedLog::new();
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let webhook = integration.subscribe().await;
    let poison = company(&space, "poison").await;
    receiver.next().await;
    let here = workspace(&hub, "acme").await;
    let seq = hub.app.db.read(move |conn| event::last(conn, here)).await;
    let seq = seq.expect("read");
    let item = Item {
        kind: Kind::Delivery,
        workspace: here,
        parent: uuid(&integration.id),
        id: uuid(&webhook),
        seq,
    };
    let installation = hub.installation.clone();
    let hub = die_of(&installation, hub, alone(item), MAX_DEATHS).await;
    eventually("it is held", || async {
        (held(&hub, "?kind=delivery").await.len() == 1).then_some(())
    })
    .await;
    let object = format!("object=\"delivery:{webhook}\"");
    assert_eq!(log.count(&["event=\"quarantined\"", &object]), 1);
    receiver.answer(|_| Reply::Good);
    let waiting = receiver.waiting();
    receiver.take(waiting).await;
    let space = hub.adopt(&space);
    let other = company(&space, "other").await;
    let call = receiver.next().await;
    assert_eq!(call.new_member("id"), json!(other));
    let item = held(&hub, "").await[0].clone();
    assert_eq!(item["number"], json!(seq));
    assert_eq!(held(&hub, "?kind=run").await, Vec::<Value>::new());
    let path = format!("{}/deliveries?status=exhausted", integration.instance());
    let shown = space.get(&path).await.ok()["items"][0].clone();
    assert_eq!(
        (&shown["error"], &shown["attempt"]),
        (&json!(HELD), &json!(1))
    );
    release(&hub).await;
    assert_eq!(receiver.next().await.new_member("id"), json!(poison));
    assert_eq!(receiver.waiting(), 0);
}

/// A webhook would deliver an event that was given up before its runner has passed it.
#[tokio::test]
async fn an_event_is_given_up_once_its_webhook_has_passed_it() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    let webhook = integration.subscribe().await;
    company(&space, "poison").await;
    receiver.next().await;
    let here = workspace(&hub, "acme").await;
    let seq = hub.app.db.read(move |conn| event::last(conn, here)).await;
    let item = Item {
        kind: Kind::Delivery,
        workspace: here,
        parent: uuid(&integration.id),
        id: uuid(&webhook),
        seq: seq.expect("read"),
    };
    hold(&hub, item).await;
    let path = format!(
        "/admin/v1/quarantine/{}",
        text(&held(&hub, "").await[0]["id"])
    );
    let refused = hub.admin().delete(&path).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(held(&hub, "").await.len(), 1);
    // The call holds the cursor back for a second.
    eventually("the cursor passes", || async {
        hub.advance(Duration::from_secs(2));
        let gone = hub.admin().delete(&path).await;
        (gone.status == 204).then_some(())
    })
    .await;
}

/// A full disk stops no work.
#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_no_work() {
    let installation = Installation::new(|_| ());
    std::fs::create_dir_all(installation.data_dir().join("under-way.new")).expect("a folder");
    let hub = installation.start().await;
    let receiver = Receiver::good().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    company(&space, "a").await;
    receiver.next().await;
}

/// A background job that kills the server holds up the jobs of no other workspace.
#[tokio::test]
async fn a_job_in_quarantine_holds_up_no_other() {
    let hub = Hub::start().await;
    let mut items = Vec::new();
    for name in ["poison", "other"] {
        hub.workspace(name).await;
        let job = Job {
            workspace: workspace(&hub, name).await,
            kind: prichal_store::job::Kind::ClearValues,
            item: Uuid::from_u128(7).to_string(),
            detail: "null".to_owned(),
            last: String::new(),
        };
        items.push(delivery::job::item(&job));
    }
    hold(&hub, items[0]).await;
    let installation = hub.stop().await;
    installation.execute(
        "INSERT INTO walk (workspace, kind, item, detail, last)
         SELECT id, 'kept', '00000000-0000-0000-0000-000000000007', 'null', '' FROM workspace",
    );
    let hub = installation.start().await;
    let left = || async {
        let list = |conn: &mut prichal_store::Conn| prichal_store::job::list(conn, None, 10);
        let found = hub.app.db.read(list).await.expect("a look");
        found.into_iter().map(|job| job.workspace).collect()
    };
    eventually("the other ends", || async {
        let rest: Vec<WorkspaceId> = left().await;
        (rest == [items[0].workspace]).then_some(())
    })
    .await;
    release(&hub).await;
    eventually("the released one ends", || async {
        hub.advance(Duration::from_secs(20));
        let rest: Vec<WorkspaceId> = left().await;
        rest.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_run_in_quarantine_waits() {
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let era = ChannelWorkspace::new().await;
    let source =
        "const a = await fetch(request.entity.url); if (a.status !== 200) throw new Error('no')";
    era.script("c", source).await;
    for code in ["poison", "other"] {
        let url = format!("{}/{code}", receiver.url);
        let members = json!({ "recv_svcscriptcode": "c", "url": url });
        let channel = era.channel(code, members).await;
        era.hook(&channel, json!({})).await.ok();
        receiver.next().await;
        era.run("c", "deferred").await;
    }
    let run = era.runs("c").await.pop().expect("the first run");
    let item = Item {
        kind: Kind::Run,
        workspace: workspace(&era.hub, "acme").await,
        parent: Uuid::nil(),
        id: uuid(&text(&run["id"])),
        seq: 0,
    };
    hold(&era.hub, item).await;
    receiver.answer(|_| Reply::Good);
    era.hub.advance(Duration::from_secs(31));
    assert_eq!(receiver.next().await.path, "/other");
    era.run("c", "finished").await;
    assert_eq!(receiver.waiting(), 0);
    let path = format!("{RUNS}/{}", text(&run["id"]));
    let shown = era.rest.get(&path).await.ok();
    assert_eq!(
        (&shown["status"], &shown["error"]),
        (&json!("failed"), &json!(HELD))
    );
    let retried = era.rest.post(&format!("{path}/retry"), json!({})).await;
    assert_eq!(retried.status, 409);
    assert!(
        retried.str("error_message").contains("operator"),
        "{}",
        retried.text
    );
    release(&era.hub).await;
    assert_eq!(receiver.next().await.path, "/poison");
    era.wait_until_drained().await;
    assert_eq!(era.rest.get(&path).await.ok()["status"], "finished");
}

#[tokio::test]
async fn a_message_in_quarantine_is_given_up() {
    let log = CapturedLog::new();
    let receiver = Receiver::start(|_| Reply::Status(500)).await;
    let era = ChannelWorkspace::new().await;
    let members = json!({ "url": receiver.url });
    let channel = era.channel("poison", members).await;
    let point = format!("/rest/v1/service/integration_points/{}", channel.id);
    let sent = era
        .rest
        .post(&format!("{point}/send"), json!({ "a": 1 }))
        .await
        .ok();
    receiver.next().await;
    let attempts = || async {
        let found = era.rest.get(&format!("{point}/deliveries")).await.ok();
        let found = found.as_array().or(found["items"].as_array()).cloned();
        found.unwrap_or_default()
    };
    eventually("the attempt is there", || async {
        (attempts().await.len() == 1).then_some(())
    })
    .await;
    let item = Item {
        kind: Kind::Run,
        workspace: workspace(&era.hub, "acme").await,
        parent: Uuid::nil(),
        id: uuid(&sent.str("id")),
        seq: 0,
    };
    hold(&era.hub, item).await;
    let shown = attempts().await;
    assert_eq!(
        (shown.len(), &shown[0]["status"], &shown[0]["error"]),
        (2, &json!("exhausted"), &json!(HELD))
    );
    let path = format!("{RUNS}/{}", sent.str("id"));
    assert_eq!(era.rest.get(&path).await.ok()["status"], "failed");
    give_up(&era.hub).await;
    assert_eq!(
        log.count(&["event=\"quarantine_dropped\"", "object=\"run:"]),
        1
    );
    let ended = era.rest.get(&path).await.ok();
    assert_eq!(
        (&ended["status"], ended["error"] == HELD),
        (&json!("failed"), false)
    );
}

#[tokio::test]
async fn a_schedule_in_quarantine_stands_still() {
    let log = CapturedLog::new();
    let receiver = Receiver::good().await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "clockwork", &receiver.url).await;
    let poison = integration
        .add_hook(schedule_hook("poison", "00:05:00"))
        .await;
    integration
        .add_hook(schedule_hook("other", "00:05:00"))
        .await;
    let item = Item {
        kind: Kind::Tick,
        workspace: workspace(&hub, "acme").await,
        parent: uuid(&integration.id),
        id: uuid(&poison),
        seq: 0,
    };
    hold(&hub, item).await;
    hub.advance(Duration::from_mins(5));
    assert_eq!(receiver.next().await.path, "/other");
    let next = || async {
        let next = hub.app.db.read(webhook::next_tick).await.ok()??;
        (next.since(crate::harness::hub::START) == Duration::from_mins(10)).then_some(())
    };
    eventually("the other's next tick", next).await;
    assert_eq!(receiver.waiting(), 0);
    release(&hub).await;
    let object = format!("object=\"tick:{poison}\"");
    let released = ["event=\"quarantine_released\"", "actor=\"admin\"", &object];
    assert_eq!(log.count(&released), 1);
    assert_eq!(receiver.next().await.path, "/poison");
}

#[tokio::test]
async fn a_call_in_quarantine_is_not_given_up() {
    let pbx = TelephonyExchange::new().await;
    let poison = pbx.started("1").await.ok().str("id");
    let other = pbx.started("2").await.ok().str("id");
    let item = Item {
        kind: Kind::Call,
        workspace: workspace(&pbx.hub, "my-workspace").await,
        parent: Uuid::nil(),
        id: uuid(&poison),
        seq: 0,
    };
    hold(&pbx.hub, item).await;
    let before = pbx.call(&poison).await;
    pbx.hub.advance(Duration::from_hours(24));
    let sealed = |id: String| {
        let pbx = &pbx;
        async move { (pbx.call(&id).await["status"] == "sealed").then_some(()) }
    };
    eventually("the other is given up", || sealed(other.clone())).await;
    assert_eq!(pbx.call(&poison).await["status"], before["status"]);
    release(&pbx.hub).await;
    eventually("it is given up, too", || sealed(poison.clone())).await;
}

#[tokio::test]
async fn an_element_in_quarantine_waits() {
    let exchange = DocumentExchange::new().await;
    let us = exchange.company(0).await;
    let blob = us.content("a.pdf", PDF).await;
    let installation = &exchange.hub.installation;
    installation.execute("ALTER TABLE bulk RENAME COLUMN owner TO elsewhere");
    let elements =
        [us.metadata(&[&blob]), us.metadata(&[&blob])].map(|data| json!({ "data": data }));
    let path = "/api/v3/async/bulk/external/outbox/document/create";
    let started = us
        .api
        .post(path, json!({ "operations": elements }))
        .await
        .ok();
    let ids: Vec<String> = [0, 1]
        .map(|n| text(&started["operations"][n]["operationId"]))
        .to_vec();
    let item = Item {
        kind: Kind::Bulk,
        workspace: workspace(&exchange.hub, &us.name).await,
        parent: Uuid::nil(),
        id: uuid(&ids[0]),
        seq: 0,
    };
    hold(&exchange.hub, item).await;
    installation.execute("ALTER TABLE bulk RENAME COLUMN elsewhere TO owner");
    let status = |n: usize| {
        let ask = json!({ "operations": [{ "operationId": ids[n] }] });
        let (api, path) = (us.api.clone(), format!("{path}/status"));
        async move {
            let answer = api.post(&path, ask).await.ok();
            text(&answer["operations"][0]["operationStatus"])
        }
    };
    eventually("the other has ended", || async {
        exchange.hub.advance(Duration::from_secs(1));
        (status(1).await == "CompletedWithOk").then_some(())
    })
    .await;
    assert_eq!(status(0).await, "CompletedWithProcessingException");
    let ask = json!({ "operations": [{ "operationId": ids[0] }] });
    let answer = us.api.post(&format!("{path}/status"), ask).await.ok();
    let shown = &answer["operations"][0];
    assert_eq!(shown["operationErrors"][0]["errorDescription"], HELD);
    assert_eq!(shown["completedOn"], Value::Null);
    give_up(&exchange.hub).await;
    assert_eq!(status(0).await, "CompletedWithProcessingException");
}

#[tokio::test]
async fn a_signature_in_quarantine_says_so_in_its_report() {
    let exchange = DocumentExchange::new().await;
    let (us, them) = (exchange.company(0).await, exchange.company(1).await);
    let document = us.sent(&[&them.bin]).await;
    let installation = &exchange.hub.installation;
    installation.execute("UPDATE document_signature SET due_at = 4000000000000000");
    let id = uuid(&document);
    let found = exchange
        .hub
        .app
        .db
        .read(move |conn| signature::list(conn, id));
    let item = Item {
        kind: Kind::Recheck,
        workspace: workspace(&exchange.hub, &us.name).await,
        parent: Uuid::nil(),
        id: found.await.expect("read")[0].id,
        seq: 0,
    };
    let report = || async {
        let path = format!("/api/v3/sync/single/document/signatures/{document}");
        us.api.get(&path).await.ok()[0]["report"].clone()
    };
    let before = report().await;
    hold(&exchange.hub, item).await;
    assert_eq!(report().await["held"], HELD);
    release(&exchange.hub).await;
    assert_eq!(report().await, before);
}

#[tokio::test]
async fn a_step_of_retention_is_released_and_not_given_up() {
    let hub = Hub::start().await;
    let item = Item {
        kind: Kind::Retention,
        workspace: WorkspaceId(Uuid::nil()),
        parent: Uuid::nil(),
        id: Uuid::nil(),
        seq: 1,
    };
    hold(&hub, item).await;
    let listed = held(&hub, "?limit=10").await;
    assert_eq!((listed.len(), &listed[0]["workspaceId"]), (1, &Value::Null));
    let path = format!("/admin/v1/quarantine/{}", text(&listed[0]["id"]));
    assert_eq!(hub.admin().delete(&path).await.status, 409);
    assert_eq!(held(&hub, "").await.len(), 1);
    let space = hub.workspace("acme").await;
    assert_eq!(space.at("").delete(&path).await.status, 403);
    assert_eq!(
        hub.admin().get("/admin/v1/quarantine?kind=x").await.status,
        400
    );
    release(&hub).await;
    assert_eq!(held(&hub, "").await, Vec::<Value>::new());
}

/// A clean stop leaves no entry in the journal.
#[tokio::test]
async fn a_clean_stop_is_no_death() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let integration = Integration::install(&space, "listener", &receiver.url).await;
    integration.subscribe().await;
    company(&space, "a").await;
    receiver.next().await;
    let (installation, clock) = (hub.installation.clone(), hub.installation.clock.clone());
    let (_, ()) = tokio::join!(hub.stop(), async { clock.advance(Duration::from_secs(30)) });
    let previous = PreviousJournal::open(installation.data_dir().join("under-way")).expect("opens");
    assert!(previous.process.is_nil() && previous.interrupted.is_empty());
}
