//! The removal of old events, and of those that were kept because something named them.

use prichal_core::id::WorkspaceId;
use prichal_store::{
    Conn, Error, Options,
    event::{self, removal},
};

use crate::test_store::{TestStore, append_event, at, execute, workspace};

/// Runs SQL beside the store.
fn run(store: &TestStore, sql: &str) {
    match &store.options {
        Options::Sqlite { path } => {
            let conn = rusqlite::Connection::open(path).expect("the file");
            conn.execute_batch(sql).expect("it runs");
        }
        Options::Postgres { url, .. } => execute(url, sql),
    }
}

/// Names events by deferred calls.
fn defer(store: &TestStore, workspace: WorkspaceId, numbers: impl IntoIterator<Item = i64>) {
    let rows = numbers.into_iter();
    let rows = rows.map(|seq| format!("('{workspace}', 'i', 'h', 'main', {seq}, 1, 1, 0)"));
    let rows = rows.collect::<Vec<_>>().join(", ");
    run(
        store,
        &format!(
            "INSERT INTO deferred (workspace, integration, webhook, lane, seq, attempts, due_at, in_flight) VALUES {rows}"
        ),
    );
}

async fn numbers(store: &TestStore, workspace: WorkspaceId) -> Vec<i64> {
    let read = move |conn: &mut Conn| event::list(conn, workspace, 0, 1000);
    let events = store.db.read::<_, Error>(read).await.expect("a page");
    events.iter().map(|event| event.seq).collect()
}

/// Walks through the kept events by steps of `limit`, and removes those that nothing names. Returns the number of the last
/// event of each step, and how many events it removed.
async fn walk(store: &TestStore, workspace: WorkspaceId, limit: i64) -> Vec<(i64, u64)> {
    let (mut after, mut steps) = (0, Vec::new());
    loop {
        let look = move |conn: &mut Conn| removal::look_at_kept(conn, workspace, after, limit);
        let step = store.db.read::<_, Error>(look).await.expect("a step");
        let Some(last) = step.last else { return steps };
        let mut gone = 0;
        if step.has_unnamed {
            let remove = move |tx: &mut prichal_store::Tx<'_>| {
                removal::forget_kept(tx, workspace, after, limit)
            };
            gone = store.db.write(workspace, remove).await.expect("written");
            assert!(gone > 0, "a step that only reads");
        }
        steps.push((last, gone));
        after = last;
    }
}

#[tokio::test]
async fn kept_events_go_by_steps_when_nothing_names_them() {
    let store = TestStore::open();
    let (one, other) = (workspace(1), workspace(2));
    for workspace in [one, other] {
        let write = store.db.write(workspace, move |tx| {
            (0..30).for_each(|n| append_event(tx, workspace, &n.to_string()));
            Ok::<_, Error>(())
        });
        write.await.expect("written");
        defer(&store, workspace, (2..=20).chain([28]));
        let forget =
            move |tx: &mut prichal_store::Tx<'_>| removal::forget(tx, workspace, 25, at(0), 100);
        store.db.write(workspace, forget).await.expect("written");
    }
    let left: Vec<i64> = (2..=20).chain(26..=30).collect();
    assert_eq!(numbers(&store, one).await, left);
    let named = [(6, 0), (11, 0), (16, 0), (20, 0)];
    assert_eq!(walk(&store, one, 5).await, named, "all are named");

    run(
        &store,
        &format!(
            "DELETE FROM deferred WHERE workspace = '{one}' AND seq IN (2, 3, 4, 5, 6, 9, 20, 28)"
        ),
    );
    let walked = [(6, 5), (11, 1), (16, 0), (20, 1)];
    assert_eq!(walk(&store, one, 5).await, walked);
    let kept: Vec<i64> = (7..=19).filter(|seq| *seq != 9).collect();
    let left: Vec<i64> = kept.iter().copied().chain(26..=30).collect();
    assert_eq!(numbers(&store, one).await, left);
    // Removed events are looked at no more.
    assert_eq!(walk(&store, one, 5).await, [(12, 0), (17, 0), (19, 0)]);
    assert_eq!(numbers(&store, other).await.len(), 24);

    let next = async |after| {
        let find = move |conn: &mut Conn| removal::next_with_kept_events(conn, after);
        store.db.read::<_, Error>(find).await.expect("an answer")
    };
    assert_eq!(next(workspace(0)).await, Some(one));
    assert_eq!(next(one).await, Some(other));
    assert_eq!(next(other).await, None);
}
