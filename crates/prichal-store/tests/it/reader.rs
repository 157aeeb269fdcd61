//! Reads of many workspaces take turns.

use std::sync::{Arc, Condvar, Mutex};

use prichal_store::{Conn, Error, Options, Result, event, tenant};
use tokio::{sync::mpsc, task::JoinSet};

use crate::test_store::{TestStore, append_event, workspace};

/// A gate that blocks reads until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn pass(&self) {
        let (is_open, changed) = &*self.0;
        let is_open = is_open.lock().expect("no panic");
        let _open = changed
            .wait_while(is_open, |is_open| !*is_open)
            .expect("no panic");
    }

    fn open(&self) {
        *self.0.0.lock().expect("no panic") = true;
        self.0.1.notify_all();
    }
}

/// Opens the gate when a test fails, so that the store can be closed.
impl Drop for Gate {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.open();
        }
    }
}

/// Starts reads of a workspace that report their start and then wait at the gate.
fn hold(
    store: &TestStore,
    gate: &Gate,
    of: u128,
    count: usize,
) -> (JoinSet<Result<()>>, mpsc::UnboundedReceiver<()>) {
    let (begun, begins) = mpsc::unbounded_channel();
    let mut reads = JoinSet::new();
    for _ in 0..count {
        let (db, gate, begun) = (store.db.clone(), gate.clone(), begun.clone());
        let read = async move {
            let read = move |_: &mut Conn| {
                let _ = begun.send(());
                gate.pass();
                Ok(())
            };
            db.read(read).await
        };
        reads.spawn(tenant::scope(Some(workspace(of)), read));
    }
    (reads, begins)
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_one_workspace_do_not_delay_another() {
    let (store, gate) = (TestStore::open(), Gate::default());
    let (reads, mut begins) = hold(&store, &gate, 1, 50);
    begins.recv().await.expect("one has begun");
    let other = store.db.read(|_| Ok::<_, Error>("B"));
    let other = tenant::scope(Some(workspace(2)), other).await;
    assert_eq!(other.expect("read"), "B");
    let own = store.db.read(|_| Ok::<_, Error>("the server's")).await;
    assert_eq!(own.expect("read"), "the server's");
    gate.open();
    assert!(reads.join_all().await.into_iter().all(|read| read.is_ok()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_has_a_share_of_the_queue() {
    let (store, gate) = (TestStore::open(), Gate::default());
    let (mut reads, _begins) = hold(&store, &gate, 1, 2000);
    // Most refusals come before the gate opens, however late the tasks start.
    for _ in 1100..2000 {
        let refused = reads.join_next().await.expect("a read").expect("no panic");
        assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    }
    let other = store.db.read(|_| Ok::<_, Error>("B"));
    let other = tenant::scope(Some(workspace(2)), other).await;
    assert_eq!(other.expect("read"), "B");
    gate.open();
    let ended = reads.join_all().await;
    let done = ended.iter().filter(|read| read.is_ok()).count();
    assert!((1024..=1100).contains(&done), "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_without_a_caller_is_skipped() {
    let (store, gate) = (TestStore::open(), Gate::default());
    let (mut reads, mut begins) = hold(&store, &gate, 1, 50);
    for _ in 0..readers_of_one_workspace(&store) {
        begins.recv().await.expect("a read has begun");
    }
    reads.detach_all();
    let (started, mut starts) = mpsc::unbounded_channel();
    let left = store.db.read(move |_| {
        let _ = started.send(());
        Ok::<_, Error>(())
    });
    let mut left = Box::pin(tenant::scope(Some(workspace(1)), left));
    assert!(is_pending(&mut left).await, "it waits behind the others");
    drop(left);
    gate.open();
    let last = store.db.read(|_| Ok::<_, Error>(()));
    let last = tenant::scope(Some(workspace(1)), last).await;
    last.expect("read");
    assert!(starts.recv().await.is_none(), "it was not read");
}

/// The statements of a snapshot do not see what is committed between them, and those behind it do.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_of_one_moment() {
    let (store, gate) = (TestStore::open(), Gate::default());
    let last = |conn: &mut Conn| event::last(conn, workspace(1));
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (db, held) = (store.db.clone(), gate.clone());
    let mut reads = JoinSet::new();
    reads.spawn(async move {
        let read = move |conn: &mut Conn| {
            let within = conn.snapshot(|conn| {
                let first = last(conn)?;
                let _ = begun.send(());
                held.pass();
                Ok::<_, Error>((first, last(conn)?))
            })?;
            // A snapshot that fails ends, too.
            let failed = conn.snapshot(|_| Err::<(), _>(Error::Busy));
            assert!(matches!(failed, Err(Error::Busy)));
            Ok::<_, Error>((within, last(conn)?))
        };
        db.read(read).await
    });
    begins.recv().await.expect("it has begun");
    let write = store.db.write(workspace(1), |tx| {
        append_event(tx, workspace(1), "between");
        Ok::<_, Error>(())
    });
    write.await.expect("written");
    gate.open();
    let read = reads.join_next().await.expect("a read");
    let (within, after) = read.expect("no panic").expect("read");
    assert_eq!((within, after), ((0, 0), 1));
}

/// The connection of a snapshot that panicked is good for the next read.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_panics_ends() {
    let store = TestStore::open();
    for _ in 0..10 {
        let read = |conn: &mut Conn| conn.snapshot(|_| -> Result<()> { panic!("as it should") });
        assert!(store.db.read(read).await.is_err());
    }
    let write = store.db.write(workspace(1), |tx| {
        append_event(tx, workspace(1), "after");
        Ok::<_, Error>(())
    });
    write.await.expect("written");
    for _ in 0..10 {
        let last = |conn: &mut Conn| conn.snapshot(|conn| event::last(conn, workspace(1)));
        assert_eq!(store.db.read(last).await.expect("read"), 1);
    }
}

/// The number of reads of one workspace that run at the same time: two thirds of the readers.
fn readers_of_one_workspace(store: &TestStore) -> usize {
    match store.options {
        Options::Sqlite { .. } => 2,
        Options::Postgres { .. } => 4,
    }
}

/// Polls a future once. True if it is not ready.
async fn is_pending(work: &mut (impl Future + Unpin)) -> bool {
    std::future::poll_fn(|at| std::task::Poll::Ready(std::pin::Pin::new(&mut *work).poll(at)))
        .await
        .is_pending()
}
