//! Time-stamp tokens (RFC 3161 §2.4.2): `TSTInfo`, and the request that asks for one (RFC 3161 §2.4.1).

use crate::algorithm::Algorithm;
use crate::cms::SignedData;
use crate::der::{self, Reader, tag, write};
use crate::error::{ReadError, Result, malformed};
use crate::limits::Limits;
use crate::oid::{self, Oid};
use crate::time::Time;

/// A token: `SignedData` over what the time-stamping authority says.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub data: SignedData,
    pub policy: Oid,
    pub imprint_hash: Algorithm,
    pub imprint: Vec<u8>,
    pub time: Time,
}

impl Token {
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self> {
        let data = SignedData::read(bytes, limits)?;
        if data.content_type != oid::TST_INFO {
            return Err(ReadError::ContentType {
                expected: "id-ct-TSTInfo",
                found: data.content_type.to_string(),
            });
        }
        let content = data.content.clone().ok_or(ReadError::Unexpected {
            what: "the content of a time-stamp token",
        })?;
        der::check(&content, &Limits::SMALL, "the time-stamp's content")?;
        let mut info = Reader::new(&content).sequence("the time-stamp's content")?;
        info.expect(tag::INTEGER, "the version of a time-stamp")?;
        let policy = Oid::read(&mut info)?;
        let mut imprint = info.sequence("the imprint of a time-stamp")?;
        let imprint_hash = Algorithm::read(&mut imprint, "the hash of a time-stamp")?;
        let digest = imprint
            .octet_string("the imprint of a time-stamp")?
            .into_owned();
        info.integer("the serial number of a time-stamp")?;
        let time = Time::read(&mut info, "the time of a time-stamp")?;
        check_rest(&mut info)?;
        Ok(Self {
            data,
            policy,
            imprint_hash,
            imprint: digest,
            time,
        })
    }
}

/// What follows the time: accuracy, ordering, nonce and name say nothing that is needed here; an
/// extension that must be understood is not.
fn check_rest(info: &mut Reader<'_>) -> Result<()> {
    info.optional(tag::SEQUENCE)?;
    info.optional(tag::BOOLEAN)?;
    info.optional(tag::INTEGER)?;
    info.optional(tag::context_constructed(0))?;
    if let Some(extensions) = info.optional(tag::context_constructed(1))? {
        let mut members = extensions.inside();
        while !members.is_empty() {
            let mut extension = members.sequence("an extension of a time-stamp")?;
            Oid::read(&mut extension)?;
            let critical = extension.optional(tag::BOOLEAN)?;
            if critical.map(|flag| flag.boolean()).transpose()? == Some(true) {
                return Err(malformed(
                    "an unknown critical extension of a time-stamp, which",
                ));
            }
        }
    }
    info.end("the time-stamp's content")
}

/// A request for a time-stamp over `digest`, which is the SHA-256 of what is stamped. The
/// authority's certificate is asked for, since a token without it cannot be checked later.
pub fn request(digest: &[u8; 32], nonce: Option<&[u8]>) -> Vec<u8> {
    let algorithm = write::sequence(&[&write::oid(oid::SHA256), &write::null()]);
    let imprint = write::sequence(&[&algorithm, &write::octets(digest)]);
    let nonce = nonce.map_or_else(Vec::new, write::integer);
    let certificate = write::element(tag::BOOLEAN, &[0xff]);
    write::sequence(&[&write::integer(&[1]), &imprint, &nonce, &certificate])
}
