//! Step 19: archive time-stamps of version 3 (EN 319 122-1 §5.5.3), over the exact pieces that their hash index
//! names.

use super::context::Context;
use super::document::{Archive, Document};
use super::time_stamp::{self, Outcome};
use crate::cms::attribute::{self, HashIndex};
use crate::cms::{SignedData, SignerInfo};
use crate::der::write;
use crate::error::{ReadError, Result, malformed};
use crate::hash::Hash;
use crate::oid;
use crate::reason::{Reason, reason};
use crate::report::SubIndication as Sub;
use crate::tsp::Token;
use std::collections::BTreeSet;

/// Validates one archive time-stamp of a signer.
pub(super) fn check(
    context: &Context<'_>,
    document: &Document,
    signer: &SignerInfo,
    content: Option<&[u8]>,
    archive: &Archive,
) -> Outcome {
    if !context.archive() {
        return failure(
            Sub::PolicyProcessingError,
            reason!("too many archive time-stamps"),
        );
    }
    let stamped = match (&archive.token, content) {
        (Ok(token), Some(content)) => input(
            context,
            token,
            &document.data,
            signer,
            content,
            &archive.value,
        ),
        (Ok(_), None) => Err(ReadError::Unexpected {
            what: "the content",
        }),
        (Err(error), _) => Err(error.clone()),
    };
    match stamped {
        Ok(stamped) => time_stamp::check(context, &archive.token, &stamped, context.at),
        Err(error) => failure(Sub::FormatFailure, Reason::from(&error)),
    }
}

fn failure(sub: Sub, reason: Reason) -> Outcome {
    Outcome::refused(reason!("archive time-stamp"), sub, reason)
}

/// The bytes covered by the message imprint.
fn input(
    context: &Context<'_>,
    token: &Token,
    data: &SignedData,
    signer: &SignerInfo,
    content: &[u8],
    own_value: &[u8],
) -> Result<Vec<u8>> {
    let hash = Hash::from_algorithm(&token.imprint_hash);
    let hash = hash.ok_or(malformed("the hash of an archive time-stamp"))?;
    let index = index_of(token)?;
    check_index(&index, data, signer, own_value)?;
    let mut bytes = write::oid(data.content_type.as_str());
    bytes.extend(context.digest(hash, content));
    bytes.extend(&signer.signed_part);
    bytes.extend(&index.raw);
    Ok(bytes)
}

/// Reads the hash index, an unsigned attribute of the token's own signer.
fn index_of(token: &Token) -> Result<HashIndex> {
    let signer = token.data.signers.first();
    let values = |kind| {
        signer
            .into_iter()
            .flat_map(move |s| s.unsigned_values(kind))
    };
    let value = values(oid::ATS_HASH_INDEX_V3)
        .chain(values(oid::ATS_HASH_INDEX))
        .next();
    attribute::hash_index(value.ok_or(ReadError::Unexpected {
        what: "the hash index of an archive time-stamp",
    })?)
}

/// Checks that every hash of the index matches a piece of the signature. Pieces added later are not in the index.
fn check_index(
    index: &HashIndex,
    data: &SignedData,
    signer: &SignerInfo,
    own_value: &[u8],
) -> Result<()> {
    let hash = match &index.hash {
        Some(algorithm) => Hash::from_algorithm(algorithm),
        None => Some(Hash::Sha256),
    };
    let hash = hash.ok_or(malformed("the hash of the hash index"))?;
    let certificates = data
        .certificates
        .iter()
        .map(|c| &c.raw)
        .chain(&data.other_certificates);
    let certificates: BTreeSet<Vec<u8>> = certificates.map(|raw| hash.digest(raw)).collect();
    let revocation = data
        .revocation
        .iter()
        .map(|r| hash.digest(&r.raw))
        .collect();
    let mut unsigned: BTreeSet<Vec<u8>> = BTreeSet::new();
    for attribute in &signer.unsigned {
        // Version 1 of the index hashes whole attributes, version 3 each value with its type.
        unsigned.insert(hash.digest(&attribute.raw));
        for value in attribute.values().filter(|value| *value != own_value) {
            unsigned.insert(hash.digest(&[attribute.kind(), value].concat()));
        }
    }
    let lists = [
        (&index.certificates, certificates, "certificates"),
        (&index.revocation, revocation, "revocation values"),
        (&index.unsigned, unsigned, "unsigned attributes"),
    ];
    for (hashes, present, what) in lists {
        if !hashes.iter().all(|digest| present.contains(digest)) {
            return Err(ReadError::Unexpected { what });
        }
    }
    Ok(())
}
