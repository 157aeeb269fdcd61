//! Uses of the master key: sealing secrets that must be sent again, keyed hashes of those that need not, and access
//! keys that any node can verify without the store.

use std::{
    fmt::Display,
    sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hmac::{Hmac, Mac};
use prichal_core::{
    id::{IntegrationId, WorkspaceId},
    time::Timestamp,
};
use rand::Rng as _;
use sha2::{Digest, Sha256};
use uuid::Uuid;

type HmacSha256 = Hmac<Sha256>;

/// The contents of an access key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub workspace: WorkspaceId,
    pub integration: IntegrationId,
    /// The installation that the key belongs to. The key is invalid once that installation has ended.
    pub round: i64,
    /// In whole seconds since 1970.
    pub expires: i64,
    /// The integration's name, for the author stamps of its changes.
    pub name: String,
}

/// The column and row that a sealed value belongs to. The value cannot be opened for another column or row.
pub struct CellRef(Vec<u8>);

impl CellRef {
    /// A cell, by the name of its column and the key of its row. The key begins with the workspace.
    pub fn new(column: &str, row: &[&dyn Display]) -> Self {
        let mut parts = vec![column.to_owned()];
        parts.extend(row.iter().map(ToString::to_string));
        let mut bytes = Vec::with_capacity(128);
        for part in parts {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.into_bytes());
        }
        Self(bytes)
    }
}

/// The id of a master key, which reveals nothing of the key.
pub type KeyId = [u8; 5];

/// The keys derived from a master key, one for each use.
struct Keys {
    id: KeyId,
    sealing: XChaCha20Poly1305,
    access: HmacSha256,
    hashing: HmacSha256,
}

impl Keys {
    fn new(master: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| keyed(master).chain_update(purpose).finalize().into_bytes();
        let mut id = KeyId::default();
        id.copy_from_slice(&derive(b"prichal key id 1")[..5]);
        Self {
            id,
            sealing: XChaCha20Poly1305::new(&derive(b"prichal sealing 1")),
            access: keyed(&derive(b"prichal access key 1")),
            hashing: keyed(&derive(b"prichal secret hash 1")),
        }
    }

    /// The first bytes of values that are sealed with the key.
    fn prefix(&self) -> [u8; PREFIX] {
        let mut prefix = [VERSION; PREFIX];
        prefix[1..].copy_from_slice(&self.id);
        prefix
    }

    fn decrypt(&self, nonce_and_text: &[u8], associated: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = nonce_and_text.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        let payload = Payload {
            msg: text,
            aad: associated,
        };
        self.sealing.decrypt(&XNonce::from(nonce), payload).ok()
    }

    fn open(&self, sealed: &[u8], cell: &CellRef) -> Option<Vec<u8>> {
        self.decrypt(sealed.strip_prefix(&self.prefix())?, &cell.0)
    }

    fn hash(&self, value: &str) -> String {
        let mac = self.hashing.clone().chain_update(value.as_bytes());
        hex(&mac.finalize().into_bytes())
    }
}

/// The version of the form in which values are sealed: version, id of the key, nonce, text with its tag.
const VERSION: u8 = 1;
/// Length of version and id of the key.
const PREFIX: usize = 6;
/// Length of the nonce before a sealed text.
const NONCE: usize = 24;
/// Length of the signature behind an access key.
const MAC: usize = 32;
/// Length of an access key's numbers, before the name.
const HEAD: usize = 48;

pub struct Vault {
    current: Keys,
    /// The master key before, whose sealed values and access keys are still valid.
    previous: Option<Keys>,
    /// The end of the previous key's access keys, in microseconds since 1970.
    previous_until: AtomicI64,
    /// True while the previous key still seals, because some nodes do not know the current one.
    seals_with_previous: AtomicBool,
    /// True while sealed values of the old form, which are bound to no cell, are opened.
    opens_unbound: AtomicBool,
}

impl Vault {
    pub fn new(master: &[u8; 32]) -> Self {
        Self {
            current: Keys::new(master),
            previous: None,
            previous_until: AtomicI64::new(i64::MAX),
            seals_with_previous: AtomicBool::new(false),
            opens_unbound: AtomicBool::new(true),
        }
    }

    /// A vault whose master key may replace a previous one.
    pub fn replacing(master: &[u8; 32], previous: Option<&[u8; 32]>) -> Self {
        let previous = previous.filter(|previous| *previous != master);
        Self {
            previous: previous.map(Keys::new),
            ..Self::new(master)
        }
    }

    /// The id of the current key.
    pub fn id(&self) -> KeyId {
        self.current.id
    }

    pub fn has_previous(&self) -> bool {
        self.previous.is_some()
    }

    /// The known keys, first the one that seals.
    fn keys(&self) -> impl Iterator<Item = &Keys> {
        let first = self.sealing();
        let others = std::iter::once(&self.current).chain(&self.previous);
        std::iter::once(first).chain(others.filter(move |keys| keys.id != first.id))
    }

    /// The ids of the known keys, first the one that seals.
    pub fn ids(&self) -> Vec<KeyId> {
        self.keys().map(|keys| keys.id).collect()
    }

    fn sealing(&self) -> &Keys {
        let held_back = self.previous.as_ref().filter(|_| self.is_held_back());
        held_back.unwrap_or(&self.current)
    }

    pub fn is_held_back(&self) -> bool {
        self.seals_with_previous.load(Relaxed)
    }

    /// Seals with the previous key or with the current one.
    pub fn hold_back(&self, is_held_back: bool) {
        self.seals_with_previous
            .store(is_held_back && self.previous.is_some(), Relaxed);
    }

    /// Accepts no access key of the previous master key from this time on.
    pub fn retire_previous(&self, from: Timestamp) {
        self.previous_until.store(from.micros(), Relaxed);
    }

    /// Refuses sealed values of the old form from now on. They are bound to no cell.
    pub fn refuse_unbound(&self) {
        self.opens_unbound.store(false, Relaxed);
    }

    /// The first bytes of values that are sealed with the current key.
    pub fn prefix(&self) -> [u8; PREFIX] {
        self.current.prefix()
    }

    /// Encrypts a text that is stored in a cell.
    pub fn seal(&self, cell: &CellRef, text: &[u8]) -> Vec<u8> {
        Self::seal_with(self.sealing(), cell, text)
    }

    /// Encrypts with the current key, even while the previous one seals.
    pub fn seal_anew(&self, cell: &CellRef, text: &[u8]) -> Vec<u8> {
        Self::seal_with(&self.current, cell, text)
    }

    fn seal_with(keys: &Keys, cell: &CellRef, text: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        fill_random(&mut nonce);
        let payload = Payload {
            msg: text,
            aad: &cell.0,
        };
        let sealed = keys.sealing.encrypt(&XNonce::from(nonce), payload);
        let mut out = keys.prefix().to_vec();
        out.extend(nonce);
        out.extend(sealed.expect("a text in memory is far below the cipher's limit"));
        out
    }

    /// Decrypts a value that [`Self::seal`] made for the same cell. `None` if it belongs to another cell, was
    /// sealed with an unknown key, or is damaged.
    pub fn open(&self, cell: &CellRef, sealed: &[u8]) -> Option<Vec<u8>> {
        let bound = self.keys().find_map(|keys| keys.open(sealed, cell));
        bound.or_else(|| {
            let mut keys = self.keys().filter(|_| self.opens_unbound.load(Relaxed));
            keys.find_map(|keys| keys.decrypt(sealed, b""))
        })
    }

    /// True if the first bytes of a value name the current key.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        sealed.starts_with(&self.prefix())
    }

    /// The hashes by which a secret may be found, in hex. The first is the one that is stored.
    pub fn secret_hashes(&self, value: &str) -> Vec<String> {
        self.keys().map(|keys| keys.hash(value)).collect()
    }

    /// The hash that is stored once the current key is the only one.
    pub fn current_hash(&self, value: &str) -> String {
        self.current.hash(value)
    }

    pub fn issue(&self, key: &AccessKey) -> String {
        let mut bytes = Vec::with_capacity(HEAD + key.name.len() + MAC);
        bytes.extend(key.workspace.0.as_bytes());
        bytes.extend(key.integration.0.as_bytes());
        bytes.extend(key.round.to_be_bytes());
        bytes.extend(key.expires.to_be_bytes());
        bytes.extend(key.name.as_bytes());
        let mac = self.sealing().access.clone().chain_update(&bytes);
        bytes.extend(mac.finalize().into_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies an access key of this or another node. `None` if it is invalid or has expired at `now`.
    pub fn verify(&self, text: &str, now: Timestamp) -> Option<AccessKey> {
        if text.len() > 1024 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        let signed = |keys: &Keys| {
            let access = keys.access.clone().chain_update(said);
            access.verify_slice(mac).is_ok()
        };
        let is_retired = now.micros() >= self.previous_until.load(Relaxed);
        let mut keys = self.keys();
        if !keys.any(|keys| signed(keys) && !(is_retired && keys.id != self.current.id)) {
            return None;
        }
        let key = AccessKey {
            workspace: WorkspaceId(Uuid::from_slice(said.get(..16)?).ok()?),
            integration: IntegrationId(Uuid::from_slice(said.get(16..32)?).ok()?),
            round: i64::from_be_bytes(said.get(32..40)?.try_into().ok()?),
            expires: i64::from_be_bytes(said.get(40..48)?.try_into().ok()?),
            name: String::from_utf8(said.get(HEAD..)?.to_vec()).ok()?,
        };
        (now.secs() < key.expires).then_some(key)
    }
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The SHA-256 of a text, in hex: the stored form of random tokens and API keys.
pub fn sha256_hex(text: &[u8]) -> String {
    hex(&sha256(text))
}

pub fn sha256(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// Fills `out` with random bytes for cryptography, from a thread-local generator that the system reseeds. It saves a
/// system call for each echo and nonce.
pub fn fill_random(out: &mut [u8]) {
    rand::rng().fill_bytes(out);
}

/// A new secret of 32 random bytes as 64 hex digits, for tokens and API keys.
pub fn random_token() -> String {
    let mut bytes = [0; 32];
    fill_random(&mut bytes);
    hex(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> AccessKey {
        AccessKey {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            integration: IntegrationId(Uuid::from_u128(2)),
            round: 3,
            expires: 1200,
            name: "Megafon".into(),
        }
    }

    #[test]
    fn an_access_key_returns_its_contents_until_it_expires() {
        let vault = Vault::new(&[7; 32]);
        let text = vault.issue(&key());
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        assert_eq!(vault.verify(&text, at(1199)), Some(key()));
        assert_eq!(vault.verify(&text, at(1200)), None);
    }

    #[test]
    fn a_changed_or_foreign_access_key_is_refused() {
        let vault = Vault::new(&[7; 32]);
        let text = vault.issue(&key());
        let now = Timestamp::default();
        assert_eq!(Vault::new(&[8; 32]).verify(&text, now), None);
        for at in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).expect("text");
            assert_eq!(vault.verify(&forged, now), None, "{forged}");
        }
        for bad in ["", "A", "AAAA", "!", &text[..text.len() - 4]] {
            assert_eq!(vault.verify(bad, now), None, "{bad}");
        }
    }

    fn cell(row: u128) -> CellRef {
        CellRef::new(
            "channel.tokens",
            &[&Uuid::from_u128(1), &Uuid::from_u128(row)],
        )
    }

    #[test]
    fn sealed_texts_open_with_their_own_key_and_in_their_own_place_only() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal(&cell(2), b"secret");
        assert_eq!(
            vault.open(&cell(2), &sealed).as_deref(),
            Some(&b"secret"[..])
        );
        assert_eq!(vault.open(&cell(3), &sealed), None);
        assert_eq!(Vault::new(&[8; 32]).open(&cell(2), &sealed), None);
        assert_eq!(vault.open(&cell(2), &sealed[..20]), None);
        assert_ne!(
            vault.seal(&cell(2), b"secret"),
            sealed,
            "each time with a nonce of its own"
        );
    }

    #[test]
    fn the_parts_of_a_place_cannot_be_shifted() {
        assert_ne!(
            CellRef::new("a", &[&"b", &"cd"]).0,
            CellRef::new("a", &[&"bc", &"d"]).0
        );
    }

    #[test]
    fn a_value_without_a_place_opens_until_that_is_refused() {
        let vault = Vault::new(&[7; 32]);
        let nonce = [9; NONCE];
        let sealed = vault
            .current
            .sealing
            .encrypt(&XNonce::from(nonce), &b"old"[..]);
        let unbound = [&nonce[..], &sealed.expect("sealed")].concat();
        assert_eq!(vault.open(&cell(2), &unbound).as_deref(), Some(&b"old"[..]));
        vault.refuse_unbound();
        assert_eq!(vault.open(&cell(2), &unbound), None);
    }

    #[test]
    fn both_keys_are_good_while_one_takes_the_place_of_the_other() {
        let old = Vault::new(&[7; 32]);
        let vault = Vault::replacing(&[8; 32], Some(&[7; 32]));
        let new = Vault::new(&[8; 32]);
        let now = Timestamp::default();
        assert!(vault.verify(&old.issue(&key()), now).is_some());
        let sealed = old.seal(&cell(2), b"secret");
        assert!(vault.open(&cell(2), &sealed).is_some());
        assert!(!vault.is_current(&sealed));
        vault.hold_back(true);
        let held_back = vault.seal(&cell(2), b"secret");
        assert!(old.open(&cell(2), &held_back).is_some());
        assert!(old.verify(&vault.issue(&key()), now).is_some());
        assert_eq!(vault.secret_hashes("x")[0], old.current_hash("x"));
        vault.hold_back(false);
        let sealed = vault.seal(&cell(2), b"secret");
        assert!(vault.is_current(&sealed) && new.open(&cell(2), &sealed).is_some());
        assert_eq!(vault.secret_hashes("x")[0], new.current_hash("x"));
        assert_eq!(vault.secret_hashes("x").len(), 2);

        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        vault.retire_previous(at(600));
        assert!(vault.verify(&old.issue(&key()), at(599)).is_some());
        assert_eq!(vault.verify(&old.issue(&key()), at(600)), None);
        assert!(vault.verify(&new.issue(&key()), at(600)).is_some());
    }
}
