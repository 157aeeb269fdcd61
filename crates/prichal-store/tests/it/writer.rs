//! Group commit: what happens to neighbours in a batch.

use prichal_core::id::TokenId;
use prichal_store::{
    Error, event,
    idempotency::{self, FirstAnswer},
    token::{self, Role, Token},
    workspace::{self as workspaces, Workspace},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::lab::{Lab, at, happen, workspace};

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
        expires_at: None,
        created_at: at(1),
    }
}

/// Tokens with the same hash collide in the database itself, after the transaction has changed
/// something: the hard way to fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_harms_no_other() {
    let lab = Lab::open();
    let mut writes = JoinSet::new();
    for n in 0..200_u128 {
        let db = lab.db.clone();
        writes.spawn(async move {
            let hash = if n % 10 == 0 {
                "same".to_owned()
            } else {
                n.to_string()
            };
            let write = db.write(workspace(1), move |tx| {
                happen(tx, workspace(1), "before");
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
    let (count, _) = lab
        .db
        .read(|conn| token::list(conn, workspace(1), 0, 1000))
        .await
        .expect("a list");
    assert_eq!(count, 181);
    let last = lab
        .db
        .read(|conn| event::last(conn, workspace(1)))
        .await
        .expect("the last number");
    assert_eq!(
        last, 181,
        "an event for each write that was committed, and for no other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_panics_fails_alone() {
    let lab = Lab::open();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let mut writes = JoinSet::new();
    for n in 0..50_u128 {
        let db = lab.db.clone();
        writes.spawn(async move {
            let write = db.write(workspace(1), move |tx| {
                happen(tx, workspace(1), "before");
                assert!(n != 25, "this one panics");
                Ok::<_, Error>(())
            });
            (n, write.await)
        });
    }
    let outcomes = writes.join_all().await;
    std::panic::set_hook(hook);
    assert!(outcomes.iter().all(|(n, done)| done.is_ok() == (*n != 25)));
    let last = lab
        .db
        .read(|conn| event::last(conn, workspace(1)))
        .await
        .expect("the last number");
    assert_eq!(last, 49);
}

/// A panic that is no write's own, here of whoever is told of commits, leaves the writer at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_beside_the_writes_ends_no_writer() {
    let lab = Lab::open();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    lab.told.clear_poison();
    let told = lab.told.clone();
    let poisoned = std::thread::spawn(move || {
        let _told = told.lock();
        panic!("whoever is told panics from now on");
    });
    assert!(poisoned.join().is_err());
    let write = |name: &'static str| {
        lab.db.write(workspace(1), move |tx| {
            happen(tx, workspace(1), name);
            Ok::<_, Error>(())
        })
    };
    assert!(write("first").await.is_err(), "its caller is told");
    lab.told.clear_poison();
    assert!(write("second").await.is_ok());
    std::panic::set_hook(hook);
}

#[tokio::test]
async fn a_refusal_leaves_nothing() {
    let lab = Lab::open();
    let write = lab.db.write(workspace(1), |tx| {
        workspaces::insert(tx, &named(1, "gone"))?;
        happen(tx, workspace(1), "gone");
        Err::<(), _>(Error::Busy)
    });
    assert!(matches!(write.await, Err(Error::Busy)));
    let found = lab
        .db
        .read(|conn| workspaces::find(conn, "gone"))
        .await
        .expect("a look");
    assert!(found.is_none());
    assert_eq!(
        lab.db
            .read(|conn| event::last(conn, workspace(1)))
            .await
            .expect("a look"),
        0
    );
}

#[tokio::test]
async fn a_name_is_free_again_after_its_workspace_was_deleted() {
    let lab = Lab::open();
    let insert = |n: u128| {
        lab.db.write(workspace(n), move |tx| {
            workspaces::insert(tx, &named(n, "acme"))
        })
    };
    assert!(insert(1).await.expect("written"));
    assert!(!insert(2).await.expect("written"), "taken");
    lab.db
        .write(workspace(1), |tx| {
            workspaces::delete(tx, workspace(1), at(2))
        })
        .await
        .expect("deleted");
    assert!(insert(3).await.expect("written"));
}

/// Whether an answer was the first under its key is taken for granted in a batch, and found out before the
/// commit: each write is told the truth, and what it has made of it is what is there.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_want_to_be_the_first_one_is() {
    let lab = Lab::open();
    for key in ["a", "b", "c"] {
        let mut writes = JoinSet::new();
        for n in 0..60 {
            let db = lab.db.clone();
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
                    happen(tx, workspace(9), &format!("{key} {mark}"));
                    Ok::<_, Error>(is_first)
                });
                write.await.expect("written")
            });
        }
        let firsts = writes.join_all().await;
        assert_eq!(firsts.iter().filter(|first| **first).count(), 1, "{key}");
    }
    let read = lab.db.read(|conn| event::list(conn, workspace(9), 0, 1000));
    let events = read.await.expect("the log");
    assert_eq!(events.len(), 180);
    let firsts = events.iter().filter(|event| event.body.contains(" first"));
    assert_eq!(firsts.count(), 3);
}
