//! Altered bytes: no panic, no long run, and no pass with another content.

use super::{CONTENT, authority, crl, ocsp};
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Key, NOW, OcspDraft, Signer, TimeStamp, attribute, indefinite,
};
use prichal_sign::{
    Certificate, Crl, Limits, Material, Ocsp, Policy, Request, SignedData, Verdict, validate,
};
use proptest::prelude::*;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Far longer than any of these runs, even without optimization.
const MAX_DURATION: Duration = Duration::from_secs(20);

struct Seeds {
    signatures: Vec<Vec<u8>>,
    others: Vec<Vec<u8>>,
    material: Material,
}

static SEEDS: LazyLock<Seeds> = LazyLock::new(|| {
    let authority = authority();
    let full = long_term(&authority);
    let kazakh = Authority::new(Key::kz);
    let signer = Signer::new(&kazakh.signer, CONTENT, NOW);
    let kazakh_bytes = Cms::attached(CONTENT, &[&signer]).encode();
    let list = CrlDraft {
        entries: vec![(7, NOW, Some(1)), (8, NOW, None)],
        ..CrlDraft::new(NOW.plus(-60))
    };
    let list = list.signed_by(&authority.issuer);
    let response = OcspDraft::good(&authority.signer, NOW.plus(-60));
    let response = response.signed_by(&authority.responder, &authority.issuer);
    let mut material = authority.material();
    material.anchors.push(kazakh.root.certificate());
    material.certificates.push(kazakh.issuer.certificate());
    material.crls.push(crl(&list));
    material.ocsp.push(ocsp(&response));
    Seeds {
        signatures: vec![indefinite(&full, 4), full, kazakh_bytes],
        others: vec![
            authority.signer.der.clone(),
            authority.issuer.der.clone(),
            list,
            response,
        ],
        material,
    }
});

/// A signature with every part: time-stamp, counter-signature, embedded evidence, archive.
fn long_term(authority: &Authority) -> Vec<u8> {
    let mut signer = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
    let value = signer.signature();
    signer
        .unsigned
        .push(TimeStamp::new(&authority.time_stamper, &value, NOW.plus(-50)).attribute());
    let counter = Signer::counter(&authority.signer, &value);
    signer
        .unsigned
        .push(attribute("1.2.840.113549.1.9.6", &counter.encode()));
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.revocation
        .push(CrlDraft::new(NOW.plus(-45)).signed_by(&authority.issuer));
    let response = OcspDraft::good(&authority.signer, NOW.plus(-45));
    cms.add_ocsp(&response.signed_by(&authority.responder, &authority.issuer));
    let archive = TimeStamp::archive(
        &authority.time_stamper,
        &cms,
        &signer,
        CONTENT,
        NOW.plus(-40),
    );
    signer.unsigned.push(archive);
    cms.signers = vec![signer.encode()];
    cms.encode()
}

#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize),
    Remove(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
    Swap(usize, usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<usize>();
    prop_oneof![
        (
            place,
            prop_oneof![any::<u8>(), Just(0x80), Just(0xff), Just(0x30), Just(0)]
        )
            .prop_map(|(p, b)| Change::Set(p, b)),
        (any::<usize>(), 0..8_u8).prop_map(|(p, bit)| Change::Flip(p, 1 << bit)),
        any::<usize>().prop_map(Change::Cut),
        (any::<usize>(), 1..64_usize).prop_map(|(p, n)| Change::Remove(p, n)),
        (any::<usize>(), 1..256_usize).prop_map(|(p, n)| Change::Repeat(p, n)),
        (
            any::<usize>(),
            proptest::collection::vec(any::<u8>(), 1..16)
        )
            .prop_map(|(p, bytes)| Change::Insert(p, bytes)),
        (any::<usize>(), any::<usize>(), 1..64_usize).prop_map(|(a, b, n)| Change::Swap(a, b, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let range = |place: usize, count: usize| {
        let start = place % length;
        start..(start + count).min(length)
    };
    match change {
        Change::Set(place, byte) => bytes[place % length] = *byte,
        Change::Flip(place, mask) => bytes[place % length] ^= mask,
        Change::Cut(place) => bytes.truncate(place % length),
        Change::Remove(place, count) => drop(bytes.drain(range(*place, *count))),
        Change::Repeat(place, count) => {
            let piece = bytes[range(*place, *count)].to_vec();
            let at = place % length;
            bytes.splice(at..at, piece);
        }
        Change::Insert(place, piece) => {
            let at = place % length;
            bytes.splice(at..at, piece.iter().copied());
        }
        Change::Swap(a, b, count) => {
            let (a, b) = (range(*a, *count), range(*b, *count));
            let piece = bytes[a].to_vec();
            bytes.splice(b, piece);
        }
    }
}

fn quick(what: &str, run: impl FnOnce()) {
    let start = Instant::now();
    run();
    assert!(
        start.elapsed() < MAX_DURATION,
        "{what} took {:?}",
        start.elapsed()
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(1500),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::default()
    })]

    #[test]
    fn altered_signatures_end_in_a_verdict(
        seed in 0..3_usize,
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let mut bytes = SEEDS.signatures[seed].clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        quick("a validation", || {
            for policy in [Policy::kz(), Policy::test()] {
                let report = validate(&Request::new(&bytes, &policy, NOW), &SEEDS.material);
                if report.verdict == Verdict::TotalPassed {
                    let data = SignedData::read(&bytes, &Limits::SIGNATURE).unwrap();
                    assert_eq!(data.content.as_deref(), Some(CONTENT));
                }
                serde_json::to_string(&report).unwrap();
            }
        });
    }

    #[test]
    fn altered_certificates_lists_and_responses_end_in_a_result(
        seed in 0..4_usize,
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let mut bytes = SEEDS.others[seed].clone();
        for change in &changes {
            apply(&mut bytes, change);
        }
        quick("reading", || {
            // Either outcome is fine. The call must return.
            let certificate = Certificate::read(&bytes).map(|c| c.public_key().is_ok());
            drop((certificate, Crl::read(&bytes), Ocsp::read(&bytes)));
        });
    }

    #[test]
    fn any_bytes_end_in_a_verdict(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let policy = Policy::kz();
        quick("a validation", || {
            let report = validate(&Request::new(&bytes, &policy, NOW), &SEEDS.material);
            assert_ne!(report.verdict, Verdict::TotalPassed);
        });
    }
}

#[test]
fn the_seeds_themselves_pass() {
    for (index, bytes) in SEEDS.signatures.iter().enumerate() {
        let policy = Policy::test();
        let report = validate(&Request::new(bytes, &policy, NOW), &SEEDS.material);
        assert_eq!(
            report.verdict,
            Verdict::TotalPassed,
            "{index} {}",
            super::show(&report)
        );
    }
}

#[test]
fn many_certificates_with_equal_ids_are_bounded_work() {
    // Every certificate has the signer's name and serial number, so every signer tries them all.
    let authority = authority();
    let issuer = authority.issuer.certificate();
    let signers: Vec<Signer> = (0..200)
        .map(|at| Signer::new(&authority.signer, CONTENT, NOW.plus(-at)))
        .collect();
    let mut cms = Cms::attached(CONTENT, &signers.iter().collect::<Vec<_>>());
    let serial = authority
        .signer
        .certificate()
        .serial
        .iter()
        .fold(0, |n, b| n << 8 | u64::from(*b));
    cms.certificates = (0..200)
        .map(|at| {
            let draft = prichal_sign::testing::Draft {
                serial,
                ..prichal_sign::testing::Draft::signer("Alike", Key::p256(&at.to_string()))
            };
            draft
                .signed(issuer.subject.raw(), &authority.issuer.key)
                .der
        })
        .collect();
    let bytes = cms.encode();
    let policy = Policy::test();
    quick("a validation", || {
        let report = validate(&Request::new(&bytes, &policy, NOW), &SEEDS.material);
        assert_ne!(report.verdict, Verdict::TotalPassed);
    });
}

#[test]
fn a_mesh_of_authorities_is_bounded_work() {
    // Twelve keys under one name, each certified by every other, and an unrelated anchor.
    let subject = prichal_sign::testing::name(&[("CN", "Mesh")]);
    let keys: Vec<Key> = (0..12).map(|at| Key::p256(&format!("mesh {at}"))).collect();
    let mut certificates = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        for (by, issuer) in keys.iter().enumerate().filter(|(by, _)| *by != at) {
            let draft = prichal_sign::testing::Draft {
                serial: (at * 12 + by) as u64,
                subject: subject.clone(),
                key_ids: false,
                ..prichal_sign::testing::Draft::authority("Mesh", key.clone())
            };
            certificates.push(draft.signed(&subject, issuer).der);
        }
    }
    let draft = prichal_sign::testing::Draft::signer("Signer", Key::p256("signer"));
    let signer = Signer::new(&draft.signed(&subject, &keys[0]), CONTENT, NOW);
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.certificates.extend(certificates);
    let bytes = cms.encode();
    let policy = Policy::test();
    quick("a validation", || {
        let report = validate(&Request::new(&bytes, &policy, NOW), &SEEDS.material);
        assert_eq!(report.verdict, Verdict::Indeterminate);
    });
}
