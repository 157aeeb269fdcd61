//! Workspaces take turns in every queue, and held items are left out.

use std::collections::HashMap;

use prichal_core::{
    id::{EntityId, RunId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    bulk::{self, Capacity, Element},
    quarantine::{self, Filter, Interrupted, Item, Kind, MAX_DEATHS},
    run::{self, Lane, Run, State},
    signature::{self, Check, Signature},
};
use uuid::Uuid;

use crate::test_store::{TestStore, at, workspace};

const NODE: Uuid = Uuid::from_u128(77);

fn element(of: WorkspaceId, n: u128) -> Element {
    Element {
        workspace: of,
        id: Uuid::from_u128(n),
        path: "x".to_owned(),
        caller: "{}".to_owned(),
        data: "{}".to_owned(),
        status: "Created".to_owned(),
        result: None,
        errors: None,
        tries: 0,
        created_on: 1,
        completed_on: None,
    }
}

fn item(kind: Kind, of: WorkspaceId, n: u128) -> Item {
    Item {
        kind,
        workspace: of,
        parent: Uuid::nil(),
        id: Uuid::from_u128(n),
        seq: 0,
    }
}

/// Queues elements with these numbers.
async fn queue(store: &TestStore, of: WorkspaceId, numbers: std::ops::Range<u128>) {
    let insert = move |tx: &mut Tx<'_>| {
        numbers
            .clone()
            .for_each(|n| bulk::insert(tx, &element(of, n)));
        Ok::<_, prichal_store::Error>(())
    };
    store.db.write(of, insert).await.expect("written");
}

async fn claim(store: &TestStore, capacity: &Capacity) -> bulk::Claimed {
    let capacity = capacity.clone();
    let claim = move |tx: &mut Tx<'_>| bulk::claim(tx, NODE, 1, "InProcessing", &capacity);
    store.db.write(workspace(0), claim).await.expect("claimed")
}

fn counts(claimed: &bulk::Claimed) -> Vec<usize> {
    let of = |n| {
        claimed
            .elements
            .iter()
            .filter(|one| one.workspace == workspace(n))
            .count()
    };
    vec![of(1), of(2), of(3)]
}

fn capacity(free: i64) -> Capacity {
    Capacity {
        free,
        max_per_workspace: 80,
        in_progress: HashMap::new(),
        after: workspace(0),
        over: Vec::new(),
    }
}

/// Workspaces over their limit keep nobody's turn, though they are more than one claim reads.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_have_written_too_much_are_passed_over() {
    let store = TestStore::open();
    for n in 1..=41 {
        queue(&store, workspace(n), n * 10..n * 10 + 3).await;
    }
    let over = (1..=40).map(workspace).collect();
    let capacity = Capacity {
        over,
        ..capacity(32)
    };
    let claimed = claim(&store, &capacity).await;
    let of: Vec<WorkspaceId> = claimed.elements.iter().map(|one| one.workspace).collect();
    assert_eq!((of, claimed.more), (vec![workspace(41); 3], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_element_does_not_wait_behind_thousands_of_another_company() {
    let store = TestStore::open();
    queue(&store, workspace(1), 1..3000).await;
    queue(&store, workspace(2), 5000..5001).await;
    let mut capacity = capacity(100);
    let first = claim(&store, &capacity).await;
    assert_eq!((counts(&first), first.more), (vec![50, 1, 0], true));
    // The rest of the room goes to workspaces below their share.
    capacity.free = 49;
    capacity.in_progress = HashMap::from([(workspace(1), 41), (workspace(2), 1)]);
    capacity.after = first.last.expect("a turn");
    assert_eq!(
        counts(&claim(&store, &capacity).await),
        [0, 0, 0],
        "more than half a share is in progress"
    );
    queue(&store, workspace(3), 6000..6100).await;
    assert_eq!(
        counts(&claim(&store, &capacity).await),
        [0, 0, 49],
        "a workspace that came late"
    );
    capacity.in_progress = HashMap::from([(workspace(1), 40)]);
    let next = claim(&store, &capacity).await;
    assert_eq!((counts(&next), next.more), (vec![24, 0, 24], true));
    let ids: Vec<u128> = next.elements.iter().map(|one| one.id.as_u128()).collect();
    assert!(
        ids.contains(&51) && ids.contains(&6049),
        "the oldest of each"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_workspace_gets_a_turn() {
    let store = TestStore::open();
    for n in 1..=100 {
        queue(&store, workspace(n), n * 10..n * 10 + 3).await;
    }
    let (mut capacity, mut seen) = (capacity(32), HashMap::<WorkspaceId, usize>::new());
    for round in 1..=4 {
        let claimed = claim(&store, &capacity).await;
        assert_eq!(claimed.elements.len(), 32, "{round}");
        for one in &claimed.elements {
            *seen.entry(one.workspace).or_default() += 1;
        }
        capacity.after = claimed.last.expect("a turn");
    }
    assert!(
        seen.len() == 100 && seen.values().all(|turns| *turns < 3),
        "{seen:?}"
    );
}

/// An item that its process died of alone.
fn interrupted(item: Item) -> Interrupted {
    Interrupted {
        item,
        was_alone: true,
    }
}

async fn hold(store: &TestStore, item: Item) {
    for n in 0..MAX_DEATHS {
        let count = move |tx: &mut Tx<'_>| {
            quarantine::count_death(tx, interrupted(item), Uuid::new_v4(), at(n))
        };
        let counted = store
            .db
            .write(item.workspace, count)
            .await
            .expect("counted");
        let counted = counted.expect("it is the first time");
        assert_eq!(
            (counted.deaths, counted.held_at.is_some()),
            (n + 1, n + 1 == MAX_DEATHS)
        );
    }
}

/// One that was beside others at each death is never held; alone at one more, it is.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_death_alone_holds_an_item() {
    let store = TestStore::open();
    let one = item(Kind::Run, workspace(1), 1);
    for n in 1..=10 {
        let was_alone = n < MAX_DEATHS || n == 10;
        let count = move |tx: &mut Tx<'_>| {
            let interrupted = Interrupted {
                item: one,
                was_alone,
            };
            quarantine::count_death(tx, interrupted, Uuid::new_v4(), at(n))
        };
        let counted = store.db.write(workspace(1), count).await.expect("counted");
        let counted = counted.expect("it is the first time");
        assert_eq!((counted.deaths, counted.is_held_now()), (n, n == 10));
    }
    let held = store.db.read(move |conn| quarantine::is_held(conn, one));
    assert!(held.await.expect("read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_death_counts_once_and_a_survivor_is_cleared() {
    let store = TestStore::open();
    let (one, other) = (
        item(Kind::Run, workspace(1), 1),
        item(Kind::Run, workspace(2), 1),
    );
    let process = Uuid::from_u128(5);
    for first in [true, false] {
        let count =
            move |tx: &mut Tx<'_>| quarantine::count_death(tx, interrupted(one), process, at(1));
        let counted = store.db.write(workspace(1), count).await.expect("counted");
        assert_eq!(counted.is_some(), first);
    }
    hold(&store, other).await;
    let survived = move |tx: &mut Tx<'_>| {
        quarantine::clear(tx, one)?;
        quarantine::clear(tx, other)
    };
    store
        .db
        .write(workspace(1), survived)
        .await
        .expect("written");
    let all = store.db.read(quarantine::all).await.expect("read");
    assert_eq!(all.iter().map(|one| one.item).collect::<Vec<_>>(), [other]);
    let list = |filter| {
        store
            .db
            .read(move |conn| quarantine::list(conn, filter, 10))
    };
    let here = Filter {
        workspace: Some(workspace(2)),
        kind: Some(Kind::Run),
        before: None,
    };
    let found = list(here).await.expect("read");
    assert_eq!(found.len(), 1);
    let before = Some(found[0].id);
    assert_eq!(
        list(Filter { before, ..here }).await.expect("read").len(),
        0
    );
    let kind = Some(Kind::Bulk);
    assert_eq!(list(Filter { kind, ..here }).await.expect("read").len(), 0);
    assert_eq!(
        store.db.read(quarantine::count_held).await.expect("read"),
        1
    );
}

fn run_of(lane: Lane, n: u128) -> Run {
    Run {
        id: RunId(Uuid::from_u128(n)),
        lane,
        channel: None,
        kind: run::Kind::Start,
        code: String::new(),
        request: None,
        state: State::queued(at(1)),
    }
}

/// A signature that is due for another check.
pub(crate) fn signature(of: WorkspaceId, n: u128, due_at: Timestamp) -> Signature {
    Signature {
        document: Uuid::from_u128(n),
        id: Uuid::from_u128(n),
        company: of,
        bin: "1".to_owned(),
        employee: UserId(Uuid::from_u128(1)),
        iin: None,
        blob: Uuid::from_u128(1),
        attached: false,
        signed_on: at(1),
        check: Check {
            verdict: "TOTAL_PASSED".to_owned(),
            report: "{}".to_owned(),
            brief: None,
            checks: 1,
            due_at: Some(due_at),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn companies_take_turns_and_held_signatures_are_not_due() {
    let store = TestStore::open();
    let insert = move |tx: &mut Tx<'_>| {
        for n in 1..=50_i64 {
            signature::insert(
                tx,
                &signature(workspace(1), u128::from(n.unsigned_abs()), at(n)),
            )?;
        }
        signature::insert(tx, &signature(workspace(2), 100, at(60)))
    };
    store.db.write(workspace(1), insert).await.expect("written");
    hold(&store, item(Kind::Recheck, workspace(1), 1)).await;
    let due = store
        .db
        .read(|conn| signature::list_due(conn, at(90), 16, 4))
        .await;
    let mut due: Vec<u128> = due
        .expect("read")
        .iter()
        .map(|one| one.id.as_u128())
        .collect();
    due.sort_unstable();
    assert_eq!(due, [2, 3, 4, 5, 100]);
    assert_eq!(
        store.db.read(signature::next_due).await.expect("read"),
        Some(at(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_listed_page_by_page_without_held_runs() {
    let store = TestStore::open();
    let lane = |n: u128| Lane {
        workspace: workspace(n),
        id: EntityId(Uuid::from_u128(1)),
    };
    let insert = move |tx: &mut Tx<'_>| {
        for n in 1..=5 {
            run::insert(tx, &run_of(lane(n), n), None);
        }
        run::insert(tx, &run_of(lane(2), 20), None);
        Ok::<_, prichal_store::Error>(())
    };
    store.db.write(workspace(1), insert).await.expect("written");
    hold(&store, item(Kind::Run, workspace(1), 1)).await;
    hold(&store, item(Kind::Run, workspace(2), 2)).await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let read = move |conn: &mut prichal_store::Conn| run::lanes(conn, NODE, at(9), after, 2);
        let page = store.db.read(read).await.expect("read");
        found.extend(page.iter().map(|(lane, _)| *lane));
        after = page.last().map(|(lane, _)| *lane);
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(found, [lane(2), lane(3), lane(4), lane(5)]);
    let claim = move |tx: &mut Tx<'_>| run::claim(tx, NODE, at(9), lane(2), 10);
    let claimed = store.db.write(workspace(2), claim).await.expect("claimed");
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id.0, Uuid::from_u128(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn written_bytes_are_counted_per_workspace() {
    let store = TestStore::open();
    let long = Element {
        data: "x".repeat(5 << 20),
        ..element(workspace(1), 1)
    };
    let mut writes = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (db, long) = (store.db.clone(), long.clone());
        writes.spawn(async move {
            let element = Element {
                id: Uuid::from_u128(n),
                ..long
            };
            let insert = move |tx: &mut Tx<'_>| {
                bulk::insert(tx, &element);
                Ok::<_, prichal_store::Error>(())
            };
            db.write(workspace(1), insert).await
        });
    }
    let ended = writes.join_all().await;
    assert!(
        ended.iter().all(Result::is_ok),
        "a long batch is several transactions"
    );
    queue(&store, workspace(2), 50..51).await;
    let written = store.db.bytes_written(workspace(1));
    assert!((40 << 20..41 << 20).contains(&written), "{written}");
    assert!((1..1000).contains(&store.db.bytes_written(workspace(2))));
    assert_eq!(store.db.bytes_written(workspace(3)), 0);
}
