//! Hostile input: stack, memory and time stay bounded. The tests run on a thread with a small stack.

use super::{CONTENT, Case, authority};
use prichal_sign::testing::{
    Authority, Cms, Key, NOW, Signer, TimeStamp, attribute, der, indefinite,
};
use prichal_sign::{Certificate, Crl, GostStandard, Limits, Ocsp, SignedData, unarmor};
use proptest::prelude::*;

/// Smaller than the stack of any server thread.
const STACK_BYTES: usize = 256 << 10;

/// Runs on a thread with a small stack. An overflow aborts the whole process.
fn on_small_stack<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, run).unwrap().join().unwrap()
    })
}

fn every_reader(bytes: &[u8]) {
    let _ = SignedData::read(bytes, &Limits::SIGNATURE);
    let _ = Certificate::read_all(bytes);
    let _ = Crl::read(bytes);
    let _ = Ocsp::read(bytes);
    let _ = unarmor(bytes, Limits::SIGNATURE.size);
}

#[test]
fn readers_fit_a_small_stack() {
    let authority = authority();
    let good = super::attached(&super::signer(&authority));
    let deep = |open: &[u8], count: usize| open.repeat(count);
    // Nested up to the limit and far beyond it, in each form of length.
    let nested = |levels: usize| (0..levels).fold(der::null(), |inner, _| der::sequence(&[&inner]));
    let octets =
        |levels: usize| (0..levels).fold(der::octets(b"x"), |inner, _| der::element(0x24, &inner));
    for bytes in [
        deep(&[0x30, 0x80], 1 << 20),
        deep(&[0x24, 0x80], 1 << 20),
        deep(&[0xa0, 0x80], 1 << 20),
        deep(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff], 1 << 18),
        nested(47),
        nested(2000),
        octets(2000),
        indefinite(&good, 60),
        b"-----BEGIN ".repeat(1 << 18),
        good,
    ] {
        on_small_stack(|| every_reader(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Bytes that are mostly the beginnings of nested elements.
    #[test]
    fn any_bytes_fit_a_small_stack(
        bytes in proptest::collection::vec(
            prop_oneof![Just(0x30), Just(0x80), Just(0xa0), Just(0x24), Just(0x31), Just(0), any::<u8>()],
            0..4000,
        )
    ) {
        on_small_stack(|| every_reader(&bytes));
    }
}

/// Deep nesting in each place where a reader recurses.
#[test]
fn nesting_inside_a_signature_fits_a_small_stack() {
    let authority = authority();
    let deepest =
        |levels: usize| (0..levels).fold(der::null(), |inner, _| der::element(0xa4, &inner));
    let segments =
        |levels: usize| (0..levels).fold(der::octets(b"x"), |inner, _| der::element(0x24, &inner));
    for levels in [10, 30, 40] {
        for kind in [
            "1.2.840.113549.1.9.16.2.14",
            "1.2.840.113549.1.9.16.2.23",
            "1.2.840.113549.1.9.16.2.24",
            "1.2.840.113549.1.9.16.2.48",
            "1.2.840.113549.1.9.6",
        ] {
            for value in [deepest(levels), segments(levels)] {
                let mut signer = super::signer(&authority);
                signer.unsigned.push(attribute(kind, &value));
                let case = Case::new(&authority, super::attached(&signer));
                on_small_stack(|| case.report());
            }
        }
        let mut signer = super::signer(&authority);
        signer.add(attribute("1.2.840.113549.1.9.16.2.47", &deepest(levels)));
        let case = Case::new(&authority, super::attached(&signer));
        on_small_stack(|| case.report());
    }
}

/// Every family of keys, with every part a signature may have.
#[test]
fn a_whole_validation_fits_a_small_stack() {
    let keys: [fn(&str) -> Key; 6] = [
        Key::p256,
        |word| Key::ec(prichal_sign::EcCurve::P521, word),
        Key::ed25519,
        Key::kz,
        |word| Key::gost(GostStandard::Russia2012, "1.2.643.7.1.2.1.2.1", word),
        |word| match word {
            "signer" => Key::rsa(true),
            "issuer" => Key::rsa(false),
            other => Key::p256(other),
        },
    ];
    for key in keys {
        let authority = Authority::new(key);
        let mut signer = Signer::new(&authority.signer, CONTENT, NOW.plus(-60));
        let value = signer.signature();
        let stamp = TimeStamp::new(&authority.time_stamper, &value, NOW.plus(-50));
        signer.unsigned.push(stamp.attribute());
        let counter = Signer::counter(&authority.signer, &value);
        let counter = attribute("1.2.840.113549.1.9.6", &counter.encode());
        signer.unsigned.push(counter);
        let mut case = Case::new(&authority, Cms::attached(CONTENT, &[&signer]).encode());
        case.policy = prichal_sign::Policy::test();
        let report = on_small_stack(|| case.report());
        assert_eq!(report.signers[0].time_stamped_at, Some(NOW.plus(-50)));
    }
}

/// The largest possible number of appended time-stamps does not keep the signature from being validated.
#[test]
fn many_time_stamps_do_not_keep_the_signer_from_being_validated() {
    let authority = authority();
    let mut signer = super::signer(&authority);
    let value = signer.signature();
    let stamp = TimeStamp::new(&authority.time_stamper, &value, NOW.plus(-50)).encode();
    let wrong = TimeStamp::new(&authority.time_stamper, b"else", NOW.plus(-50)).encode();
    signer
        .unsigned
        .push(attribute("1.2.840.113549.1.9.16.2.14", &wrong.repeat(200)));
    signer
        .unsigned
        .push(attribute("1.2.840.113549.1.9.16.2.14", &stamp));
    let case = Case::new(&authority, super::attached(&signer));
    let report = case.warns(13);
    assert!(super::reason(&report, 13).contains("too many time-stamps"));
}
