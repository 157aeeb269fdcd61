//! «Check my signature»: compares what a receiver got with what was sent, and says which part differs
//! (Standard Webhooks, «Verifying webhook authenticity»).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::detail::Header;
use crate::words;

/// The request that was sent, as the log has it.
pub(super) struct Sent<'a> {
    pub(super) headers: &'a [Header],
    pub(super) signed: Option<&'a str>,
    pub(super) body: Option<&'a str>,
}

/// The parts that the receiver has.
pub(super) struct Received<'a> {
    /// The secret, with or without `whsec_`.
    pub(super) secret: &'a str,
    /// Lines of `name: value`. The body and the headers may be empty: then those that were sent are meant.
    pub(super) headers: &'a str,
    pub(super) body: &'a str,
}

/// The outcome of a comparison: the first part that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// The call has no signature, or its text is not known any more.
    NotSigned,
    IdDiffers,
    TimestampDiffers,
    /// The bodies differ in spaces or line ends only: the receiver has parsed and written it again.
    BodyRewritten,
    BodyDiffers,
    SignatureDiffers,
    BadSecret,
    WrongSecret,
}

impl Verdict {
    pub(super) fn text(self, w: &words::Deliveries) -> &'static str {
        match self {
            Self::Right => w.verdict_right,
            Self::NotSigned => w.verdict_not_signed,
            Self::IdDiffers => w.verdict_id,
            Self::TimestampDiffers => w.verdict_timestamp,
            Self::BodyRewritten => w.verdict_rewritten,
            Self::BodyDiffers => w.verdict_body,
            Self::SignatureDiffers => w.verdict_signature,
            Self::BadSecret => w.verdict_bad_secret,
            Self::WrongSecret => w.verdict_wrong_secret,
        }
    }
}

/// Compares part by part, so that the first difference is named.
pub(super) fn compare(sent: &Sent<'_>, received: &Received<'_>) -> Verdict {
    let header = |name: &str| {
        let found = sent.headers.iter().find(|one| one.name == name);
        found.map(|one| one.value.trim())
    };
    let (Some(signed), Some(signature)) = (sent.signed, header("webhook-signature")) else {
        return Verdict::NotSigned;
    };
    let got = |name: &str| {
        let lines = received.headers.lines();
        let pairs = lines.filter_map(|line| line.split_once(':'));
        let mut named = pairs.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.trim())
    };
    for (name, verdict) in [
        ("webhook-id", Verdict::IdDiffers),
        ("webhook-timestamp", Verdict::TimestampDiffers),
        ("webhook-signature", Verdict::SignatureDiffers),
    ] {
        if got(name).is_some_and(|value| header(name) != Some(value)) {
            return verdict;
        }
    }
    if !received.body.is_empty() && sent.body.is_some_and(|body| body != received.body) {
        return match sent.body {
            Some(body) if is_same_json(body, received.body) => Verdict::BodyRewritten,
            _ => Verdict::BodyDiffers,
        };
    }
    let Some(key) = key(received.secret) else {
        return Verdict::BadSecret;
    };
    let signatures = signature.split(' ');
    let mut v1 = signatures.filter_map(|one| one.strip_prefix("v1,"));
    if v1.any(|one| is_right(&key, signed, one)) {
        Verdict::Right
    } else {
        Verdict::WrongSecret
    }
}

/// The bytes of a secret (`docs/webhooks.md`).
fn key(secret: &str) -> Option<Vec<u8>> {
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    STANDARD.decode(text).ok().filter(|key| !key.is_empty())
}

fn is_right(key: &[u8], signed: &str, signature: &str) -> bool {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return false;
    };
    let signature = STANDARD.decode(signature).unwrap_or_default();
    mac.chain_update(signed).verify_slice(&signature).is_ok()
}

/// True if two texts are the same JSON, or the same text but for spaces at the ends and kinds of line ends.
fn is_same_json(one: &str, other: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let lines = |text: &str| text.trim().replace("\r\n", "\n");
    read(one).is_some_and(|value| Some(value) == read(other)) || lines(one) == lines(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_differs_is_named() {
        let secret = "whsec_c2VjcmV0";
        let body = r#"{"a": 1}"#;
        let signed = format!("id1.1700000000.{body}");
        let mac = Hmac::<Sha256>::new_from_slice(b"secret").expect("a key");
        let mac = mac.chain_update(&signed).finalize().into_bytes();
        let signature = format!("v1a,xyz v1,{}", STANDARD.encode(mac));
        let header = |name: &str, value: &str| Header {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let headers = [
            header("webhook-id", "id1"),
            header("webhook-timestamp", "1700000000"),
            header("webhook-signature", &signature),
        ];
        let sent = Sent {
            headers: &headers,
            signed: Some(&signed),
            body: Some(body),
        };
        for (secret, headers, body, verdict) in [
            (secret, "", "", Verdict::Right),
            ("c2VjcmV0", "Webhook-Id: id1", body, Verdict::Right),
            (secret, "webhook-id: id2", "", Verdict::IdDiffers),
            (
                secret,
                "webhook-timestamp: 17",
                "",
                Verdict::TimestampDiffers,
            ),
            (
                secret,
                "webhook-signature: v1,AA==",
                "",
                Verdict::SignatureDiffers,
            ),
            (secret, "", r#"{"a":1}"#, Verdict::BodyRewritten),
            (secret, "", r#"{"a": 2}"#, Verdict::BodyDiffers),
            ("whsec_other", "", "", Verdict::BadSecret),
            ("b3RoZXI=", "", "", Verdict::WrongSecret),
            ("", "", "", Verdict::BadSecret),
        ] {
            let received = Received {
                secret,
                headers,
                body,
            };
            assert_eq!(
                compare(&sent, &received),
                verdict,
                "{secret} {headers} {body}"
            );
        }
        let unsigned = Sent {
            signed: None,
            ..sent
        };
        let received = Received {
            secret,
            headers: "",
            body: "",
        };
        assert_eq!(compare(&unsigned, &received), Verdict::NotSigned);
    }
}
