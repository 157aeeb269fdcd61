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
use crate::report::{Cause, Need, NeedKind};
use crate::scheme::Scheme;
use crate::text;
use crate::time::Time;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Public-key operations in one validation, at most. A signature cannot make us try every key
/// with every other for hours.
const MOST_VERIFICATIONS: usize = 2_000;

/// The same for revocation data in the signature. It is counted apart: no junk in a signature keeps
/// the caller's own data from being tried.
const MOST_EMBEDDED: usize = 1_000;

/// The same for what anybody can append to a signature. It is counted apart: nothing that is
/// appended uses up what the signer's own certificate needs.
const MOST_APPENDED: usize = 1_000;

/// Certificates of one name that are tried as issuers, at most.
const MOST_NAMESAKES: usize = 64;

/// Steps from a certificate to a candidate issuer in one validation, at most.
const MOST_BRANCHES: usize = 20_000;

/// Certificates that are looked at as a responder's in one validation, at most: each may be hashed.
const MOST_RESPONDERS: usize = 20_000;

/// Archive time-stamps in one validation, at most: each hashes the whole signature anew.
const MOST_ARCHIVES: usize = 16;

/// Other time-stamps in one validation, at most.
const MOST_STAMPS: usize = 64;

/// Certificates and pieces of evidence beside those of the caller and of the signature's own sets.
const MOST_APPENDED_MATERIAL: usize = 1_024;

/// Needs of the signers, and as many of what is appended.
const MOST_NEEDS: usize = 128;

/// Addresses of one certificate that are asked, at most.
const MOST_URLS: usize = 8;

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
    /// What the caller brought first: no junk in the signature comes before it.
    pub evidence: Vec<Source<'a>>,
    content: Option<&'a [u8]>,
    digests: RefCell<BTreeMap<Hash, Vec<u8>>>,
    needs: RefCell<Vec<Need>>,
    /// Needs that are worth a look, and no fetch.
    newer: RefCell<Vec<Need>>,
    /// Whether what is needed now is one of those.
    is_luxury: Cell<bool>,
    /// Whether a need of a signer found no room.
    is_crowded: Cell<bool>,
    /// The work that is done now.
    work: Cell<Work>,
    own: Budget,
    embedded: Budget,
    appended: Budget,
    archives: Cell<usize>,
    stamps: Cell<usize>,
    /// Addresses of issuers' certificates that gave none.
    unreachable: &'a [String],
    /// Certificates by the keys of their subjects, anchors first.
    by_subject: BTreeMap<String, Vec<&'a Certificate>>,
    /// The certificates that may have issued one, the likeliest first.
    issuers: RefCell<BTreeMap<usize, Rc<[&'a Certificate]>>>,
    verified: RefCell<BTreeMap<(usize, usize), bool>>,
    /// What is known of a certificate of an issuer at a time: several signers ask for the same.
    pub statuses: RefCell<BTreeMap<(usize, usize, Time), Outcome>>,
}

/// The kinds of work, each with a budget of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The signers, their paths, and the caller's revocation data about them.
    Own,
    /// Revocation data in the signature.
    Embedded,
    /// Something that anybody can append to a signature.
    Appended,
}

/// What is left of the work that is done.
#[derive(Default)]
struct Budget {
    verifications: Cell<usize>,
    branches: Cell<usize>,
    responders: Cell<usize>,
}

#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub proof: Proof<'a>,
    pub embedded: bool,
    /// The nonce that was in the caller's request.
    pub nonce: Option<&'a [u8]>,
}

impl Source<'_> {
    /// Judges it, with the work of its kind.
    pub(super) fn judged<T>(&self, context: &Context<'_>, judge: impl FnOnce() -> T) -> T {
        if self.embedded {
            context.embedded(judge)
        } else {
            judge()
        }
    }
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
        let appended = document.appended_certificates();
        let appended = appended.take(MOST_APPENDED_MATERIAL);
        let own = document.data.certificates().chain(&material.certificates);
        for certificate in own.chain(appended) {
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
        let by_subject = by_subject(&material.anchors, &certificates);
        let appended = document.appended_evidence().take(MOST_APPENDED_MATERIAL);
        let embedded = document
            .own_evidence()
            .chain(appended)
            .map(|evidence| Source {
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
            evidence: answers.chain(lists).chain(embedded).collect(),
            needs: RefCell::default(),
            newer: RefCell::default(),
            is_luxury: Cell::new(false),
            is_crowded: Cell::new(false),
            work: Cell::new(Work::Own),
            own: Budget::default(),
            embedded: Budget::default(),
            appended: Budget::default(),
            archives: Cell::new(0),
            stamps: Cell::new(0),
            unreachable: &material.unreachable,
            by_subject,
            issuers: RefCell::default(),
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

    /// Judges something that anybody can append to a signature.
    pub(super) fn appended<T>(&self, judge: impl FnOnce() -> T) -> T {
        self.at_work(Work::Appended, judge)
    }

    /// Does something for the signers themselves.
    pub(super) fn own<T>(&self, work: impl FnOnce() -> T) -> T {
        self.at_work(Work::Own, work)
    }

    /// Judges revocation data that lies in the signature. About what is appended, it counts as appended.
    pub(super) fn embedded<T>(&self, judge: impl FnOnce() -> T) -> T {
        match self.work.get() {
            Work::Appended => judge(),
            Work::Own | Work::Embedded => self.at_work(Work::Embedded, judge),
        }
    }

    fn at_work<T>(&self, work: Work, judge: impl FnOnce() -> T) -> T {
        let before = self.work.replace(work);
        let judged = judge();
        self.work.set(before);
        judged
    }

    pub(super) fn is_appended(&self) -> bool {
        self.work.get() == Work::Appended
    }

    fn budget(&self) -> (&Budget, usize) {
        match self.work.get() {
            Work::Own => (&self.own, MOST_VERIFICATIONS),
            Work::Embedded => (&self.embedded, MOST_EMBEDDED),
            Work::Appended => (&self.appended, MOST_APPENDED),
        }
    }

    /// Public-key operations of this cost, if so many are left.
    pub(super) fn spend(&self, cost: usize) -> bool {
        let (budget, most) = self.budget();
        take(&budget.verifications, cost, most)
    }

    /// One step up in the search for a path, if any is left.
    pub(super) fn branch(&self) -> bool {
        take(&self.budget().0.branches, 1, MOST_BRANCHES)
    }

    /// One archive time-stamp, if any is left.
    pub(super) fn archive(&self) -> bool {
        take(&self.archives, 1, MOST_ARCHIVES)
    }

    /// One other time-stamp, if any is left.
    pub(super) fn stamp(&self) -> bool {
        take(&self.stamps, 1, MOST_STAMPS)
    }

    /// One certificate that may be a responder's, if any is left.
    pub(super) fn responder(&self) -> bool {
        take(&self.budget().0.responders, 1, MOST_RESPONDERS)
    }

    /// Whether something was not tried, because the work of its kind was used up. Once it is, it stays so.
    pub(super) fn exhausted(&self) -> bool {
        let (budget, most) = self.budget();
        budget.verifications.get() > most || budget.responders.get() > MOST_RESPONDERS
    }

    /// Whether the certificate names an address of its issuer's that could not be reached.
    pub(super) fn issuer_is_away(&self, certificate: &Certificate) -> bool {
        let urls = &certificate.extensions.issuer_uris;
        urls.iter().any(|url| self.unreachable.contains(url))
    }

    /// Every certificate that bears the name of the issuer, in the order that `rank` gives.
    pub(super) fn issuers(
        &self,
        of: &'a Certificate,
        rank: impl Fn(&Certificate) -> u8,
    ) -> Rc<[&'a Certificate]> {
        let key = of.raw().as_ptr() as usize;
        if let Some(known) = self.issuers.borrow().get(&key) {
            return Rc::clone(known);
        }
        let mut found: Vec<&Certificate> = self
            .by_subject
            .get(&of.issuer.key())
            .cloned()
            .unwrap_or_default();
        found.sort_by_key(|candidate| rank(candidate));
        let found: Rc<[&Certificate]> = found.into();
        self.issuers.borrow_mut().insert(key, Rc::clone(&found));
        found
    }

    /// Whether `signed` bears a right signature of the certificate's key. What lives as long as
    /// this context is verified once. Where the work is used up it is not tried, which `exhausted` tells.
    pub(super) fn signed_by(&self, signed: impl Into<Signed<'a>>, by: &'a Certificate) -> bool {
        let signed = signed.into();
        // Both are borrowed for 'a, so no two of them can share an address.
        let key = (signed.tbs.as_ptr() as usize, by.raw().as_ptr() as usize);
        if let Some(known) = self.verified.borrow().get(&key) {
            return *known;
        }
        // Reading a key may cost as much as using it.
        if !self.spend(1) {
            return false;
        }
        let Ok(public) = by.public_key() else {
            return false;
        };
        if !self.spend(public.cost() - 1) {
            return false;
        }
        let Ok(scheme) = Scheme::resolve(signed.algorithm, None, &public) else {
            return false;
        };
        let right = scheme.verify(&public, signed.tbs, signed.signature);
        self.verified.borrow_mut().insert(key, right);
        right
    }

    /// The most urgent first.
    pub(super) fn needs(&self) -> Vec<Need> {
        let mut needs = self.needs.borrow().clone();
        needs.sort_by_key(|need| need.cause);
        needs
    }

    /// Whether a need of a signer is not among the needs, for there were too many.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded.get()
    }

    pub(super) fn newer(&self) -> Vec<Need> {
        self.newer.borrow().clone()
    }

    fn need(&self, need: Need) {
        if self.is_luxury.get() {
            let mut newer = self.newer.borrow_mut();
            if newer.len() < MOST_NEEDS && !newer.contains(&need) {
                newer.push(need);
            }
            return;
        }
        let mut needs = self.needs.borrow_mut();
        let same = |other: &&mut Need| {
            Need {
                cause: need.cause,
                ..(*other).clone()
            } == need
        };
        if let Some(known) = needs.iter_mut().find(same) {
            known.cause = known.cause.min(need.cause);
            return;
        }
        let appended = need.cause == Cause::Appended;
        let like = |other: &&Need| (other.cause == Cause::Appended) == appended;
        if needs.iter().filter(like).count() < MOST_NEEDS {
            needs.push(need);
        } else if !appended {
            self.is_crowded.set(true);
        }
    }

    /// One need for each URL, or one without if there is none.
    fn need_each(
        &self,
        kind: NeedKind,
        urls: &[&String],
        subject: &str,
        request: Option<&str>,
        child: Option<&Certificate>,
    ) {
        let cause = match kind {
            _ if self.is_appended() => Cause::Appended,
            NeedKind::Crl | NeedKind::Ocsp => Cause::Signer,
            NeedKind::Issuer | NeedKind::Certificate => Cause::SignersPath,
        };
        let need = |url: Option<&String>| Need {
            kind,
            cause,
            url: url.cloned(),
            allowed: url.is_some_and(|url| self.policy.may_fetch(url)),
            subject: subject.to_owned(),
            request: request.map(str::to_owned),
            child: child.cloned(),
        };
        if urls.is_empty() {
            self.need(need(None));
        }
        for url in urls.iter().take(MOST_URLS) {
            self.need(need(Some(url)));
        }
    }

    pub(super) fn need_signer(&self, subject: &str) {
        self.need_each(NeedKind::Certificate, &[], subject, None, None);
    }

    pub(super) fn need_issuer(&self, of: &Certificate) {
        let urls: Vec<&String> = of.extensions.issuer_uris.iter().collect();
        let subject = of.issuer.to_string();
        self.need_each(NeedKind::Issuer, &urls, &subject, None, Some(of));
    }

    /// The same where there is some already. Only what is old is worth a fetch.
    pub(super) fn need_newer(&self, of: &Certificate, issuer: &Certificate, is_old: bool) {
        let extensions = &of.extensions;
        let points = extensions.crl_points.iter().flat_map(|point| &point.uris);
        let mut urls = extensions.ocsp_uris.iter().chain(points);
        if urls.next().is_some() {
            self.is_luxury.set(!is_old);
            self.need_revocation(of, issuer);
            self.is_luxury.set(false);
        }
    }

    pub(super) fn need_revocation(&self, of: &Certificate, issuer: &Certificate) {
        let subject = of.subject.to_string();
        let responders: Vec<&String> = of.extensions.ocsp_uris.iter().collect();
        if !responders.is_empty() {
            let request = text::encode(&ocsp::request(of, issuer, None));
            self.need_each(NeedKind::Ocsp, &responders, &subject, Some(&request), None);
        }
        let points = of
            .extensions
            .crl_points
            .iter()
            .chain(&of.extensions.freshest_crl);
        let lists: Vec<&String> = points.flat_map(|point| &point.uris).collect();
        if !lists.is_empty() || responders.is_empty() {
            self.need_each(NeedKind::Crl, &lists, &subject, None, None);
        }
    }
}

/// Certificates by the keys of their subjects, each once, and not too many of one name.
fn by_subject<'a>(
    anchors: &'a [Certificate],
    others: &[&'a Certificate],
) -> BTreeMap<String, Vec<&'a Certificate>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut index: BTreeMap<String, Vec<&Certificate>> = BTreeMap::new();
    for certificate in anchors.iter().chain(others.iter().copied()) {
        if seen.insert(certificate.raw()) {
            let namesakes = index.entry(certificate.subject.key()).or_default();
            if namesakes.len() < MOST_NAMESAKES {
                namesakes.push(certificate);
            }
        }
    }
    index
}

/// Counts `cost`, and says whether it was there. What was not there is counted, too.
fn take(count: &Cell<usize>, cost: usize, most: usize) -> bool {
    let spent = count.get().saturating_add(cost);
    count.set(spent);
    spent <= most
}
