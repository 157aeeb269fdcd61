//! Group commit: the effect of a write on the others of its batch.

use std::{
    sync::{Arc, Mutex},
    task::Poll,
};

use prichal_core::id::TokenId;
use prichal_store::{
    Conn, Error, Tx, event,
    idempotency::{self, FirstAnswer},
    token::{self, Role, Token},
    workspace::{self as workspaces, Workspace},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::test_store::{TestStore, append_event, at, workspace};

fn named(n: u128, name: &str) -> Workspace {
    Workspace {
        id: workspace(n),
        name: name.to_owned(),
        title: None,
        bin: None,
        company_name: None,
        created_at: at(1),
        updated_at: at(1),
    }
}

fn token(n: u128) -> Token {
    Token {
        id: TokenId(Uuid::from_u128(n)),
        workspace: workspace(1),
        name: format!("token {n}"),
        role: Role::Admin,
        user: None,
        integrations: Vec::new(),
        session: None,
        expires_at: None,
        created_at: at(1),
        used_at: None,
        used_from: None,
    }
}

/// Tokens with the same hash violate a constraint of the database after the transaction has changed something. That
/// is the hardest way to fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_affects_no_other() {
    let store = TestStore::open();
    let mut writes = JoinSet::new();
    for n in 0..200_u128 {
        let db = store.db.clone();
        writes.spawn(async move {
            let hash = if n % 10 == 0 {
                "same".to_owned()
            } else {
                n.to_string()
            };
            let write = db.write(workspace(1), move |tx| {
                append_event(tx, workspace(1), "before");
                token::insert(tx, &token(n), &hash)
            });
            (n, write.await)
        });
    }
    let outcomes = writes.join_all().await;
    let same = outcomes
        .iter()
        .filter(|(n, done)| n % 10 == 0 && done.is_ok())
        .count();
    assert_eq!(same, 1, "one of those with the same hash");
    assert!(
        outcomes.iter().all(|(n, done)| n % 10 == 0 || done.is_ok()),
        "all the others"
    );
    let (count, _) = store
        .db
        .read(|conn| token::list(conn, workspace(1), 0, 1000))
        .await
        .expect("a list");
    assert_eq!(count, 181);
    let last = store
        .db
        .read(|conn| event::last(conn, workspace(1)))
        .await
        .expect("the last number");
    assert_eq!(
        last, 181,
        "an event for each write that was committed, and for no other"
    );
}

/// Runs writes as one batch: they are queued while another write is under way. Returns their outcomes and the number of
/// writes of each commit after that.
async fn in_one_batch(
    store: &TestStore,
    count: usize,
    work: impl Fn(usize, &mut Tx<'_>) -> Result<(), Error> + Clone + Send + 'static,
) -> (Vec<Result<(), Error>>, Vec<usize>) {
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (go_on, is_over) = std::sync::mpsc::channel::<()>();
    let is_over = Mutex::new(is_over);
    let db = store.db.clone();
    let mut first = JoinSet::new();
    first.spawn(async move {
        let hold = move |_: &mut Tx<'_>| {
            let _ = begun.send(());
            let _ = is_over.lock().expect("no test panics here").recv();
            Ok::<_, Error>(())
        };
        db.write(workspace(1), hold).await
    });
    has_begun.recv().expect("the first write runs");
    let mut writes = Vec::new();
    for n in 0..count {
        let work = work.clone();
        let write = store.db.write(workspace(1), move |tx| work(n, tx));
        let mut write = Box::pin(write);
        // The first poll queues it.
        let polled = std::future::poll_fn(|context| Poll::Ready(write.as_mut().poll(context)));
        assert!(polled.await.is_pending());
        writes.push(write);
    }
    go_on.send(()).expect("the first write waits");
    for outcome in first.join_all().await {
        outcome.expect("a write");
    }
    let mut outcomes = Vec::with_capacity(count);
    for write in writes {
        outcomes.push(write.await);
    }
    let batches = store.batches.lock().expect("no test panics here").clone();
    (outcomes, batches[1..].to_vec())
}

/// A refused write that has changed something costs the others of its batch no commit of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_write_leaves_the_others_in_one_commit() {
    let store = TestStore::open();
    let work = |n: usize, tx: &mut Tx<'_>| {
        append_event(tx, workspace(1), "mark");
        token::insert(tx, &token(n as u128), &n.to_string())?;
        if n % 50 == 7 {
            Err(Error::Busy)
        } else {
            Ok(())
        }
    };
    let (outcomes, batches) = in_one_batch(&store, 128, work).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        let is_refused = matches!(outcome, Err(Error::Busy));
        assert_eq!((is_refused, outcome.is_ok()), (n % 50 == 7, n % 50 != 7));
    }
    assert_eq!(batches, [128]);
    let tokens = |conn: &mut Conn| token::list(conn, workspace(1), 0, 1000);
    let (count, _) = store.db.read(tokens).await.expect("a list");
    let last = |conn: &mut Conn| event::last(conn, workspace(1));
    let last = store.db.read(last).await.expect("the last number");
    assert_eq!((count, last), (125, 125));
}

/// The same for a write that fails by a statement: it runs once more by itself, the others do not.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_statement_leaves_the_others_in_one_commit() {
    let store = TestStore::open();
    let work = |n: usize, tx: &mut Tx<'_>| {
        append_event(tx, workspace(1), "mark");
        let hash = if n == 9 {
            "8".to_owned()
        } else {
            n.to_string()
        };
        token::insert(tx, &token(n as u128), &hash)
    };
    let (outcomes, batches) = in_one_batch(&store, 20, work).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.is_ok(), n != 9, "{n}: {outcome:?}");
    }
    assert_eq!(batches, [19]);
    let last = |conn: &mut Conn| event::last(conn, workspace(1));
    assert_eq!(store.db.read(last).await.expect("the last number"), 19);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_write_fails_alone() {
    let store = TestStore::open();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let mut writes = JoinSet::new();
    for n in 0..50_u128 {
        let db = store.db.clone();
        writes.spawn(async move {
            let write = db.write(workspace(1), move |tx| {
                append_event(tx, workspace(1), "before");
                assert!(n != 25, "this one panics");
                Ok::<_, Error>(())
            });
            (n, write.await)
        });
    }
    let outcomes = writes.join_all().await;
    std::panic::set_hook(hook);
    assert!(outcomes.iter().all(|(n, done)| done.is_ok() == (*n != 25)));
    let last = store
        .db
        .read(|conn| event::last(conn, workspace(1)))
        .await
        .expect("the last number");
    assert_eq!(last, 49);
}

/// A panic outside of the writes, here in `on_commit`, does not stop the writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_outside_of_the_writes_does_not_stop_the_writer() {
    let store = TestStore::open();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    store.committed.clear_poison();
    let committed = store.committed.clone();
    let poisoned = std::thread::spawn(move || {
        let _told = committed.lock();
        panic!("on_commit panics from now on");
    });
    assert!(poisoned.join().is_err());
    let write = |name: &'static str| {
        store.db.write(workspace(1), move |tx| {
            append_event(tx, workspace(1), name);
            Ok::<_, Error>(())
        })
    };
    assert!(write("first").await.is_err(), "its caller gets the error");
    store.committed.clear_poison();
    assert!(write("second").await.is_ok());
    std::panic::set_hook(hook);
}

/// The actions of committed writes have run when their callers are answered. Those of rolled-back writes never run.
#[tokio::test(flavor = "multi_thread")]
async fn actions_run_after_the_commit_of_their_write_alone() {
    let store = TestStore::open();
    let done: Arc<Mutex<Vec<u128>>> = Arc::default();
    let mut writes = JoinSet::new();
    for n in 0..60_u128 {
        let (db, done) = (store.db.clone(), done.clone());
        writes.spawn(async move {
            let noted = done.clone();
            let write = db.write(workspace(1), move |tx| {
                let noted = noted.clone();
                tx.after_commit(move || noted.lock().expect("no test panics here").push(n));
                if n % 10 == 0 {
                    Err(Error::Busy)
                } else {
                    Ok(())
                }
            });
            let outcome = write.await;
            let has_run = done.lock().expect("no test panics here").contains(&n);
            assert_eq!((outcome.is_ok(), has_run), (n % 10 != 0, n % 10 != 0));
        });
    }
    writes.join_all().await;
    assert_eq!(done.lock().expect("no test panics here").len(), 54);
}

#[tokio::test]
async fn a_refused_write_changes_nothing() {
    let store = TestStore::open();
    let write = store.db.write(workspace(1), |tx| {
        workspaces::insert(tx, &named(1, "gone"))?;
        append_event(tx, workspace(1), "gone");
        Err::<(), _>(Error::Busy)
    });
    assert!(matches!(write.await, Err(Error::Busy)));
    let found = store
        .db
        .read(|conn| workspaces::find(conn, "gone"))
        .await
        .expect("a look");
    assert!(found.is_none());
    assert_eq!(
        store
            .db
            .read(|conn| event::last(conn, workspace(1)))
            .await
            .expect("a look"),
        0
    );
}

#[tokio::test]
async fn a_name_is_free_again_after_its_workspace_was_deleted() {
    let store = TestStore::open();
    let insert = |n: u128| {
        store.db.write(workspace(n), move |tx| {
            workspaces::insert(tx, &named(n, "acme"))
        })
    };
    assert!(insert(1).await.expect("written"));
    assert!(!insert(2).await.expect("written"), "taken");
    store
        .db
        .write(workspace(1), |tx| {
            workspaces::delete(tx, workspace(1), at(2))
        })
        .await
        .expect("deleted");
    assert!(insert(3).await.expect("written"));
}

/// In a batch, a first answer under a key is assumed to be the first, and the assumption is checked before the
/// commit. Each write gets the true answer, and its result matches the stored rows.
#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_of_many_concurrent_first_answers_is_kept() {
    let store = TestStore::open();
    for key in ["a", "b", "c"] {
        let mut writes = JoinSet::new();
        for n in 0..60 {
            let db = store.db.clone();
            let first = FirstAnswer {
                request_hash: n.to_string(),
                status: 200,
                answer: n.to_string(),
            };
            writes.spawn(async move {
                let write = db.write(workspace(n % 5), move |tx| {
                    let (path, now) = ("/x", at(1000));
                    let is_first =
                        idempotency::keep_answer(tx, workspace(9), path, key, &first, now, at(0))?;
                    let mark = if is_first { "first" } else { "late" };
                    append_event(tx, workspace(9), &format!("{key} {mark}"));
                    Ok::<_, Error>(is_first)
                });
                write.await.expect("written")
            });
        }
        let firsts = writes.join_all().await;
        assert_eq!(firsts.iter().filter(|first| **first).count(), 1, "{key}");
    }
    let read = store
        .db
        .read(|conn| event::list(conn, workspace(9), 0, 1000));
    let events = read.await.expect("the log");
    assert_eq!(events.len(), 180);
    let firsts = events.iter().filter(|event| event.body.contains(" first"));
    assert_eq!(firsts.count(), 3);
}
