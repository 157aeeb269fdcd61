//! A complete test authority: root, intermediate, signer, time-stamps, responder, lists.

#![expect(
    clippy::expect_used,
    reason = "what tests make is readable, or the test is wrong"
)]

use super::{CrlDraft, Draft, Identity, Key};
use crate::crl::Crl;
use crate::time::Time;
use crate::validate::Material;

/// The present time of the tests: 2026-06-01T12:00:00Z.
pub const NOW: Time = Time::from_unix(1_780_315_200);

/// All certificates of one country's signatures, with keys of one kind.
#[derive(Clone)]
pub struct Authority {
    pub root: Identity,
    pub issuer: Identity,
    pub signer: Identity,
    pub time_stamper: Identity,
    pub responder: Identity,
}

impl Authority {
    /// Creates an authority. `key` derives a key from a word.
    pub fn new(key: impl Fn(&str) -> Key) -> Self {
        let root = Draft::authority("Root", key("root")).self_signed();
        let issuer = Draft::authority("Issuer", key("issuer")).issued_by(&root);
        Self {
            signer: Draft::signer("ТЕСТОВ ТЕСТ", key("signer")).issued_by(&issuer),
            time_stamper: Draft::time_stamper("Time", key("time")).issued_by(&issuer),
            responder: Draft::responder("Responder", key("responder")).issued_by(&issuer),
            issuer,
            root,
        }
    }

    /// Anchor, intermediate, and current lists of both authorities without entries.
    pub fn material(&self) -> Material {
        let mut material = self.without_lists();
        for authority in [&self.root, &self.issuer] {
            let list = CrlDraft::new(NOW.plus(-3600)).signed_by(authority);
            material
                .crls
                .push(Crl::read(&list).expect("the list is readable"));
        }
        material
    }

    /// Anchor and intermediate only.
    pub fn without_lists(&self) -> Material {
        Material {
            anchors: vec![self.root.certificate()],
            certificates: vec![self.issuer.certificate()],
            ..Material::default()
        }
    }
}
