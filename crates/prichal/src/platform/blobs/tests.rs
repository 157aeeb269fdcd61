//! The same behaviour on a folder and on a real S3 server (`s3s-fs`, in this process, on a free port).

mod s3;

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use prichal_core::{id::WorkspaceId, time::Timestamp};
use uuid::Uuid;

use super::*;

const MIB: usize = 1024 * 1024;
const LONG_AGO: Timestamp = Timestamp::from_micros(0);
const FAR_AHEAD: Timestamp = Timestamp::from_micros(i64::MAX);

/// An empty store and the folder of its files.
struct TestStore {
    blobs: Blobs,
    dir: tempfile::TempDir,
    _server: Option<s3::Server>,
}

impl TestStore {
    fn folder() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open_with(&BlobUrl::DataDir, dir.path(), []).unwrap();
        Self {
            blobs,
            dir,
            _server: None,
        }
    }

    async fn s3(prefix: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = s3::Server::start(dir.path(), "files").await;
        let url = format!("s3://files/{prefix}").parse().unwrap();
        let blobs = Blobs::open_with(&url, dir.path(), server.environment()).unwrap();
        Self {
            blobs,
            dir,
            _server: Some(server),
        }
    }

    /// All files with their full names, without the server's own records beside objects, which it does not remove
    /// with them.
    fn files(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut dirs = vec![self.dir.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if !path.display().to_string().contains("/.bucket-") {
                    found.insert(path.display().to_string());
                }
            }
        }
        found
    }

    async fn put(&self, key: BlobKey, contents: &[u8]) {
        let mut upload = self.blobs.create(key).await.unwrap();
        upload
            .write(Bytes::copy_from_slice(contents))
            .await
            .unwrap();
        assert_eq!(upload.finish().await.unwrap(), contents.len() as u64);
    }

    async fn get(&self, key: BlobKey, range: Option<Range<u64>>) -> Result<Bytes, BlobError> {
        let chunks = self.blobs.read(key, range).await?;
        let all: BytesMut = chunks.try_concat_bytes().await?;
        Ok(all.freeze())
    }

    async fn list(&self, workspace: Option<WorkspaceId>) -> BTreeSet<(BlobKey, u64)> {
        let entries = self
            .blobs
            .list(workspace)
            .map_ok(|entry| (entry.key, entry.size));
        entries.try_collect().await.unwrap()
    }
}

trait Concat {
    async fn try_concat_bytes(self) -> Result<BytesMut, BlobError>;
}

impl Concat for BlobStream {
    async fn try_concat_bytes(self) -> Result<BytesMut, BlobError> {
        self.try_fold(BytesMut::new(), |mut all, chunk| async move {
            assert!(chunk.len() <= MIB, "a chunk of {} bytes", chunk.len());
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
    }
}

/// Bytes in which no two ranges are equal.
fn contents(length: usize) -> Bytes {
    (0_u32..)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(length)
        .collect()
}

fn key(workspace: u128, id: u128) -> BlobKey {
    BlobKey {
        workspace: WorkspaceId(Uuid::from_u128(workspace)),
        id: Uuid::from_u128(id),
    }
}

/// Runs each test on each kind of store.
macro_rules! on_each_store {
    ($($name:ident)*) => {
        mod on_a_folder {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::TestStore::folder()).await;
            })*
        }

        mod on_s3 {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::TestStore::s3("prichal/prod").await).await;
            })*
        }
    };
}

on_each_store! {
    a_large_blob_comes_back_whole_and_in_stretches
    blobs_around_the_size_of_a_part_come_back
    a_blob_is_not_there_before_it_is_finished
    an_aborted_upload_leaves_nothing
    a_dropped_upload_leaves_nothing_once_it_is_swept
    a_running_upload_survives_a_sweep_of_older_ones
    a_missing_blob_is_not_found
    a_stretch_outside_the_blob_is_refused
    deleting_twice_is_deleting_once
    a_list_shows_finished_blobs_of_the_workspace_or_of_all
    a_list_is_longer_than_a_page
    a_store_that_answers_is_ready
    uploads_run_side_by_side
}

async fn a_large_blob_comes_back_whole_and_in_stretches(store: TestStore) {
    let all = contents(20 * MIB + 12_345);
    let mut upload = store.blobs.create(key(1, 1)).await.unwrap();
    let mut rest = all.clone();
    // Chunks of uneven sizes, as a network delivers them.
    for size in (1..).map(|number| number * 7919 % 400_000 + 1) {
        upload
            .write(rest.split_to(size.min(rest.len())))
            .await
            .unwrap();
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(upload.size(), all.len() as u64);
    assert_eq!(upload.finish().await.unwrap(), all.len() as u64);

    assert_eq!(store.blobs.size(key(1, 1)).await.unwrap(), all.len() as u64);
    assert!(store.get(key(1, 1), None).await.unwrap() == all);
    let end = all.len() as u64;
    for range in [
        0..1,
        0..0,
        1..2,
        5_000_000..6_000_000,
        end - 1..end,
        end..end,
        0..end,
    ] {
        let stretch = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let found = store.get(key(1, 1), Some(range)).await.unwrap();
        assert!(found == all[stretch.clone()], "{stretch:?}");
    }
    assert_eq!(
        store.list(None).await,
        [(key(1, 1), end)].into(),
        "no note is left"
    );
}

async fn blobs_around_the_size_of_a_part_come_back(store: TestStore) {
    let part = 5 * MIB;
    for (id, size) in (0_u128..).zip([0, 1, part - 1, part, part + 1, 2 * part]) {
        let all = contents(size);
        store.put(key(1, id), &all).await;
        assert_eq!(store.blobs.size(key(1, id)).await.unwrap(), size as u64);
        assert!(store.get(key(1, id), None).await.unwrap() == all, "{size}");
    }
}

async fn a_blob_is_not_there_before_it_is_finished(store: TestStore) {
    let mut upload = store.blobs.create(key(1, 1)).await.unwrap();
    upload.write(contents(6 * MIB)).await.unwrap();
    assert!(matches!(
        store.blobs.size(key(1, 1)).await,
        Err(BlobError::NotFound)
    ));
    assert_eq!(store.list(None).await, [].into());
    upload.finish().await.unwrap();
    assert_eq!(store.blobs.size(key(1, 1)).await.unwrap(), 6 * MIB as u64);
}

async fn an_aborted_upload_leaves_nothing(store: TestStore) {
    let before = store.files();
    for size in [0, 1, 12 * MIB] {
        let mut upload = store.blobs.create(key(1, 1)).await.unwrap();
        upload.write(contents(size)).await.unwrap();
        upload.abort().await;
        assert_eq!(store.files(), before, "{size}");
    }
    assert!(matches!(
        store.blobs.size(key(1, 1)).await,
        Err(BlobError::NotFound)
    ));
}

async fn a_dropped_upload_leaves_nothing_once_it_is_swept(store: TestStore) {
    store.put(key(1, 7), b"stays").await;
    let before = store.files();
    for id in 1..=3 {
        let mut upload = store.blobs.create(key(1, id)).await.unwrap();
        upload.write(contents(12 * MIB)).await.unwrap();
        // A killed process runs no destructors.
        if id == 3 {
            drop(upload);
        } else {
            std::mem::forget(upload);
        }
    }
    assert_ne!(store.files(), before);
    assert_eq!(store.blobs.sweep_unfinished(LONG_AGO).await.unwrap(), 0);
    let swept = store.blobs.sweep_unfinished(FAR_AHEAD).await.unwrap();
    assert!((2..=3).contains(&swept), "{swept}");
    assert_eq!(store.files(), before);
    assert_eq!(store.blobs.sweep_unfinished(FAR_AHEAD).await.unwrap(), 0);
    assert_eq!(store.get(key(1, 7), None).await.unwrap(), "stays");
}

async fn a_running_upload_survives_a_sweep_of_older_ones(store: TestStore) {
    let all = contents(12 * MIB);
    let mut upload = store.blobs.create(key(1, 1)).await.unwrap();
    upload.write(all.clone()).await.unwrap();
    assert_eq!(store.blobs.sweep_unfinished(LONG_AGO).await.unwrap(), 0);
    upload.finish().await.unwrap();
    assert!(store.get(key(1, 1), None).await.unwrap() == all);

    // A swept upload that goes on fails. It does not leave a blob with a hole.
    let mut upload = store.blobs.create(key(1, 2)).await.unwrap();
    upload.write(all.clone()).await.unwrap();
    assert_eq!(store.blobs.sweep_unfinished(FAR_AHEAD).await.unwrap(), 1);
    assert!(matches!(
        upload.finish().await,
        Err(BlobError::Unavailable(_))
    ));
    assert_eq!(
        store.list(None).await,
        [(key(1, 1), all.len() as u64)].into()
    );
}

async fn a_missing_blob_is_not_found(store: TestStore) {
    store.put(key(1, 1), b"other").await;
    for range in [None, Some(0..1), Some(0..0)] {
        let error = store.get(key(1, 2), range).await.unwrap_err();
        assert!(matches!(error, BlobError::NotFound), "{error:?}");
    }
    assert!(matches!(
        store.blobs.size(key(2, 1)).await,
        Err(BlobError::NotFound)
    ));
}

async fn a_stretch_outside_the_blob_is_refused(store: TestStore) {
    store.put(key(1, 1), b"0123456789").await;
    for range in [0..11, 9..11, 10..11, 11..11, 500..1000] {
        let error = store.get(key(1, 1), Some(range.clone())).await.unwrap_err();
        assert!(matches!(error, BlobError::Short), "{range:?}: {error:?}");
    }
    store.put(key(1, 2), b"").await;
    let error = store.get(key(1, 2), Some(0..1)).await.unwrap_err();
    assert!(matches!(error, BlobError::Short), "{error:?}");
}

async fn deleting_twice_is_deleting_once(store: TestStore) {
    store.put(key(1, 1), b"one").await;
    store.put(key(1, 2), b"two").await;
    for _ in 0..2 {
        store.blobs.delete(key(1, 1)).await.unwrap();
        assert!(matches!(
            store.blobs.size(key(1, 1)).await,
            Err(BlobError::NotFound)
        ));
    }
    store.blobs.delete(key(9, 9)).await.unwrap();
    assert_eq!(store.get(key(1, 2), None).await.unwrap(), "two");
}

async fn a_list_shows_finished_blobs_of_the_workspace_or_of_all(store: TestStore) {
    assert_eq!(store.list(None).await, [].into());
    assert_eq!(store.list(Some(key(1, 0).workspace)).await, [].into());
    store.put(key(1, 1), b"1").await;
    store.put(key(1, 2), b"22").await;
    store.put(key(2, 1), b"333").await;
    assert_eq!(
        store.list(None).await,
        [(key(1, 1), 1), (key(1, 2), 2), (key(2, 1), 3)].into()
    );
    assert_eq!(
        store.list(Some(key(1, 0).workspace)).await,
        [(key(1, 1), 1), (key(1, 2), 2)].into()
    );
    assert_eq!(store.list(Some(key(3, 0).workspace)).await, [].into());

    let mut entries = store.blobs.list(Some(key(2, 0).workspace));
    let entry = entries.try_next().await.unwrap().unwrap();
    let written = std::fs::metadata(store.dir.path())
        .unwrap()
        .modified()
        .unwrap();
    let written = written
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let apart = entry
        .modified
        .secs()
        .abs_diff(i64::try_from(written).unwrap());
    assert!(apart < 60, "{entry:?}");
}

async fn a_list_is_longer_than_a_page(store: TestStore) {
    let count = 1100;
    store.put(key(1, 0), b"x").await;
    // Written directly to the folder, since the store would flush each.
    let place = store.files();
    let place = place
        .iter()
        .find(|file| file.ends_with(&key(1, 0).id.to_string()))
        .unwrap();
    for id in 1..count {
        std::fs::copy(
            place,
            place.replace(&key(1, 0).id.to_string(), &key(1, id).id.to_string()),
        )
        .unwrap();
    }
    let expected = (0..count).map(|id| (key(1, id), 1)).collect();
    assert!(store.list(None).await == expected);
    assert!(store.list(Some(key(1, 0).workspace)).await == expected);
}

async fn a_store_that_answers_is_ready(store: TestStore) {
    let before = store.files();
    store.blobs.check().await.unwrap();
    store.put(key(1, 1), b"x").await;
    store.blobs.check().await.unwrap();
    store.blobs.delete(key(1, 1)).await.unwrap();
    assert_eq!(store.files(), before);
}

async fn uploads_run_side_by_side(store: TestStore) {
    let all = contents(6 * MIB);
    let uploads = (0..8).map(|id| {
        let (store, all) = (&store, &all);
        async move {
            store
                .put(key(1, id), &all[usize::try_from(id).unwrap()..])
                .await;
        }
    });
    futures_util::future::join_all(uploads).await;
    for id in 0..8 {
        let found = store.get(key(1, id), None).await.unwrap();
        assert!(found == all[usize::try_from(id).unwrap()..]);
    }
}

#[tokio::test]
async fn a_bucket_may_be_used_without_a_prefix() {
    a_list_shows_finished_blobs_of_the_workspace_or_of_all(TestStore::s3("").await).await;
    a_dropped_upload_leaves_nothing_once_it_is_swept(TestStore::s3("").await).await;
    a_missing_blob_is_not_found(TestStore::s3("").await).await;
}

#[tokio::test]
async fn a_dropped_upload_leaves_a_folder_at_once() {
    let store = TestStore::folder();
    let mut upload = store.blobs.create(key(1, 1)).await.unwrap();
    upload.write(contents(MIB)).await.unwrap();
    drop(upload);
    assert_eq!(store.files(), [].into());
}

#[tokio::test]
async fn an_upload_cancelled_half_way_cannot_go_on() {
    for store in [TestStore::folder(), TestStore::s3("x").await] {
        let mut upload = store.blobs.create(key(1, 1)).await.unwrap();
        let mut write = Box::pin(upload.write(contents(6 * MIB)));
        if futures_util::poll!(&mut write).is_ready() {
            // The write ended before it could be cut off.
            continue;
        }
        drop(write);
        assert!(upload.write(contents(1)).await.is_err());
        assert!(upload.finish().await.is_err());
        assert_eq!(store.list(None).await, [].into());
    }
}

#[tokio::test]
async fn files_of_others_are_not_listed_and_not_swept() {
    let store = TestStore::folder();
    store.put(key(1, 1), b"x").await;
    let blobs = store.dir.path().join("blobs");
    let workspace = blobs.join(key(1, 1).workspace.to_string());
    std::fs::write(blobs.join("lost+found"), "").unwrap();
    std::fs::create_dir(blobs.join("other")).unwrap();
    std::fs::write(workspace.join("notes.txt"), "").unwrap();
    std::fs::write(workspace.join("00000000-0000-0000-0000-00000000000A"), "").unwrap();
    std::fs::create_dir(blobs.join("unfinished/dir")).unwrap();
    let before = store.files();
    assert_eq!(store.list(None).await, [(key(1, 1), 1)].into());
    assert_eq!(store.blobs.sweep_unfinished(FAR_AHEAD).await.unwrap(), 0);
    assert_eq!(store.files(), before);
}

#[tokio::test]
async fn a_removed_folder_is_not_ready_and_not_recreated() {
    let store = TestStore::folder();
    std::fs::remove_dir_all(store.dir.path().join("blobs")).unwrap();
    assert!(matches!(
        store.blobs.check().await,
        Err(BlobError::Unavailable(_))
    ));
    assert!(matches!(
        store.blobs.create(key(1, 1)).await,
        Err(BlobError::Unavailable(_))
    ));
    assert_eq!(store.files(), [].into());
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_fails_the_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("blobs"), "").unwrap();
    let error = Blobs::open_with(&BlobUrl::DataDir, dir.path(), []).unwrap_err();
    assert!(
        error.to_string().contains("/blobs cannot be used"),
        "{error}"
    );
}

#[tokio::test]
async fn a_dead_server_and_a_missing_bucket_are_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let server = s3::Server::start(dir.path(), "files").await;
    let environment = server.environment();
    let open = |url: &str| {
        Blobs::open_with(&url.parse().unwrap(), dir.path(), environment.clone()).unwrap()
    };
    let missing = open("s3://other/x");
    assert!(matches!(
        missing.check().await,
        Err(BlobError::Unavailable(_))
    ));

    let blobs = open("s3://files");
    let mut upload = blobs.create(key(1, 1)).await.unwrap();
    upload.write(contents(6 * MIB)).await.unwrap();
    server.stop().await;
    assert!(matches!(
        blobs.check().await,
        Err(BlobError::Unavailable(_))
    ));
    assert!(matches!(
        blobs.size(key(1, 1)).await,
        Err(BlobError::Unavailable(_))
    ));
    assert!(matches!(
        upload.finish().await,
        Err(BlobError::Unavailable(_))
    ));
}

#[tokio::test]
async fn wrong_credentials_are_not_ready_and_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let server = s3::Server::start(dir.path(), "files").await;
    let mut environment = server.environment();
    for (name, value) in &mut environment {
        if name == "AWS_SECRET_ACCESS_KEY" {
            *value = "not-the-secret".into();
        }
    }
    let blobs = Blobs::open_with(&"s3://files".parse().unwrap(), dir.path(), environment).unwrap();
    let error = blobs.check().await.unwrap_err();
    let shown = format!("{error} {error:?} {blobs:?}");
    assert!(matches!(error, BlobError::Unavailable(_)), "{shown}");
    assert!(
        !shown.contains("not-the-secret") && !shown.contains("Signature="),
        "{shown}"
    );
}

#[test]
fn bad_s3_settings_fail_the_start() {
    let open = |settings: &[(&str, &str)]| {
        let settings = settings
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        Blobs::open_with(&"s3://files".parse().unwrap(), Path::new("/"), settings)
    };
    let http = ("AWS_ENDPOINT", "http://127.0.0.1:9000");
    assert!(matches!(open(&[http]), Err(OpenError::HttpNotAllowed)));
    assert!(matches!(
        open(&[http, ("AWS_ALLOW_HTTP", "false")]),
        Err(OpenError::HttpNotAllowed)
    ));
    assert!(open(&[("AWS_ALLOW_HTTP", "true"), http]).is_ok());
    assert!(matches!(
        open(&[("AWS_ENDPOINT_URL_S3", http.1)]),
        Err(OpenError::HttpNotAllowed)
    ));
    assert!(matches!(
        open(&[("AWS_ACCESS_KEY_ID", "alone")]),
        Err(OpenError::Settings(_))
    ));
    assert!(open(&[("AWS_UNKNOWN", "x"), ("PATH", "x")]).is_ok());
}

#[test]
fn a_key_has_one_spelling_and_no_way_out() {
    let good = key(0xabc, 0xdef);
    assert_eq!(good.to_string().parse(), Ok(good));
    let text = good.to_string();
    for bad in [
        "",
        "/",
        "..",
        "../../etc/passwd",
        &text.to_uppercase(),
        &text.replace('-', ""),
        &text.replace('/', "//"),
        &text.replace('/', "/../"),
        &format!("/{text}"),
        &format!("{text}/"),
        &format!("{text}\0"),
        &format!(" {text}"),
        &format!("unfinished/{text}"),
    ] {
        assert_eq!(bad.parse::<BlobKey>(), Err(BadBlobKey), "{bad}");
    }
}
