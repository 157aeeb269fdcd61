//! Leases: a webhook has one owner at a time, and a former owner cannot write.

use prichal_core::{
    event::{Author, Origin},
    id::{IntegrationId, WebhookId},
    integration::{Kind, Status},
    update_info::UpdateInfo,
};
use prichal_store::{
    Db, Error,
    delivery::{self, Deferred, Lane},
    integration::{self, Instance, Integration},
    job,
    webhook::{self, Key, Lease, Webhook},
};
use uuid::Uuid;

use crate::test_store::{TestStore, append_event, at, workspace};

const ONE: Uuid = Uuid::from_u128(0x11);
const TWO: Uuid = Uuid::from_u128(0x22);

fn key(n: u128) -> Key {
    Key {
        workspace: workspace(1),
        integration: IntegrationId(Uuid::from_u128(9)),
        id: WebhookId(Uuid::from_u128(n)),
    }
}

fn hook(n: u128, live: bool) -> Webhook {
    Webhook {
        key: key(n),
        definition: "{}".to_owned(),
        position: 0,
        live,
        cursor: 0,
        owner: None,
        fence: 0,
        streak: prichal_core::health::Streak::default(),
        next_tick: None,
        secrets: None,
    }
}

fn instance() -> Instance {
    let stamp = UpdateInfo::created(&Origin {
        workspace: workspace(1),
        author: Author::system(),
        at: at(1),
    });
    Instance {
        workspace: workspace(1),
        integration: Integration {
            id: key(0).integration,
            workspace: workspace(1),
            kind: Kind::Private,
            name: "it".to_owned(),
            version: "1".to_owned(),
            base_url: "https://example.com".to_owned(),
            title: None,
            update_info: stamp.clone(),
        },
        installed: true,
        round: 1,
        status: Status::Active,
        features: "{}".to_owned(),
        settings: "[]".to_owned(),
        secrets: None,
        update_info: stamp,
    }
}

async fn prepare(db: &Db, hooks: u128) {
    let write = db.write(workspace(1), move |tx| {
        integration::insert(tx, &instance().integration)?;
        integration::put_instance(tx, &instance())?;
        append_event(tx, workspace(1), "before the hooks");
        for n in 0..hooks {
            webhook::insert(tx, &hook(n, true))?;
        }
        Ok::<_, Error>(())
    });
    write.await.expect("written");
}

async fn claim(db: &Db, node: Uuid, now: i64) -> Vec<Webhook> {
    let write = db.write(workspace(0), move |tx| {
        webhook::renew_node(tx, node, at(now + 5), "", ("1.0", at(0)))?;
        webhook::claim(tx, node, at(now), 100)
    });
    write.await.expect("claimed")
}

fn lease(row: &Webhook) -> Lease {
    Lease {
        key: row.key,
        owner: row.owner.expect("an owner"),
        fence: row.fence,
    }
}

async fn move_cursor(db: &Db, lease: Lease, cursor: i64) -> bool {
    db.write(workspace(1), move |tx| {
        webhook::move_cursor(tx, &lease, cursor)
    })
    .await
    .expect("tried")
}

#[tokio::test]
async fn a_new_hook_starts_after_the_events_of_its_own_transaction() {
    let store = TestStore::open();
    prepare(&store.db, 1).await;
    let row = store
        .db
        .read(|conn| webhook::find(conn, key(0)))
        .await
        .expect("a look")
        .expect("the hook");
    assert_eq!(row.cursor, 1);
}

#[tokio::test]
async fn a_dead_node_loses_its_hooks_and_cannot_move_their_cursors() {
    let store = TestStore::open();
    prepare(&store.db, 3).await;
    let first = claim(&store.db, ONE, 10).await;
    assert_eq!(first.len(), 3);
    assert!(
        claim(&store.db, TWO, 14).await.is_empty(),
        "the first is alive until 15"
    );
    assert!(move_cursor(&store.db, lease(&first[0]), 7).await);

    let second = claim(&store.db, TWO, 16).await;
    assert_eq!(second.len(), 3);
    let same = second
        .iter()
        .find(|row| row.key == first[0].key)
        .expect("the same hook");
    assert_eq!(same.cursor, 7, "it goes on where the first has got to");
    assert!(
        !move_cursor(&store.db, lease(&first[0]), 9).await,
        "the first has lost it"
    );
    assert!(move_cursor(&store.db, lease(same), 9).await);

    let known = store
        .db
        .write(workspace(0), |tx| {
            webhook::renew_node(tx, ONE, at(30), "", ("1.0", at(0)))
        })
        .await
        .expect("kept");
    assert!(!known, "the first node learns that its lease had expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_never_claim_the_same_hook() {
    let store = TestStore::open();
    prepare(&store.db, 40).await;
    let other = store.second_node().unwrap_or_else(|| store.db.clone());
    let small = |db: Db, node: Uuid| async move {
        let mut mine = Vec::new();
        loop {
            let claimed = db.write(workspace(0), move |tx| {
                webhook::renew_node(tx, node, at(15), "", ("1.0", at(0)))?;
                webhook::claim(tx, node, at(10), 3)
            });
            let claimed = claimed.await.expect("claimed");
            if claimed.is_empty() {
                return mine;
            }
            mine.extend(claimed.into_iter().map(|row| row.key.id));
        }
    };
    let (one, two) = tokio::join!(small(store.db.clone(), ONE), small(other, TWO));
    let mut all: Vec<_> = one.iter().chain(&two).collect();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), one.len() + two.len()), (40, 40));
}

#[tokio::test]
async fn a_disabled_hook_has_no_owner_and_keeps_its_deferred_events() {
    let store = TestStore::open();
    prepare(&store.db, 1).await;
    let claimed = claim(&store.db, ONE, 10).await;
    let deferred = Deferred {
        lane: Lane::Main,
        seq: 1,
        attempts: 1,
        due_at: at(12),
        in_flight: false,
    };
    let write = store.db.write(workspace(1), move |tx| {
        delivery::defer(tx, key(0), &deferred)
    });
    write.await.expect("deferred");
    let due = store
        .db
        .read(|conn| delivery::due_hooks(conn, ONE, at(12), 10))
        .await
        .expect("a look");
    assert_eq!(due.0, [key(0)]);

    store
        .db
        .write(workspace(1), |tx| {
            webhook::update(tx, &hook(0, false), false)
        })
        .await
        .expect("disabled");
    assert!(!move_cursor(&store.db, lease(&claimed[0]), 5).await);
    assert!(claim(&store.db, ONE, 11).await.is_empty());
    assert_eq!(
        store
            .db
            .read(delivery::queue_depth)
            .await
            .expect("a look")
            .0,
        1,
        "it goes on when the hook does"
    );

    let revive = store.db.write(workspace(1), |tx| {
        append_event(tx, workspace(1), "while it slept");
        webhook::update(tx, &hook(0, true), true)
    });
    revive.await.expect("revived");
    let claimed = claim(&store.db, ONE, 12).await;
    assert_eq!(
        claimed.iter().map(|row| row.cursor).collect::<Vec<_>>(),
        [2],
        "from the log's end"
    );
}

/// Defers events for a hook, those with even numbers on the replay lane.
async fn defer(db: &Db, seqs: std::ops::Range<i64>, due_at: i64) {
    let write = db.write(workspace(1), move |tx| {
        for seq in seqs.clone() {
            let deferred = Deferred {
                lane: [Lane::Replay, Lane::Main][usize::from(seq % 2 == 1)],
                seq,
                attempts: 1,
                due_at: at(due_at),
                in_flight: false,
            };
            delivery::defer(tx, key(0), &deferred)?;
        }
        for _ in seqs.clone() {
            append_event(tx, workspace(1), "deferred");
        }
        Ok::<_, Error>(())
    });
    write.await.expect("deferred");
}

async fn depth(db: &Db) -> i64 {
    db.read(delivery::queue_depth).await.expect("a look").0
}

async fn jobs(db: &Db) -> Vec<job::Job> {
    let list = db.read(|conn| job::list(conn, None, 10));
    list.await.expect("a look")
}

/// Runs the next batch of a job.
async fn run_batch(db: &Db, this: job::Job) {
    let write = db.write(workspace(1), move |tx| {
        let Some(this) = job::find_for_update(tx, &this)? else {
            return Ok(());
        };
        let last = delivery::run_batch(tx, &this)?;
        job::advance(tx, &this, last.as_deref())
    });
    write.await.expect("a step");
}

#[tokio::test]
async fn a_hook_inherits_nothing_of_a_removed_one_with_its_key() {
    let store = TestStore::open();
    prepare(&store.db, 1).await;
    let old = lease(&claim(&store.db, ONE, 10).await[0]);
    defer(&store.db, 1..350, 12).await;
    let delete = store.db.write(workspace(1), |tx| {
        append_event(tx, workspace(1), "it goes");
        webhook::delete(tx, key(0))
    });
    delete.await.expect("deleted");
    let left = jobs(&store.db).await;
    assert!(left.len() == 1 && depth(&store.db).await > 0);
    let insert = store
        .db
        .write(workspace(1), |tx| webhook::insert(tx, &hook(0, true)));
    insert.await.expect("written");
    assert_eq!(
        (depth(&store.db).await, jobs(&store.db).await.len()),
        (0, 0)
    );
    // The job leaves the new webhook's events alone.
    defer(&store.db, 1..3, 12).await;
    run_batch(&store.db, left[0].clone()).await;
    assert_eq!(depth(&store.db).await, 2);
    let new = lease(&claim(&store.db, ONE, 11).await[0]);
    assert!(!move_cursor(&store.db, old, 5).await);
    assert!(move_cursor(&store.db, new, 400).await);
}

#[tokio::test]
async fn an_event_that_is_deferred_anew_is_not_made_due_again() {
    let store = TestStore::open();
    prepare(&store.db, 1).await;
    defer(&store.db, 1..350, 100).await;
    let make_due = store
        .db
        .write(workspace(1), |tx| delivery::make_due(tx, key(0), at(20)));
    make_due.await.expect("begun");
    // The first one has failed again meanwhile.
    defer(&store.db, 1..2, 200).await;
    for _ in 0..10 {
        for job in jobs(&store.db).await {
            run_batch(&store.db, job).await;
        }
    }
    assert_eq!(jobs(&store.db).await.len(), 0);
    let due = store
        .db
        .read(|conn| delivery::list_due(conn, key(0), at(20), 1000));
    assert_eq!(due.await.expect("a look").len(), 348);
}

#[tokio::test]
async fn events_in_flight_are_due_for_the_next_owner() {
    let store = TestStore::open();
    prepare(&store.db, 1).await;
    claim(&store.db, ONE, 10).await;
    let in_flight = Deferred {
        lane: Lane::Main,
        seq: 1,
        attempts: 0,
        due_at: at(99),
        in_flight: true,
    };
    let write = store.db.write(workspace(1), move |tx| {
        delivery::defer(tx, key(0), &in_flight)
    });
    write.await.expect("deferred");
    let due = |now| {
        store
            .db
            .read(move |conn| delivery::list_due(conn, key(0), at(now), 10))
    };
    assert!(
        due(1000).await.expect("a look").is_empty(),
        "its owner is still calling"
    );
    store
        .db
        .write(workspace(1), |tx| {
            delivery::requeue_in_flight(tx, key(0), at(20))
        })
        .await
        .expect("landed");
    assert_eq!(due(20).await.expect("a look").len(), 1);
}

#[tokio::test]
async fn a_tick_is_claimed_once() {
    let store = TestStore::open();
    prepare(&store.db, 0).await;
    let ticking = Webhook {
        next_tick: Some(at(60)),
        ..hook(7, true)
    };
    store
        .db
        .write(workspace(1), move |tx| webhook::insert(tx, &ticking))
        .await
        .expect("written");
    assert!(
        claim(&store.db, ONE, 10).await.is_empty(),
        "schedule hooks have no owner"
    );
    let listed = |now| {
        store
            .db
            .read(move |conn| webhook::list_ticking(conn, at(now), 10, &[]))
    };
    assert!(listed(59).await.expect("a look").is_empty());
    assert_eq!(listed(60).await.expect("a look").len(), 1);
    let take = || {
        store.db.write(workspace(1), |tx| {
            webhook::claim_tick(tx, key(7), at(60), at(80))
        })
    };
    assert!(take().await.expect("tried"));
    assert!(!take().await.expect("tried"));
    assert_eq!(
        store.db.read(webhook::next_tick).await.expect("a look"),
        Some(at(80))
    );
}
