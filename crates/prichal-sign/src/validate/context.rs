//! The context of all steps: policy, time, and the certificates and revocation data of all sources.

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

/// The largest number of public-key operations of one validation. It bounds the time that a signature with many
/// certificates can take.
const MAX_VERIFICATIONS: usize = 2_000;

/// The largest number of operations for embedded revocation data. It has a budget of its own, so that such data
/// cannot keep the caller's data from being used.
const MAX_EMBEDDED_VERIFICATIONS: usize = 1_000;

/// The largest number of operations for appended parts. It has a budget of its own, so that they cannot use up the
/// budget of the signer's certificate.
const MAX_APPENDED_VERIFICATIONS: usize = 1_000;

/// The largest number of candidate issuers with one name.
const MAX_CANDIDATE_ISSUERS: usize = 64;

/// The largest number of steps from a certificate to a candidate issuer in one validation.
const MAX_BRANCHES: usize = 20_000;

/// The largest number of certificates compared with a responder's name or key hash in one validation. Each may be
/// hashed.
const MAX_RESPONDERS: usize = 20_000;

/// The largest number of archive time-stamps in one validation. Each of them hashes the whole signature.
const MAX_ARCHIVES: usize = 16;

/// The largest number of other time-stamps in one validation.
const MAX_STAMPS: usize = 64;

/// The largest number of certificates and pieces of evidence from unsigned attributes and time-stamps.
const MAX_APPENDED_MATERIAL: usize = 1_024;

/// The largest number of needs of the signers, and of needs of appended parts.
const MAX_NEEDS: usize = 128;

/// The largest number of addresses tried per certificate.
const MAX_URLS: usize = 8;

pub(super) struct Context<'a> {
    pub policy: &'a Policy,
    pub at: Time,
    pub existed_at: Option<Time>,
    pub expected: &'a Expected,
    anchors: &'a [Certificate],
    /// The available certificates that the policy pins.
    pinned: Vec<&'a Certificate>,
    /// All available certificates except the anchors: given, embedded, and from time-stamps.
    pub certificates: Vec<&'a Certificate>,
    /// The evidence. The caller's comes first, so that embedded data cannot delay it.
    pub evidence: Vec<Source<'a>>,
    content: Option<&'a [u8]>,
    digests: RefCell<BTreeMap<Hash, Vec<u8>>>,
    needs: RefCell<Vec<Need>>,
    /// Needs that are worth a look-up, and no fetch.
    newer: RefCell<Vec<Need>>,
    /// True while needs are added to `newer`.
    is_optional: Cell<bool>,
    /// True if a need of a signer was dropped because the list was full.
    has_more_needs: Cell<bool>,
    /// The operations of all kinds of work, and their largest number.
    spent: Cell<usize>,
    most: usize,
    /// The budget that is charged now.
    work: Cell<Work>,
    own: Budget,
    embedded: Budget,
    appended: Budget,
    archives: Cell<usize>,
    stamps: Cell<usize>,
    /// Addresses of issuers' certificates that could not be fetched.
    unreachable: &'a [String],
    /// Certificates by the keys of their subjects, anchors first.
    by_subject: BTreeMap<String, Vec<&'a Certificate>>,
    /// The candidate issuers of a certificate, the likeliest first.
    issuers: RefCell<BTreeMap<usize, Rc<[&'a Certificate]>>>,
    verified: RefCell<BTreeMap<(usize, usize), bool>>,
    /// Cached outcomes by certificate, issuer and time. Several signers often share them.
    pub statuses: RefCell<BTreeMap<(usize, usize, Time), Outcome>>,
}

/// The kinds of work, each with its own budget.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The signers, their paths, and the caller's revocation data about them.
    Own,
    /// Revocation data embedded in the signature.
    Embedded,
    /// Parts that anybody can append to a signature.
    Appended,
}

/// The operations charged to one kind of work.
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
    /// The nonce of the caller's request.
    pub nonce: Option<&'a [u8]>,
}

impl Source<'_> {
    /// Judges this source within its budget.
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

/// A structure signed by a certificate's key: a certificate, a list or a response.
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
        let appended = appended.take(MAX_APPENDED_MATERIAL);
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
        let appended = document.appended_evidence().take(MAX_APPENDED_MATERIAL);
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
            is_optional: Cell::new(false),
            has_more_needs: Cell::new(false),
            spent: Cell::new(0),
            most: request.work,
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

    /// The signed content, attached or given.
    pub(super) fn content(&self) -> Option<&'a [u8]> {
        self.content
    }

    /// Computes a digest. Digests of the content are cached, because many signers and time-stamps need them.
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

    /// All certificates, anchors first.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Certificate> {
        self.anchors.iter().chain(self.certificates.iter().copied())
    }

    pub(super) fn is_anchor(&self, certificate: &Certificate) -> bool {
        self.anchors.contains(certificate) || self.pinned.contains(&certificate)
    }

    /// Runs `judge` within the budget of appended parts.
    pub(super) fn appended<T>(&self, judge: impl FnOnce() -> T) -> T {
        self.at_work(Work::Appended, judge)
    }

    /// Runs `work` within the budget of the signers.
    pub(super) fn own<T>(&self, work: impl FnOnce() -> T) -> T {
        self.at_work(Work::Own, work)
    }

    /// Runs `judge` within the budget of embedded data, or within that of appended parts if it is charged now.
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
            Work::Own => (&self.own, MAX_VERIFICATIONS),
            Work::Embedded => (&self.embedded, MAX_EMBEDDED_VERIFICATIONS),
            Work::Appended => (&self.appended, MAX_APPENDED_VERIFICATIONS),
        }
    }

    /// Charges public-key operations. False if the budget is used up.
    pub(super) fn spend(&self, cost: usize) -> bool {
        let (budget, max) = self.budget();
        charge(&budget.verifications, cost, max) && charge(&self.spent, cost, self.most)
    }

    /// Charges one step of the path search. False if the budget is used up.
    pub(super) fn branch(&self) -> bool {
        charge(&self.budget().0.branches, 1, MAX_BRANCHES)
    }

    /// Charges one archive time-stamp. False if there are too many.
    pub(super) fn archive(&self) -> bool {
        charge(&self.archives, 1, MAX_ARCHIVES)
    }

    /// Charges one other time-stamp. False if there are too many.
    pub(super) fn stamp(&self) -> bool {
        charge(&self.stamps, 1, MAX_STAMPS)
    }

    /// Charges one certificate compared with a responder. False if the budget is used up.
    pub(super) fn responder(&self) -> bool {
        charge(&self.budget().0.responders, 1, MAX_RESPONDERS)
    }

    /// True if an operation was refused because the budget was used up. It stays true.
    pub(super) fn exhausted(&self) -> bool {
        let (budget, max) = self.budget();
        budget.verifications.get() > max
            || budget.responders.get() > MAX_RESPONDERS
            || self.spent.get() > self.most
    }

    /// The operations of all kinds of work.
    pub(super) fn work(&self) -> usize {
        self.spent.get()
    }

    /// True if an address of the certificate's issuer could not be fetched.
    pub(super) fn issuer_is_unreachable(&self, certificate: &Certificate) -> bool {
        let urls = &certificate.extensions.issuer_uris;
        urls.iter().any(|url| self.unreachable.contains(url))
    }

    /// All certificates with the name of the issuer, ordered by `rank`.
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

    /// Verifies the signature of `signed` with the certificate's key, once in the lifetime of this context. Returns
    /// false without trying if the budget is used up, which `exhausted` reports.
    pub(super) fn signed_by(&self, signed: impl Into<Signed<'a>>, by: &'a Certificate) -> bool {
        let signed = signed.into();
        // Both values are borrowed for 'a, so distinct values have distinct addresses.
        let key = (signed.tbs.as_ptr() as usize, by.raw().as_ptr() as usize);
        if let Some(known) = self.verified.borrow().get(&key) {
            return *known;
        }
        // Reading a key can cost as much as using it.
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

    /// The needs, the most urgent first.
    pub(super) fn needs(&self) -> Vec<Need> {
        let mut needs = self.needs.borrow().clone();
        needs.sort_by_key(|need| need.cause);
        needs
    }

    /// True if a need of a signer was dropped because the list was full.
    pub(super) fn has_more_needs(&self) -> bool {
        self.has_more_needs.get()
    }

    pub(super) fn newer(&self) -> Vec<Need> {
        self.newer.borrow().clone()
    }

    fn need(&self, need: Need) {
        if self.is_optional.get() {
            let mut newer = self.newer.borrow_mut();
            if newer.len() < MAX_NEEDS && !newer.contains(&need) {
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
        if needs.iter().filter(like).count() < MAX_NEEDS {
            needs.push(need);
        } else if !appended {
            self.has_more_needs.set(true);
        }
    }

    /// Adds one need for each URL, or one without a URL.
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
        for url in urls.iter().take(MAX_URLS) {
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

    /// Adds needs for newer revocation data, from allowed addresses only. Data that is not old is not worth a fetch.
    pub(super) fn need_newer(&self, of: &Certificate, issuer: &Certificate, is_old: bool) {
        let extensions = &of.extensions;
        let points = extensions.crl_points.iter().flat_map(|point| &point.uris);
        let mut urls = extensions.ocsp_uris.iter().chain(points);
        if urls.next().is_some() {
            self.is_optional.set(!is_old);
            self.need_revocation(of, issuer);
            self.is_optional.set(false);
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

/// Groups certificates by the keys of their subjects, without duplicates, and limits the number for each name.
fn by_subject<'a>(
    anchors: &'a [Certificate],
    others: &[&'a Certificate],
) -> BTreeMap<String, Vec<&'a Certificate>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut index: BTreeMap<String, Vec<&Certificate>> = BTreeMap::new();
    for certificate in anchors.iter().chain(others.iter().copied()) {
        if seen.insert(certificate.raw()) {
            let namesakes = index.entry(certificate.subject.key()).or_default();
            if namesakes.len() < MAX_CANDIDATE_ISSUERS {
                namesakes.push(certificate);
            }
        }
    }
    index
}

/// Adds `cost` to the count, even beyond the limit. False if the limit is exceeded.
fn charge(count: &Cell<usize>, cost: usize, max: usize) -> bool {
    let spent = count.get().saturating_add(cost);
    count.set(spent);
    spent <= max
}
