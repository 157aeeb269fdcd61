//! Ids: UUIDs of version 7, which sort by their time of creation. Each kind of object has its own type of id.

use std::sync::{LazyLock, Mutex};

use uuid::{ContextV7, Uuid};

use crate::time::Timestamp;

static CONTEXT: LazyLock<Mutex<ContextV7>> = LazyLock::new(|| Mutex::new(ContextV7::new()));

/// A new UUID v7 of the time `now`. Within a process each id is greater than the one before, as long as `now` does not
/// go back.
pub fn generate(now: Timestamp) -> Uuid {
    let micros = u64::try_from(now.micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000).unwrap_or(0) * 1000;
    let context = CONTEXT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Uuid::new_v7(uuid::Timestamp::from_unix(
        &*context,
        micros / 1_000_000,
        nanos,
    ))
}

/// The time at which an id was generated, in whole milliseconds. `None` for an id of another version.
pub fn generated_at(id: Uuid) -> Option<Timestamp> {
    let (secs, nanos) = id.get_timestamp()?.to_unix();
    let secs = i64::try_from(secs).ok()?;
    Some(Timestamp::from_micros(
        secs.checked_mul(1_000_000)? + i64::from(nanos / 1000),
    ))
}

/// Reads a GUID of 36 characters, hyphenated, in either case.
pub fn parse(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

/// Reads a GUID in any usual form: with or without hyphens, in braces or parentheses, with blanks around it.
pub fn parse_any(text: &str) -> Option<Uuid> {
    let text = text.trim();
    let inside = [('{', '}'), ('(', ')')]
        .into_iter()
        .find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close));
    match inside.unwrap_or(text) {
        bare if bare.len() == 36 => Uuid::try_parse(bare).ok(),
        bare if bare.len() == 32 && inside.is_none() => Uuid::try_parse(bare).ok(),
        _ => None,
    }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            pub fn generate(now: Timestamp) -> Self {
                Self(generate(now))
            }

            pub fn parse(text: &str) -> Option<Self> {
                parse(text).map(Self)
            }

            /// Reads an id in any usual form of a GUID.
            pub fn parse_any(text: &str) -> Option<Self> {
                parse_any(text).map(Self)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }
    )*};
}

ids! {
    /// A workspace, the tenant. Dialects call it a workspace, a domain or a company.
    WorkspaceId
    /// A user of a workspace; also the id of its `user` entity.
    UserId
    /// A workspace token. The id is that of its row and reveals nothing of the secret.
    TokenId
    /// An integration, and its instance in each workspace.
    IntegrationId
    /// A webhook of an instance.
    WebhookId
    /// One event of a workspace's log.
    EventId
    /// An entity of any kind.
    EntityId
    /// A stored file, temporary or permanent.
    FileId
    /// A run of a script, or the sending of a message.
    RunId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_within_one_microsecond() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        let ids: Vec<Uuid> = (0..2000).map(|_| generate(now)).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn an_id_tells_its_time() {
        let now = Timestamp::from_micros(1_700_000_000_123_000);
        assert_eq!(generated_at(generate(now)), Some(now));
        assert_eq!(generated_at(Uuid::from_u128(1)), None);
    }

    #[test]
    fn only_hyphenated_guids_are_read() {
        assert!(parse("A5AAD3C1-777b-4ae5-8ca1-60b94c0423e5").is_some());
        for bad in [
            "",
            "a5aad3c1777b4ae58ca160b94c0423e5",
            "{a5aad3c1-777b-4ae5-8ca1-60b94c0423e5}",
            "x",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn guids_are_read_in_more_forms() {
        let id = Uuid::try_parse("a5aad3c1-777b-4ae5-8ca1-60b94c0423e5").ok();
        for good in [
            "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5",
            "A5AAD3C1777B4AE58CA160B94C0423E5",
            " {a5aad3c1-777b-4ae5-8ca1-60b94c0423e5} ",
            "(A5AAD3C1-777b-4ae5-8ca1-60b94c0423e5)",
        ] {
            assert_eq!(parse_any(good), id, "{good}");
        }
        for bad in [
            "",
            "{}",
            "{a5aad3c1777b4ae58ca160b94c0423e5}",
            "{a5aad3c1-777b-4ae5-8ca1-60b94c0423e5",
            "{a5aad3c1-777b-4ae5-8ca1-60b94c0423e5)",
            "urn:uuid:a5aad3c1-777b-4ae5-8ca1-60b94c0423e5",
            "я5aad3c1-777b-4ae5-8ca1-60b94c0423e",
        ] {
            assert_eq!(parse_any(bad), None, "{bad}");
        }
    }
}
