//! Styles, scripts and icons: embedded, compressed once, and named by their content, so that browsers keep them for
//! ever.
//!
//! `crates/prichal-console/assets/vendor/` holds other people's files as they were published, and a list of their
//! versions, licences and checksums, which a test compares.

use std::{collections::HashMap, fmt::Write as _, io::Write as _, sync::LazyLock};

use axum::{
    extract::Path,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use crate::answer::Fault;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!("../assets/", $name)))),*]
    };
}

const FILES: &[(&str, &[u8])] = files![
    "check.css",
    "check.js",
    "console.css",
    "console.js",
    "call-clock.js",
    "code-editor.js",
    "icon.svg",
    "ncalayer.js",
    "server-chart.js",
    "vendor/htmx.js",
    "vendor/prism.js",
    "vendor/uplot.js",
    "vendor/uplot.css",
];

/// The number of digits of a file's hash in its name.
const DIGITS: usize = 16;
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

struct Asset {
    /// The address, such as `/console/assets/console.0123456789abcdef.css`.
    path: String,
    media_type: &'static str,
    plain: Bytes,
    gzip: Bytes,
}

/// The files by their name in the repository.
static ASSETS: LazyLock<HashMap<&str, Asset>> = LazyLock::new(|| {
    let assets = FILES
        .iter()
        .map(|(name, bytes)| (*name, Asset::new(name, bytes)));
    assets.collect()
});

/// The names by the last segment of their address.
static NAMES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let pairs = ASSETS.iter().map(|(name, asset)| {
        let file = asset.path.rsplit('/').next().unwrap_or_default();
        (file, *name)
    });
    pairs.collect()
});

impl Asset {
    fn new(name: &str, bytes: &'static [u8]) -> Self {
        let file = name.rsplit('/').next().unwrap_or(name);
        let (stem, extension) = file.rsplit_once('.').unwrap_or((file, ""));
        let hash = hex(&Sha256::digest(bytes));
        let media_type = match extension {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "application/octet-stream",
        };
        Self {
            path: format!("/console/assets/{stem}.{}.{extension}", &hash[..DIGITS]),
            media_type,
            plain: Bytes::from_static(bytes),
            gzip: compress(bytes),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail; an empty result is never sent.
    let done = encoder.write_all(bytes).and_then(|()| encoder.finish());
    done.unwrap_or_default().into()
}

/// The address of a file by its name in the repository. A name that does not exist is a bug, which tests of every page
/// find.
pub(crate) fn path(name: &str) -> &'static str {
    ASSETS.get(name).map_or("", |asset| &asset.path)
}

/// The names of the files with their addresses.
#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    ASSETS.iter().map(|(name, asset)| (*name, &*asset.path))
}

/// Answers with a file.
pub(crate) async fn serve(Path(file): Path<String>, headers: HeaderMap) -> Response {
    let asset = NAMES.get(&*file).and_then(|name| ASSETS.get(name));
    let Some(asset) = asset else {
        return Fault::NotFound.into_response();
    };
    let accepted = headers.get(header::ACCEPT_ENCODING);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    let is_gzip = accepted.is_some_and(|value| value.contains("gzip")) && !asset.gzip.is_empty();
    let body = if is_gzip { &asset.gzip } else { &asset.plain };
    let mut response = body.clone().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.media_type),
    );
    headers.insert(header::CACHE_CONTROL, FOR_EVER);
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of each vendored file in the list ends with its SHA-256.
    #[test]
    fn vendored_files_are_those_of_the_list() {
        let list = include_str!("../assets/vendor/LIST.md");
        let vendored = FILES.iter().filter(|(name, _)| name.starts_with("vendor/"));
        let mut count = 0;
        for (name, bytes) in vendored {
            let file = name.trim_start_matches("vendor/");
            let hash = hex(&Sha256::digest(bytes));
            let line = list
                .lines()
                .find(|line| line.starts_with(&format!("| `{file}` |")));
            let line = line.unwrap_or_else(|| panic!("{file} is not in the list"));
            assert!(line.contains(&hash), "{file} has the SHA-256 {hash}");
            count += 1;
        }
        let listed = list.lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(listed, count, "files of the list");
    }

    #[test]
    fn the_first_load_is_small() {
        let first = ["console.css", "console.js", "icon.svg", "vendor/htmx.js"];
        let size: usize = first.iter().map(|name| ASSETS[name].gzip.len()).sum();
        assert!(size < 60_000, "{size} bytes");
    }
}
