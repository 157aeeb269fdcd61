//! The parsers of the server: what HTTP and websockets bring.

use std::{
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Uri};
use prichal::{
    disposition, face,
    multipart::FilePart,
    range::{self, Wanted},
};

/// The result of a future that never waits.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return done;
        }
    }
}

pub(crate) fn file_name(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let clean = disposition::clean(&text);
    assert_eq!(disposition::clean(&clean), clean, "a clean name stays");
    let _ = disposition::attachment(&text);
}

pub(crate) fn json(input: &[u8]) {
    if let Ok(value) = face::parse_json(input) {
        let text = value.to_string();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}

/// The first byte says how the body is cut into chunks.
pub(crate) fn multipart(input: &[u8]) {
    const TYPE: HeaderValue = HeaderValue::from_static("multipart/form-data; boundary=XyZ");
    const LIMIT: u64 = 64 * 1024;
    let (cut, body) = input
        .split_first()
        .map_or((1, input), |(cut, body)| (usize::from(*cut).max(1), body));
    let chunks = body
        .chunks(cut * 7)
        .map(|chunk| Ok::<_, Infallible>(Bytes::copy_from_slice(chunk)));
    let chunks = stream::iter(chunks);
    ready(async {
        let Ok(mut file) = FilePart::find(Some(&TYPE), chunks, "file", LIMIT).await else {
            return;
        };
        let mut size = 0;
        while let Ok(Some(chunk)) = file.chunk().await {
            size += chunk.len() as u64;
        }
        assert!(size <= LIMIT);
    });
    if let Ok(kind) = HeaderValue::from_bytes(input) {
        let empty = stream::empty::<Result<Bytes, Infallible>>();
        let _ = ready(FilePart::find(Some(&kind), empty, "file", LIMIT));
    }
}

pub(crate) fn path(input: &[u8]) {
    if let Ok(uri) = Uri::try_from(input)
        && let Some(other) = face::edo::routes::canonical(&uri)
    {
        assert!(other.path().starts_with('/'));
    }
}

pub(crate) fn range(input: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(input) else {
        return;
    };
    for size in [0, 1, 1000, u64::MAX] {
        if let Wanted::Part(part) = range::wanted(Some(&header), size) {
            assert!(part.start < part.end && part.end <= size);
            let _ = range::content_range(&part, size);
        }
    }
}
