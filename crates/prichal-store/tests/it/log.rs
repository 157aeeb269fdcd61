//! The log: numbers without gaps, and readers that never miss an event.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use prichal_store::{Db, Error, event};
use tokio::task::JoinSet;

use crate::test_store::{TestStore, append_event, workspace};

const WRITERS: usize = 8;
const WRITES: usize = 40;

async fn write_many(db: Db, workspaces: &[u128], name: &str) {
    let mut writers = JoinSet::new();
    for n in 0..WRITERS {
        let (db, workspace, name) = (
            db.clone(),
            workspace(workspaces[n % workspaces.len()]),
            name.to_owned(),
        );
        writers.spawn(async move {
            for turn in 0..WRITES {
                let mark = format!("{name}-{n}-{turn}");
                // Every third write appends two events, and every fifth is refused.
                let done = db.write(workspace, move |tx| {
                    append_event(tx, workspace, &mark);
                    if turn % 3 == 0 {
                        append_event(tx, workspace, &format!("{mark}-b"));
                    }
                    if turn % 5 == 4 {
                        Err(Error::Busy)
                    } else {
                        Ok(())
                    }
                });
                assert_eq!(done.await.is_err(), turn % 5 == 4);
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.expect("no writer panics");
    }
}

/// Reads pages of three until `done` and the end of the log.
async fn follow(db: Db, n: u128, done: Arc<AtomicBool>) -> Vec<i64> {
    let (mut seen, mut after, mut ending) = (Vec::new(), 0, false);
    loop {
        let page = db
            .read(move |conn| event::list(conn, workspace(n), after, 3))
            .await
            .expect("a page");
        if page.is_empty() && ending {
            return seen;
        }
        for event in page {
            after = event.seq;
            seen.push(event.seq);
        }
        if !ending {
            ending = done.load(Ordering::Acquire);
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_every_event_once_and_in_order() {
    let store = TestStore::open();
    let nodes: Vec<Db> = std::iter::once(store.db.clone())
        .chain(store.second_node())
        .collect();
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for n in [1, 2] {
        let (db, done) = (store.db.clone(), done.clone());
        readers.spawn(async move { (n, follow(db, n, done).await) });
    }
    let mut writing = JoinSet::new();
    for (n, db) in nodes.iter().cloned().enumerate() {
        writing.spawn(async move { write_many(db, &[1, 2, 3], &format!("node{n}")).await });
    }
    while let Some(wrote) = writing.join_next().await {
        wrote.expect("no node panics");
    }
    done.store(true, Ordering::Release);
    for (n, seen) in readers.join_all().await {
        let last = store
            .db
            .read(move |conn| event::last(conn, workspace(n)))
            .await
            .expect("the last number");
        assert!(last > 100, "there was something to read");
        assert_eq!(seen, (1..=last).collect::<Vec<_>>(), "workspace {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_commit_receives_the_events_of_each_log_in_order() {
    let store = TestStore::open();
    write_many(store.db.clone(), &[1, 2], "one").await;
    let committed = store.committed.lock().expect("no panic").clone();
    for n in [1, 2] {
        let seqs: Vec<i64> = committed
            .iter()
            .filter(|(of, _)| *of == workspace(n))
            .map(|(_, seq)| *seq)
            .collect();
        assert_eq!(
            seqs,
            (1..=i64::try_from(seqs.len()).expect("few")).collect::<Vec<_>>()
        );
    }
    let distinct: HashSet<_> = committed.iter().collect();
    assert_eq!(distinct.len(), committed.len());
}

#[tokio::test]
async fn a_page_ends_early_when_its_bodies_are_large() {
    let store = TestStore::open();
    let big = "x".repeat(1 << 20);
    for _ in 0..8 {
        let big = big.clone();
        let write = store.db.write(workspace(1), move |tx| {
            append_event(tx, workspace(1), &big);
            Ok::<_, Error>(())
        });
        write.await.expect("written");
    }
    let page = store
        .db
        .read(|conn| event::list(conn, workspace(1), 0, 1000))
        .await
        .expect("a page");
    assert_eq!(
        page.iter().map(|event| event.seq).collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
}
