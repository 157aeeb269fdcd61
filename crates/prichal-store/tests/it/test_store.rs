//! A store to test on: SQLite in a temporary folder, or a schema of its own on the PostgreSQL server
//! that `PRICHAL_TEST_POSTGRES` names when `PRICHAL_TEST_ENGINE` is `postgres`.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use prichal_core::{
    event::{Author, EntityKind, NewEvent, Origin},
    id::{EventId, WorkspaceId},
    time::Timestamp,
};
use prichal_store::{Db, Options, Tx};
use uuid::Uuid;

/// The number of the next schema of this process.
static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct TestStore {
    pub(crate) db: Db,
    pub(crate) options: Options,
    /// The workspace and number of each event, in the order in which `on_commit` received them.
    pub(crate) committed: Arc<Mutex<Vec<(WorkspaceId, i64)>>>,
    /// The number of writes of each commit of a batch.
    pub(crate) batches: Arc<Mutex<Vec<usize>>>,
    pub(crate) folder: tempfile::TempDir,
}

impl TestStore {
    pub(crate) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = match postgres_url() {
            Some(url) => Options::Postgres { url, tls: None },
            None => Options::Sqlite {
                path: folder.path().join("test.sqlite"),
            },
        };
        let committed = Arc::new(Mutex::new(Vec::new()));
        let batches: Arc<Mutex<Vec<usize>>> = Arc::default();
        let db = open_with(&options, committed.clone(), batches.clone());
        let db = db.expect("the store opens");
        Self {
            db,
            options,
            committed,
            batches,
            folder,
        }
    }

    /// Another process's view of the same store. PostgreSQL only, because one process owns a SQLite file.
    pub(crate) fn second_node(&self) -> Option<Db> {
        let shared = matches!(self.options, Options::Postgres { .. });
        shared.then(|| open(&self.options, Arc::default()).expect("a second node opens"))
    }
}

pub(crate) fn open(
    options: &Options,
    committed: Arc<Mutex<Vec<(WorkspaceId, i64)>>>,
) -> prichal_store::Result<Db> {
    open_with(options, committed, Arc::default())
}

fn open_with(
    options: &Options,
    committed: Arc<Mutex<Vec<(WorkspaceId, i64)>>>,
    batches: Arc<Mutex<Vec<usize>>>,
) -> prichal_store::Result<Db> {
    let on_commit: prichal_store::OnCommit = Arc::new(move |events| {
        let mut committed = committed.lock().expect("no test panics here");
        committed.extend(events.iter().map(|event| (event.workspace, event.seq)));
    });
    let on_batch: prichal_store::OnBatch = Arc::new(move |writes| {
        let mut batches = batches.lock().expect("no test panics here");
        batches.push(writes);
    });
    on_own_thread(|| Db::open(options, &on_commit, &on_batch))
}

/// Runs `work` on a thread of its own. The blocking PostgreSQL client cannot be used inside a runtime.
pub(crate) fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

fn postgres_url() -> Option<String> {
    if std::env::var("PRICHAL_TEST_ENGINE").as_deref() != Ok("postgres") {
        return None;
    }
    let url = std::env::var("PRICHAL_TEST_POSTGRES").expect("PRICHAL_TEST_POSTGRES names a server");
    let schema = format!(
        "store_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    execute(
        &url,
        &format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"),
    );
    // The name separates the connections of this test from those of others.
    Some(format!(
        "{url}?options=-csearch_path%3D{schema}&application_name={schema}"
    ))
}

/// Runs SQL on a connection outside of the store.
pub(crate) fn execute(url: &str, sql: &str) {
    on_own_thread(|| {
        let mut client =
            postgres::Client::connect(url, postgres::NoTls).expect("PostgreSQL answers");
        client.batch_execute(sql).expect("the statement runs");
    });
}

/// True if a transaction of this store waits for a lock that another one has.
pub(crate) fn has_waiting_lock(options: &Options) -> bool {
    let Options::Postgres { url, .. } = options else {
        return false;
    };
    on_own_thread(|| {
        let mut client =
            postgres::Client::connect(url, postgres::NoTls).expect("PostgreSQL answers");
        let sql = "SELECT count(*) FROM pg_stat_activity
                   WHERE application_name = current_setting('application_name') AND wait_event_type = 'Lock'";
        let row = client.query_one(sql, &[]).expect("the statement runs");
        row.get::<_, i64>(0) > 0
    })
}

pub(crate) fn at(secs: i64) -> Timestamp {
    Timestamp::from_micros(secs * 1_000_000)
}

pub(crate) fn workspace(n: u128) -> WorkspaceId {
    WorkspaceId(Uuid::from_u128(n))
}

/// Appends an event to a company's log. `mark` is in its body.
pub(crate) fn append_event(tx: &mut Tx<'_>, workspace: WorkspaceId, mark: &str) {
    let origin = Origin {
        workspace,
        author: Author::system(),
        at: at(1),
    };
    let entity = (EntityKind::Company, Uuid::new_v4());
    let id = EventId(Uuid::new_v4());
    tx.append(NewEvent::create(
        id,
        &origin,
        entity,
        format!(r#"{{"name":"{mark}"}}"#),
    ));
}
