//! Odd certificates and revocation data, one of each kind.

use super::{BODY, CONTENT, Forms};
use crate::openssl::ber::{Node, Value, framed};
use prichal_sign::testing::{
    Cms, CrlDraft, Draft, Key, NOW, OcspDraft, Signer, der, extension, name,
};
use prichal_sign::{Certificate, Hash};

/// The name of an oddity, and a function that applies it to a draft.
type Change = (&'static str, fn(&mut Draft));

/// An unknown extension with this octet as its critical flag.
fn flag(octet: u8) -> Vec<u8> {
    let parts = [
        der::oid("1.2.3.4.5"),
        der::element(1, &[octet]),
        der::octets(&[5, 0]),
    ];
    der::sequence(&[&parts.concat()])
}

impl Forms<'_> {
    pub(super) fn material(&mut self) {
        self.certificates();
        self.odd_certificates();
        self.around_certificates();
        self.revocation();
    }

    /// Adds a signature with the certificate beside the signer's, and one with it as the signer's if it can be read.
    fn certified(&mut self, name: &str, draft: Draft) {
        let identity = draft.issued_by(&self.authority.issuer);
        self.enclosed(name, |cms| cms.certificates.push(identity.der.clone()));
        if Certificate::read(&identity.der).is_ok() {
            let signer = Signer::new(&identity, CONTENT, NOW.plus(-60));
            let bytes = Cms::attached(CONTENT, &[&signer]).encode();
            self.add(&format!("{name}, of the signer"), bytes);
        }
    }

    fn certificates(&mut self) {
        let authority = self.authority.clone();
        let (own, issuer) = (authority.signer.der.clone(), authority.issuer.der.clone());
        let root = authority.root.der.clone();
        let any = der::sequence(&[&der::null()]);
        let other = [der::oid("1.2.3.4"), any.clone()].concat();
        for (name, list) in [
            (
                "three certificates",
                vec![root, own.clone(), issuer.clone()],
            ),
            ("a certificate twice", vec![own.clone(), own.clone()]),
            ("two hundred certificates", vec![own.clone(); 200]),
            ("three hundred certificates", vec![own.clone(); 300]),
            ("only another certificate", vec![issuer]),
            ("no certificates", vec![]),
            (
                "extended certificate",
                vec![own.clone(), framed(0xa0, 0, &any)],
            ),
            (
                "attribute certificate 1",
                vec![own.clone(), framed(0xa1, 0, &any)],
            ),
            (
                "attribute certificate 2",
                vec![own.clone(), framed(0xa2, 0, &any)],
            ),
            (
                "other certificate",
                vec![own.clone(), framed(0xa3, 0, &other)],
            ),
            (
                "other certificate first",
                vec![framed(0xa3, 0, &other), own],
            ),
        ] {
            self.enclosed(name, |cms| cms.certificates = list);
        }
        self.edited("an empty set of certificates", |node| {
            node.at(&BODY).members()[3].value = Value::Members(Vec::new());
        });
        self.edited("an empty set of revocation data", |node| {
            let empty = Node::read(&[0xa1, 0]);
            node.at(&BODY).members().insert(4, empty);
        });
    }

    fn odd_certificates(&mut self) {
        let draft = || Draft::signer("Odd", Key::p256("odd"));
        let changes: [Change; 14] = [
            ("of version 1", |draft| draft.version = 1),
            ("of version 2", |draft| draft.version = 2),
            ("without name", |draft| draft.subject = name(&[])),
            ("with the serial number 0", |draft| draft.serial = 0),
            ("with a long serial number", |draft| draft.serial = u64::MAX),
            ("with a year above 2050", |draft| {
                draft.not_after = NOW.plus(40 * 365 * 86_400);
            }),
            ("with a flag of FALSE", |draft| {
                draft.extensions = vec![flag(0)];
            }),
            ("with a flag of 1", |draft| draft.extensions = vec![flag(1)]),
            ("with an extension twice", |draft| {
                draft.extensions = vec![flag(0), flag(0)];
            }),
            ("with garbage in a known extension", |draft| {
                draft.extensions = vec![extension("2.5.29.17", false, &[1, 2, 3])];
            }),
            ("with garbage in an unknown extension", |draft| {
                draft.extensions = vec![extension("1.2.3.4.5", false, &[1, 2, 3])];
            }),
            ("with two algorithms", |draft| {
                let other = Key::p256("x").signature_algorithm(Hash::Sha512);
                draft.outer_algorithm = Some(other);
            }),
            ("with a Kazakh key", |draft| draft.key = Key::kz("odd")),
            ("with a short key", |draft| draft.key = Key::rsa_1024()),
        ];
        for (name, change) in changes {
            let mut odd = draft();
            change(&mut odd);
            self.certified(&format!("a certificate {name}"), odd);
        }
        for (tag, word, text) in [
            (0x13, "printable", &b"Odd"[..]),
            (0x14, "teletex", b"Odd"),
            (0x16, "IA5", b"Odd"),
            (0x1e, "BMP", &[0, b'O', 0, b'd', 0, b'd']),
            (0x1c, "universal", &[0, 0, 0, b'O']),
            (0x12, "numeric", b"123"),
            (0x1a, "visible", b"Odd"),
            (0x0c, "empty", b""),
        ] {
            let pair = der::sequence(&[&der::oid("2.5.4.3"), &der::element(tag, text)]);
            let subject = der::sequence(&[&der::element(0x31, &pair)]);
            self.certified(
                &format!("a name in {word} letters"),
                Draft { subject, ..draft() },
            );
        }
    }

    fn around_certificates(&mut self) {
        // These changes touch only parts around the signed part, so the certificate's signature stays valid.
        let outer = |change: fn(&mut Node)| move |node: &mut Node| change(node.at(&[1, 0, 3, 0]));
        self.edited(
            "the signature of a certificate in segments",
            outer(|certificate| {
                let bits = certificate.members()[2].der();
                certificate.members()[2] = Node::read(&der::element(0x23, &bits));
            }),
        );
        self.edited(
            "a certificate with something after its signature",
            outer(|certificate| certificate.members().push(Node::read(&[5, 0]))),
        );
        self.edited(
            "a certificate whose signature has unused bits",
            outer(|certificate| {
                let Value::Octets(octets) = &mut certificate.members()[2].value else {
                    return;
                };
                octets[0] = 1;
            }),
        );
    }

    fn revocation(&mut self) {
        let authority = self.authority.clone();
        let new = || CrlDraft::new(NOW.plus(-60));
        let some = CrlDraft {
            entries: vec![(7, NOW, Some(1)), (8, NOW, None)],
            ..new()
        };
        let many = CrlDraft {
            entries: (1000..1400).map(|n| (n, NOW, Some(0))).collect(),
            ..new()
        };
        for (name, draft) in [
            ("an empty list", new()),
            ("a list of two", some),
            ("a long list", many),
            (
                "a list without end",
                CrlDraft {
                    next_update: None,
                    ..new()
                },
            ),
            (
                "a delta list",
                CrlDraft {
                    delta_of: Some(1),
                    ..new()
                },
            ),
            (
                "a list with an unknown duty",
                CrlDraft {
                    extensions: vec![extension("1.2.3", true, &der::null())],
                    ..new()
                },
            ),
        ] {
            let list = draft.signed_by(&authority.issuer);
            self.enclosed(name, |cms| cms.revocation = vec![list.clone(), list]);
        }
        let list = new().signed_by(&authority.issuer);
        self.enclosed("a list of version 1", |cms| {
            let mut node = Node::read(&list);
            let tbs = node.members()[0].members();
            tbs.retain(|member| member.tag != 0xa0);
            tbs.remove(0);
            cms.revocation = vec![node.der()];
        });
        let good = OcspDraft::good(&authority.signer, NOW.plus(-60));
        let response = good.signed_by(&authority.responder, &authority.issuer);
        self.enclosed("an OCSP response", |cms| cms.add_ocsp(&response));
        let basic = good.basic(&authority.responder, &authority.issuer);
        let other = |kind: &str, value: &[u8]| framed(0xa1, 0, &[&der::oid(kind), value].concat());
        for (name, choice) in [
            (
                "a basic OCSP response",
                other("1.3.6.1.5.5.7.48.1.1", &basic),
            ),
            (
                "an OCSP response of a failure",
                other(
                    "1.3.6.1.5.5.7.16.2",
                    &der::sequence(&[&der::element(10, &[3])]),
                ),
            ),
            ("unknown revocation data", other("1.2.3.4", &der::null())),
            (
                "a question in place of revocation data",
                other("1.3.6.1.5.5.7.16.4", &der::sequence(&[])),
            ),
        ] {
            self.enclosed(name, |cms| {
                cms.version = 5;
                cms.revocation = vec![list.clone(), choice];
            });
        }
    }
}
