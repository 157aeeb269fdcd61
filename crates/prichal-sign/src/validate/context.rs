//! What every step may look at: policy, time, certificates and revocation data of all sources.

use super::document::Document;
use super::revocation::Outcome;
use super::{Expected, Material, Request};
use crate::algorithm::Algorithm;
use crate::certificate::Certificate;
use crate::cms::Evidence;
use crate::crl::Crl;
use crate::hash::Hash;
use crate::ocsp::{self, Ocsp};
use crate::policy::Policy;
use crate::report::{Need, NeedKind};
use crate::scheme::Scheme;
use crate::text;
use crate::time::Time;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// Public-key operations in one validation, at most. A signature cannot make us try every key
/// with every other for hours.
const MOST_VERIFICATIONS: usize = 2_000;

/// Steps from a certificate to a candidate issuer in one validation, at most.
const MOST_BRANCHES: usize = 20_000;

/// Archive time-stamps in one validation, at most: each hashes the whole signature anew.
const MOST_ARCHIVES: usize = 32;

pub(super) struct Context<'a> {
    pub policy: &'a Policy,
    pub at: Time,
    pub existed_at: Option<Time>,
    pub expected: &'a Expected,
    anchors: &'a [Certificate],
    /// Certificates at hand that the policy pins by their hash.
    pinned: Vec<&'a Certificate>,
    /// Every certificate at hand but the anchors: known ones, embedded ones, those of time-stamps.
    pub certificates: Vec<&'a Certificate>,
    /// Embedded first (long-term material), then what the caller brought.
    pub evidence: Vec<Source<'a>>,
    content: Option<&'a [u8]>,
    digests: RefCell<BTreeMap<Hash, Vec<u8>>>,
    needs: RefCell<Vec<Need>>,
    verifications: Cell<usize>,
    branches: Cell<usize>,
    archives: Cell<usize>,
    verified: RefCell<BTreeMap<(usize, usize), bool>>,
    /// What is known of a certificate of an issuer at a time: several signers ask for the same.
    pub statuses: RefCell<BTreeMap<(usize, usize, Time), Outcome>>,
}

#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub proof: Proof<'a>,
    pub embedded: bool,
    /// The nonce that was in the caller's request.
    pub nonce: Option<&'a [u8]>,
}

#[derive(Clone, Copy)]
pub(super) enum Proof<'a> {
    Crl(&'a Crl),
    Ocsp(&'a Ocsp),
}

/// Something signed by a certificate's key: a certificate, a list, a response.
pub(super) struct Signed<'a> {
    pub tbs: &'a [u8],
    pub algorithm: &'a Algorithm,
    pub signature: &'a [u8],
}

impl<'a> From<&'a Certificate> for Signed<'a> {
    fn from(signed: &'a Certificate) -> Self {
        Self {
            tbs: signed.tbs(),
            algorithm: &signed.signature_algorithm,
            signature: &signed.signature,
        }
    }
}

impl<'a> From<&'a Crl> for Signed<'a> {
    fn from(signed: &'a Crl) -> Self {
        Self {
            tbs: signed.tbs(),
            algorithm: &signed.signature_algorithm,
            signature: &signed.signature,
        }
    }
}

impl<'a> From<&'a Ocsp> for Signed<'a> {
    fn from(signed: &'a Ocsp) -> Self {
        Self {
            tbs: signed.tbs(),
            algorithm: &signed.signature_algorithm,
            signature: &signed.signature,
        }
    }
}

impl<'a> Context<'a> {
    pub(super) fn new(
        document: &'a Document,
        material: &'a Material,
        request: &'a Request<'a>,
    ) -> Self {
        let mut certificates: Vec<&Certificate> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        for certificate in document.certificates().chain(&material.certificates) {
            if seen.insert(certificate.raw()) {
                certificates.push(certificate);
            }
        }
        let policy = request.policy;
        let pins = |certificate: &&Certificate| {
            let print = certificate.fingerprint();
            policy
                .anchors
                .iter()
                .any(|pin| pin.eq_ignore_ascii_case(&print))
        };
        let pinned = if policy.anchors.is_empty() {
            Vec::new()
        } else {
            certificates.iter().copied().filter(pins).collect()
        };
        let embedded = document.evidence().map(|evidence| Source {
            proof: match evidence {
                Evidence::Crl(crl) => Proof::Crl(crl),
                Evidence::Ocsp(ocsp) => Proof::Ocsp(ocsp),
            },
            embedded: true,
            nonce: None,
        });
        let lists = material.crls.iter().map(|crl| Source {
            proof: Proof::Crl(crl),
            embedded: false,
            nonce: None,
        });
        let answers = material.ocsp.iter().map(|answer| Source {
            proof: Proof::Ocsp(&answer.response),
            embedded: false,
            nonce: answer.nonce.as_deref(),
        });
        Self {
            policy,
            at: request.at,
            existed_at: request.existed_at,
            expected: &request.expected,
            anchors: &material.anchors,
            pinned,
            content: document.data.content.as_deref().or(request.content),
            digests: RefCell::default(),
            certificates,
            evidence: embedded.chain(answers).chain(lists).collect(),
            needs: RefCell::default(),
            verifications: Cell::new(0),
            branches: Cell::new(0),
            archives: Cell::new(0),
            verified: RefCell::default(),
            statuses: RefCell::default(),
        }
    }

    /// The content of the document, attached or given.
    pub(super) fn content(&self) -> Option<&'a [u8]> {
        self.content
    }

    /// A digest. The content's own are made once, however many signers and time-stamps ask.
    pub(super) fn digest(&self, hash: Hash, bytes: &[u8]) -> Vec<u8> {
        if !self
            .content
            .is_some_and(|content| std::ptr::eq(content, bytes))
        {
            return hash.digest(bytes);
        }
        let mut digests = self.digests.borrow_mut();
        digests
            .entry(hash)
            .or_insert_with(|| hash.digest(bytes))
            .clone()
    }

    /// Every certificate, anchors first.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Certificate> {
        self.anchors.iter().chain(self.certificates.iter().copied())
    }

    pub(super) fn is_anchor(&self, certificate: &Certificate) -> bool {
        self.anchors.contains(certificate) || self.pinned.contains(&certificate)
    }

    /// One public-key operation, if any is left.
    pub(super) fn spend(&self) -> bool {
        take_one(&self.verifications, MOST_VERIFICATIONS)
    }

    /// One step up in the search for a path, if any is left.
    pub(super) fn branch(&self) -> bool {
        take_one(&self.branches, MOST_BRANCHES)
    }

    /// One archive time-stamp, if any is left.
    pub(super) fn archive(&self) -> bool {
        take_one(&self.archives, MOST_ARCHIVES)
    }

    pub(super) fn exhausted(&self) -> bool {
        self.verifications.get() > MOST_VERIFICATIONS
    }

    /// Whether `signed` bears a right signature of the certificate's key. What lives as long as
    /// this context is verified once.
    pub(super) fn signed_by(&self, signed: impl Into<Signed<'a>>, by: &'a Certificate) -> bool {
        let signed = signed.into();
        // Both are borrowed for 'a, so no two of them can share an address.
        let key = (signed.tbs.as_ptr() as usize, by.raw().as_ptr() as usize);
        if let Some(known) = self.verified.borrow().get(&key) {
            return *known;
        }
        // Reading a key may cost as much as using it.
        if !self.spend() {
            return false;
        }
        let Ok(public) = by.public_key() else {
            return false;
        };
        let Ok(scheme) = Scheme::resolve(signed.algorithm, None, &public) else {
            return false;
        };
        let right = scheme.verify(&public, signed.tbs, signed.signature);
        self.verified.borrow_mut().insert(key, right);
        right
    }

    pub(super) fn needs(&self) -> Vec<Need> {
        self.needs.borrow().clone()
    }

    fn need(&self, need: Need) {
        let mut needs = self.needs.borrow_mut();
        if !needs.contains(&need) && needs.len() < 256 {
            needs.push(need);
        }
    }

    /// One need for each URL, or one without if there is none.
    fn need_each(&self, kind: NeedKind, urls: &[&String], subject: &str, request: Option<&str>) {
        let need = |url: Option<&String>| Need {
            kind,
            url: url.cloned(),
            allowed: url.is_some_and(|url| self.policy.may_fetch(url)),
            subject: subject.to_owned(),
            request: request.map(str::to_owned),
        };
        if urls.is_empty() {
            self.need(need(None));
        }
        for url in urls {
            self.need(need(Some(url)));
        }
    }

    pub(super) fn need_signer(&self, subject: &str) {
        self.need_each(NeedKind::Certificate, &[], subject, None);
    }

    pub(super) fn need_issuer(&self, of: &Certificate) {
        let urls: Vec<&String> = of.extensions.issuer_uris.iter().collect();
        self.need_each(NeedKind::Issuer, &urls, &of.issuer.to_string(), None);
    }

    pub(super) fn need_revocation(&self, of: &Certificate, issuer: &Certificate) {
        let subject = of.subject.to_string();
        let responders: Vec<&String> = of.extensions.ocsp_uris.iter().collect();
        if !responders.is_empty() {
            let request = text::encode(&ocsp::request(of, issuer, None));
            self.need_each(NeedKind::Ocsp, &responders, &subject, Some(&request));
        }
        let points = of
            .extensions
            .crl_points
            .iter()
            .chain(&of.extensions.freshest_crl);
        let lists: Vec<&String> = points.flat_map(|point| &point.uris).collect();
        if !lists.is_empty() || responders.is_empty() {
            self.need_each(NeedKind::Crl, &lists, &subject, None);
        }
    }
}

fn take_one(count: &Cell<usize>, most: usize) -> bool {
    let spent = count.get();
    count.set(spent.saturating_add(1));
    spent < most
}
