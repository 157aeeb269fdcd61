//! The administrator's token: its file, and its replacement while the server runs.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use prichal_core::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::{
    config::is_token,
    error::{Code, Error, Result},
    platform::{
        data_dir::write_whole,
        security::{self, Event},
        vault::{random_token, sha256_hex},
    },
};

pub struct AdminToken {
    good: RwLock<Good>,
    /// The file that keeps the token; `None` if a setting gives it.
    file: Option<PathBuf>,
    /// Held while the file is read or written, until the token in memory is the one in the file.
    rotating: Mutex<()>,
}

struct Good {
    token: SecretString,
    /// The previous token, and the end of its validity.
    previous: Option<(SecretString, Timestamp)>,
}

impl AdminToken {
    pub fn new(token: SecretString, file: Option<PathBuf>) -> Self {
        let good = Good {
            token,
            previous: None,
        };
        Self {
            good: RwLock::new(good),
            file,
            rotating: Mutex::default(),
        }
    }

    fn lock_file(&self) -> MutexGuard<'_, ()> {
        self.rotating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares a text with the token.
    pub fn accepts(&self, text: &str, now: Timestamp) -> bool {
        let good = self.good.read().unwrap_or_else(PoisonError::into_inner);
        let is = |token: &SecretString| -> bool {
            token
                .expose_secret()
                .as_bytes()
                .ct_eq(text.as_bytes())
                .into()
        };
        let previous = good.previous.as_ref();
        let previous = previous.is_some_and(|(token, until)| now < *until && is(token));
        is(&good.token) | previous
    }

    /// The SHA-256 of the token, in hex, which tells it from others.
    pub fn fingerprint(&self) -> String {
        let good = self.good.read().unwrap_or_else(PoisonError::into_inner);
        sha256_hex(good.token.expose_secret().as_bytes())
    }

    /// Makes a new token and stores it. The previous token stays valid for `overlap`. The file is written first, so
    /// that it holds a valid token whenever the server ends.
    pub fn rotate(&self, overlap: Duration, now: Timestamp) -> Result<SecretString> {
        let Some(file) = &self.file else {
            return Err(Error::refused(
                Code::Conflict,
                "The admin token is given by a setting. Change it there.",
            ));
        };
        let fresh = SecretString::from(random_token());
        let _turn = self.lock_file();
        write_whole(file, fresh.expose_secret()).map_err(Error::internal)?;
        let mut good = self.good.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut good.token, fresh.clone());
        good.previous = Some((before, now + overlap));
        Ok(fresh)
    }

    /// Reads the file again, where an operator may have put another token. The previous token becomes invalid at once.
    /// Returns true if there is another one.
    pub fn reload(&self) -> bool {
        let Some(file) = &self.file else {
            return false;
        };
        let _turn = self.lock_file();
        let Ok(text) = std::fs::read_to_string(file) else {
            return false;
        };
        let text = text.trim();
        let mut good = self.good.write().unwrap_or_else(PoisonError::into_inner);
        if good.token.expose_secret() == text || !is_token(text) {
            return false;
        }
        good.token = text.into();
        good.previous = None;
        drop(good);
        security::record(Event::AdminTokenRotated, None, "file");
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_micros(secs * 1_000_000)
    }

    #[test]
    fn the_previous_token_is_valid_for_the_overlap() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("admin-token");
        let token = AdminToken::new("the-first-admin-token".into(), Some(file.clone()));
        let fresh = token
            .rotate(Duration::from_mins(1), at(0))
            .expect("rotated");
        let kept = std::fs::read_to_string(&file).expect("it is kept");
        assert_eq!(kept.trim(), fresh.expose_secret());
        assert!(token.accepts(fresh.expose_secret(), at(0)));
        assert!(token.accepts("the-first-admin-token", at(59)));
        assert!(!token.accepts("the-first-admin-token", at(60)));
    }

    #[test]
    fn a_file_that_was_changed_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("admin-token");
        let token = AdminToken::new("the-first-admin-token".into(), Some(file.clone()));
        std::fs::write(&file, "short").expect("written");
        token.reload();
        assert!(token.accepts("the-first-admin-token", at(0)));
        std::fs::write(&file, "another-admin-token-of-the-admins\n").expect("written");
        token.reload();
        assert!(token.accepts("another-admin-token-of-the-admins", at(0)));
        assert!(!token.accepts("the-first-admin-token", at(0)));
    }

    #[test]
    fn a_token_of_the_settings_is_changed_there() {
        let token = AdminToken::new("the-first-admin-token".into(), None);
        assert!(token.rotate(Duration::ZERO, at(0)).is_err());
        token.reload();
        assert!(token.accepts("the-first-admin-token", at(0)));
    }
}
