//! Uploads and downloads through the real router.

use std::convert::Infallible;

use axum::{Router, http::Method};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::{config::Config, http::upload::MAX_PAUSE, platform::clock::Clock};

const TOKEN: &str = "an-admin-token-for-tests-of-the-hub";
const MULTIPART: &str = "multipart/form-data; boundary=edge";

struct Lab {
    router: Router,
    app: App,
    _dir: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::for_data_dir(dir.path().join("data"));
        config.admin_token = Some(TOKEN.into());
        let clock = Clock::manual(Clock::System.now());
        let app = crate::app::open(config, clock).await.unwrap();
        let router = crate::dialect::router(app.clone());
        let lab = Self {
            router,
            app,
            _dir: dir,
        };
        for name in ["acme", "other"] {
            let body = Body::from(json!({ "name": name }).to_string());
            let made = lab.send(Method::POST, "/admin/v1/workspaces", &[], body);
            assert_eq!(made.await.status, StatusCode::CREATED);
        }
        lab
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "hub.example");
        request = request.header("authorization", format!("Bearer {TOKEN}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    async fn upload(&self, name: &str, kind: &str, contents: &[u8], once: Option<&str>) -> Answer {
        let mut headers = vec![("content-type", MULTIPART)];
        headers.extend(once.map(|key| ("idempotency-key", key)));
        let mut body = start(name, kind).into_bytes();
        body.extend_from_slice(contents);
        body.extend_from_slice(b"\r\n--edge--\r\n");
        self.send(Method::POST, "/api/v1/acme/files", &headers, body.into())
            .await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, path, headers, Body::empty()).await
    }

    /// The path of a new file.
    async fn place(&self, name: &str, kind: &str, contents: &[u8]) -> String {
        let made = self.upload(name, kind, contents, None).await;
        assert_eq!(made.status, StatusCode::OK);
        format!(
            "/api/v1/acme/files/{}",
            made.json()["fileId"].as_str().unwrap()
        )
    }

    async fn blobs(&self) -> usize {
        self.app.blobs.list(None).count().await
    }
}

fn start(name: &str, kind: &str) -> String {
    format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
    )
}

/// A form with a file of `size` bytes that is never in memory in full.
fn form(size: u64) -> Body {
    const CHUNK: u64 = 64 * 1024;
    let chunk = Bytes::from(vec![b'x'; usize::try_from(CHUNK).unwrap()]);
    let contents = (0..size.div_ceil(CHUNK)).map(move |at| {
        let length = (size - at * CHUNK).min(CHUNK);
        chunk.slice(..usize::try_from(length).unwrap())
    });
    let parts = std::iter::once(Bytes::from(start("big", "video/mp4")))
        .chain(contents)
        .chain([Bytes::from_static(b"\r\n--edge--\r\n")]);
    Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)))
}

#[tokio::test]
async fn a_file_is_read_in_full_and_in_ranges() {
    let lab = Lab::new().await;
    let made = lab
        .upload("запись.mp3", "audio/mpeg", b"0123456789", None)
        .await;
    let id = made.json()["fileId"].clone();
    assert_eq!(
        made.json(),
        json!({ "fileId": id, "fileName": "запись.mp3", "contentType": "audio/mpeg", "contentLength": 10 })
    );
    let place = format!("/api/v1/acme/files/{}", id.as_str().unwrap());
    let meta = lab.get(&format!("{place}/meta"), &[]).await;
    assert_eq!(
        meta.json(),
        json!({ "fileId": id, "fileName": "запись.mp3", "contentType": "audio/mpeg", "contentLength": "10" })
    );
    let whole = lab.get(&place, &[]).await;
    assert_eq!(whole.body, "0123456789");
    assert_eq!(whole.header("content-type"), "audio/mpeg");
    assert_eq!(whole.header("content-length"), "10");
    assert_eq!(whole.header("content-disposition"), "");
    assert_eq!(whole.header("accept-ranges"), "bytes");

    let tag = whole.header("etag");
    for (headers, status, range, body) in [
        (vec![("range", "bytes=2-4")], 206, "bytes 2-4/10", "234"),
        (vec![("range", "bytes=-3")], 206, "bytes 7-9/10", "789"),
        (
            vec![("range", "bytes=2-4"), ("if-range", tag)],
            206,
            "bytes 2-4/10",
            "234",
        ),
        (
            vec![("range", "bytes=2-4"), ("if-range", "\"older\"")],
            200,
            "",
            "0123456789",
        ),
        (vec![("range", "bytes=0-1,4-5")], 200, "", "0123456789"),
    ] {
        let part = lab.get(&place, &headers).await;
        assert_eq!(part.status, status, "{headers:?}");
        assert_eq!(part.header("content-range"), range, "{headers:?}");
        assert_eq!(part.header("content-length"), body.len().to_string());
        assert_eq!(part.body, body, "{headers:?}");
    }
    let beyond = lab.get(&place, &[("range", "bytes=10-")]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header("content-range"), "bytes */10");
    assert_eq!(beyond.json()["status"], "rangeNotSatisfiable");

    let head = lab
        .send(
            Method::HEAD,
            &place,
            &[("range", "bytes=2-4")],
            Body::empty(),
        )
        .await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), "10");
    assert_eq!(head.header("content-type"), "audio/mpeg");
}

#[tokio::test]
async fn browsers_save_files_on_demand_and_never_run_them() {
    let lab = Lab::new().await;
    let html = lab.place("счёт.html", "text/html", b"<script>").await;
    let opened = lab.get(&html, &[]).await;
    assert_eq!(opened.header("content-security-policy"), "sandbox");
    assert_eq!(opened.header("x-content-type-options"), "nosniff");
    let saved = lab.get(&format!("{html}?download=true"), &[]).await;
    assert_eq!(
        saved.header("content-disposition"),
        "attachment; filename=\"____.html\"; filename*=UTF-8''%D1%81%D1%87%D1%91%D1%82.html"
    );
    let opened = lab.get(&format!("{html}?download=false"), &[]).await;
    assert_eq!(opened.header("content-disposition"), "");
    let unclear = lab.get(&format!("{html}?download=perhaps"), &[]).await;
    assert_eq!(unclear.status, StatusCode::BAD_REQUEST);
    assert!(unclear.json()["errors"]["download"].is_array());
    let nameless = lab.place("", "no type", b"x").await;
    let saved = lab.get(&format!("{nameless}?download=True"), &[]).await;
    assert_eq!(saved.header("content-type"), OCTETS);
    assert_eq!(
        saved.header("content-disposition"),
        "attachment; filename=\"file\""
    );
}

#[tokio::test]
async fn a_foreign_or_expired_file_is_not_found() {
    let lab = Lab::new().await;
    let place = lab.place("a", "text/plain", b"x").await;
    let id = place.rsplit('/').next().unwrap();
    let missing = json!({ "status": "notFound", "message": format!("File {id} not found") });
    for path in ["", "/meta"] {
        let foreign = lab
            .get(&format!("/api/v1/other/files/{id}{path}"), &[])
            .await;
        assert_eq!(foreign.status, StatusCode::CONFLICT);
        assert_eq!(foreign.json(), missing);
    }
    lab.app.clock.advance(lab.app.config.temporary_file_ttl);
    let ended = lab.get(&place, &[]).await;
    assert_eq!(
        (ended.status, ended.json()),
        (StatusCode::CONFLICT, missing)
    );
    let bad = lab.get("/api/v1/acme/files/x", &[]).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    assert!(bad.json()["errors"]["id"].is_array());
}

#[tokio::test]
async fn a_file_that_expires_during_a_read_is_not_found() {
    let lab = Lab::new().await;
    let place = lab.place("a", "text/plain", b"x").await;
    let id = FileId::parse(place.rsplit('/').next().unwrap()).unwrap();
    let key = lab.app.blobs.list(None).next().await.unwrap().unwrap().key;
    let now = lab.app.clock.now();
    let found = move |conn: &mut Conn| file::find(conn, key.workspace, id, now);
    let file = lab.app.db.read(found).await.unwrap().unwrap();
    lab.app.blobs.delete(key).await.unwrap();
    let lost = read(&lab.app, &file, None).await;
    assert!(matches!(lost, Err(Error::Internal(_))), "before its time");
    lab.app.clock.advance(lab.app.config.temporary_file_ttl);
    let ended = read(&lab.app, &file, None).await;
    assert!(matches!(ended, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn the_size_limit_is_exact_and_larger_uploads_leave_no_blob() {
    let lab = Lab::new().await;
    let send = |size| {
        let headers = [("content-type", MULTIPART)];
        let lab = &lab;
        async move {
            lab.send(Method::POST, "/api/v1/acme/files", &headers, form(size))
                .await
        }
    };
    let most = send(MAX_FILE).await;
    assert_eq!(
        (most.status, &most.json()["contentLength"]),
        (StatusCode::OK, &json!(MAX_FILE))
    );
    let refused = send(MAX_FILE + 1).await;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.json()["status"], "fileTooLarge");
    assert_eq!(lab.blobs().await, 1);
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_unread() {
    let lab = Lab::new().await;
    let length = longest_body(MAX_FILE) + 1;
    let headers = [
        ("content-type", MULTIPART),
        ("content-length", &length.to_string()),
        ("expect", "100-continue"),
    ];
    let unread = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let refused = lab
        .send(Method::POST, "/api/v1/acme/files", &headers, unread)
        .await;
    assert_eq!(refused.json()["status"], "fileTooLarge");
}

#[tokio::test]
async fn a_body_without_a_file_part_is_refused_by_field() {
    let lab = Lab::new().await;
    for (kind, body, field) in [
        ("application/json", "{}", "Content-Type"),
        ("multipart/form-data", "", "Content-Type"),
        (MULTIPART, "--edge--", "file"),
        (MULTIPART, "", "file"),
        (
            MULTIPART,
            "--edge\r\nContent-Disposition: form-data; name=file\r\n\r\nx",
            "file",
        ),
    ] {
        let headers = [("content-type", kind)];
        let refused = lab
            .send(Method::POST, "/api/v1/acme/files", &headers, body.into())
            .await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(
            refused.json()["errors"][field].is_array(),
            "{body}: {}",
            refused.json()
        );
    }
    assert_eq!(lab.blobs().await, 0);
}

#[tokio::test]
async fn a_repeated_upload_with_the_same_key_is_the_same_file() {
    let lab = Lab::new().await;
    let first = lab.upload("a", "text/plain", b"x", Some("k")).await;
    let again = lab.upload("a", "text/plain", b"x", Some("k")).await;
    assert_eq!(first.json(), again.json());
    for (name, contents) in [("a", b"y"), ("b", b"x")] {
        let other = lab.upload(name, "text/plain", contents, Some("k")).await;
        assert_eq!(other.json()["status"], "idempotencyConflict");
    }
    assert_ne!(
        lab.upload("a", "text/plain", b"x", None).await.json(),
        first.json()
    );
}

#[tokio::test]
async fn an_upload_from_a_silent_client_is_aborted() {
    let lab = Lab::new().await;
    let beginning = stream::once(async { Ok::<_, Infallible>(Bytes::from(start("a", "a/b"))) });
    let body = Body::from_stream(beginning.chain(stream::pending()));
    let headers = [("content-type", MULTIPART)];
    let mut sent = Box::pin(lab.send(Method::POST, "/api/v1/acme/files", &headers, body));
    let refused = loop {
        match futures_util::poll!(&mut sent) {
            std::task::Poll::Ready(refused) => break refused,
            // Opening the blob takes real time, during which the client does not count as silent.
            std::task::Poll::Pending => lab.app.clock.advance(MAX_PAUSE),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(lab.blobs().await, 0);
}

#[tokio::test]
async fn a_client_that_sends_everything_before_reading_gets_the_refusal() {
    use std::io::{Read as _, Write as _};

    let lab = Lab::new().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let (ready, _) = tokio::sync::oneshot::channel();
    let served = crate::http::serve(
        listener,
        lab.app.platform.clone(),
        lab.router.clone(),
        ready,
        stop.clone(),
    );
    let client = move || {
        let mut connection = std::net::TcpStream::connect(address)?;
        let length = longest_body(MAX_FILE) + 1;
        let head = format!(
            "POST /api/v1/acme/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: {MULTIPART}\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write_all(head.as_bytes())?;
        let mut left = usize::try_from(length).unwrap();
        let chunk = [b'x'; 8192];
        while left > 0 {
            let length = left.min(chunk.len());
            connection.write_all(&chunk[..length])?;
            left -= length;
        }
        let mut answer = [0; 12];
        connection.read_exact(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let asked = async {
        let answer = tokio::task::spawn_blocking(client).await.unwrap().unwrap();
        stop.cancel();
        answer
    };
    let (served, answer) = tokio::join!(served, asked);
    served.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 409");
}
