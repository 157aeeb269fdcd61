//! The delivery log: bounded searches, and the removal of its oldest part.

use prichal_core::{
    event::{ChangeType, Entities, EntityKind, EventHead, EventType},
    id::{EventId, IntegrationId, WebhookId, generate},
};
use prichal_store::{
    Db, Error, Tx,
    delivery::{
        self, Attempt, Deferred, Exchange, Lane, dead_letter,
        log::{self, Filter},
    },
    usage,
    webhook::Key,
};
use uuid::Uuid;

use crate::test_store::{TestStore, at, workspace};

const HOOK: u128 = 5;

fn integration() -> IntegrationId {
    IntegrationId(Uuid::from_u128(9))
}

/// A call for event `seq`, about an entity with that number.
fn call(seq: i64, status: &'static str) -> Attempt {
    let now = at(1_700_000_000 + seq);
    let entity = (
        EntityKind::Company,
        Uuid::from_u128(u128::from(seq.unsigned_abs())),
    );
    Attempt {
        id: generate(now),
        webhook: WebhookId(Uuid::from_u128(HOOK)),
        event: EventId::generate(now),
        seq,
        about: Some(EventHead::new(
            EventType::Change(ChangeType::Create),
            Entities::one(entity),
        )),
        attempt: 1,
        status,
        http_status: Some(if status == "delivered" { 200 } else { 500 }),
        duration_ms: 1,
        error: None,
        answer: Some("0123456789".repeat(10)),
        started_at: now,
        is_replay: false,
        exchange: Exchange::default(),
    }
}

async fn insert(db: &Db, calls: Vec<Attempt>) {
    let write = db.write(workspace(1), move |tx| {
        log::insert(tx, workspace(1), integration(), &calls);
        Ok::<_, Error>(())
    });
    write.await.expect("written");
}

async fn list(db: &Db, filter: Filter, limit: i64, max_rows: usize) -> log::Page {
    db.read(move |conn| log::list(conn, workspace(1), &filter, limit, max_rows))
        .await
        .expect("a page")
}

#[tokio::test]
async fn a_search_for_little_ends_and_goes_on() {
    let store = TestStore::open();
    for some in 0..12 {
        let calls = (1..=100).map(|n| call(some * 100 + n, "deferred"));
        insert(&store.db, calls.collect()).await;
    }
    let mut filter = Filter {
        entity: Some(Uuid::from_u128(7)),
        ..Filter::default()
    };
    let (mut pages, mut found) = (0, Vec::new());
    loop {
        let page = list(&store.db, filter.clone(), 50, 100).await;
        found.extend(page.items.iter().map(|one| one.attempt.seq));
        pages += 1;
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    assert_eq!(found, [7]);
    assert!(
        (4..=13).contains(&pages),
        "{pages} pages of about 100 of 1200 rows"
    );
    for (integration_only, status) in [(false, "deferred"), (true, "deferred"), (true, "exhausted")]
    {
        let filter = Filter {
            integration: integration_only.then(integration),
            status: Some(status.to_owned()),
            ..Filter::default()
        };
        let found = list(&store.db, filter, 5, 100).await.items;
        let seqs: Vec<i64> = found.iter().map(|one| one.attempt.seq).collect();
        let expected: &[i64] = if status == "deferred" {
            &[1200, 1199, 1198, 1197, 1196]
        } else {
            &[]
        };
        assert_eq!(seqs, expected, "{integration_only} {status}");
    }
}

#[tokio::test]
async fn calls_of_one_write_are_found_one_by_one() {
    let store = TestStore::open();
    let statuses = ["delivered", "delivered", "exhausted", "delivered"];
    let calls = (1..=600).map(|n| call(n, statuses[usize::try_from(n).expect("a number") % 4]));
    insert(&store.db, calls.collect()).await;
    let all = list(&store.db, Filter::default(), 1000, usize::MAX).await;
    assert!(all.next.is_none());
    let mut ids: Vec<Uuid> = all.items.iter().map(|one| one.attempt.id).collect();
    assert_eq!(ids.len(), 600);
    assert!(
        ids.is_sorted_by(|one, next| one > next),
        "each id once, newest first"
    );
    let mut seqs: Vec<i64> = all.items.iter().map(|one| one.attempt.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=600).collect::<Vec<_>>());
    ids.truncate(40);
    for (id, one) in ids.into_iter().zip(&all.items) {
        let find = move |conn: &mut prichal_store::Conn| log::find(conn, workspace(1), id);
        let found = store
            .db
            .read(find)
            .await
            .expect("a look")
            .expect("the call");
        assert_eq!(found.attempt.seq, one.attempt.seq);
        let find = move |conn: &mut prichal_store::Conn| log::find(conn, workspace(2), id);
        assert!(
            store.db.read(find).await.expect("a look").is_none(),
            "another workspace"
        );
    }
}

#[tokio::test]
async fn the_oldest_part_goes_by_time_and_by_size() {
    let store = TestStore::open();
    for n in 1..=50 {
        insert(&store.db, vec![call(n, "exhausted")]).await;
    }
    let sizes = |bytes: i64| {
        let db = store.db.clone();
        async move {
            let read = move |conn: &mut prichal_store::Conn| {
                let larger = log::larger_than(conn, bytes, 10)?;
                Ok::<_, Error>((larger, log::start_of_newest(conn, workspace(1), bytes)?))
            };
            db.read(read).await.expect("a look")
        }
    };
    assert_eq!(sizes(1 << 20).await, (Vec::new(), None));
    let (larger, last) = sizes(2000).await;
    assert_eq!(larger, [workspace(1)]);
    let last = last.expect("the end of the oldest part");
    let forget = move |tx: &mut Tx<'_>| log::forget(tx, workspace(1), last, 1000);
    let gone = store.db.write(workspace(1), forget).await.expect("removed");
    let left = list(&store.db, Filter::default(), 100, usize::MAX)
        .await
        .items;
    assert_eq!(left.len(), 50 - usize::try_from(gone).expect("a number"));
    assert!(
        !left.is_empty() && left[0].attempt.seq == 50,
        "the newest stay"
    );
    assert_eq!(sizes(2000).await, (Vec::new(), None));

    let before = at(1_700_000_000 + 50);
    let read = move |conn: &mut prichal_store::Conn| log::with_rows_before(conn, before, 10);
    assert_eq!(store.db.read(read).await.expect("a look"), [workspace(1)]);
    let last = log::last_before(before);
    let forget = move |tx: &mut Tx<'_>| log::forget(tx, workspace(1), last, 1000);
    store.db.write(workspace(1), forget).await.expect("removed");
    let left = list(&store.db, Filter::default(), 100, usize::MAX)
        .await
        .items;
    assert_eq!(left.len(), 1, "the last one is not older");
    assert!(store.db.read(read).await.expect("a look").is_empty());
}

async fn records(db: &Db) -> i64 {
    let find = |conn: &mut prichal_store::Conn| usage::find(conn, workspace(1));
    let found = db.read(find).await.expect("the usage");
    found.used.get(usage::Kind::Records)
}

fn key() -> Key {
    Key {
        workspace: workspace(1),
        integration: integration(),
        id: WebhookId(Uuid::from_u128(HOOK)),
    }
}

#[tokio::test]
async fn dead_letters_count_until_they_are_settled() {
    let store = TestStore::open();
    let note = async |calls: Vec<Attempt>| {
        let write = move |tx: &mut Tx<'_>| dead_letter::note(tx, key(), &calls);
        store.db.write(workspace(1), write).await.expect("noted");
    };
    let replay = |seq| Attempt {
        is_replay: true,
        ..call(seq, "delivered")
    };
    note((1..=100).map(|n| call(n, "exhausted")).collect()).await;
    let all = records(&store.db).await;
    assert!(all >= 100 * 100, "{all}");
    note((1..=100).map(|n| call(n, "exhausted")).collect()).await;
    assert_eq!(records(&store.db).await, all, "given up again");
    note((1..=70).map(replay).collect()).await;
    note(vec![
        replay(71),
        call(71, "exhausted"),
        replay(99),
        call(98, "exhausted"),
        replay(98),
    ])
    .await;
    assert_eq!(records(&store.db).await, all / 100 * 28);
    let page = |conn: &mut prichal_store::Conn| {
        let of_hook = Filter {
            integration: Some(integration()),
            webhook: Some(key().id),
            ..Filter::default()
        };
        dead_letter::list(conn, workspace(1), &of_hook, 100, 100)
    };
    let letters = store.db.read(page).await.expect("a page").items;
    assert_eq!(letters.len(), 28);
    let own = letters[0].id;
    let dismiss = move |tx: &mut Tx<'_>| dead_letter::dismiss(tx, workspace(1), own, None);
    assert!(store.db.write(workspace(1), dismiss).await.expect("gone"));
    let forget = |tx: &mut Tx<'_>| dead_letter::forget(tx, None, at(1_800_000_000), 100);
    let gone = store.db.write(workspace(1), forget).await.expect("gone");
    assert_eq!((gone, records(&store.db).await), (27, 0));
}

#[tokio::test]
async fn deferred_events_count_until_they_are_delivered() {
    let store = TestStore::open();
    let change = async |changes: Vec<(Lane, i64, bool)>| {
        let write = move |tx: &mut Tx<'_>| {
            delivery::count_changes(tx, key(), changes.iter().copied())?;
            for (lane, seq, stays) in &changes {
                if *stays {
                    let deferred = Deferred {
                        lane: *lane,
                        seq: *seq,
                        attempts: 1,
                        due_at: at(1),
                        in_flight: false,
                    };
                    delivery::defer(tx, key(), &deferred)?;
                } else {
                    delivery::complete_deferred(tx, key(), *lane, *seq)?;
                }
            }
            Ok::<_, Error>(())
        };
        store.db.write(workspace(1), write).await.expect("changed");
        records(&store.db).await
    };
    let all = |stays| {
        (1..=150)
            .map(|seq| (Lane::Main, seq, stays))
            .collect::<Vec<_>>()
    };
    assert_eq!(change(all(true)).await, 15_000);
    assert_eq!(change(all(true)).await, 15_000, "deferred again");
    let both = vec![
        (Lane::Main, 1, false),
        (Lane::Replay, 2, true),
        (Lane::Replay, 3, false),
        (Lane::Main, 151, true),
        (Lane::Main, 151, false),
    ];
    assert_eq!(change(both).await, 15_000);
    assert_eq!(change(all(false)).await, 100, "one replay is left");
}
