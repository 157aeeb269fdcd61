//! Embedding evidence into a signature, so that it can be verified without other sources. The certificates and
//! revocation data of a `SignedData` are not signed (EN 319 122-1 §5.4).

use crate::der::{self, Element, Reader, tag, write};
use crate::error::Result;
use crate::limits::Limits;
use crate::oid;
use crate::text;

/// Encoded evidence to embed into a signature.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    pub certificates: Vec<Vec<u8>>,
    pub lists: Vec<Vec<u8>>,
    /// OCSP responses with their status, as sent by the responder.
    pub responses: Vec<Vec<u8>>,
}

/// Returns the signature with more certificates and revocation data. The signed content and the signers stay
/// unchanged, byte for byte.
pub fn with_evidence(signature: &[u8], more: &Additions) -> Result<Vec<u8>> {
    let limits = Limits::SIGNATURE;
    let bytes = text::one(signature, limits.size)?;
    let length = der::check_padded(&bytes, &limits, "the signature")?;
    let mut info = Reader::new(&bytes[..length]).sequence("a CMS ContentInfo")?;
    let kind = info.expect(tag::OID, "the content type")?;
    let explicit = info.expect(tag::context_constructed(0), "the content of ContentInfo")?;
    let mut inside = explicit.inside().sequence("a SignedData")?;
    let version = inside.expect(tag::INTEGER, "the version of SignedData")?;
    let digests = inside.expect(tag::SET, "the digest algorithms")?;
    let content = inside.expect(tag::SEQUENCE, "the content of SignedData")?;
    let certificates = inside.optional(tag::context_constructed(0))?;
    let revocation = inside.optional(tag::context_constructed(1))?;
    let signers = inside.expect(tag::SET, "the signers")?;
    let responses = more.responses.iter().map(|response| other(response));
    let evidence: Vec<Vec<u8>> = more.lists.iter().cloned().chain(responses).collect();
    // RFC 5652 §5.1: revocation data of another form requires version 5.
    let version = if more.responses.is_empty() {
        version.raw.to_vec()
    } else {
        write::integer(&[5])
    };
    let body = write::sequence(&[
        &version,
        digests.raw,
        content.raw,
        &set(0, certificates, &more.certificates),
        &set(1, revocation, &evidence),
        signers.raw,
    ]);
    let body = write::element(tag::context_constructed(0), &body);
    Ok(write::sequence(&[kind.raw, &body]))
}

/// An OCSP response as revocation data (RFC 5940 §2.1).
fn other(response: &[u8]) -> Vec<u8> {
    let choice = [write::oid(oid::RI_OCSP_RESPONSE), response.to_vec()].concat();
    write::element(tag::context_constructed(1), &choice)
}

/// An implicit set with the missing members added; empty output for an empty set.
fn set(number: u8, found: Option<Element<'_>>, more: &[Vec<u8>]) -> Vec<u8> {
    let mut content = found.map_or_else(Vec::new, |set| set.content.to_vec());
    let mut known: Vec<&[u8]> = Vec::new();
    let mut members = found.map(|set| set.inside());
    while let Some(Ok(member)) = members.as_mut().filter(|m| !m.is_empty()).map(Reader::any) {
        known.push(member.raw);
    }
    for member in more
        .iter()
        .filter(|member| !known.contains(&member.as_slice()))
    {
        content.extend_from_slice(member);
    }
    if content.is_empty() {
        return content;
    }
    write::element(tag::context_constructed(number), &content)
}
