//! The readers compared with OpenSSL on hundreds of forms of valid signatures. Input that OpenSSL reads is read here,
//! and a signature that passes here is verified by OpenSSL if it supports the algorithm. The lists of differences are
//! exact for OpenSSL 3.0.

use super::ber::{Node, Reach, XorShift};
use super::forms::Forms;
use super::{CONTENT, Case, Tool};
use crate::{reason, signer, status};
use prichal_sign::testing::{
    Authority, Cms, CrlDraft, Key, NOW, OcspDraft, Signer, TimeStamp, attribute, der,
};
use prichal_sign::{EcCurve, Policy, Status, Verdict};
use std::fmt::Write as _;

/// One form of a signature.
pub(super) struct Form {
    pub name: String,
    pub bytes: Vec<u8>,
    pub detached: bool,
    pub pem: bool,
}

/// Forms that OpenSSL reads and this crate refuses or reads with a warning, with the reason.
const NOT_READ: [(&str, &str); 16] = [
    ("negative version", "a version must not be negative"),
    ("negative signer version", "a version must not be negative"),
    ("three hundred certificates", LIMIT),
    ("a certificate with an extension twice", CONTRADICTION),
    (
        "a certificate with garbage in a known extension",
        CONTRADICTION,
    ),
    ("a certificate with two algorithms", CONTRADICTION),
    (
        "a certificate whose signature has unused bits",
        CONTRADICTION,
    ),
    (
        "the signature of a certificate in segments",
        "certificates are DER",
    ),
    ("an OCSP response of a failure", WARNED),
    ("unknown revocation data", WARNED),
    ("a question in place of revocation data", WARNED),
    ("an identifier of a hundred octets", LIMIT),
    ("octets after the end", TRAILING),
    ("a second value after the end", TRAILING),
    ("PEM, words after", TRAILING),
    ("PEM, two blocks", TRAILING),
];
const LIMIT: &str = "beyond the limits";
const CONTRADICTION: &str = "skipped with a warning: it contradicts RFC 5280";
const WARNED: &str = "skipped with a warning: not usable as evidence";
const TRAILING: &str = "trailing data would be passed off as checked";

/// Forms that this crate reads and OpenSSL does not, with the reason.
const READ_HERE_ONLY: [(&str, &str); 11] = [
    (
        "a name in visible letters",
        "a name is displayed in any string type",
    ),
    (
        "a name in visible letters, of the signer",
        "a name is displayed in any string type",
    ),
    ("content below 20 segments", "within the allowed depth"),
    ("content that is no octet string", "PKCS#7 allows any type"),
    (
        "a padded serial number",
        "some old authorities issued such numbers",
    ),
    ("4 needless octets of length", "X.690 §8.1.3.5 allows them"),
    ("PEM, PKCS #7 SIGNED DATA", "the label is ignored"),
    (
        "PEM, empty lines between",
        "white space is ignored in base64",
    ),
    ("PEM, no padding", "the padding follows from the length"),
    ("PEM, a tab before", "white space is ignored in base64"),
    ("PEM, base64 alone", "bare base64 is accepted"),
];

/// Forms that both read and that pass here, but that OpenSSL does not verify, with the reason.
const NOT_VERIFIED: [(&str, &str); 3] = [
    (
        "no digest algorithms",
        "the list is a hint (RFC 5652 §5.1: may fail)",
    ),
    (
        "many digest algorithms",
        "the list is a hint (RFC 5652 §5.1: may fail)",
    ),
    (
        "a certificate with a Kazakh key, of the signer",
        "OpenSSL does not support the algorithm",
    ),
];

/// Forms that OpenSSL verifies and that do not pass here although they are readable, with the reason.
const REFUSED: [(&str, &str); 15] = [
    ("a certificate with a short key, of the signer", "too weak"),
    (
        "a long list",
        "the list revokes the signer, and OpenSSL was not told to check it",
    ),
    (
        "algorithm protection differs",
        "RFC 6211 §3, which OpenSSL 3.0 does not check",
    ),
    ("an issuer in segments", "names are compared as encoded"),
    ("the same signer twice", "the duplicate proves nothing"),
    ("version 0", VERSION),
    ("version 2", VERSION),
    ("version 7", VERSION),
    ("version 99", VERSION),
    ("signer version 0", VERSION),
    ("signer version 2", VERSION),
    ("signer version 4", VERSION),
    ("signer version 5", VERSION),
    ("signer version 7", VERSION),
    ("signer version 99", VERSION),
];
const VERSION: &str = "RFC 5652 §5 does not define this version";

struct Outcome {
    /// By OpenSSL, and here without a warning.
    read: [bool; 2],
    passed: bool,
    verified: bool,
    /// Valid only over the DER of the attributes (RFC 5652 §5.4). OpenSSL hashes them in the order and with the
    /// values as received.
    normalized: bool,
}

/// A folder with an authority that the command trusts.
fn tool_for(name: &str, authority: &Authority, gost: bool) -> Tool {
    let tool = Tool::new(name, gost);
    for (file, identity) in [("root", &authority.root), ("issuer", &authority.issuer)] {
        tool.write(
            &format!("{file}.pem"),
            pem("CERTIFICATE", &identity.der).as_bytes(),
        );
    }
    let both = [tool.read("root.pem"), tool.read("issuer.pem")].concat();
    tool.write("both.pem", &both);
    tool
}

fn compare(tool: &Tool, authority: &Authority, known: bool, form: &Form) -> Outcome {
    let mut case = Case::new(authority, form.bytes.clone());
    case.policy = Policy::test();
    case.content = form.detached.then(|| CONTENT.to_vec());
    let report = case.report();
    tool.write("form", &form.bytes);
    let kind = if form.pem { "PEM" } else { "DER" };
    let theirs = tool.tries(&format!("cms -cmsout -noout -inform {kind} -in form"));
    let ours = report.unreadable.is_none()
        && report
            .signers
            .iter()
            .all(|s| s.steps[0].status == Status::Passed);
    let passed = report.verdict == Verdict::TotalPassed;
    let content = if form.detached {
        "-content content"
    } else {
        ""
    };
    let verified = known
        && tool
            .tries(&format!(
                "cms -verify -binary -purpose any -inform {kind} -in form {content} \
                 -CAfile both.pem -attime {} -out /dev/null",
                NOW.unix()
            ))
            .is_ok();
    let normalized = passed
        && status(&report, 8) == Status::Warned
        && reason(&report, 8).contains("in DER order");
    Outcome {
        read: [theirs.is_ok(), ours],
        passed,
        verified,
        normalized,
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let padding = 8 * (3 - chunk.len());
        let bits = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << padding;
        for place in 0..4 {
            let sextet = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap();
            text.push(if place > chunk.len() {
                '='
            } else {
                char::from(ALPHABET[sextet])
            });
        }
    }
    text
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    pem_lines(label, der, 64, "\n")
}

pub(super) fn pem_lines(label: &str, der: &[u8], width: usize, end: &str) -> String {
    let mut text = format!("-----BEGIN {label}-----{end}");
    for line in base64(der).as_bytes().chunks(width) {
        write!(text, "{}{end}", String::from_utf8_lossy(line)).unwrap();
    }
    text + &format!("-----END {label}-----{end}")
}

/// A signature with every part that the builder supports.
pub(super) fn full(authority: &Authority) -> Cms {
    let mut signer = signer(authority);
    signer.add(attribute(
        "1.2.3.4.5",
        &der::sequence(&[&der::octets(b"unknown")]),
    ));
    let value = signer.signature();
    let stamp = TimeStamp::new(&authority.time_stamper, &value, NOW.plus(-50));
    let counter = Signer::counter(&authority.signer, &value);
    signer.unsigned = vec![
        stamp.attribute(),
        attribute("1.2.840.113549.1.9.6", &counter.encode()),
        attribute(
            "1.2.3.4.6",
            &[der::octets(b"one"), der::octets(b"two")].concat(),
        ),
    ];
    let mut cms = Cms::attached(CONTENT, &[&signer]);
    cms.certificates.push(authority.issuer.der.clone());
    for issuer in [&authority.root, &authority.issuer] {
        let list = CrlDraft::new(NOW.plus(-45)).signed_by(issuer);
        cms.revocation.push(list);
    }
    let response = OcspDraft::good(&authority.signer, NOW.plus(-45));
    cms.add_ocsp(&response.signed_by(&authority.responder, &authority.issuer));
    cms
}

/// The signatures that every kind of key is tested with.
fn bases(authority: &Authority) -> Vec<(&'static str, Vec<u8>)> {
    let plain = signer(authority);
    let mut by_id = plain.clone();
    by_id.by_key_id = true;
    let mut bare = plain.clone();
    bare.attributes = None;
    let again = Signer::new(&authority.signer, CONTENT, NOW.plus(-30));
    let attached = |signers: &[&Signer]| Cms::attached(CONTENT, signers).encode();
    vec![
        ("attached", attached(&[&plain])),
        ("detached", Cms::detached(&[&plain]).encode()),
        ("by key id", attached(&[&by_id])),
        ("without attributes", attached(&[&bare])),
        ("two signers", attached(&[&plain, &again])),
        ("full", full(authority).encode()),
    ]
}

/// Every base in forms of different depths and numbers of changes.
fn loose(authority: &Authority) -> Vec<Form> {
    let mut forms = Vec::new();
    for (number, (name, bytes)) in bases(authority).into_iter().enumerate() {
        let node = Node::read(&bytes);
        assert_eq!(node.der(), bytes);
        let mut add = |how: String, bytes: Vec<u8>| {
            forms.push(Form {
                name: format!("{name}, {how}"),
                bytes,
                detached: name == "detached",
                pem: false,
            });
        };
        add("DER".to_owned(), bytes);
        for (reach, word) in [
            (Reach::Frame, "frame"),
            (Reach::Attributes, "attributes"),
            (Reach::All, "all"),
        ] {
            for chance in [10, 50, 100] {
                let mut dice = XorShift(0x9e37_79b9 + chance + 1000 * number as u64);
                let bytes = node.ber(reach, chance, &mut dice);
                add(format!("{word} {chance}"), bytes);
            }
        }
    }
    forms
}

/// Compares all forms and returns their number.
fn check(name: &str, authority: &Authority, known: bool, gost: bool, forms: &[Form]) -> usize {
    let tool = tool_for(name, authority, gost);
    let outcomes: Vec<(&str, Outcome)> = forms
        .iter()
        .map(|form| (form.name.as_str(), compare(&tool, authority, known, form)))
        .collect();
    let names = |wanted: fn(&Outcome) -> bool| -> Vec<&str> {
        let found = outcomes.iter().filter(|(_, outcome)| wanted(outcome));
        found.map(|(name, _)| *name).collect()
    };
    let same = |found: Vec<&str>, list: &[(&'static str, &str)], what: &str| {
        let mut found = found;
        let own = |form: &&str| outcomes.iter().any(|(name, _)| name == form);
        let mut listed: Vec<&str> = list.iter().map(|(form, _)| *form).filter(own).collect();
        found.sort_unstable();
        listed.sort_unstable();
        assert_eq!(found, listed, "{name}: {what}");
    };
    let refused = names(|o| o.read[1] && !o.passed && o.verified);
    same(refused, &REFUSED, "passed by OpenSSL only");
    same(
        names(|o| o.read == [true, false]),
        &NOT_READ,
        "read by OpenSSL only",
    );
    same(
        names(|o| o.read == [false, true]),
        &READ_HERE_ONLY,
        "read here only",
    );
    if known {
        let unverified = names(|o| o.read[0] && o.passed && !o.verified && !o.normalized);
        same(unverified, &NOT_VERIFIED, "passed here only");
    }
    forms.len()
}

#[test]
#[ignore = "needs openssl with the GOST engine"]
fn loose_forms_with_every_kind_of_key() {
    type Make = fn(&str) -> Key;
    let kinds: [(&str, Make, bool, bool); 10] = [
        ("rsa", |word| Key::rsa(word == "signer"), true, false),
        (
            "pss",
            |word| {
                if word == "signer" {
                    Key::rsa_pss()
                } else {
                    Key::p256(word)
                }
            },
            true,
            false,
        ),
        ("p256", Key::p256, true, false),
        ("p384", |word| Key::ec(EcCurve::P384, word), true, false),
        ("p521", |word| Key::ec(EcCurve::P521, word), true, false),
        // OpenSSL 3.0 does not verify Ed25519 in CMS.
        ("ed25519", Key::ed25519, false, false),
        ("kz", Key::kz, false, false),
        ("kz-256", Key::kz_256, false, false),
        ("kz-2004", Key::kz_2004, false, false),
        ("ru", Key::ru, true, true),
    ];
    let mut all = 0;
    for (name, make, known, gost) in kinds {
        let authority = Authority::new(make);
        let forms = check(
            &format!("loose-{name}"),
            &authority,
            known,
            gost,
            &loose(&authority),
        );
        all += forms;
    }
    assert!(all >= 400, "{all}");
}

#[test]
#[ignore = "needs openssl"]
fn odd_forms_of_every_structure() {
    type Make = fn(&str) -> Key;
    let kinds: [(&str, Make); 2] = [
        ("rsa", |word| Key::rsa(word == "signer")),
        ("p256", Key::p256),
    ];
    for (name, make) in kinds {
        let authority = Authority::new(make);
        check(
            &format!("odd-{name}"),
            &authority,
            true,
            false,
            &Forms::of(&authority).list,
        );
    }
}
