//! Steps 16 to 18: the revocation status of a certificate at a time, from all available lists and responses.

mod list;
mod response;

use super::context::{Context, Proof};
use crate::algorithm::Algorithm;
use crate::certificate::Certificate;
use crate::crl::{Crl, Revocation};
use crate::policy::Severity;
use crate::reason::{Reason, reason};
use crate::scheme::Scheme;
use crate::time::Time;

/// The revocation status of one certificate.
#[derive(Clone)]
pub(super) struct Outcome {
    pub state: State,
    /// The evidence that the status is based on, for the report.
    pub used: Option<Used>,
    /// Evidence about this certificate that was not accepted, with reasons.
    pub refused: Refused,
    /// True if some evidence was not tried because of the limits. The status is never good then.
    pub is_incomplete: bool,
    /// True if the status is based on evidence from the signature and newer evidence may exist.
    pub is_chosen: bool,
    /// True if that evidence is old.
    pub is_old: bool,
    pub warnings: Vec<Reason>,
}

/// Reasons for refused evidence: the first few, and the number of the others.
#[derive(Clone, Default)]
pub(super) struct Refused {
    first: Vec<Reason>,
    more: usize,
}

/// The largest number of reasons kept for one certificate.
const MAX_REASONS: usize = 8;

impl Refused {
    fn push(&mut self, reason: Reason) {
        if self.first.len() < MAX_REASONS {
            self.first.push(reason);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn reasons(self) -> impl Iterator<Item = Reason> {
        let more = (self.more > 0).then(|| reason!("and {} more", self.more));
        self.first.into_iter().chain(more)
    }
}

#[derive(Clone)]
pub(super) struct Used {
    pub label: String,
    pub embedded: bool,
    this_update: Time,
}

/// The age, in seconds before the reference time, from which embedded data counts as old.
const MAX_EMBEDDED_AGE_SECS: i64 = 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Good,
    /// Revoked at or before the reference time.
    Revoked(Revocation),
    /// Revoked after the reference time.
    RevokedLater(Revocation),
    /// No usable evidence.
    Unknown,
}

/// One authentic statement about the certificate.
struct Statement {
    label: String,
    embedded: bool,
    this_update: Time,
    next_update: Option<Time>,
    revocation: Option<Revocation>,
    kind: Kind,
    /// True for evidence that cannot prove a certificate good: a delta alone, or a list of some reasons only.
    partial: bool,
    /// The list contains revoked certificates that expired after this time.
    keeps_expired_since: Option<Time>,
}

/// The type of evidence. At equal times, a delta is newer than the list it extends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Response,
    List,
    Delta,
}

/// Determines the status of `chain[0]`, which `chain[1]` issued, at the time `at`.
pub(super) fn status<'a>(context: &Context<'a>, chain: &[&'a Certificate], at: Time) -> Outcome {
    let [certificate, issuers @ ..] = chain else {
        return Outcome::unknown();
    };
    let Some(issuer) = issuers.first() else {
        return Outcome::unknown();
    };
    // Both values are borrowed for 'a, so distinct values have distinct addresses.
    let address = |certificate: &Certificate| certificate.raw().as_ptr() as usize;
    let key = (address(certificate), address(issuer), at);
    if let Some(known) = context.statuses.borrow().get(&key) {
        return known.clone();
    }
    let outcome = determine(context, certificate, issuer, issuers, at);
    // An outcome that was cut short for an appended part is not cached, so that a signer gets a full check.
    if !(outcome.is_incomplete && context.is_appended()) {
        context.statuses.borrow_mut().insert(key, outcome.clone());
    }
    outcome
}

fn determine<'a>(
    context: &Context<'a>,
    certificate: &'a Certificate,
    issuer: &'a Certificate,
    issuers: &[&'a Certificate],
    at: Time,
) -> Outcome {
    let mut outcome = Outcome::unknown();
    let mut statements = Vec::new();
    let mut deltas: Vec<(&Crl, bool)> = Vec::new();
    let mut bases: Vec<(&Crl, bool)> = Vec::new();
    for source in &context.evidence {
        match source.proof {
            Proof::Crl(crl) if crl.issuer.same(&certificate.issuer) => {
                let accept = || list::accept(context, crl, certificate, issuers);
                match source.judged(context, accept) {
                    Ok(()) if crl.delta_base.is_some() => deltas.push((crl, source.embedded)),
                    Ok(()) => bases.push((crl, source.embedded)),
                    Err(reason) => outcome.refused.push(reason!("{}: {reason}", crl.label())),
                }
            }
            Proof::Crl(_) => {}
            Proof::Ocsp(ocsp) => {
                let read = || response::statement(context, source, ocsp, certificate, issuer);
                match source.judged(context, read) {
                    Ok(statement) => statements.extend(statement),
                    Err(reason) => outcome.refused.push(reason!("{}: {reason}", ocsp.label())),
                }
            }
        }
    }
    for (base, embedded) in bases {
        list::add_statements(
            base,
            embedded,
            &deltas,
            certificate,
            &mut statements,
            &mut outcome,
        );
    }
    for (delta, embedded) in deltas {
        // An entry of a delta is a revocation, whatever the base.
        if let Ok(Some(found)) = delta.find(&certificate.serial)
            && found.reason != Some(Revocation::REMOVED)
        {
            statements.push(Statement {
                partial: true,
                ..list::statement(delta, embedded, Some(found))
            });
        }
    }
    // Embedded evidence comes first. Otherwise the order of the sources is kept.
    statements.sort_by_key(|statement| !statement.embedded);
    decide(context, &statements, certificate, at, &mut outcome);
    let used = outcome.used.as_ref().filter(|used| used.embedded);
    let old = |used: &Used| used.this_update.plus(MAX_EMBEDDED_AGE_SECS) < at;
    outcome.is_old = used.is_some_and(old);
    outcome.is_chosen = used.is_some() && statements.iter().all(|said| said.embedded);
    outcome.is_incomplete = context.exhausted()
        || outcome.state == State::Unknown && context.embedded(|| context.exhausted());
    outcome
}

fn decide(
    context: &Context<'_>,
    statements: &[Statement],
    certificate: &Certificate,
    at: Time,
    outcome: &mut Outcome,
) {
    let newest = statements.iter().map(|s| s.this_update).max();
    let covers = |s: &Statement| s.this_update <= at && s.next_update.is_none_or(|next| at <= next);
    // A newer statement shows if a hold was lifted.
    let lifted = |held: &Statement| {
        statements.iter().any(|s| {
            let newer = (s.this_update, s.kind) > (held.this_update, held.kind);
            newer && s.this_update <= at && s.revocation.is_none() && !s.partial
        })
    };
    let holds = |s: &Statement| (covers(s) || Some(s.this_update) == newest) && !lifted(s);
    let revoked = statements.iter().find(|s| {
        s.revocation
            .is_some_and(|r| r.at <= at && (!r.on_hold() || holds(s)))
    });
    if let Some(statement) = revoked
        && let Some(revocation) = statement.revocation
    {
        outcome.state = State::Revoked(revocation);
        outcome.used = Some(Used::of(statement));
        return;
    }
    let mut usable: Option<&Statement> = None;
    for statement in statements {
        match usability(context, statement, certificate, at) {
            // Embedded statements come first. A later statement replaces one only if it reports a revocation.
            Ok(())
                if usable
                    .is_none_or(|u| u.revocation.is_none() && statement.revocation.is_some()) =>
            {
                usable = Some(statement);
            }
            Ok(()) => {}
            Err(reason) => outcome
                .refused
                .push(reason!("{}: {reason}", statement.label)),
        }
    }
    let Some(statement) = usable else {
        return;
    };
    if statement.next_update.is_none() && statement.kind != Kind::Response {
        outcome
            .warnings
            .push(reason!("{} has no nextUpdate", statement.label));
    }
    outcome.used = Some(Used::of(statement));
    outcome.state = match statement.revocation {
        Some(revocation) => State::RevokedLater(revocation),
        None => State::Good,
    };
}

/// Checks that the statement can prove the certificate good at `at`.
fn usability(
    context: &Context<'_>,
    statement: &Statement,
    certificate: &Certificate,
    at: Time,
) -> Result<(), Reason> {
    let policy = context.policy;
    if statement.partial {
        return Err(reason!("it covers only some revocations"));
    }
    // An authority may remove expired certificates from its lists.
    let kept = statement
        .keeps_expired_since
        .is_some_and(|since| since <= certificate.not_after);
    if statement.this_update > certificate.not_after && !kept {
        return Err(reason!("it was issued after the certificate expired"));
    }
    if statement.this_update >= at {
        return Ok(());
    }
    match statement.next_update {
        Some(next) if at <= next => Ok(()),
        Some(next) => Err(reason!("it was superseded at {next}, before {at}")),
        None if statement.kind == Kind::Response => {
            let fresh = at.unix() - statement.this_update.unix() <= policy.ocsp_freshness;
            if fresh {
                Ok(())
            } else {
                Err(reason!("it is too old, from {}", statement.this_update))
            }
        }
        None if policy.no_next_update == Severity::Fail => Err(reason!("it has no nextUpdate")),
        None => Ok(()),
    }
}

impl Outcome {
    fn unknown() -> Self {
        Self {
            state: State::Unknown,
            used: None,
            refused: Refused::default(),
            is_incomplete: false,
            is_chosen: false,
            is_old: false,
            warnings: Vec::new(),
        }
    }
}

impl Used {
    fn of(statement: &Statement) -> Self {
        Self {
            label: statement.label.clone(),
            embedded: statement.embedded,
            this_update: statement.this_update,
        }
    }
}

/// Tells if a list signed by the issuer's own key revokes the certificate of a responder or of a list-signing key at
/// or before a time.
fn is_listed<'a>(
    context: &Context<'a>,
    certificate: &Certificate,
    issuer: &'a Certificate,
    at: Time,
) -> bool {
    context.evidence.iter().any(|source| match source.proof {
        Proof::Crl(crl) => {
            crl.issuer.same(&issuer.subject)
                && matches!(crl.find(&certificate.serial), Ok(Some(found)) if found.at <= at
                    && found.reason != Some(Revocation::REMOVED))
                && context.signed_by(crl, issuer)
        }
        Proof::Ocsp(_) => false,
    })
}

fn accept_hash(
    context: &Context<'_>,
    signer: &Certificate,
    algorithm: &Algorithm,
    made: Time,
) -> Result<(), Reason> {
    let key = signer.public_key().map_err(|error| Reason::from(&error))?;
    let scheme = Scheme::resolve(algorithm, None, &key).map_err(|error| Reason::from(&error))?;
    match scheme.hash() {
        Some(hash) if !context.policy.accepts_hash(hash, made) => {
            Err(reason!("it is signed with {}", hash.name()))
        }
        _ => Ok(()),
    }
}
