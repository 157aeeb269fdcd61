//! The one file of a `multipart/form-data` request (RFC 7578), as a stream.
//!
//! Own code rather than `multer`, which reads ahead as long as the body has data. It also holds everything before the
//! first boundary and all headers of each part in memory without a limit, searches all of it again with each chunk,
//! and does not know `filename*`. Here the memory is one chunk of the body and at most [`MAX_HEADER_BYTES`] more.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::HeaderValue;
use memchr::memmem::Finder;
use percent_encoding::percent_decode_str;

use crate::http::disposition;

/// The maximum bytes of all headers of one part.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// The maximum bytes of everything but the file's contents: other parts, headers, boundaries.
const MAX_OTHER_BYTES: u64 = 1024 * 1024;

/// The reason why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    #[error("the content type is not multipart/form-data with a boundary")]
    NotMultipart,
    #[error("there is no part named {0}")]
    NoFilePart(String),
    /// The file, or the rest of the form, is larger than allowed.
    #[error("the file is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the form is malformed: {0}")]
    Malformed(&'static str),
    /// The body paused for too long or was too slow.
    #[error("the body did not come in time")]
    Late,
    /// The connection broke, which is no fault of the form.
    #[error("the body could not be read")]
    Interrupted(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The longest body that can hold a file of `limit` bytes. A larger `Content-Length` can be refused unread.
pub const fn longest_body(limit: u64) -> u64 {
    limit.saturating_add(MAX_OTHER_BYTES)
}

/// The file of a form, with its contents still to be read.
#[derive(Debug)]
pub struct FilePart<S> {
    /// The file name without a client's path, cleaned by [`disposition::clean`]. `None` if the client sent no name or
    /// an empty one.
    pub file_name: Option<String>,
    /// The content type as it was sent, if it is a valid media type.
    pub content_type: Option<HeaderValue>,
    form: Form<S>,
    name: String,
    size: u64,
    ended: bool,
}

impl<S, E> FilePart<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads the form up to the contents of the part called `name`, which may have `limit` bytes.
    /// Parts before it are skipped.
    pub async fn find(
        content_type: Option<&HeaderValue>,
        body: S,
        name: &str,
        limit: u64,
    ) -> Result<Self, MultipartError> {
        let boundary = boundary(content_type).ok_or(MultipartError::NotMultipart)?;
        let mut form = Form::new(body, &boundary, limit);
        while let Some(headers) = form.next_part().await? {
            if headers.is_called(name) {
                return Ok(Self {
                    file_name: headers.file_name,
                    content_type: headers.content_type,
                    form,
                    name: name.to_owned(),
                    size: 0,
                    ended: false,
                });
            }
        }
        Err(MultipartError::NoFilePart(name.to_owned()))
    }

    /// The next bytes of the file, never empty. `None` means that the file is complete and the form was well-formed
    /// to its end. The file must not be stored before that.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if self.ended {
            return Ok(None);
        }
        if let Some(data) = self.form.data().await? {
            self.size += data.len() as u64;
            if self.size > self.form.limit {
                return Err(self.form.too_large());
            }
            return Ok(Some(data));
        }
        while let Some(headers) = self.form.next_part().await? {
            if headers.is_called(&self.name) {
                return Err(MultipartError::Malformed("there are two files"));
            }
        }
        self.ended = true;
        Ok(None)
    }
}

/// A whole part of a form.
#[derive(Debug)]
pub struct Part {
    pub name: String,
    pub file_name: Option<String>,
    pub content_type: Option<HeaderValue>,
    pub data: Vec<u8>,
}

/// All named parts of a form of bounded size, at most `most` of them.
pub async fn parts<S, E>(
    content_type: &HeaderValue,
    body: S,
    most: usize,
) -> Result<Vec<Part>, MultipartError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let boundary = boundary(Some(content_type)).ok_or(MultipartError::NotMultipart)?;
    let mut form = Form::new(body, &boundary, u64::MAX);
    let mut found = Vec::new();
    while found.len() < most
        && let Some(headers) = form.next_part().await?
    {
        let mut data = Vec::new();
        while let Some(piece) = form.data().await? {
            data.extend_from_slice(&piece);
        }
        if let Some(name) = headers.name {
            found.push(Part {
                name,
                file_name: headers.file_name,
                content_type: headers.content_type,
                data,
            });
        }
    }
    Ok(found)
}

/// A form being read. `buffer` holds bytes received and not yet returned.
#[derive(Debug)]
struct Form<S> {
    body: S,
    /// The end of each part's data: a line break, two hyphens and the boundary.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    in_data: bool,
    /// The largest file, for the error's text.
    limit: u64,
    /// The bytes that may still be skipped.
    rest: u64,
}

impl<S, E> Form<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn new(body: S, boundary: &str, limit: u64) -> Self {
        Self {
            body,
            delimiter: Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            // A leading line break makes the first boundary look like all others, and the preamble like a part.
            buffer: BytesMut::from("\r\n"),
            in_data: true,
            limit,
            rest: MAX_OTHER_BYTES,
        }
    }

    /// Skips the rest of this part and reads the headers of the next. `None` after the last.
    async fn next_part(&mut self) -> Result<Option<PartHeaders>, MultipartError> {
        while let Some(data) = self.data().await? {
            self.skip(data.len())?;
        }
        self.fill_to(2).await?;
        if self.buffer.starts_with(b"--") {
            return Ok(None);
        }
        // The line of a boundary may end in white space.
        loop {
            self.fill_to(2).await?;
            if !matches!(self.buffer[0], b' ' | b'\t') {
                break;
            }
            self.buffer.advance(1);
            self.skip(1)?;
        }
        let headers = self.headers().await?;
        self.in_data = true;
        PartHeaders::read(&headers).map(Some)
    }

    /// The next bytes of this part's data, never empty; `None` at its end.
    async fn data(&mut self) -> Result<Option<Bytes>, MultipartError> {
        while self.in_data {
            let delimiter = self.delimiter.needle().len();
            match self.delimiter.find(&self.buffer) {
                Some(0) => {
                    self.buffer.advance(delimiter);
                    self.skip(delimiter)?;
                    self.in_data = false;
                }
                Some(at) => return Ok(Some(self.buffer.split_to(at).freeze())),
                None => {
                    // The end may be a partial delimiter.
                    let tail = self.buffer.len().saturating_sub(delimiter - 1);
                    let hold = memchr::memchr(b'\r', &self.buffer[tail..]);
                    let ready = hold.map_or(self.buffer.len(), |at| tail + at);
                    if ready > 0 {
                        return Ok(Some(self.buffer.split_to(ready).freeze()));
                    }
                    self.fill().await?;
                }
            }
        }
        Ok(None)
    }

    /// The headers with the line break before them, without the empty line after them.
    async fn headers(&mut self) -> Result<Bytes, MultipartError> {
        let mut searched = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.buffer[searched..], b"\r\n\r\n") {
                let headers = self.buffer.split_to(searched + at).freeze();
                self.buffer.advance(4);
                self.skip(headers.len() + 4)?;
                return Ok(headers);
            }
            if self.buffer.len() > MAX_HEADER_BYTES {
                return Err(MultipartError::Malformed(
                    "the headers of a part are too long",
                ));
            }
            searched = self.buffer.len().saturating_sub(3);
            self.fill().await?;
        }
    }

    async fn fill_to(&mut self, length: usize) -> Result<(), MultipartError> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), MultipartError> {
        match self.body.next().await {
            Some(Ok(chunk)) => {
                self.buffer.extend_from_slice(&chunk);
                Ok(())
            }
            Some(Err(error)) => Err(MultipartError::Interrupted(error.into())),
            None => Err(MultipartError::Malformed(
                "it ends before its last boundary",
            )),
        }
    }

    fn skip(&mut self, length: usize) -> Result<(), MultipartError> {
        let rest = self.rest.checked_sub(length as u64);
        self.rest = rest.ok_or_else(|| self.too_large())?;
        Ok(())
    }

    fn too_large(&self) -> MultipartError {
        MultipartError::TooLarge { limit: self.limit }
    }
}

#[derive(Debug, Default)]
struct PartHeaders {
    name: Option<String>,
    file_name: Option<String>,
    content_type: Option<HeaderValue>,
}

impl PartHeaders {
    /// Compares the part's name without regard to case, as the vendors' servers do.
    fn is_called(&self, name: &str) -> bool {
        let given = self.name.as_deref();
        given.is_some_and(|given| given.eq_ignore_ascii_case(name))
    }

    fn read(headers: &[u8]) -> Result<Self, MultipartError> {
        let Some(lines) = headers.strip_prefix(b"\r\n") else {
            // A part without headers leaves no bytes, not even a line break.
            return if headers.is_empty() {
                Ok(Self::default())
            } else {
                Err(MultipartError::Malformed(
                    "a boundary's line goes on after it",
                ))
            };
        };
        let mut found = Self::default();
        // Names in old encodings get replacement characters rather than an error.
        for line in String::from_utf8_lossy(lines).split("\r\n") {
            let Some((header, value)) = line.split_once(':') else {
                return Err(MultipartError::Malformed("a header of a part has no colon"));
            };
            let value = value.trim();
            if header.eq_ignore_ascii_case("content-disposition") {
                found.name = parameter(value, "name");
                found.file_name = parameter(value, "filename*")
                    .and_then(|value| extended(&value))
                    .or_else(|| parameter(value, "filename"))
                    .map(|name| base_name(&name))
                    .filter(|name| !name.is_empty());
            } else if header.eq_ignore_ascii_case("content-type") {
                found.content_type = media_type(value);
            }
        }
        Ok(found)
    }
}

/// The boundary of a form, from the request's `Content-Type`.
fn boundary(content_type: Option<&HeaderValue>) -> Option<String> {
    let value = content_type?.to_str().ok()?;
    let kind = value.split(';').next()?.trim();
    if !kind.eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(value, "boundary")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&b);
    ((1..=70).contains(&boundary.len()) && boundary.bytes().all(plain)).then_some(boundary)
}

/// The first parameter called `wanted` of a header such as `form-data; name="file"`.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = header.split_once(';')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        // A word without a value is skipped.
        let name = name.rsplit(';').next()?.trim();
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => match after.split_once(';') {
                Some((value, after)) => (value.trim_end().to_owned(), after),
                None => (after.trim_end().to_owned(), ""),
            },
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

/// The text up to the closing quote, and the text after it.
///
/// Only `\"` and `\\` are escapes: browsers write a backslash literally, as in `C:\new.txt`, and encode a quote and
/// line breaks as `%22`, `%0D` and `%0A` (WHATWG, multipart/form-data).
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((decode_browser(&value), &quoted[at + 1..])),
            '\\' if quoted[at + 1..].starts_with(['"', '\\']) => {
                value.extend(chars.next().map(|(_, escaped)| escaped));
            }
            _ => value.push(c),
        }
    }
    None
}

fn decode_browser(value: &str) -> String {
    value
        .replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// Decodes an extended value of RFC 8187, such as `UTF-8'ru'%D1%84.txt`.
fn extended(value: &str) -> Option<String> {
    let mut pieces = value.splitn(3, '\'');
    let (charset, _language, encoded) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let bytes = percent_decode_str(encoded);
    if charset.eq_ignore_ascii_case("utf-8") {
        bytes.decode_utf8().ok().map(Into::into)
    } else if charset.eq_ignore_ascii_case("iso-8859-1") {
        Some(bytes.map(char::from).collect())
    } else {
        None
    }
}

/// The name without the client's folders.
fn base_name(name: &str) -> String {
    disposition::clean(name.rsplit(['/', '\\']).next().unwrap_or(name))
}

/// `type/subtype` with or without parameters, in ASCII.
fn media_type(value: &str) -> Option<HeaderValue> {
    let (kind, subtype) = value.split(';').next()?.trim().split_once('/')?;
    let token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let good = token(kind) && token(subtype) && value.len() <= 255 && value.is_ascii();
    good.then(|| HeaderValue::from_str(value).ok()).flatten()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests;
