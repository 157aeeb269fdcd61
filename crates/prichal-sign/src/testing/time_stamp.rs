//! Time-stamp tokens, including archive time-stamps.

use super::{Cms, Identity, Signer, attribute, explicit, generalized};
use crate::der::write;
use crate::hash::Hash;
use crate::oid;
use crate::time::Time;

/// An unsigned token.
#[derive(Clone)]
pub struct TimeStamp {
    pub authority: Identity,
    pub time: Time,
    pub hash: Hash,
    pub imprint: Vec<u8>,
    pub policy: &'static str,
    pub content_type: &'static str,
    /// Changes the signer before signing.
    pub change: fn(&mut Signer),
    pub unsigned: Vec<Vec<u8>>,
    /// Extensions of the `TSTInfo`.
    pub extensions: Vec<Vec<u8>>,
}

impl TimeStamp {
    pub fn new(authority: &Identity, stamped: &[u8], time: Time) -> Self {
        Self {
            authority: authority.clone(),
            time,
            hash: Hash::Sha256,
            imprint: Hash::Sha256.digest(stamped),
            policy: "1.2.398.3.3.2.6.4",
            content_type: oid::TST_INFO,
            change: |_| {},
            unsigned: Vec::new(),
            extensions: Vec::new(),
        }
    }

    /// The encoded token.
    pub fn encode(&self) -> Vec<u8> {
        let hash = write::oid(self.authority.key.hash_oid(self.hash));
        let algorithm = write::sequence(&[&hash, &write::null()]);
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            explicit(1, &self.extensions.concat())
        };
        let info = write::sequence(&[
            &write::integer(&[1]),
            &write::oid(self.policy),
            &write::sequence(&[&algorithm, &write::octets(&self.imprint)]),
            &write::integer(&[7]),
            &generalized(self.time),
            &extensions,
        ]);
        let mut signer =
            Signer::of_type(&self.authority, &info, self.content_type, Some(self.time));
        (self.change)(&mut signer);
        signer.unsigned.clone_from(&self.unsigned);
        let mut cms = Cms::attached(&info, &[&signer]);
        cms.content_type = self.content_type;
        cms.version = 3;
        cms.encode()
    }

    /// The unsigned attribute with the token.
    pub fn attribute(&self) -> Vec<u8> {
        attribute(oid::SIGNATURE_TIME_STAMP, &self.encode())
    }

    /// An archive time-stamp of version 3 over everything in the signature so far, as an unsigned attribute of
    /// `signer` (EN 319 122-1 §5.5.3).
    pub fn archive(
        authority: &Identity,
        cms: &Cms,
        signer: &Signer,
        content: &[u8],
        time: Time,
    ) -> Vec<u8> {
        let hash = Hash::Sha256;
        let list = |hashes: Vec<Vec<u8>>| {
            let octets: Vec<Vec<u8>> = hashes.iter().map(|h| write::octets(h)).collect();
            write::sequence(&[&octets.concat()])
        };
        let digests = |pieces: &[Vec<u8>]| list(pieces.iter().map(|p| hash.digest(p)).collect());
        let mut unsigned = Vec::new();
        for raw in &signer.unsigned {
            let mut reader = crate::der::Reader::new(raw);
            let pieces = reader
                .sequence("an attribute")
                .and_then(|mut inside| Ok([inside.any()?.raw, inside.any()?.content].concat()));
            unsigned.extend(pieces.map(|pieces| hash.digest(&pieces)));
        }
        let algorithm = write::sequence(&[&write::oid(oid::SHA256)]);
        let index = write::sequence(&[
            &algorithm,
            &digests(&cms.certificates),
            &digests(&cms.revocation),
            &list(unsigned),
        ]);
        let stamped = [
            write::oid(cms.content_type),
            hash.digest(content),
            signer.signed_part(),
            index.clone(),
        ]
        .concat();
        let mut token = Self::new(authority, &stamped, time);
        token.unsigned = vec![attribute(oid::ATS_HASH_INDEX_V3, &index)];
        attribute(oid::ARCHIVE_TIME_STAMP_V3, &token.encode())
    }
}
