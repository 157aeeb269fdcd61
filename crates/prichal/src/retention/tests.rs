use bytes::Bytes;
use prichal_core::{
    event::{Author, Origin},
    id::{EventId, FileId, IntegrationId, WebhookId, generate},
};
use prichal_store::{
    delivery::{Attempt, AttemptFilter, Exchange},
    idempotency::FirstAnswer,
    integration::{Integration, Revocation},
};

use super::*;
use crate::{
    config::Config,
    domain::instance,
    platform::{blobs::BlobError, clock::Clock},
};

const HERE: WorkspaceId = WorkspaceId(Uuid::from_u128(7));
const DAY: Duration = Duration::from_hours(24);

/// An app whose clock agrees with the file system's until it is moved.
async fn app(dir: &tempfile::TempDir) -> App {
    let config = Config::for_data_dir(dir.path().join("data"));
    let clock = Clock::manual(Clock::System.now());
    let app = crate::app::open(config, clock).await.unwrap();
    journal::open(&app).await;
    app
}

async fn blob(app: &App) -> BlobKey {
    let key = BlobKey::generate(HERE, app.clock.now());
    let mut upload = app.blobs.create(key).await.unwrap();
    upload.write(Bytes::from_static(b"contents")).await.unwrap();
    upload.finish().await.unwrap();
    key
}

/// A temporary file with a lifetime of a day.
async fn upload(app: &App) -> File {
    let now = app.clock.now();
    let file = File {
        id: FileId::generate(now),
        workspace: HERE,
        blob: blob(app).await.id,
        name: "a".to_owned(),
        content_type: "text/plain".to_owned(),
        size: 8,
        created_at: now,
        expires_at: Some(now + DAY),
        bound_to: None,
        communication: None,
    };
    let row = file.clone();
    write(app, move |tx| Ok(file::insert(tx, &row)?)).await;
    file
}

async fn write<T: Send + 'static>(
    app: &App,
    work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
) -> T {
    app.db.write(HERE, work).await.unwrap()
}

async fn bind(app: &App, id: FileId, now: Timestamp) -> Option<File> {
    write(app, move |tx| Ok(file::bind(tx, HERE, id, None, now)?)).await
}

async fn has_blob(app: &App, id: Uuid) -> bool {
    let key = BlobKey {
        workspace: HERE,
        id,
    };
    match app.blobs.size(key).await {
        Ok(_) => true,
        Err(BlobError::NotFound) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_temporary_file_goes_with_its_blob_and_a_bound_one_stays() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let (ends, stays) = (upload(&app).await, upload(&app).await);
    let permanent = bind(&app, stays.id, app.clock.now()).await.unwrap();
    sweep(&app).await.unwrap();
    assert!(has_blob(&app, ends.blob).await);

    app.clock.advance(DAY);
    sweep(&app).await.unwrap();
    assert!(!has_blob(&app, ends.blob).await);
    assert!(has_blob(&app, stays.blob).await);
    let again = bind(&app, stays.id, app.clock.now()).await.unwrap();
    assert_eq!(again.id, permanent.id, "the temporary id is remembered");

    app.clock.advance(2 * DAY + Duration::from_secs(1));
    sweep(&app).await.unwrap();
    let now = app.clock.now();
    assert!(bind(&app, stays.id, now).await.is_none());
    assert!(bind(&app, permanent.id, now).await.is_some());
    assert!(has_blob(&app, stays.blob).await);
}

#[tokio::test]
async fn more_files_than_one_step_takes() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let now = app.clock.now();
    write(&app, move |tx| {
        for _ in 0..=2 * MAX_PER_STEP {
            let file = File {
                id: FileId::generate(now),
                workspace: HERE,
                blob: generate(now),
                name: "a".to_owned(),
                content_type: "text/plain".to_owned(),
                size: 0,
                created_at: now,
                expires_at: Some(now),
                bound_to: None,
                communication: None,
            };
            file::insert(tx, &file)?;
        }
        Ok(())
    })
    .await;
    sweep(&app).await.unwrap();
    let left = app
        .db
        .read(move |conn| file::list_ended(conn, now, 1))
        .await
        .unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn orphans_go_once_no_upload_can_still_want_them() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let (orphan, named) = (blob(&app).await, upload(&app).await);
    bind(&app, named.id, app.clock.now()).await.unwrap();
    sweep(&app).await.unwrap();
    assert!(has_blob(&app, orphan.id).await, "its row may be on its way");
    app.clock.advance(MAX_UPLOAD_TIME + Duration::from_mins(1));
    sweep(&app).await.unwrap();
    assert!(has_blob(&app, orphan.id).await, "a long upload is not over");
    app.clock
        .advance(ORPHAN_AGE.saturating_sub(MAX_UPLOAD_TIME));
    sweep(&app).await.unwrap();
    assert!(!has_blob(&app, orphan.id).await);
    assert!(has_blob(&app, named.blob).await);
}

#[tokio::test]
async fn a_file_bound_in_the_last_moment_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let mut files = Vec::new();
    for _ in 0..40 {
        files.push(upload(&app).await);
    }
    let just_before = app.clock.now() + DAY - Duration::from_micros(1);
    app.clock.advance(DAY);
    // Another node's clock is a little behind.
    let binding = files.iter().map(|file| bind(&app, file.id, just_before));
    let (bound, first, second) = tokio::join!(
        futures_util::future::join_all(binding),
        sweep(&app),
        sweep(&app)
    );
    first.unwrap();
    second.unwrap();
    for (file, bound) in files.iter().zip(bound) {
        assert_eq!(has_blob(&app, file.blob).await, bound.is_some());
    }
}

#[tokio::test]
async fn expired_records_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let start = app.clock.now();
    let id = IntegrationId::generate(start);
    install(&app, id, start).await;
    write(&app, move |tx| {
        log::insert(tx, HERE, id, &[attempt(start)]);
        let gone = Revocation {
            workspace: HERE,
            integration: id,
            round: 1,
        };
        integration::revoke(tx, gone, start)?;
        let first = FirstAnswer {
            request_hash: String::new(),
            status: 200,
            answer: String::new(),
        };
        idempotency::keep_answer(tx, HERE, "/", "k", &first, start, start)?;
        Ok(())
    })
    .await;

    // Attempts, first answers, revocations.
    assert_eq!(remembered(&app, id).await, (1, 1, 1));
    for (wait, left) in [
        (Duration::from_hours(1), (1, 1, 1)),
        (Duration::from_mins(23 * 60 + 10), (1, 0, 1)),
        (Duration::from_mins(20), (1, 0, 0)),
        (28 * DAY, (1, 0, 0)),
        (DAY, (0, 0, 0)),
    ] {
        app.clock.advance(wait);
        sweep(&app).await.unwrap();
        assert_eq!(remembered(&app, id).await, left, "after {wait:?} more");
    }
}

#[tokio::test]
async fn one_part_that_fails_does_not_hold_up_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let start = app.clock.now();
    write(&app, move |tx| {
        let first = FirstAnswer {
            request_hash: String::new(),
            status: 200,
            answer: String::new(),
        };
        idempotency::keep_answer(tx, HERE, "/", "k", &first, start, start)?;
        Ok(())
    })
    .await;
    std::fs::remove_dir_all(dir.path().join("data/blobs")).unwrap();
    app.clock.advance(DAY + Duration::from_secs(1));
    assert!(sweep(&app).await.is_err());
    let none = IntegrationId::generate(start);
    assert_eq!(remembered(&app, none).await, (0, 0, 0));
}

#[tokio::test]
async fn attempts_go_of_all_instances_that_have_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let start = app.clock.now();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = IntegrationId::generate(start);
        install(&app, id, start).await;
        write(&app, move |tx| {
            for n in 0..=u128::from(MAX_PER_STEP) {
                let mut attempt = attempt(start);
                attempt.id = Uuid::from_u128(attempt.id.as_u128() + (n << 8));
                log::insert(tx, HERE, id, &[attempt]);
            }
            log::insert(tx, HERE, id, &[attempt(start + DAY)]);
            Ok(())
        })
        .await;
        ids.push(id);
    }
    app.clock.advance(30 * DAY + Duration::from_secs(1));
    sweep(&app).await.unwrap();
    for id in ids {
        assert_eq!(remembered(&app, id).await.0, 1, "the young one stays");
    }
}

async fn install(app: &App, id: IntegrationId, at: Timestamp) {
    let origin = Origin {
        workspace: HERE,
        author: Author::system(),
        at,
    };
    let made = app.clone();
    write(app, move |tx| {
        let manifest = Integration {
            id,
            workspace: HERE,
            kind: prichal_core::integration::Kind::Private,
            name: id.to_string(),
            version: "1".to_owned(),
            base_url: "https://my-integration.ru".to_owned(),
            title: None,
            update_info: prichal_core::update_info::UpdateInfo::created(&origin),
        };
        integration::insert(tx, &manifest)?;
        instance::install(&made.vault, tx, manifest, &origin)?;
        Ok(())
    })
    .await;
}

fn attempt(at: Timestamp) -> Attempt {
    // Its id contains the time. Clocks of other tests differ, and ids only grow.
    let millis = u128::try_from(at.micros() / 1000).unwrap();
    Attempt {
        id: Uuid::from_u128(millis << 80),
        webhook: WebhookId::generate(at),
        event: EventId::generate(at),
        seq: 1,
        about: None,
        is_replay: false,
        exchange: Exchange::default(),
        attempt: 1,
        status: "delivered",
        http_status: Some(200),
        duration_ms: 1,
        error: None,
        answer: None,
        started_at: at,
    }
}

async fn remembered(app: &App, id: IntegrationId) -> (usize, usize, usize) {
    let epoch = Timestamp::from_micros(0);
    app.db
        .read(move |conn| {
            let all = AttemptFilter::default();
            let attempts = delivery::list_attempts(conn, HERE, id, &all, 10)?
                .items
                .len();
            let answers = idempotency::find_answer(conn, HERE, "/", "k", epoch)?
                .iter()
                .count();
            let revoked = integration::list_revoked(conn, epoch)?.len();
            Ok::<_, Error>((attempts, answers, revoked))
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn the_running_sweep_uses_the_apps_clock_and_ends_at_stop() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(&dir).await;
    let file = upload(&app).await;
    let stop = CancellationToken::new();
    let gone = async {
        app.clock.advance(DAY);
        while has_blob(&app, file.blob).await {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let both = async { tokio::join!(run(app.clone(), stop.clone()), gone) };
    let (ran, ()) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    ran.unwrap();
}
