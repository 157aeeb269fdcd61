//! The readers of `prichal-sign` and the whole validator. No root is trusted here, so no signature passes.

use prichal_sign::{
    Certificate, Crl, Limits, Material, Ocsp, Policy, Request, SignedData, Time, Verdict,
    testing::{Authority, Cms, CrlDraft, Key, NOW, OcspDraft, Signer, TimeStamp, indefinite},
};

pub(crate) fn certificate(input: &[u8]) {
    let _ = Certificate::read_all(input);
    if let Ok(certificate) = Certificate::read(input) {
        let _ = certificate.public_key();
        assert!(!certificate.raw().is_empty());
    }
}

pub(crate) fn crl(input: &[u8]) {
    let _ = Crl::read(input);
}

pub(crate) fn ocsp(input: &[u8]) {
    let _ = Ocsp::read(input);
}

pub(crate) fn signature(input: &[u8]) {
    let _ = SignedData::read(input, &Limits::SIGNATURE);
}

pub(crate) fn validate(input: &[u8]) {
    let at = Time::from_unix(1_780_315_200);
    for policy in [Policy::test(), Policy::kz(), Policy::ru()] {
        let mut request = Request::new(input, &policy, at);
        request.content = Some(b"content");
        let report = prichal_sign::validate(&request, &Material::default());
        assert_ne!(report.verdict, Verdict::TotalPassed);
    }
}

/// The seeds of a target of this module, with keys of every kind.
pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let makes: [fn(&str) -> Key; 5] = [Key::p256, Key::ed25519, Key::kz, Key::kz_2004, Key::ru];
    if !["certificate", "crl", "ocsp", "signature", "validate"].contains(&target) {
        return Vec::new();
    }
    let authorities = makes.into_iter().map(Authority::new);
    authorities
        .flat_map(|authority| generated(target, &authority))
        .collect()
}

fn generated(target: &str, authority: &Authority) -> Vec<Vec<u8>> {
    match target {
        "certificate" => {
            let all = [
                &authority.root,
                &authority.issuer,
                &authority.signer,
                &authority.responder,
            ];
            all.map(|identity| identity.der.clone()).into()
        }
        "crl" => {
            let list = CrlDraft {
                entries: vec![(7, NOW, Some(1)), (8, NOW, None)],
                ..CrlDraft::new(NOW)
            };
            vec![list.signed_by(&authority.issuer)]
        }
        "ocsp" => {
            let response = OcspDraft::good(&authority.signer, NOW);
            vec![response.signed_by(&authority.responder, &authority.issuer)]
        }
        _ => signatures(authority),
    }
}

fn signatures(authority: &Authority) -> Vec<Vec<u8>> {
    let content = b"content";
    let mut signer = Signer::new(&authority.signer, content, NOW);
    let plain = Cms::detached(&[&signer]).encode();
    let value = signer.signature();
    let stamp = TimeStamp::new(&authority.time_stamper, &value, NOW).attribute();
    signer.unsigned.push(stamp);
    let stamped = Cms::attached(content, &[&signer]).encode();
    let in_pieces = indefinite(&stamped, 4);
    vec![plain, stamped, in_pieces]
}
