//! Step 20: duplicate signers and counter-signatures.

use super::context::Context;
use super::document::Document;
use super::log::Log;
use super::signer::{self, Kind, Subject};
use super::{check_path, status};
use crate::cms::SignerInfo;
use crate::error::ReadError;
use crate::identity::Facts;
use crate::oid::Oid;
use crate::reason::{Reason, reason};
use crate::report::{CounterSignature, SubIndication as Sub, Verdict};

/// Reports the counter-signatures. Only a duplicate `SignerInfo` is a failure.
pub(super) fn check(
    context: &Context<'_>,
    document: &Document,
    index: usize,
    log: &mut Log,
) -> Vec<CounterSignature> {
    let signers = &document.data.signers;
    let own = &signers[index];
    let twin = |other: &SignerInfo| other.id.same(&own.id);
    let others = || {
        signers
            .iter()
            .enumerate()
            .filter(|(at, s)| *at != index && twin(s))
    };
    if others().any(|(_, s)| s.signed_part == own.signed_part || s.signature == own.signature) {
        log.fail(
            20,
            Sub::FormatFailure,
            reason!("the same SignerInfo occurs twice"),
        );
    } else if others().next().is_some() {
        log.warn(20, reason!("the same certificate signed more than once"));
    }
    let counters = &document.parts[index].counter_signatures;
    let counted: Vec<CounterSignature> = context.appended(|| {
        let judged = counters.iter();
        judged
            .map(|counter| counter_signature(context, own, counter))
            .collect()
    });
    for counter in counted.iter().filter(|c| c.verdict != Verdict::TotalPassed) {
        log.warn(
            20,
            reason!("a counter-signature is not valid: {}", counter.reason),
        );
    }
    log.pass(
        20,
        reason!(
            "signer {} of {}, counter-signatures: {}",
            index + 1,
            signers.len(),
            counted.len()
        ),
    );
    counted
}

/// Validates a counter-signature, which covers the signature value (RFC 5652 §11.4).
fn counter_signature(
    context: &Context<'_>,
    over: &SignerInfo,
    counter: &Result<SignerInfo, ReadError>,
) -> CounterSignature {
    let mut log = Log::default();
    let mut certificate = None;
    match (counter, Oid::data()) {
        (Ok(counter), content_type) => {
            let subject = Subject {
                kind: Kind::CounterSignature,
                signer: counter,
                content_type: &content_type,
                content: Some(&over.signature),
            };
            if let Some(checked) = signer::check(context, &subject, &mut log) {
                let (at, mut evidence) = (context.at, Vec::new());
                let accepts = |hash| context.policy.accepts_hash(hash, at);
                signer::check_strength(context, &checked, accepts, &mut log);
                let path = check_path(context, checked.certificate, at, &mut log);
                let chain = path.as_deref().unwrap_or_default();
                status::check(context, chain, at, &mut evidence, &mut log);
                certificate = Some(Facts::of(checked.certificate));
            }
        }
        (Err(error), _) => log.fail(1, Sub::FormatFailure, Reason::from(error)),
    }
    let (verdict, sub_indication) = log.verdict();
    CounterSignature {
        verdict,
        sub_indication,
        certificate,
        reason: log
            .deciding()
            .map_or_else(|| reason!("valid"), |f| f.reason.clone())
            .into_text(),
    }
}
