//! The stamp by which the receiver recognizes a message inside any envelope, and the template that puts the stamp into
//! a body.

use std::{fmt::Write as _, sync::LazyLock};

use anyhow::{Context as _, Result, ensure};
use memchr::memmem::FinderRev;

use crate::clock::now_ns;

const MARK: &str = "prichal-bench:";
const PLACEHOLDER: &str = "{{payload}}";
/// The placeholder for a text that is unique among all messages of all runs.
const NAME_PLACEHOLDER: &str = "{{name}}";

static FIND_MARK: LazyLock<FinderRev<'static>> = LazyLock::new(|| FinderRev::new(MARK));

/// The run and the id of a message, and the time at which its body was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub run: u32,
    pub id: u64,
    pub sent_ns: u64,
}

impl Stamp {
    /// The last stamp in `body`: that of the new state if the body has the old one before it.
    pub fn find(body: &[u8]) -> Option<Self> {
        let mut rest = &body[FIND_MARK.rfind(body)? + MARK.len()..];
        Some(Self {
            run: u32::try_from(number(&mut rest)?).ok()?,
            id: number(&mut rest)?,
            sent_ns: number(&mut rest)?,
        })
    }
}

/// Reads digits and a colon.
fn number(rest: &mut &[u8]) -> Option<u64> {
    let end = rest.iter().take(21).position(|&byte| byte == b':')?;
    let digits = std::str::from_utf8(&rest[..end]).ok()?;
    *rest = &rest[end + 1..];
    digits.parse().ok()
}

/// A request body with the placeholder `{{payload}}`. The payload is a JSON object that has the stamp and pads the body
/// to the wanted length. The placeholder `{{name}}` is allowed before it.
#[derive(Clone, Debug)]
pub struct Template {
    before: String,
    after: String,
    bytes: usize,
}

impl Template {
    /// `text` contains `{{payload}}` once. `bytes` is the length of the whole body.
    pub fn new(text: &str, bytes: usize) -> Result<Self> {
        let (before, after) = text
            .split_once(PLACEHOLDER)
            .with_context(|| format!("the body has no {PLACEHOLDER} in it"))?;
        // 100 is the length of the longest payload without padding.
        let least = before.len() + after.len() + 100;
        ensure!(bytes >= least, "such a body has at least {least} bytes");
        Ok(Self {
            before: before.into(),
            after: after.into(),
            bytes,
        })
    }

    /// The body of message `id`, stamped with the current time.
    pub fn fill(&self, run: u32, id: u64) -> String {
        let body = self.stamped(run, id);
        if self.before.contains(NAME_PLACEHOLDER) {
            body.replace(NAME_PLACEHOLDER, &format!("{run}-{id}"))
        } else {
            body
        }
    }

    fn stamped(&self, run: u32, id: u64) -> String {
        let mut body = String::with_capacity(self.bytes + 16);
        body.push_str(&self.before);
        let sent = now_ns();
        write!(body, r#"{{"stamp":"{MARK}{run}:{id}:{sent}:","pad":""#)
            .expect("writing to a string succeeds");
        pad(&mut body, self.bytes - self.after.len() - 2, id);
        body.push_str(r#""}"#);
        body.push_str(&self.after);
        body
    }
}

/// Pads the body with letters that compress badly and differ between messages.
fn pad(body: &mut String, length: usize, seed: u64) {
    let mut state = seed.wrapping_mul(0x2545_F491_4F6C_DD1D) | 1;
    while body.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        for byte in state.to_le_bytes().into_iter().take(length - body.len()) {
            body.push(char::from(b'a' + byte % 26));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_the_wanted_length_and_is_json() {
        let text = r#"{"name":"bench","customFields":{{payload}}}"#;
        for bytes in [200, 500, 1001] {
            let body = Template::new(text, bytes).expect("long enough").fill(7, 42);
            assert_eq!(body.len(), bytes);
            serde_json::from_str::<serde_json::Value>(&body).expect("is JSON");
        }
        assert!(Template::new(text, 100).is_err());
        assert!(Template::new("{}", 500).is_err());
    }

    #[test]
    fn a_stamp_is_found_inside_of_any_envelope() {
        let body = Template::new(PLACEHOLDER, 300)
            .expect("long enough")
            .fill(7, 42);
        let wrapped = serde_json::json!({ "data": body }).to_string();
        let old = body.replace(":42:", ":41:");
        let change = format!(r#"{{"old":{old},"new":{body}}}"#);
        for text in [&body, &wrapped, &change] {
            let stamp = Stamp::find(text.as_bytes()).expect("is there");
            assert_eq!((stamp.run, stamp.id), (7, 42));
            assert!(stamp.sent_ns > 0);
        }
    }

    #[test]
    fn other_bytes_are_not_a_stamp() {
        for text in ["", "{}", MARK, "prichal-bench:1:2:", "prichal-bench:1:x:3:"] {
            assert_eq!(Stamp::find(text.as_bytes()), None, "{text}");
        }
    }
}
