//! The setting `--blob-url`.

use std::{
    path::{Component, Path, PathBuf},
    str::FromStr,
};

use percent_encoding::percent_decode_str;

/// The location of the blobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobUrl {
    /// `file:`, the folder `blobs` in the data dir.
    DataDir,
    /// `file:///absolute/path`.
    Folder(PathBuf),
    /// `s3://bucket/prefix`. The prefix has neither a first nor a last slash and may be empty.
    Bucket { bucket: String, prefix: String },
}

/// The fault and the allowed forms, in one line. The given value is not repeated, since it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; allowed are file: (a folder in the data dir), file:///absolute/path and s3://bucket/prefix"
)]
pub struct BadBlobUrl(&'static str);

impl FromStr for BlobUrl {
    type Err = BadBlobUrl;

    fn from_str(text: &str) -> Result<Self, BadBlobUrl> {
        if let Some(rest) = text.strip_prefix("file:") {
            folder(rest)
        } else if let Some(rest) = text.strip_prefix("s3://") {
            bucket(rest)
        } else {
            Err(BadBlobUrl("it begins with neither file: nor s3://"))
        }
    }
}

fn folder(rest: &str) -> Result<BlobUrl, BadBlobUrl> {
    if rest.is_empty() {
        return Ok(BlobUrl::DataDir);
    }
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with('/') => path,
        Some(_) => return Err(BadBlobUrl("a file: address names no host")),
        None => rest,
    };
    if path.contains(['?', '#']) {
        return Err(BadBlobUrl("a file: address has no ? and no #"));
    }
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| BadBlobUrl("the path is not UTF-8"))?;
    let path = Path::new(&*path);
    if !path.is_absolute() {
        return Err(BadBlobUrl("the path is not absolute"));
    }
    if path.as_os_str().as_encoded_bytes().contains(&0)
        || path.components().any(|part| part == Component::ParentDir)
        || path.parent().is_none()
    {
        return Err(BadBlobUrl("the path is not the plain path of a folder"));
    }
    Ok(BlobUrl::Folder(path.to_owned()))
}

fn bucket(rest: &str) -> Result<BlobUrl, BadBlobUrl> {
    if rest.contains('@') {
        return Err(BadBlobUrl(
            "credentials belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(letter) {
        return Err(BadBlobUrl(
            "the bucket's name is not 3 to 63 letters, digits, hyphens or dots",
        ));
    }
    let prefix = prefix.trim_end_matches('/');
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.chars().all(|c| letter(c) || c == '=')
    };
    if !prefix.is_empty() && !prefix.split('/').all(plain) {
        return Err(BadBlobUrl(
            "the prefix is not letters, digits, - _ . = between single slashes",
        ));
    }
    Ok(BlobUrl::Bucket {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses() {
        let bucket = |bucket: &str, prefix: &str| BlobUrl::Bucket {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        for (text, url) in [
            ("file:", BlobUrl::DataDir),
            (
                "file:///var/lib/blobs",
                BlobUrl::Folder("/var/lib/blobs".into()),
            ),
            (
                "file:/var/lib/blobs/",
                BlobUrl::Folder("/var/lib/blobs/".into()),
            ),
            ("file:///mnt/%D1%84%20x", BlobUrl::Folder("/mnt/ф x".into())),
            ("s3://files", bucket("files", "")),
            ("s3://files/", bucket("files", "")),
            (
                "s3://my.files-1/prichal/prod/",
                bucket("my.files-1", "prichal/prod"),
            ),
        ] {
            assert_eq!(text.parse(), Ok(url), "{text}");
        }
    }

    #[test]
    fn the_error_of_a_bad_address_names_the_allowed_forms_in_one_line() {
        for text in [
            "",
            "blobs",
            "/var/lib/blobs",
            "http://bucket/prefix",
            "S3://files",
            "file:blobs",
            "file:./blobs",
            "file://host/blobs",
            "file://",
            "file:///",
            "file:///a/../b",
            "file:///a%00b",
            "file:///a%ff",
            "file:///a?b",
            "s3://",
            "s3://ab",
            "s3:///prefix",
            "s3://key:secret@files/prefix",
            "s3://files/../other",
            "s3://files//x",
            "s3://files/a b",
            "s3://fi les",
            "s3://files:9000/x",
        ] {
            let error = text.parse::<BlobUrl>().expect_err(text).to_string();
            assert!(error.contains("allowed are"), "{error}");
            assert!(
                !error.contains('\n') && !error.contains("secret@"),
                "{error}"
            );
        }
    }
}
