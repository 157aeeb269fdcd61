//! Storage usage: what each write adds, also if two nodes write at the same time. SQLite has one node only.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use prichal_core::id::{EntityId, FileId, WorkspaceId};
use prichal_store::{
    Conn, Db, Error, Result, Tx,
    file::{self, File},
    kv, signature,
    usage::{self, Kind},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::{
    fairness,
    test_store::{TestStore, at, has_waiting_lock, workspace},
};

/// Runs two writes on two nodes. The first one commits once the second one waits for it or has ended.
async fn overlap(
    store: &TestStore,
    other: &Db,
    first: impl Fn(&mut Tx<'_>) -> Result<()> + Send + 'static,
    second: impl Fn(&mut Tx<'_>) -> Result<()> + Send + 'static,
) {
    let (began, has_ended) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (options, ended, begins) = (store.options.clone(), has_ended.clone(), began.clone());
    let first = store.db.write(workspace(1), move |tx| {
        first(tx)?;
        begins.notify_one();
        while !ended.load(Ordering::Acquire) && !has_waiting_lock(&options) {
            std::thread::yield_now();
        }
        Ok::<_, Error>(())
    });
    let second = async {
        began.notified().await;
        let done = other.write(workspace(1), second).await;
        has_ended.store(true, Ordering::Release);
        done
    };
    let (first, second) = tokio::join!(first, second);
    first.and(second).expect("both are written");
}

async fn used(store: &TestStore, kind: Kind) -> i64 {
    let find = |conn: &mut Conn| usage::find(conn, workspace(1));
    let found = store.db.read::<_, Error>(find).await;
    found.expect("the store answers").used.get(kind)
}

fn put(value: &str) -> impl Fn(&mut Tx<'_>) -> Result<()> + Send + 'static {
    let value = value.to_owned();
    move |tx| {
        let channel = EntityId(Uuid::from_u128(7));
        kv::put(tx, workspace(1), channel, "key", &value).map(drop)
    }
}

/// The bytes of a row count once, whether two nodes insert it or change it.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_of_two_nodes_counts_once() {
    let store = TestStore::open();
    let Some(other) = store.second_node() else {
        return;
    };
    overlap(
        &store,
        &other,
        put(&"x".repeat(5000)),
        put(&"y".repeat(6000)),
    )
    .await;
    assert_eq!(used(&store, Kind::Records).await, 6103);
    overlap(&store, &other, put("x"), put("yy")).await;
    assert_eq!(used(&store, Kind::Records).await, 105);
    let channel = EntityId(Uuid::from_u128(7));
    let remove = move |tx: &mut Tx<'_>| kv::remove(tx, workspace(1), channel, "key");
    overlap(&store, &other, remove, put("yyy")).await;
    assert_eq!(used(&store, Kind::Records).await, 106);
}

fn of_blob(n: u128) -> File {
    File {
        communication: None,
        id: FileId(Uuid::from_u128(n)),
        workspace: WorkspaceId(Uuid::from_u128(1)),
        blob: Uuid::from_u128(99),
        name: "a.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        size: 1000,
        created_at: at(1),
        expires_at: Some(at(2)),
        bound_to: None,
    }
}

/// A blob of two rows counts once, and no more when two nodes have removed both rows at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_two_nodes_counts_once() {
    let store = TestStore::open();
    let Some(other) = store.second_node() else {
        return;
    };
    let insert = |n| move |tx: &mut Tx<'_>| file::insert(tx, &of_blob(n));
    overlap(&store, &other, insert(1), insert(2)).await;
    assert_eq!(used(&store, Kind::Files).await, 1000);
    let remove = |n| move |tx: &mut Tx<'_>| file::delete(tx, &of_blob(n)).map(drop);
    overlap(&store, &other, remove(1), remove(2)).await;
    assert_eq!(used(&store, Kind::Files).await, 0);
    assert_eq!(used(&store, Kind::Records).await, 0);
}

/// The report of a signature counts as long as it is now, however often it was replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_report_counts() {
    let store = TestStore::open();
    let write = |tx: &mut Tx<'_>| {
        let mut signed = fairness::signature(workspace(1), 1, at(1));
        signature::insert(tx, &signed)?;
        signature::set_report(tx, &signed, &"x".repeat(1000))?;
        signed.check.report = "{}".to_owned();
        signature::record_outcome(tx, &signed, &signed.check)
    };
    let written = store.db.write::<_, Error>(workspace(1), write).await;
    assert!(written.expect("it is written"));
    assert_eq!(used(&store, Kind::Records).await, 102);
}
