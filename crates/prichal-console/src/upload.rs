//! Forms with one file (RFC 7578). The fields before the file are read, the file itself is passed on as it comes in, so
//! that the console holds none of it. The API bounds its size.

use axum::{
    body::Body,
    extract::{FromRequest, Request},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, header};

use crate::{
    answer::Fault,
    form::{Fields, TOKEN_FIELD, TOKEN_HEADER, verify},
    state::Console,
    visit::Visit,
};

/// The maximum size of the fields before the file.
const MAX_HEAD: usize = 64 << 10;
/// The maximum length of a boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// A form of one of the session's own pages, with a file at its end. A handler that takes it is safe from forms of others.
pub(crate) struct Upload {
    pub(crate) visit: Visit,
    pub(crate) fields: Fields,
    pub(crate) file: Option<File>,
}

/// A form from its file on.
pub(crate) struct File {
    pub(crate) body: Body,
    pub(crate) content_type: HeaderValue,
}

impl FromRequest<Console> for Upload {
    type Rejection = Fault;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Fault> {
        let (mut parts, body) = request.into_parts();
        let visit = Visit::of(&mut parts, console).await?;
        let (fields, file) = read(&parts.headers, body).await?;
        let header = parts.headers.get(TOKEN_HEADER);
        let header = header.and_then(|value| value.to_str().ok());
        verify(&visit, header.unwrap_or_else(|| fields.raw(TOKEN_FIELD)))?;
        Ok(Self {
            visit,
            fields,
            file,
        })
    }
}

async fn read(headers: &HeaderMap, body: Body) -> Result<(Fields, Option<File>), Fault> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.ok_or(Fault::ForeignForm)?;
    let boundary = boundary(content_type).ok_or(Fault::ForeignForm)?;
    let mut body = body.into_data_stream();
    let mut head = BytesMut::new();
    loop {
        match parse(&head, &boundary).ok_or(Fault::ForeignForm)? {
            Head::Whole(fields) => return Ok((fields, None)),
            Head::File(fields, at) => {
                let begin = stream::iter([Ok(head.split_off(at).freeze())]);
                let file = File {
                    body: Body::from_stream(begin.chain(body)),
                    content_type: content_type.clone(),
                };
                return Ok((fields, Some(file)));
            }
            Head::Partial if head.len() > MAX_HEAD => return Err(Fault::TooLarge),
            Head::Partial => {}
        }
        let chunk: Bytes = match body.next().await {
            Some(Ok(chunk)) => chunk,
            // The browser has gone, or the form ends in the middle.
            Some(Err(_)) | None => return Err(Fault::ForeignForm),
        };
        head.extend_from_slice(&chunk);
    }
}

/// The boundary of a form.
fn boundary(content_type: &HeaderValue) -> Option<String> {
    let text = content_type.to_str().ok()?;
    let (kind, parameters) = text.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let mut parameters = parameters.split(';').map(str::trim);
    let boundary = parameters.find_map(|one| one.strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    let is_right = !boundary.is_empty() && boundary.len() <= MAX_BOUNDARY;
    is_right.then(|| boundary.to_owned())
}

/// The beginning of a form.
enum Head {
    /// More bytes are needed.
    Partial,
    /// The fields before a file, and the place of the file's part.
    File(Fields, usize),
    /// All fields of a form without a file.
    Whole(Fields),
}

/// Reads the fields of a form up to its file. `None` if it is not a form.
fn parse(bytes: &[u8], boundary: &str) -> Option<Head> {
    let delimiter = format!("\r\n--{boundary}");
    let first = &delimiter.as_bytes()[2..];
    let mut fields = Vec::new();
    let mut at = 0;
    if bytes.len() < first.len() + 2 {
        return Some(Head::Partial);
    }
    loop {
        // The delimiter begins the form, or follows the line break at the end of a part.
        let rest = bytes[at..].strip_prefix(first)?;
        if rest.len() < 2 {
            return Some(Head::Partial);
        }
        if rest.starts_with(b"--") {
            return Some(Head::Whole(Fields::of(fields)));
        }
        let rest = rest.strip_prefix(b"\r\n")?;
        let Some(end) = find(rest, b"\r\n\r\n") else {
            return Some(Head::Partial);
        };
        let Part { name, is_file } = Part::read(&rest[..end])?;
        if is_file {
            return Some(Head::File(Fields::of(fields), at));
        }
        let value = &rest[end + 4..];
        let Some(length) = find(value, delimiter.as_bytes()) else {
            return Some(Head::Partial);
        };
        fields.push((name, String::from_utf8_lossy(&value[..length]).into_owned()));
        at = bytes.len() - value.len() + length + 2;
    }
}

/// The headers of a part.
struct Part {
    name: String,
    is_file: bool,
}

impl Part {
    fn read(headers: &[u8]) -> Option<Self> {
        let headers = String::from_utf8_lossy(headers);
        let mut lines = headers.split("\r\n");
        let disposition = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.trim().eq_ignore_ascii_case("content-disposition");
            is_it.then_some(value)
        })?;
        // Browsers write a quote inside of a name as `%22` (the HTML standard, «Multipart form data»).
        let name = disposition.split_once(" name=\"")?.1.split_once('"')?.0;
        Some(Self {
            name: name.to_owned(),
            is_file: disposition.contains(" filename=") || disposition.contains(" filename*="),
        })
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|one| one == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "--b1\r\nContent-Disposition: form-data; name=\"_form\"\r\n\r\ntoken\r\n\
        --b1\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nДоговор\r\n--b2\r\n\
        --b1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\
        Content-Type: application/pdf\r\n\r\n%PDF\r\n--b1--\r\n";

    #[test]
    fn fields_before_the_file_are_read_at_every_cut() {
        let file = FORM.find("--b1\r\nContent-Disposition: form-data; name=\"file\"");
        for length in 0..=FORM.len() {
            match parse(&FORM.as_bytes()[..length], "b1").expect("a form") {
                Head::Partial => assert!(length < FORM.find("\r\n\r\n%PDF").expect("a file") + 4),
                Head::File(fields, at) => {
                    assert_eq!(fields.raw("_form"), "token");
                    // A line that only resembles the delimiter is content.
                    assert_eq!(fields.raw("name"), "Договор\r\n--b2");
                    assert_eq!(Some(at), file);
                }
                Head::Whole(_) => panic!("{length}"),
            }
        }
    }

    #[test]
    fn forms_without_a_file_are_whole() {
        let form = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n";
        match parse(form.as_bytes(), "b") {
            Some(Head::Whole(fields)) => assert_eq!(fields.raw("a"), "1"),
            _ => panic!("not whole"),
        }
        for wrong in ["no form at all", "--b\r\nNo: name\r\n\r\n1\r\n--b--\r\n"] {
            assert!(parse(wrong.as_bytes(), "b").is_none(), "{wrong}");
        }
    }

    #[test]
    fn boundaries_are_found() {
        for (text, found) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            (
                "Multipart/Form-Data; charset=utf-8; boundary=\"a b\"",
                Some("a b"),
            ),
            ("multipart/form-data", None),
            ("text/plain; boundary=abc", None),
            ("multipart/form-data; boundary=", None),
        ] {
            let value = HeaderValue::from_static(text);
            assert_eq!(boundary(&value).as_deref(), found, "{text}");
        }
    }
}
