use super::*;
use crate::testing::{HOSTILE, check_hostile, check_page, compare, tidy};

const ID: &str = "0190a6a5-0000-7000-8000-000000000001";

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

fn signature(verdict: Verdict) -> Signature {
    Signature {
        file: String::new(),
        verdict,
        indication: String::new(),
        instead: None,
        signer: "ИВАНОВ ИВАН".to_owned(),
        company: "ТОО «Рога и копыта»".to_owned(),
        bin: "971240001315".to_owned(),
        is_attached: false,
        issuer: "CN=Issuer".to_owned(),
        accepted_at: Some(at("2026-11-27T15:04:05.678Z")),
        claimed_at: None,
        stamped_at: None,
        checked_at: Some(at("2026-11-27T15:04:06Z")),
        policy: "kz".to_owned(),
        lacks_identity: false,
        lacks_revocation: false,
        reason: String::new(),
        steps: Vec::new(),
        wanting: Vec::new(),
    }
}

fn page(language: Language, subject: Subject) -> Page {
    Page {
        language,
        subject,
        compared: Vec::new(),
        outcome: None,
        policy: "kz".to_owned(),
        max_mib: 16,
    }
}

fn document(signatures: Vec<Signature>) -> Subject {
    Subject::Document(Box::new(Document {
        id: ID.to_owned(),
        number: "17/1".to_owned(),
        date: at("2026-11-01T00:00:00Z"),
        state: DocumentState::Finished,
        signatures,
    }))
}

fn compared() -> Vec<Compared> {
    let one = |part, digit: &str| Compared {
        sha256: digit.repeat(64),
        part,
    };
    vec![
        one(Part::Original(1), "a"),
        one(Part::SignedContent, "b"),
        one(Part::Signature(2), "c"),
        one(Part::Nothing, "d"),
        Compared {
            sha256: "no hash".to_owned(),
            part: Part::NoHash,
        },
    ]
}

/// All steps, of which one has failed, one has a warning and one does not apply.
fn steps() -> Vec<Step> {
    let status = |number| match number {
        7 => StepStatus::Failed,
        17 => StepStatus::Warned,
        19 => StepStatus::Skipped,
        _ => StepStatus::Passed,
    };
    let step = |number| Step {
        number,
        status: status(number),
        reason: match number {
            7 => "the SHA-256 of the content differs from the signed digest".to_owned(),
            _ => "SignedData with 1 signer".to_owned(),
        },
    };
    (1..=21).map(step).collect()
}

fn outcome(outcome: Outcome, page: Page) -> Page {
    Page {
        outcome: Some(outcome),
        ..page
    }
}

fn render(page: &Page) -> String {
    let text = CheckPage::new(page).render().expect("a page");
    check_page(&text);
    text
}

/// Compares the content of a page with its snapshot in each language.
fn snapshot(name: &str, page: impl Fn(Language) -> Page) {
    let section = |language: Language| {
        let text = render(&page(language));
        let (_, main) = text.split_once("<main").expect("a beginning");
        let (main, _) = main.split_once("</main>").expect("an end");
        (language.code().to_owned(), tidy(&format!("<main{main}")))
    };
    compare(name, &Language::ALL.map(section));
}

#[test]
fn pages_are_as_they_were() {
    snapshot("check", |language| page(language, Subject::Any));
    snapshot("check-missing", |language| page(language, Subject::Missing));
    snapshot("check-document", |language| {
        let mut trial = signature(Verdict::Undecided);
        trial.indication = "TRY_LATER".to_owned();
        trial.policy = "test".to_owned();
        trial.bin = String::new();
        trial.is_attached = true;
        trial.stamped_at = trial.checked_at;
        trial.lacks_identity = true;
        trial.lacks_revocation = true;
        Page {
            compared: compared(),
            ..page(language, document(vec![signature(Verdict::Valid), trial]))
        }
    });
    snapshot("check-unsigned", |language| {
        page(language, document(Vec::new()))
    });
    snapshot("check-report", |language| {
        let mut broken = signature(Verdict::Invalid);
        broken.indication = "HASH_FAILURE".to_owned();
        broken.accepted_at = None;
        broken.claimed_at = broken.checked_at;
        broken.file = "signatures/1-971240001315.cms".to_owned();
        broken.steps = steps();
        broken.wanting = vec![Need {
            kind: "crl".to_owned(),
            subject: "CN=Issuer".to_owned(),
        }];
        let unread = Signature {
            signer: String::new(),
            issuer: String::new(),
            indication: "FORMAT_FAILURE".to_owned(),
            reason: "a CMS ContentInfo is missing or has another type".to_owned(),
            ..signature(Verdict::Invalid)
        };
        let text = Signature {
            file: "signatures/2-1.cms".to_owned(),
            instead: Some(FileKind::Text),
            ..unread.clone()
        };
        let signatures = vec![broken, unread, text];
        let sha256 = "e".repeat(64);
        let basis = Basis::Chosen;
        outcome(
            Outcome::Checked {
                sha256,
                basis,
                signatures,
            },
            page(language, Subject::Any),
        )
    });
    for (name, basis, subject) in [
        (
            "check-other-archive",
            Basis::ChosenForOther(ID.to_owned()),
            || Subject::Any,
        ),
        ("check-archive", Basis::Sender, || document(Vec::new())),
        ("check-other-content", Basis::SenderOfOther, || {
            document(Vec::new())
        }),
    ] as [(_, _, fn() -> Subject); 3]
    {
        snapshot(name, |language| {
            let checked = Outcome::Checked {
                sha256: "f".repeat(64),
                basis: basis.clone(),
                signatures: Vec::new(),
            };
            outcome(checked, page(language, subject()))
        });
    }
    for kind in [FileKind::Pdf, FileKind::Key, FileKind::Content] {
        let name = format!("check-no-signature-{kind:?}").to_lowercase();
        snapshot(&name, |language| {
            let refused = Outcome::Refused(Refusal::NoSignature(kind));
            outcome(refused, page(language, Subject::Any))
        });
    }
    snapshot("check-refused", |language| {
        let refused = Outcome::Refused(Refusal::TooMany(60));
        outcome(refused, page(language, Subject::Any))
    });
}

#[test]
fn a_check_begins_with_one_sentence() {
    let text = |signatures: &[Signature]| {
        let found = verdict::of_all(signatures, Language::En);
        found.map(|found| (found.tone, found.text))
    };
    let valid = signature(Verdict::Valid);
    let trial = Signature {
        policy: "test".to_owned(),
        lacks_revocation: true,
        ..valid.clone()
    };
    let late = Signature {
        indication: "TRY_LATER".to_owned(),
        ..signature(Verdict::Undecided)
    };
    let broken = Signature {
        indication: "HASH_FAILURE".to_owned(),
        ..signature(Verdict::Invalid)
    };
    let kz = "“Kazakhstan: NCA RK”";
    assert_eq!(text(&[]), None);
    for (signatures, tone, words) in [
        (vec![&valid], Tone::Good, format!("The signature is valid by the rules {kz}.")),
        (vec![&valid, &valid], Tone::Good, format!("All signatures (2) are valid by the rules {kz}.")),
        (
            vec![&valid, &trial],
            Tone::Good,
            "All signatures (2) are valid, each by its own rules. Not checked: whether the certificate was revoked.".to_owned(),
        ),
        (
            vec![&valid, &late],
            Tone::Waiting,
            format!(
                "Signature No. 2 of 2. The validity of the signature is not established: it is not known yet whether \
                 the certificate was revoked; check again later. The rules: {kz}."
            ),
        ),
        (
            vec![&late, &broken],
            Tone::Bad,
            format!(
                "Signature No. 2 of 2. The signature is not valid: another file was signed, or this one was changed \
                 afterwards. The rules: {kz}."
            ),
        ),
    ] {
        let signatures: Vec<_> = signatures.into_iter().cloned().collect();
        assert_eq!(text(&signatures), Some((tone, words)));
    }
}

#[test]
fn hostile_texts_are_shown_as_texts() {
    let hostile = HOSTILE.to_owned();
    let mut one = signature(Verdict::Invalid);
    for text in [
        &mut one.file,
        &mut one.signer,
        &mut one.company,
        &mut one.bin,
        &mut one.issuer,
        &mut one.policy,
        &mut one.reason,
    ] {
        text.clone_from(&hostile);
    }
    one.steps = steps();
    one.steps[0].reason.clone_from(&hostile);
    one.wanting = vec![Need {
        kind: hostile.clone(),
        subject: hostile.clone(),
    }];
    let Subject::Document(mut about) = document(Vec::new()) else {
        panic!("no document");
    };
    about.number.clone_from(&hostile);
    let page = Page {
        compared: vec![Compared {
            sha256: hostile.clone(),
            part: Part::NoHash,
        }],
        policy: hostile.clone(),
        ..page(Language::En, Subject::Document(about))
    };
    let checked = Outcome::Checked {
        sha256: hostile.clone(),
        basis: Basis::ChosenForOther(hostile),
        signatures: vec![one],
    };
    check_hostile(&render(&outcome(checked, page)));
}

#[test]
fn refusals_have_their_status() {
    for (refusal, status, wait) in [
        (Refusal::NoFile, 400, None),
        (Refusal::Unreadable, 400, None),
        (Refusal::NoSignature(FileKind::Pdf), 400, None),
        (Refusal::NoSignatures, 400, None),
        (Refusal::TooLarge, 413, None),
        (Refusal::TooMany(7), 429, Some("7")),
        (Refusal::Busy, 503, Some("60")),
    ] {
        let page = outcome(Outcome::Refused(refusal), page(Language::Ru, Subject::Any));
        let response = page.into_response();
        let headers = response.headers();
        let found = headers.get(header::RETRY_AFTER);
        let found = found.and_then(|value| value.to_str().ok());
        assert_eq!(
            (response.status().as_u16(), found),
            (status, wait),
            "{refusal:?}"
        );
        let policy = headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .expect("a policy");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let missing = page(Language::Ru, Subject::Missing).into_response();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}
