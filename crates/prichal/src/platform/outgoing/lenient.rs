//! A lenient reader for answers that hyper rejects although their head is complete. Other clients accept much that
//! the standard forbids, and a confirmation that has arrived counts.

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// The status, the headers and the length of the head at the start of `sent`. Informational answers before it are
/// skipped. `None` if the head is incomplete or not one of HTTP.
pub(super) fn head(sent: &[u8]) -> Option<(StatusCode, HeaderMap, usize)> {
    let mut start = 0;
    loop {
        let end = start + head_length(&sent[start..])?;
        let (status, headers) = read(&sent[start..end])?;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Some((status, headers, end));
        }
        start = end;
    }
}

/// The length of a head, with its empty line.
pub(super) fn head_length(sent: &[u8]) -> Option<usize> {
    let mut seen = false;
    let mut at = 0;
    for line in sent.split_inclusive(|byte| *byte == b'\n') {
        at += line.len();
        let is_whole = line.ends_with(b"\n");
        let is_empty = line == b"\n" || line == b"\r\n";
        if is_whole && is_empty && seen {
            return Some(at);
        }
        // Empty lines before the status line are not part of the head.
        seen |= !is_empty;
    }
    None
}

fn read(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let status = status(lines.find(|line| !line.is_empty())?)?;
    let mut unfolded: Vec<Vec<u8>> = Vec::new();
    for line in lines {
        let continues = line.starts_with(b" ") || line.starts_with(b"\t");
        match unfolded.last_mut() {
            Some(last) if continues => {
                last.push(b' ');
                last.extend_from_slice(line.trim_ascii());
            }
            _ => unfolded.push(line.to_vec()),
        }
    }
    let mut headers = HeaderMap::new();
    for (name, value) in unfolded.iter().filter_map(|line| header(line)) {
        // Headers beyond the capacity are not needed.
        let _ = headers.try_append(name, value);
    }
    Some((status, headers))
}

/// The three digits after `HTTP/` and a version.
fn status(line: &[u8]) -> Option<StatusCode> {
    let (protocol, rest) = line.split_at_checked(5)?;
    let version = rest.iter().position(|byte| *byte == b' ')?;
    let is_version = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    if !protocol.eq_ignore_ascii_case(b"HTTP/") || !rest[..version].iter().all(is_version) {
        return None;
    }
    let rest = rest[version..].trim_ascii_start();
    let (code, reason) = rest.split_at_checked(3)?;
    let is_apart = reason.first().is_none_or(u8::is_ascii_whitespace);
    StatusCode::from_bytes(code).ok().filter(|_| is_apart)
}

/// A header, without the bytes that are invalid in its value.
fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(line[..colon].trim_ascii()).ok()?;
    let is_clean = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    let value: Vec<u8> = line[colon + 1..].iter().copied().filter(is_clean).collect();
    let value = HeaderValue::from_bytes(value.trim_ascii()).ok()?;
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seen(sent: &str) -> Option<(u16, String)> {
        let (status, headers, _) = head(sent.as_bytes())?;
        let echo = headers.get("echo").map(HeaderValue::as_bytes);
        let echo = String::from_utf8_lossy(echo.unwrap_or_default()).into_owned();
        Some((status.as_u16(), echo))
    }

    #[test]
    fn a_head_that_other_clients_accept_is_accepted() {
        for sent in [
            "HTTP/1.1 200 OK\r\nEcho: 7\r\n\r\n",
            "HTTP/1.1 200\nEcho:7\n\nrest",
            "http/1.1  200  Fine\r\nECHO : 7 \r\n\r\n",
            "HTTP/2 200\r\nEcho:\r\n 7\r\n\r\n",
            "\r\n\r\nHTTP/1.1 200 OK\r\nEcho: \x017\0\r\n\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nno header\r\n: 1\r\nEcho: 7\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Wait\r\nEcho: 1\r\n\r\nHTTP/1.1 200 OK\r\nEcho: 7\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\nContent-Length: x\r\nEcho: 7\r\n\r\n",
        ] {
            assert_eq!(seen(sent), Some((200, "7".to_owned())), "{sent:?}");
        }
    }

    #[test]
    fn incomplete_and_foreign_heads_are_none() {
        for sent in [
            "",
            "\r\n\r\n",
            "HTTP/1.1 200 OK\r\nEcho: 7\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1200 OK\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "SSH-2.0-OpenSSH_9.2\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
        ] {
            assert_eq!(seen(sent), None, "{sent:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            start in prop::sample::select(vec!["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100\n\n"]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let sent = [start.as_bytes(), &rest].concat();
            if let Some((_, _, length)) = head(&sent) {
                prop_assert!(length <= sent.len());
            }
        }
    }
}
