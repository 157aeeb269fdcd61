//! Checks of signatures.

mod checks;
mod evidence;
mod rechecks;

use prichal_sign::{
    Time,
    testing::{Cms, CrlDraft, Draft, Identity, Signer, TimeStamp},
};

use crate::harness::{
    document_exchange::{Company, DocumentExchange},
    hub::START,
    receiver::{Receiver, Reply},
};

/// Serves each of these by its path.
pub(crate) fn serve(at: &Receiver, files: Vec<(&'static str, Vec<u8>)>) {
    at.answer(move |call| {
        let found = files.iter().find(|(path, _)| *path == call.path);
        found.map_or(Reply::Status(404), |(_, body)| Reply::Body(body.clone()))
    });
}

/// The list of an issuer. It may revoke a certificate of yesterday.
pub(crate) fn list(by: &Identity, revoked: Option<&Identity>) -> Vec<u8> {
    let at = Time::from_unix(START.secs() - 60);
    let mut list = CrlDraft::new(at);
    let serial = |one: &Identity| u64::from_str_radix(&one.certificate().serial_hex(), 16);
    if let Some(revoked) = revoked {
        let serial = serial(revoked).expect("short");
        list.entries = vec![(serial, at.plus(-86_400), Some(1))];
    }
    list.signed_by(by)
}

/// Issues the company a certificate that names an address for revocation lists, and removes the lists from its
/// signatures. Returns the new issuer.
pub(crate) fn name_lists(
    exchange: &DocumentExchange,
    company: &mut Company,
    place: &str,
) -> Identity {
    company.forget_lists();
    let authority = &exchange.authority;
    let url = |name: &str| Some(format!("{place}/{name}.crl"));
    let issuer = Draft {
        crl_url: url("root"),
        ..Draft::authority("Issuer", authority.issuer.key.clone())
    }
    .issued_by(&authority.root);
    company.signer = Draft {
        crl_url: url("issuer"),
        ..DocumentExchange::signer_draft(&company.bin, &company.iin)
    }
    .issued_by(&issuer);
    company.set_issuer(&issuer);
    issuer
}

/// A signature by `who` with a time-stamp by `authority`, which names no address for revocation lists.
pub(crate) fn stamped(
    who: &Identity,
    issuer: &Identity,
    authority: &Identity,
    content: &[u8],
) -> Vec<u8> {
    let at = Time::from_unix(START.secs());
    let mut signer = Signer::new(who, content, at);
    let stamp = TimeStamp::new(authority, &signer.signature(), at.plus(-30));
    signer.unsigned.push(stamp.attribute());
    let mut cms = Cms::attached(content, &[&signer]);
    cms.certificates.push(issuer.der.clone());
    cms.encode()
}
