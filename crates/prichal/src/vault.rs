//! What the master key is for: sealing secrets that must be sent again, keyed hashes of those that
//! need not, and access keys that any node can check without asking the store.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce, aead::Aead};
use hmac::{Hmac, Mac};
use prichal_core::{
    id::{IntegrationId, WorkspaceId},
    time::Timestamp,
};
use rand::Rng as _;
use sha2::{Digest, Sha256};
use uuid::Uuid;

type HmacSha256 = Hmac<Sha256>;

/// What an access key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    pub workspace: WorkspaceId,
    pub integration: IntegrationId,
    /// Which install it belongs to; it dies with that.
    pub round: i64,
    /// In whole seconds since 1970.
    pub expires: i64,
    /// The integration's name, for the author stamps of what it does.
    pub name: String,
}

pub struct Vault {
    sealing: XChaCha20Poly1305,
    access: HmacSha256,
    hashing: HmacSha256,
}

/// Length of the nonce before a sealed text.
const NONCE: usize = 24;
/// Length of the signature behind an access key.
const MAC: usize = 32;
/// Length of an access key's numbers, before the name.
const HEAD: usize = 48;

impl Vault {
    /// Each use has a key of its own, derived from the master key.
    pub fn new(master: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| keyed(master).chain_update(purpose).finalize().into_bytes();
        Self {
            sealing: XChaCha20Poly1305::new(&derive(b"prichal sealing 1")),
            access: keyed(&derive(b"prichal access key 1")),
            hashing: keyed(&derive(b"prichal secret hash 1")),
        }
    }

    /// Encrypts a text for keeping.
    pub fn seal(&self, text: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        fill_random(&mut nonce);
        let sealed = self.sealing.encrypt(&XNonce::from(nonce), text);
        let mut out = nonce.to_vec();
        out.extend(sealed.expect("a text in memory is far below the cipher's limit"));
        out
    }

    /// Decrypts what [`Self::seal`] made; nothing when it was made with another key or is damaged.
    pub fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        let nonce: [u8; NONCE] = nonce.try_into().ok()?;
        self.sealing.decrypt(&XNonce::from(nonce), text).ok()
    }

    /// The hash by which a secret is found again, in hex.
    pub fn secret_hash(&self, value: &str) -> String {
        hex(&self
            .hashing
            .clone()
            .chain_update(value.as_bytes())
            .finalize()
            .into_bytes())
    }

    pub fn issue(&self, key: &AccessKey) -> String {
        let mut bytes = Vec::with_capacity(HEAD + key.name.len() + MAC);
        bytes.extend(key.workspace.0.as_bytes());
        bytes.extend(key.integration.0.as_bytes());
        bytes.extend(key.round.to_be_bytes());
        bytes.extend(key.expires.to_be_bytes());
        bytes.extend(key.name.as_bytes());
        let mac = self
            .access
            .clone()
            .chain_update(&bytes)
            .finalize()
            .into_bytes();
        bytes.extend(mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads an access key that this or another node issued and that is not over at `now`.
    pub fn verify(&self, text: &str, now: Timestamp) -> Option<AccessKey> {
        if text.len() > 1024 {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, mac) = bytes.split_at_checked(bytes.len().checked_sub(MAC)?)?;
        self.access
            .clone()
            .chain_update(said)
            .verify_slice(mac)
            .ok()?;
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

/// The SHA-256 of a text, in hex: how tokens and API keys, which are random, are kept.
pub fn sha256_hex(text: &[u8]) -> String {
    hex(&Sha256::digest(text))
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

/// Fills `out` from a generator for cryptography of this thread, which the system's seeds again and
/// again: no call to the system for each echo and each nonce.
pub fn fill_random(out: &mut [u8]) {
    rand::rng().fill_bytes(out);
}

/// A fresh secret of 32 random bytes as 64 hex digits: tokens and API keys.
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
    fn an_access_key_says_what_was_put_in_until_it_is_over() {
        let vault = Vault::new(&[7; 32]);
        let text = vault.issue(&key());
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        assert_eq!(vault.verify(&text, at(1199)), Some(key()));
        assert_eq!(vault.verify(&text, at(1200)), None);
    }

    #[test]
    fn a_changed_or_foreign_access_key_is_nothing() {
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

    #[test]
    fn sealed_texts_open_with_their_own_key_only() {
        let vault = Vault::new(&[7; 32]);
        let sealed = vault.seal(b"secret");
        assert_eq!(vault.open(&sealed).as_deref(), Some(&b"secret"[..]));
        assert_eq!(Vault::new(&[8; 32]).open(&sealed), None);
        assert_eq!(vault.open(&sealed[..20]), None);
        assert_ne!(
            vault.seal(b"secret"),
            sealed,
            "each time with a nonce of its own"
        );
    }
}
