//! The host's part of the browser functions for scripts: bytes and texts, URLs, cryptography.

use std::borrow::Cow;

use encoding_rs::Encoding;
use serde_json::json;
use url::{Url, form_urlencoded, quirks};

use crate::crypto;

/// The largest number of random bytes of one call.
const MAX_RANDOM_BYTES: usize = 64 << 10;

/// An answer to a script.
pub(crate) enum Answer {
    Text(String),
    Bytes(Vec<u8>),
    Bool(bool),
}

/// Answers a call of `web.js`. `None` for an unknown function.
pub(crate) fn answer(name: &str, arguments: &[String]) -> Option<Result<Answer, String>> {
    let text = |n: usize| arguments.get(n).map_or("", String::as_str);
    let data = |n: usize| bytes(text(n));
    Some(match name {
        "sha" => crypto::sha(text(0), &data(1)).and_then(|hash| crypto::encode(hash, text(2))),
        "hmac" => {
            crypto::hmac(text(0), &data(1), &data(2)).and_then(|mac| crypto::encode(mac, text(3)))
        }
        "random" => crypto::random(text(0), MAX_RANDOM_BYTES)
            .and_then(|bytes| crypto::encode(bytes, text(1))),
        "equal" => Ok(Answer::Bool(crypto::equal(&data(0), &data(1)))),
        "encode" => crypto::encode(data(0).into_owned(), text(1)),
        "decode" => crypto::from_base64(text(0)).map(Answer::Bytes),
        "unpack" => crypto::from_base64(text(0)).map(|bytes| match String::from_utf8(bytes) {
            Ok(text) => Answer::Text(text),
            Err(error) => Answer::Bytes(error.into_bytes()),
        }),
        "charset" => charset(text(0)).map(|found| Answer::Text(found.name().to_lowercase())),
        "read" => read(&data(0), text(1), text(2)).map(Answer::Text),
        "url" => url(text(0), text(1)).map(Answer::Text),
        "change" => change(text(0), text(1), text(2)).map(Answer::Text),
        "pairs" => Ok(Answer::Text(pairs(text(0)))),
        "form" => form(text(0)).map(Answer::Text),
        _ => return None,
    })
}

/// Unpacks bytes from `web.js`: `t` and a text, or `b` and a text with one character per byte.
fn bytes(packed: &str) -> Cow<'_, [u8]> {
    match packed.strip_prefix('b') {
        Some(bytes) => bytes
            .chars()
            .map(|byte| u8::try_from(u32::from(byte)).unwrap_or_default())
            .collect(),
        None => packed.get(1..).unwrap_or_default().as_bytes().into(),
    }
}

fn charset(label: &str) -> Result<&'static Encoding, String> {
    let shown = || label.chars().take(32).collect::<String>();
    Encoding::for_label(label.as_bytes())
        .ok_or_else(|| format!("the encoding {} is not supported", shown()))
}

/// Decodes bytes. `options` lists the options `fatal` and `bom`.
fn read(bytes: &[u8], label: &str, options: &str) -> Result<String, String> {
    let encoding = charset(label)?;
    let (text, is_broken) = if options.contains("bom") {
        encoding.decode_without_bom_handling(bytes)
    } else {
        encoding.decode_with_bom_removal(bytes)
    };
    if is_broken && options.contains("fatal") {
        return Err(format!("the bytes are not valid {}", encoding.name()));
    }
    Ok(text.into_owned())
}

/// The parts of a URL, as JSON.
fn url(text: &str, base: &str) -> Result<String, String> {
    let shown = || text.chars().take(64).collect::<String>();
    let broken = |_| format!("{} is no URL", shown());
    let base = if base.is_empty() {
        None
    } else {
        Some(Url::parse(base).map_err(broken)?)
    };
    let url = Url::options().base_url(base.as_ref()).parse(text);
    Ok(parts(&url.map_err(broken)?))
}

/// Sets a part of a URL. An invalid value changes nothing, as in browsers.
fn change(href: &str, part: &str, value: &str) -> Result<String, String> {
    let mut url = Url::parse(href).map_err(|error| error.to_string())?;
    let () = match part {
        "href" => quirks::set_href(&mut url, value).map_err(|_| format!("{part} is no URL"))?,
        "protocol" => quirks::set_protocol(&mut url, value).unwrap_or_default(),
        "username" => quirks::set_username(&mut url, value).unwrap_or_default(),
        "password" => quirks::set_password(&mut url, value).unwrap_or_default(),
        "host" => quirks::set_host(&mut url, value).unwrap_or_default(),
        "hostname" => quirks::set_hostname(&mut url, value).unwrap_or_default(),
        "port" => quirks::set_port(&mut url, value).unwrap_or_default(),
        "pathname" => quirks::set_pathname(&mut url, value),
        "search" => quirks::set_search(&mut url, value),
        "hash" => quirks::set_hash(&mut url, value),
        _ => {}
    };
    Ok(parts(&url))
}

fn parts(url: &Url) -> String {
    json!({
        "href": quirks::href(url),
        "origin": quirks::origin(url),
        "protocol": quirks::protocol(url),
        "username": quirks::username(url),
        "password": quirks::password(url),
        "host": quirks::host(url),
        "hostname": quirks::hostname(url),
        "port": quirks::port(url),
        "pathname": quirks::pathname(url),
        "search": quirks::search(url),
        "hash": quirks::hash(url),
    })
    .to_string()
}

/// The names and values of a query or a form, as JSON.
fn pairs(query: &str) -> String {
    let query = query.strip_prefix('?').unwrap_or(query);
    let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
    json!(pairs).to_string()
}

/// Encodes a form from names and values in JSON.
fn form(pairs: &str) -> Result<String, String> {
    let pairs: Vec<(String, String)> = serde_json::from_str(pairs)
        .map_err(|_| "the form must be a list of names and values".to_owned())?;
    let mut form = form_urlencoded::Serializer::new(String::new());
    Ok(form.extend_pairs(pairs).finish())
}
