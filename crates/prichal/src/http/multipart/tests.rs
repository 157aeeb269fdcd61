use std::convert::Infallible;

use futures_util::stream;
use proptest::prelude::*;

use super::*;

const TYPE: HeaderValue = HeaderValue::from_static("multipart/form-data; boundary=XyZ");
const LIMIT: u64 = 1000;

/// The result: file name, content type, contents.
type Found = (Option<String>, Option<String>, Vec<u8>);

async fn read(content_type: &HeaderValue, chunks: Vec<&[u8]>) -> Result<Found, MultipartError> {
    let body = stream::iter(
        chunks
            .into_iter()
            .map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk))),
    );
    let mut part = FilePart::find(Some(content_type), body, "file", LIMIT).await?;
    let mut contents = Vec::new();
    while let Some(chunk) = part.chunk().await? {
        assert!(!chunk.is_empty());
        contents.extend_from_slice(&chunk);
    }
    assert!(part.chunk().await?.is_none(), "stays at its end");
    let kind = part
        .content_type
        .as_ref()
        .map(|kind| kind.to_str().unwrap().to_owned());
    Ok((part.file_name, kind, contents))
}

/// Reads a body split in two at every position, and byte by byte. The result is always the same.
async fn read_every_way(body: &[u8]) -> Result<Found, String> {
    let show = |found: Result<Found, MultipartError>| found.map_err(|error| error.to_string());
    let whole = show(read(&TYPE, vec![body]).await);
    assert_eq!(show(read(&TYPE, body.chunks(1).collect()).await), whole);
    for at in 0..body.len() {
        let (left, right) = body.split_at(at);
        assert_eq!(
            show(read(&TYPE, vec![left, b"", right]).await),
            whole,
            "cut at {at}"
        );
    }
    whole
}

fn form(headers: &str, contents: &str) -> String {
    format!("--XyZ\r\n{headers}\r\n\r\n{contents}\r\n--XyZ--\r\n")
}

async fn file_name(disposition: &str) -> Option<String> {
    let headers = format!("Content-Disposition: {disposition}");
    let (name, _, contents) = read_every_way(form(&headers, "x").as_bytes())
        .await
        .unwrap();
    assert_eq!(contents, b"x");
    name
}

#[tokio::test]
async fn a_file_as_curl_sends_it() {
    let body = form(
        "Content-Disposition: form-data; name=\"file\"; filename=\"Запись 1.mp3\"\r\nContent-Type: audio/mpeg",
        "\r\nID3\0\r\n--Xy\r\r\n\r\n-XyZ\r\n",
    );
    let (name, kind, contents) = read_every_way(body.as_bytes()).await.unwrap();
    assert_eq!(name.unwrap(), "Запись 1.mp3");
    assert_eq!(kind.unwrap(), "audio/mpeg");
    assert_eq!(contents, b"\r\nID3\0\r\n--Xy\r\r\n\r\n-XyZ\r\n");
}

#[tokio::test]
async fn other_parts_a_preamble_and_an_epilogue_are_skipped() {
    let body = "preamble --XyZ\r\n\r\n--XyZ  \t\r\n\
        Content-Disposition: form-data; name=\"title\"; filename=\"file\"\r\n\r\nfile\r\n--XyZ\r\n\
        \r\nno headers\r\n--XyZ\r\n\
        content-disposition:form-data;filename=a.txt;name=file\r\n\r\n\r\n--XyZ\r\n\
        Content-Disposition: form-data; name=\"last\"\r\n\r\n1\r\n--XyZ--epilogue\r\n--XyZ\r\n";
    let (name, kind, contents) = read_every_way(body.as_bytes()).await.unwrap();
    assert_eq!(name.unwrap(), "a.txt");
    assert_eq!((kind, contents), (None, vec![]), "an empty file");
}

#[tokio::test]
async fn file_names_in_all_spellings() {
    for (disposition, expected) in [
        (
            r#"form-data; name="file"; filename="a b;c=d.txt""#,
            "a b;c=d.txt",
        ),
        (r"form-data; name=file; filename=plain.txt", "plain.txt"),
        (
            r#"form-data; filename="x.txt"; NAME="file"; FileName*=utf-8''y.txt"#,
            "y.txt",
        ),
        (
            "form-data; name=\"file\"; filename=\"q.txt\"; filename*=UTF-8'ru'%D1%84%20%221%22.txt",
            "ф \"1\".txt",
        ),
        (
            "form-data; name=\"file\"; filename*=\"utf-8''%D1%84.txt\"",
            "ф.txt",
        ),
        (
            "form-data; name=\"file\"; filename*=iso-8859-1''caf%E9.txt",
            "café.txt",
        ),
        (
            "form-data; name=\"file\"; filename=\"ok.txt\"; filename*=UTF-8''%FF.txt",
            "ok.txt",
        ),
        (
            "form-data; name=\"file\"; filename=\"ok.txt\"; filename*=koi8-r''%C6.txt",
            "ok.txt",
        ),
        (
            "form-data; name=\"file\"; filename=\"ok.txt\"; filename*=nonsense",
            "ok.txt",
        ),
        (r#"form-data; name="file"; filename="a\"b.txt""#, "a\"b.txt"),
        (
            "form-data; name=\"file\"; filename=\"a%22b%0D%0A100%.txt\"",
            "a\"b100%.txt",
        ),
        (
            r#"form-data; name="file"; filename="C:\new\текст.txt""#,
            "текст.txt",
        ),
        (
            r#"form-data; name="file"; filename="C:\\new\\t.txt""#,
            "t.txt",
        ),
        (
            "form-data; name=\"file\"; filename=\"../../etc/passwd\"",
            "passwd",
        ),
        (
            "form-data; name=\"file\"; filename*=UTF-8''..%2F..%2Fx%00y",
            "xy",
        ),
        (
            "form-data; attr; name=\"file\" ; filename = \"a.txt\" ",
            "a.txt",
        ),
    ] {
        assert_eq!(
            file_name(disposition).await.as_deref(),
            Some(expected),
            "{disposition}"
        );
    }
    for none in [
        "form-data; name=\"file\"",
        "form-data; name=\"file\"; filename=\"\"",
        "form-data; name=file; filename=\"a/\"",
    ] {
        assert_eq!(file_name(none).await, None, "{none}");
    }
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_no_error() {
    let body = b"--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\xf4.txt\"\r\n\r\n1\r\n--XyZ--";
    let (name, _, contents) = read_every_way(body).await.unwrap();
    assert_eq!(
        (name.unwrap().as_str(), contents.as_slice()),
        ("\u{fffd}.txt", &b"1"[..])
    );
}

#[tokio::test]
async fn valid_content_types_are_kept() {
    for (sent, expected) in [
        (
            "text/plain; charset=utf-8",
            Some("text/plain; charset=utf-8"),
        ),
        ("application/vnd.ms-excel", Some("application/vnd.ms-excel")),
        ("nonsense", None),
        ("text/", None),
        ("text/pl ain", None),
        ("текст/plain", None),
        ("text/plain; x=\u{1}", None),
    ] {
        let headers = format!("Content-Disposition: form-data; name=file\r\nContent-Type: {sent}");
        let (_, kind, _) = read_every_way(form(&headers, "x").as_bytes())
            .await
            .unwrap();
        assert_eq!(kind.as_deref(), expected, "{sent}");
    }
}

#[tokio::test]
async fn malformed_forms_are_refused_with_the_reason() {
    let file = "Content-Disposition: form-data; name=file";
    for (body, expected) in [
        (String::new(), "it ends before its last boundary"),
        (
            "no boundary at all".into(),
            "it ends before its last boundary",
        ),
        (
            format!("--XyZ\r\n{file}\r\n\r\ncut off"),
            "it ends before its last boundary",
        ),
        (
            format!("--XyZ\r\n{file}\r\n\r\ncut off\r\n--XyZ"),
            "it ends before its last boundary",
        ),
        (
            format!("--XyZ\r\n{file}\r\n\r\ncut off\r\n--XyZ\r\nContent"),
            "it ends before its last boundary",
        ),
        (
            format!("--XyZ\r\n{file}"),
            "it ends before its last boundary",
        ),
        (form("no colon", "x"), "a header of a part has no colon"),
        (
            form(file, &format!("1\r\n--XyZ\r\n{file}\r\n\r\n2")),
            "there are two files",
        ),
        (
            format!("--XyZandmore\r\n{file}\r\n\r\nx\r\n--XyZ--"),
            "a boundary's line goes on after it",
        ),
    ] {
        let error = read_every_way(body.as_bytes()).await.unwrap_err();
        assert!(error.ends_with(expected), "{body}: {error}");
    }
    let error = read(
        &TYPE,
        vec![form("Content-Disposition: form-data; name=other", "x").as_bytes()],
    )
    .await;
    assert!(matches!(error, Err(MultipartError::NoFilePart(name)) if name == "file"));
    let error = read(&TYPE, vec![b"--XyZ--"]).await;
    assert!(matches!(error, Err(MultipartError::NoFilePart(_))));
}

#[tokio::test]
async fn content_types_without_a_boundary_are_not_multipart() {
    for bad in [
        "application/json",
        "multipart/mixed; boundary=XyZ",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a\"b",
        "multipart/form-data; boundary=0123456789012345678901234567890123456789012345678901234567890123456789x",
    ] {
        let error = read(&HeaderValue::from_static(bad), vec![]).await;
        assert!(matches!(error, Err(MultipartError::NotMultipart)), "{bad}");
    }
    let body = form("Content-Disposition: form-data; name=file", "x");
    for good in [
        "Multipart/Form-Data; charset=utf-8; Boundary=XyZ",
        "multipart/form-data;boundary=\"XyZ\"; x",
    ] {
        read(&HeaderValue::from_static(good), vec![body.as_bytes()])
            .await
            .unwrap();
    }
    let body = stream::empty::<Result<Bytes, Infallible>>();
    assert!(matches!(
        FilePart::find(None, body, "file", 1).await,
        Err(MultipartError::NotMultipart)
    ));
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_and_one_at_it_is_not() {
    let headers = "Content-Disposition: form-data; name=file";
    let limit = usize::try_from(LIMIT).unwrap();
    let (_, _, contents) = read_every_way(form(headers, &"x".repeat(limit)).as_bytes())
        .await
        .unwrap();
    assert_eq!(contents.len(), limit);
    let error = read(
        &TYPE,
        vec![form(headers, &"x".repeat(limit + 1)).as_bytes()],
    )
    .await;
    assert!(matches!(
        error,
        Err(MultipartError::TooLarge { limit: LIMIT })
    ));
}

/// An endless body is refused after a bounded part of it, wherever it is endless.
#[tokio::test]
async fn endless_bodies_are_cut_off() {
    let endless = |start: &'static str, filler: &'static [u8]| async move {
        let mut polled = 0_u64;
        let filler = Bytes::from(filler.repeat(4096 / filler.len() + 1));
        let body = stream::once(async { Bytes::from(start) }).chain(stream::repeat(filler));
        let body = body.map(|chunk| {
            polled += chunk.len() as u64;
            Ok::<_, Infallible>(chunk)
        });
        let mut body = Box::pin(body);
        let error = match FilePart::find(Some(&TYPE), &mut body, "file", LIMIT).await {
            Ok(mut part) => loop {
                match part.chunk().await {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{start} ended"),
                    Err(error) => break error,
                }
            },
            Err(error) => error,
        };
        drop(body);
        (error, polled)
    };
    let file = "--XyZ\r\nContent-Disposition: form-data; name=file\r\n\r\n";
    let other = "--XyZ\r\nContent-Disposition: form-data; name=other\r\n\r\n";
    for (start, filler, most) in [
        ("", &b"x"[..], MAX_OTHER_BYTES),
        ("", b"\r\n", MAX_OTHER_BYTES),
        (other, b"x", MAX_OTHER_BYTES),
        (other, b"\r\n--XyZ\r\n\r\n", MAX_OTHER_BYTES),
        ("--XyZ", b" ", MAX_OTHER_BYTES),
        (file, b"x", LIMIT),
        (file, b"\r", LIMIT),
        ("--XyZ--", b"x", 0),
        ("--XyZ\r\n", b"a: b\r\n", MAX_HEADER_BYTES as u64),
        ("--XyZ\r\n", b"x", MAX_HEADER_BYTES as u64),
    ] {
        let (error, polled) = endless(start, filler).await;
        assert!(polled <= most + 3 * 8192, "{start} {filler:?}: {polled}");
        let expected = matches!(
            error,
            MultipartError::TooLarge { .. }
                | MultipartError::Malformed(_)
                | MultipartError::NoFilePart(_)
        );
        assert!(expected, "{error:?}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_not_a_malformed_form() {
    let start =
        form("Content-Disposition: form-data; name=file", "x").replace("\r\n--XyZ--\r\n", "");
    let body = stream::iter([Ok(Bytes::from(start)), Err(std::io::Error::other("reset"))]);
    let mut part = FilePart::find(Some(&TYPE), body, "file", LIMIT)
        .await
        .unwrap();
    assert_eq!(part.chunk().await.unwrap().unwrap(), "x");
    assert!(matches!(
        part.chunk().await,
        Err(MultipartError::Interrupted(_))
    ));
}

proptest! {
    /// Contents made of the characters of boundaries are returned unchanged, split anywhere.
    #[test]
    fn any_contents_come_back(
        contents in "[\r\n\\-XyZa]{0,200}".prop_filter("no boundary in it", |text| !text.contains("\r\n--XyZ")),
        size in 1_usize..20,
    ) {
        // At the very beginning the line break before it belongs to the headers.
        prop_assume!(!contents.starts_with("--XyZ"));
        let body = form("Content-Disposition: form-data; name=file", &contents);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let found = runtime.block_on(read(&TYPE, body.as_bytes().chunks(size).collect()));
        prop_assert_eq!(found.unwrap().2, contents.as_bytes());
    }

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec("(\r\n|--|XyZ|name=file|Content-Disposition: |form-data; |\"|\\\\|x|:|;|%D1)", 0..60), size in 1_usize..50) {
        let body = body.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _ = runtime.block_on(read(&TYPE, body.as_bytes().chunks(size).collect()));
    }
}
