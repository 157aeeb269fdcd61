//! Opening a store, and losing the connection to its engine.

use std::sync::Arc;

use prichal_store::{Error, Options, event};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::test_store::{TestStore, append_event, execute, open, workspace};

#[tokio::test]
async fn a_reopened_store_has_all_data() {
    let TestStore {
        db,
        options,
        committed: _,
        batches: _,
        folder: _folder,
    } = TestStore::open();
    let write = db.write(workspace(1), |tx| {
        append_event(tx, workspace(1), "kept");
        Ok::<_, Error>(())
    });
    write.await.expect("written");
    drop(db);
    let db = open(&options, Arc::default()).expect("opens again");
    let events = db
        .read(|conn| event::list(conn, workspace(1), 0, 10))
        .await
        .expect("a page");
    assert_eq!(events.len(), 1);
    assert!(events[0].body.contains("kept"));
}

#[test]
fn a_newer_database_is_refused() {
    let store = TestStore::open();
    let newer = "INSERT INTO migration (version) VALUES (1000)";
    match &store.options {
        Options::Sqlite { path } => {
            let conn = rusqlite::Connection::open(path).expect("the file");
            conn.execute_batch(newer).expect("a newer version");
        }
        Options::Postgres { url, .. } => execute(url, newer),
    }
    let error = open(&store.options, Arc::default()).err().expect("refused");
    assert!(matches!(error, Error::Newer { found: 1000, .. }), "{error}");
    assert!(error.to_string().contains("newer"));
}

#[test]
fn a_file_without_a_database_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("prichal.sqlite");
    std::fs::write(
        &path,
        "this is a letter, not a database, and long enough to be seen as one or the other",
    )
    .expect("a file");
    assert!(open(&Options::Sqlite { path }, Arc::default()).is_err());
}

/// The server terminates every connection of the store, as at a restart.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL; ./test has it"]
async fn a_lost_connection_is_replaced() {
    let store = TestStore::open();
    let Options::Postgres { url, .. } = &store.options else {
        panic!("PRICHAL_TEST_ENGINE is not postgres");
    };
    for round in 0..3 {
        // The ends have arrived when the connections are used next, and cost no call.
        execute(
            url,
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid();
             SELECT pg_sleep(0.1)",
        );
        for writer in 1..=4 {
            let write = store.db.write(workspace(writer), move |tx| {
                append_event(tx, workspace(writer), "after");
                Ok::<_, Error>(())
            });
            write.await.expect("written");
            let read = store
                .db
                .read(move |conn| event::last(conn, workspace(writer)));
            assert_eq!(read.await.expect("a number"), round + 1);
        }
    }
}

/// A TLS configuration that trusts the certificates in a file, or none.
fn trusting(file: Option<&str>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for root in file
        .into_iter()
        .flat_map(|file| CertificateDer::pem_file_iter(file).expect("a file with certificates"))
    {
        roots
            .add(root.expect("a certificate"))
            .expect("one that can be trusted");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL with TLS; ./test has it"]
async fn connections_use_tls_if_the_url_requires_it() {
    let store = TestStore::open();
    let Options::Postgres { url, .. } = &store.options else {
        panic!("PRICHAL_TEST_ENGINE is not postgres");
    };
    let ca =
        std::env::var("PRICHAL_TEST_POSTGRES_CA").expect("PRICHAL_TEST_POSTGRES_CA names a file");
    let name = format!("tls-{}", std::process::id());
    let join = if url.contains('?') { '&' } else { '?' };
    let with_tls = |tls: Option<rustls::ClientConfig>| Options::Postgres {
        url: format!("{url}{join}sslmode=require&application_name={name}"),
        tls: tls.map(Arc::new),
    };
    let db = open(&with_tls(Some(trusting(Some(&ca)))), Arc::default()).expect("it is trusted");
    db.write(workspace(1), |tx| {
        append_event(tx, workspace(1), "over TLS");
        Ok::<_, Error>(())
    })
    .await
    .expect("written");
    execute(
        url,
        &format!(
            "DO $$ BEGIN ASSERT (SELECT count(*) > 0 AND bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
               WHERE a.application_name = '{name}'), 'a connection without TLS'; END $$"
        ),
    );
    for tls in [None, Some(trusting(None))] {
        let error = open(&with_tls(tls), Arc::default())
            .err()
            .expect("nobody is trusted");
        assert!(
            matches!(error, Error::Unavailable(_) | Error::Failed(_)),
            "{error:?}"
        );
    }
}
