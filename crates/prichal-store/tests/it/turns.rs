//! Whose turn it is where the work of many workspaces waits, and what is left out because it is held.

use std::collections::HashMap;

use prichal_core::{
    id::{EntityId, RunId, UserId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{
    Tx,
    bulk::{self, Element, Room},
    quarantine::{self, DEATHS, Filter, Item, Kind, Left},
    run::{self, Lane, Run, State},
    signature::{self, Check, Signature},
};
use uuid::Uuid;

use crate::lab::{Lab, at, workspace};

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

/// Puts elements with these numbers into the queue.
async fn queue(lab: &Lab, of: WorkspaceId, numbers: std::ops::Range<u128>) {
    let insert = move |tx: &mut Tx<'_>| {
        numbers
            .clone()
            .for_each(|n| bulk::insert(tx, &element(of, n)));
        Ok::<_, prichal_store::Error>(())
    };
    lab.db.write(of, insert).await.expect("written");
}

async fn claim(lab: &Lab, room: &Room) -> bulk::Claimed {
    let room = room.clone();
    let claim = move |tx: &mut Tx<'_>| bulk::claim(tx, NODE, 1, "InProcessing", &room);
    lab.db.write(workspace(0), claim).await.expect("claimed")
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

fn room(all: i64) -> Room {
    Room {
        all,
        share: 80,
        under_way: HashMap::new(),
        after: workspace(0),
        over: Vec::new(),
    }
}

/// Those that get no turn keep nobody's, though there are more of them than a claim looks at.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_have_written_too_much_are_passed_over() {
    let lab = Lab::open();
    for n in 1..=41 {
        queue(&lab, workspace(n), n * 10..n * 10 + 3).await;
    }
    let over = (1..=40).map(workspace).collect();
    let room = Room { over, ..room(32) };
    let claimed = claim(&lab, &room).await;
    let of: Vec<WorkspaceId> = claimed.elements.iter().map(|one| one.workspace).collect();
    assert_eq!((of, claimed.more), (vec![workspace(41); 3], false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_element_does_not_wait_for_a_company_with_thousands() {
    let lab = Lab::open();
    queue(&lab, workspace(1), 1..3000).await;
    queue(&lab, workspace(2), 5000..5001).await;
    let mut room = room(100);
    let first = claim(&lab, &room).await;
    assert_eq!((counts(&first), first.more), (vec![50, 1, 0], true));
    // What is left of the room is for whoever has not his share yet.
    room.all = 49;
    room.under_way = HashMap::from([(workspace(1), 41), (workspace(2), 1)]);
    room.after = first.last.expect("a turn");
    assert_eq!(
        counts(&claim(&lab, &room).await),
        [0, 0, 0],
        "more than half a share is under way"
    );
    queue(&lab, workspace(3), 6000..6100).await;
    assert_eq!(
        counts(&claim(&lab, &room).await),
        [0, 0, 49],
        "one that has come late"
    );
    room.under_way = HashMap::from([(workspace(1), 40)]);
    let next = claim(&lab, &room).await;
    assert_eq!((counts(&next), next.more), (vec![24, 0, 24], true));
    let ids: Vec<u128> = next.elements.iter().map(|one| one.id.as_u128()).collect();
    assert!(
        ids.contains(&51) && ids.contains(&6049),
        "the oldest of each"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_has_a_turn_though_there_are_many() {
    let lab = Lab::open();
    for n in 1..=100 {
        queue(&lab, workspace(n), n * 10..n * 10 + 3).await;
    }
    let (mut room, mut seen) = (room(32), HashMap::<WorkspaceId, usize>::new());
    for round in 1..=4 {
        let claimed = claim(&lab, &room).await;
        assert_eq!(claimed.elements.len(), 32, "{round}");
        for one in &claimed.elements {
            *seen.entry(one.workspace).or_default() += 1;
        }
        room.after = claimed.last.expect("a turn");
    }
    assert!(
        seen.len() == 100 && seen.values().all(|turns| *turns < 3),
        "{seen:?}"
    );
}

/// An item that its process died of alone.
fn left(item: Item) -> Left {
    Left {
        item,
        was_alone: true,
    }
}

async fn hold(lab: &Lab, item: Item) {
    for n in 0..DEATHS {
        let count = move |tx: &mut Tx<'_>| quarantine::count(tx, left(item), Uuid::new_v4(), at(n));
        let counted = lab.db.write(item.workspace, count).await.expect("counted");
        let counted = counted.expect("it is the first time");
        assert_eq!(
            (counted.deaths, counted.held_at.is_some()),
            (n + 1, n + 1 == DEATHS)
        );
    }
}

/// One that was beside others at each death is never held; alone at one more, it is.
#[tokio::test(flavor = "multi_thread")]
async fn only_a_death_alone_holds_an_item() {
    let lab = Lab::open();
    let one = item(Kind::Run, workspace(1), 1);
    for n in 1..=10 {
        let was_alone = n < DEATHS || n == 10;
        let count = move |tx: &mut Tx<'_>| {
            let left = Left {
                item: one,
                was_alone,
            };
            quarantine::count(tx, left, Uuid::new_v4(), at(n))
        };
        let counted = lab.db.write(workspace(1), count).await.expect("counted");
        let counted = counted.expect("it is the first time");
        assert_eq!((counted.deaths, counted.is_held_now()), (n, n == 10));
    }
    let held = lab.db.read(move |conn| quarantine::is_held(conn, one));
    assert!(held.await.expect("read"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_death_counts_once_and_what_survives_is_forgotten() {
    let lab = Lab::open();
    let (one, other) = (
        item(Kind::Run, workspace(1), 1),
        item(Kind::Run, workspace(2), 1),
    );
    let process = Uuid::from_u128(5);
    for first in [true, false] {
        let count = move |tx: &mut Tx<'_>| quarantine::count(tx, left(one), process, at(1));
        let counted = lab.db.write(workspace(1), count).await.expect("counted");
        assert_eq!(counted.is_some(), first);
    }
    hold(&lab, other).await;
    let survived = move |tx: &mut Tx<'_>| {
        quarantine::survived(tx, one)?;
        quarantine::survived(tx, other)
    };
    lab.db.write(workspace(1), survived).await.expect("written");
    let all = lab.db.read(quarantine::all).await.expect("read");
    assert_eq!(all.iter().map(|one| one.item).collect::<Vec<_>>(), [other]);
    let list = |filter| lab.db.read(move |conn| quarantine::list(conn, filter, 10));
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
    assert_eq!(lab.db.read(quarantine::count_held).await.expect("read"), 1);
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

fn signature(of: WorkspaceId, n: u128, due_at: Timestamp) -> Signature {
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
            checks: 1,
            due_at: Some(due_at),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_are_checked_by_turns_and_not_while_they_are_held() {
    let lab = Lab::open();
    let insert = move |tx: &mut Tx<'_>| {
        for n in 1..=50_i64 {
            signature::insert(
                tx,
                &signature(workspace(1), u128::from(n.unsigned_abs()), at(n)),
            )?;
        }
        signature::insert(tx, &signature(workspace(2), 100, at(60)))
    };
    lab.db.write(workspace(1), insert).await.expect("written");
    hold(&lab, item(Kind::Recheck, workspace(1), 1)).await;
    let due = lab
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
        lab.db.read(signature::next_due).await.expect("read"),
        Some(at(2))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_found_page_by_page_and_held_runs_are_not() {
    let lab = Lab::open();
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
    lab.db.write(workspace(1), insert).await.expect("written");
    hold(&lab, item(Kind::Run, workspace(1), 1)).await;
    hold(&lab, item(Kind::Run, workspace(2), 2)).await;
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let read = move |conn: &mut prichal_store::Conn| run::lanes(conn, NODE, at(9), after, 2);
        let page = lab.db.read(read).await.expect("read");
        found.extend(page.iter().map(|(lane, _)| *lane));
        after = page.last().map(|(lane, _)| *lane);
        if page.len() < 2 {
            break;
        }
    }
    assert_eq!(found, [lane(2), lane(3), lane(4), lane(5)]);
    let claim = move |tx: &mut Tx<'_>| run::claim(tx, NODE, at(9), lane(2), 10);
    let claimed = lab.db.write(workspace(2), claim).await.expect("claimed");
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].id.0, Uuid::from_u128(20));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_counted_for_each_workspace() {
    let lab = Lab::open();
    let long = Element {
        data: "x".repeat(5 << 20),
        ..element(workspace(1), 1)
    };
    let mut writes = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (db, long) = (lab.db.clone(), long.clone());
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
    queue(&lab, workspace(2), 50..51).await;
    let written = lab.db.bytes_written(workspace(1));
    assert!((40 << 20..41 << 20).contains(&written), "{written}");
    assert!((1..1000).contains(&lab.db.bytes_written(workspace(2))));
    assert_eq!(lab.db.bytes_written(workspace(3)), 0);
}
