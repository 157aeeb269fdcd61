//! The verdict on signatures in a sentence for people: valid, not established and why, or not valid and why.

use super::{FileKind, Signature, Verdict, policy};
use crate::{
    language::Language,
    parts::Tone,
    words::{self, fill},
};

/// A sentence at the top of a check.
#[derive(Debug)]
pub(super) struct Sentence {
    pub(super) tone: Tone,
    pub(super) text: String,
}

/// The sentence about all signatures of a check. One that is not valid decides. `None` without signatures.
pub(super) fn of_all(signatures: &[Signature], language: Language) -> Option<Sentence> {
    let w = words::Check::of(language);
    let worst = [Verdict::Invalid, Verdict::Undecided].into_iter();
    let mut worst = worst.filter_map(|verdict| {
        let at = signatures.iter().position(|one| one.verdict == verdict)?;
        Some((at, verdict))
    });
    let count = signatures.len();
    let (tone, mut text) = if let Some((at, verdict)) = worst.next() {
        let mut text = of(&signatures[at], language);
        if count > 1 {
            text = format!("{} {text}", fill(w.one_of, &[&(at + 1), &count]));
        }
        let tone = match verdict {
            Verdict::Invalid => Tone::Bad,
            _ => Tone::Waiting,
        };
        (tone, text)
    } else {
        let first = signatures.first()?;
        let is_same = signatures.iter().all(|one| one.policy == first.policy);
        let text = match (count, is_same) {
            (1, _) => of(first, language),
            (_, true) => fill(w.all_valid, &[&count, &policy(&first.policy, w)]),
            (_, false) => fill(w.all_valid_by_own, &[&count]),
        };
        (Tone::Good, text)
    };
    let lacks = [
        (
            signatures.iter().any(|one| one.lacks_identity),
            w.no_identity,
        ),
        (
            signatures.iter().any(|one| one.lacks_revocation),
            w.no_revocation,
        ),
    ];
    for (_, sentence) in lacks.into_iter().filter(|(lacks, _)| *lacks) {
        text = format!("{text} {sentence}.");
    }
    Some(Sentence { tone, text })
}

/// The sentence about one signature.
pub(super) fn of(one: &Signature, language: Language) -> String {
    let w = words::Check::of(language);
    if let Some(kind) = one.instead {
        return instead(kind, w);
    }
    let rules = policy(&one.policy, w);
    let why = words::Indications::of(language).find(&one.indication);
    let why = why.unwrap_or(w.no_reason);
    match one.verdict {
        Verdict::Valid => fill(w.is_valid, &[&rules]),
        Verdict::Undecided => fill(w.is_undecided, &[&why, &rules]),
        Verdict::Invalid => fill(w.is_invalid, &[&why, &rules]),
    }
}

/// The sentences about a file that is no signature.
pub(super) fn instead(kind: FileKind, w: &words::Check) -> String {
    let what = match kind {
        FileKind::Text => w.kind_text,
        FileKind::Pdf => w.kind_pdf,
        FileKind::Office => w.kind_office,
        FileKind::Zip => w.kind_zip,
        FileKind::Image => w.kind_image,
        FileKind::Xml => w.kind_xml,
        FileKind::Certificate => w.kind_certificate,
        FileKind::Key => w.kind_key,
        FileKind::Content => w.kind_content,
        FileKind::Other => w.kind_other,
    };
    let more = match kind {
        FileKind::Pdf => w.no_pdf_signatures,
        FileKind::Key => w.keep_key,
        _ => "",
    };
    let text = format!("{} {more}", fill(w.not_signature, &[&what]));
    format!("{} {}", text.trim(), w.what_to_drop)
}
