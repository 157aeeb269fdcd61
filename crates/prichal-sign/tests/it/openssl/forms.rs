//! Signature forms with differences in their members: optional fields, unknown members, odd values, text.

mod material;

use super::ber::{Node, Value, XorShift, framed, indefinite, segments};
use super::readers::{Form, base64, full, pem, pem_lines};
use super::{CONTENT, signer};
use prichal_sign::Hash;
use prichal_sign::testing::{Authority, Cms, Key, NOW, Signer, attribute, der};

/// Collects forms of one authority's signatures.
pub(super) struct Forms<'a> {
    authority: &'a Authority,
    pub list: Vec<Form>,
}

/// The members of `SignedData`.
const BODY: [usize; 2] = [1, 0];

impl<'a> Forms<'a> {
    pub(super) fn of(authority: &'a Authority) -> Self {
        let mut forms = Self {
            authority,
            list: Vec::new(),
        };
        forms.algorithms();
        forms.material();
        forms.attributes();
        forms.content();
        forms.signer_ids();
        forms.outside();
        forms.text();
        forms
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        self.list.push(Form {
            name: name.to_owned(),
            bytes,
            detached: false,
            pem: false,
        });
    }

    fn signed(&mut self, name: &str, change: impl FnOnce(&mut Signer)) {
        let mut signer = signer(self.authority);
        change(&mut signer);
        self.add(name, Cms::attached(CONTENT, &[&signer]).encode());
    }

    fn enclosed(&mut self, name: &str, change: impl FnOnce(&mut Cms)) {
        let mut cms = Cms::attached(CONTENT, &[&signer(self.authority)]);
        change(&mut cms);
        self.add(name, cms.encode());
    }

    /// Changes the tree of an attached signature with certificates.
    fn edited(&mut self, name: &str, change: impl FnOnce(&mut Node)) {
        let mut node = Node::read(&Cms::attached(CONTENT, &[&signer(self.authority)]).encode());
        change(&mut node);
        self.add(name, node.der());
    }

    fn algorithms(&mut self) {
        let digests = |node: &mut Node, content: Vec<Node>| {
            node.at(&BODY).members()[1].value = Value::Members(content);
        };
        self.edited("no digest algorithms", |node| digests(node, Vec::new()));
        self.edited("many digest algorithms", |node| {
            let named = |dotted: &str| Node::read(&der::sequence(&[&der::oid(dotted)]));
            let all = ["1.3.14.3.2.26", "2.16.840.1.101.3.4.2.3", "1.2.3.4"];
            digests(node, all.map(named).to_vec());
        });
        for version in [0, 2, 3, 4, 5, 7, 99] {
            self.enclosed(&format!("version {version}"), |cms| cms.version = version);
            self.signed(&format!("signer version {version}"), |signer| {
                signer.version = Some(version);
            });
        }
        self.edited("negative version", |node| {
            node.at(&BODY).members()[0] = Node::primitive(0x02, &[0xff]);
        });
        self.edited("negative signer version", |node| {
            node.at(&[1, 0, 4, 0]).members()[0] = Node::primitive(0x02, &[0xff]);
        });
        self.edited("digest without parameters", |node| {
            node.at(&[1, 0, 4, 0, 2]).members().truncate(1);
        });
        self.edited("digest with other parameters", |node| {
            node.at(&[1, 0, 4, 0, 2]).members()[1] = Node::read(&der::octets(b"else"));
        });
        let own = signer(self.authority).algorithm();
        let mut oid = Node::read(&own).members()[0].der();
        self.signed("signature algorithm with NULL", |signer| {
            signer.signature_algorithm = Some(der::sequence(&[&oid, &der::null()]));
        });
        self.signed("signature algorithm without parameters", |signer| {
            signer.signature_algorithm = Some(der::sequence(&[&oid]));
        });
        if !matches!(self.authority.signer.key, Key::Rsa { pss: true, .. }) {
            let spki = self.authority.signer.key.spki();
            oid = Node::read(&spki).at(&[0, 0]).der();
            self.signed("the kind of key as signature algorithm", |signer| {
                signer.signature_algorithm = Some(der::sequence(&[&oid]));
            });
            self.signed("the key's algorithm as signature algorithm", |signer| {
                signer.signature_algorithm = Some(Node::read(&spki).members()[0].der());
            });
        }
        for hash in [Hash::Sha224, Hash::Sha384, Hash::Sha512] {
            let other = signer(self.authority).with_hash(hash);
            let bytes = Cms::attached(CONTENT, &[&other]).encode();
            self.add(&format!("hashed with {}", hash.name()), bytes);
        }
        for (word, digest) in [("agrees", "2.16.840.1.101.3.4.2.1"), ("differs", "1.2.3")] {
            self.signed(&format!("algorithm protection {word}"), |signer| {
                let digest = der::sequence(&[&der::oid(digest), &der::null()]);
                let mut algorithm = signer.algorithm();
                algorithm[0] = 0xa1;
                let value = der::sequence(&[&digest, &algorithm]);
                signer.add(attribute("1.2.840.113549.1.9.52", &value));
            });
        }
    }

    fn attributes(&mut self) {
        let high = [0x1f, 0x81, 0x23, 0x01, 0x00];
        let values: [(&str, Vec<u8>); 10] = [
            ("a number", der::integer(&[1])),
            ("a negative number", vec![2, 1, 0xff]),
            ("a flag", vec![1, 1, 0xff]),
            ("a real number", vec![9, 0]),
            (
                "a time with offset",
                der::element(0x17, b"260601120000+0600"),
            ),
            ("a high tag", high.to_vec()),
            ("an application tag", vec![0x41, 1, 0]),
            ("a private tag", vec![0xe1, 2, 5, 0]),
            ("no values", Vec::new()),
            ("many values", der::null().repeat(100)),
        ];
        for (name, value) in values {
            let raw = attribute("1.2.3.4.5", &value);
            self.signed(&format!("signed attribute of {name}"), |signer| {
                signer.add(raw.clone());
            });
            self.signed(&format!("unsigned attribute of {name}"), |signer| {
                signer.unsigned = vec![raw];
            });
        }
        self.signed("an indefinite value", |signer| {
            let value = indefinite(0x30, &indefinite(0x24, &der::octets(b"x")));
            signer.unsigned = vec![attribute("1.2.3.4.5", &value)];
        });
        let raw = attribute("1.2.3.4.5", &der::null());
        self.signed("an attribute twice", |signer| {
            signer.add(raw.clone());
            signer.add(raw.clone());
            signer.unsigned = vec![raw.clone(), raw.clone()];
        });
        self.signed("two hundred unsigned attributes", |signer| {
            signer.unsigned = vec![raw.clone(); 200];
        });
        self.signed("an attribute with a long identifier", |signer| {
            signer.unsigned = vec![attribute(
                "2.999.4294967296.18446744073709551.1",
                &der::null(),
            )];
        });
        self.signed("an identifier of a hundred octets", |signer| {
            let arcs = ".1234567".repeat(25);
            signer.unsigned = vec![attribute(&format!("1.2{arcs}"), &der::null())];
        });
        self.signed("an identifier with a number above 64 bits", |signer| {
            signer.unsigned = vec![attribute(
                "2.25.340282366920938463463374607431768211455",
                &der::null(),
            )];
        });
        let time = |octets: &[u8], tag| {
            let value = der::element(tag, octets);
            move |signer: &mut Signer| signer.replace("1.2.840.113549.1.9.5", &value)
        };
        self.signed(
            "a signing time in the long form",
            time(b"20260601115900Z", 0x18),
        );
        self.signed(
            "a signing time with offset",
            time(b"260601175900+0600", 0x17),
        );
        self.signed("no signing time", |signer| {
            signer.remove("1.2.840.113549.1.9.5");
        });
        self.signed("unsorted attributes", |signer| {
            let list = signer.attributes.get_or_insert_default();
            list.sort();
            list.reverse();
            signer.unsorted = true;
        });
        self.signed(
            "attributes signed in order and sent out of order",
            |signer| {
                signer.value = Some(signer.signature());
                let list = signer.attributes.get_or_insert_default();
                list.sort();
                list.reverse();
                signer.unsorted = true;
            },
        );
        self.edited("an empty set of unsigned attributes", |node| {
            node.at(&[1, 0, 4, 0])
                .members()
                .push(Node::read(&[0xa1, 0]));
        });
        let full = full(self.authority).encode();
        self.add("everything", full);
        let signer = signer(self.authority);
        let counters: Vec<Vec<u8>> = (0..3)
            .map(|_| Signer::counter(&self.authority.signer, &signer.signature()).encode())
            .collect();
        self.signed("three counter-signatures", |signer| {
            signer.unsigned = vec![attribute("1.2.840.113549.1.9.6", &counters.concat())];
        });
    }

    fn content(&mut self) {
        let authority = self.authority.clone();
        let attached = |content: &[u8]| {
            let signer = Signer::new(&authority.signer, content, NOW.plus(-60));
            Cms::attached(content, &[&signer]).encode()
        };
        self.add("no octets of content", attached(&[]));
        self.add("a megabyte of content", attached(&vec![b'x'; 1 << 20]));
        let with = |octets: Vec<u8>| {
            move |node: &mut Node| {
                node.at(&[1, 0, 2, 1]).value = Value::Members(vec![Node::read(&octets)]);
            }
        };
        let whole = der::octets(CONTENT);
        let nested =
            |levels: usize| (0..levels).fold(whole.clone(), |inside, _| framed(0x24, 0, &inside));
        for levels in [1, 3, 5, 6, 20] {
            self.edited(
                &format!("content below {levels} segments"),
                with(nested(levels)),
            );
        }
        let mut empty = Node::read(&attached(&[]));
        for (name, octets) in [
            ("no segments", vec![0x24, 0]),
            ("an empty segment", vec![0x24, 2, 4, 0]),
        ] {
            empty.at(&[1, 0, 2, 1]).value = Value::Members(vec![Node::read(&octets)]);
            let bytes = empty.der();
            self.add(&format!("content of {name}"), bytes);
        }
        let mut pieces = Node::read(&attached(&[b'x'; 5000]));
        for seed in 1..6 {
            let loose = segments(0x24, &[b'x'; 5000], 0, &mut XorShift(seed));
            pieces.at(&[1, 0, 2, 1]).value = Value::Octets(loose);
            let bytes = pieces.der();
            self.add(&format!("content in pieces {seed}"), bytes);
        }
        for kind in [
            "1.2.840.113549.1.9.16.1.99",
            "1.2.840.113549.1.7.6",
            "2.999",
        ] {
            let signer = Signer::of_type(&authority.signer, CONTENT, kind, Some(NOW));
            let mut cms = Cms::attached(CONTENT, &[&signer]);
            (cms.content_type, cms.version) = (kind, 3);
            self.add(&format!("content of type {kind}"), cms.encode());
        }
        self.edited(
            "content that is no octet string",
            with(der::sequence(&[&whole])),
        );
        self.edited("no content between its tags", |node| {
            node.at(&[1, 0, 2, 1]).value = Value::Members(vec![]);
        });
    }

    fn signer_ids(&mut self) {
        let serial = |octets: &[u8]| {
            let octets = octets.to_vec();
            move |node: &mut Node| {
                node.at(&[1, 0, 4, 0, 1]).members()[1] = Node::primitive(0x02, &octets);
            }
        };
        self.edited("a negative serial number", serial(&[0x80, 1]));
        self.edited("the serial number 0", serial(&[0]));
        self.edited("a serial number of 40 octets", serial(&[0x55; 40]));
        self.edited("a padded serial number", serial(&[0, 0, 0, 5]));
        let issuer = |tag: u8, octets: Vec<u8>| {
            move |node: &mut Node| {
                *node.at(&[1, 0, 4, 0, 1, 0, 0, 0, 1]) = if tag & 0x20 == 0 {
                    Node::primitive(tag, &octets)
                } else {
                    Node::read(&framed(tag, 0, &octets))
                };
            }
        };
        self.edited(
            "an issuer in other letters",
            issuer(0x13, b"Issuer".to_vec()),
        );
        self.edited(
            "an issuer in other cases",
            issuer(0x0c, b"ISSUER ".to_vec()),
        );
        let pieces = [der::element(0x0c, b"Iss"), der::element(0x0c, b"uer")].concat();
        self.edited("an issuer in segments", issuer(0x2c, pieces));
        let mut by_id = signer(self.authority);
        by_id.by_key_id = true;
        let bytes = Cms::attached(CONTENT, &[&by_id]).encode();
        let mut node = Node::read(&bytes);
        let id = node.at(&[1, 0, 4, 0]).members();
        let Value::Octets(octets) = id[1].value.clone() else {
            return;
        };
        let (a, b) = octets.split_at(7);
        let pieces = [der::octets(a), der::octets(b)].concat();
        id[1] = Node::read(&der::element(0xa0, &pieces));
        let bytes = node.der();
        self.add("a key id in segments", bytes);
        self.edited("no signers", |node| {
            node.at(&[1, 0, 4]).value = Value::Members(Vec::new());
        });
        let one = signer(self.authority);
        let many: Vec<Signer> = (0..20)
            .map(|age| Signer::new(&self.authority.signer, CONTENT, NOW.plus(-age)))
            .collect();
        let many: Vec<&Signer> = many.iter().collect();
        let twenty = Cms::attached(CONTENT, &many).encode();
        self.add("twenty signers", twenty);
        let twins = Cms::attached(CONTENT, &[&one, &one]).encode();
        self.add("the same signer twice", twins);
    }

    fn outside(&mut self) {
        let bytes = Cms::attached(CONTENT, &[&signer(self.authority)]).encode();
        self.add("octets after the end", [bytes.clone(), vec![0]].concat());
        self.add("a second value after the end", bytes.repeat(2));
        self.edited("a member after the content", |node| {
            node.members().push(Node::read(&[5, 0]));
        });
        self.edited("a member after the signers", |node| {
            node.at(&BODY).members().push(Node::read(&[5, 0]));
        });
        self.add("cut short", bytes[..bytes.len() - 1].to_vec());
        let node = Node::read(&bytes);
        for (name, inner, outer) in [
            ("only the outer length open", false, true),
            ("only the inner length open", true, false),
            ("both lengths open", true, true),
        ] {
            let mut node = node.clone();
            let body = node.at(&BODY).der();
            let body = if inner {
                let content: Vec<u8> = node
                    .at(&BODY)
                    .members()
                    .iter()
                    .flat_map(Node::der)
                    .collect();
                indefinite(0x30, &content)
            } else {
                body
            };
            let content = [node.members()[0].der(), framed(0xa0, 0, &body)].concat();
            let bytes = if outer {
                indefinite(0x30, &content)
            } else {
                framed(0x30, 0, &content)
            };
            self.add(name, bytes);
        }
        for padding in 1..5 {
            let content: Vec<u8> = node.clone().members().iter().flat_map(Node::der).collect();
            self.add(
                &format!("{padding} needless octets of length"),
                framed(0x30, padding, &content),
            );
        }
    }

    fn text(&mut self) {
        let bytes = Cms::attached(CONTENT, &[&signer(self.authority)]).encode();
        let block = pem("CMS", &bytes);
        let lines = |width, end| pem_lines("CMS", &bytes, width, end);
        let mut add = |name: &str, text: String| {
            self.list.push(Form {
                name: format!("PEM, {name}"),
                bytes: text.into_bytes(),
                detached: false,
                pem: true,
            });
        };
        add("as it is", block.clone());
        for label in ["PKCS7", "PKCS #7 SIGNED DATA", "CERTIFICATE"] {
            add(label, pem(label, &bytes));
        }
        for width in [1, 4, 40, 63, 65, 76, 128, 10_000] {
            add(&format!("{width} characters on a line"), lines(width, "\n"));
        }
        add("lines of Windows", lines(64, "\r\n"));
        add("lines with spaces at the end", lines(64, "  \n"));
        add("empty lines between", lines(64, "\n\n"));
        add("no end of line", block.trim_end().to_owned());
        add("empty lines after", format!("{block}\n\n\n"));
        add("empty lines before", format!("\n\n{block}"));
        add(
            "words before",
            format!("Issued to somebody\nsubject: x\n{block}"),
        );
        add("words after", format!("{block}and more\n"));
        add("two blocks", block.repeat(2));
        let headed = block.replacen("-----\n", "-----\nX-Header: value\n\n", 1);
        add("a header", headed);
        add(
            "a tab before",
            block.replacen("-----BEGIN", "\t-----BEGIN", 1),
        );
        if block.contains('=') {
            add("no padding", block.replace('=', ""));
        }
        add("cut short", block[..block.len() / 2].to_owned());
        add("a mark of byte order", format!("\u{feff}{block}"));
        add("base64 alone", base64(&bytes));
    }
}
