//! The parsers of the server for HTTP and websocket input.

use std::{
    convert::Infallible,
    io::{self, Read as _},
    net::IpAddr,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Uri};
use prichal::{
    dialect::{self, era::websocket::frame},
    http as server,
    http::{
        disposition, form,
        multipart::FilePart,
        paths::Paths,
        range::{self, Wanted},
    },
    platform::reading::{self, Coding},
};

/// The result of a future that is ready at once.
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
    if let Ok(value) = reading::parse_json(input) {
        let text = value.to_string();
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }
}

/// The first byte selects the sizes of the body's chunks.
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
    let paths = Paths::new([
        "/api/v1/{ws}/files/{id}",
        "/api/v3/sync/blobs/document-content",
        "/api/1/webhooks/{name}",
    ]);
    if let Ok(uri) = Uri::try_from(input)
        && let Some(other) = paths.canonical(&uri)
    {
        assert!(other.path().starts_with('/'));
        assert_eq!(paths.canonical(&other), None, "is as it is registered");
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

/// A compressed body. The first byte selects the coding.
pub(crate) fn coding(input: &[u8]) {
    const MAX_BYTES: u64 = 1 << 20;
    let Some((first, body)) = input.split_first() else {
        return;
    };
    let coding = [Coding::Gzip, Coding::Deflate, Coding::Brotli][usize::from(first % 3)];
    let _ = io::copy(&mut coding.decoder(body).take(MAX_BYTES), &mut io::sink());
}

/// A form as passed to scripts. The first line is its content type.
pub(crate) fn form(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (kind, body) = input.split_at(end.unwrap_or(0));
    let kind = String::from_utf8_lossy(kind);
    let _ = form::read(&kind, body.get(1..).unwrap_or_default());
    let _ = form::query(&String::from_utf8_lossy(body));
    let _ = reading::utf8(&kind, body);
}

/// `X-Forwarded-For` behind a trusted proxy. All private addresses are trusted.
pub(crate) fn forwarded(input: &[u8]) {
    let Ok(header) = HeaderValue::from_bytes(input) else {
        return;
    };
    let lines = [header];
    let trusts = |address: IpAddr| matches!(address, IpAddr::V4(address) if address.is_private());
    let peer = IpAddr::from([10, 0, 0, 1]);
    if let Some(sender) = server::forwarded(peer, &lines, trusts) {
        assert_eq!(sender, sender.to_canonical());
    }
    let stranger = IpAddr::from([203, 0, 113, 1]);
    assert_eq!(server::forwarded(stranger, &lines, trusts), Some(stranger));
}

pub(crate) fn manifest_zip(input: &[u8]) {
    if let Ok(manifest) = dialect::kontur::manifest::unpack(input) {
        let _ = reading::parse_json(&manifest);
    }
}

pub(crate) fn websocket_frame(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(frame) = frame::read(&text) {
        let _ = frame.qid();
    }
}
