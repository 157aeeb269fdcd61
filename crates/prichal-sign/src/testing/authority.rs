//! A whole trial authority: root, intermediate, signer, time-stamps, responder, lists.

#![expect(
    clippy::expect_used,
    reason = "what tests make is readable, or the test is wrong"
)]

use super::{CrlDraft, Draft, Identity, Key};
use crate::crl::Crl;
use crate::time::Time;
use crate::validate::Material;

/// The time that tests take for the present: 2026-06-01T12:00:00Z.
pub const NOW: Time = Time::from_unix(1_780_315_200);

/// Everything one country's signatures need, made from one kind of key.
#[derive(Clone)]
pub struct Authority {
    pub root: Identity,
    pub issuer: Identity,
    pub signer: Identity,
    pub time_stamper: Identity,
    pub responder: Identity,
}

impl Authority {
    /// An authority whose keys `key` makes from words.
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

    /// With fresh lists of both authorities, nothing revoked.
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

    /// Anchor and intermediate alone.
    pub fn without_lists(&self) -> Material {
        Material {
            anchors: vec![self.root.certificate()],
            certificates: vec![self.issuer.certificate()],
            ..Material::default()
        }
    }
}
