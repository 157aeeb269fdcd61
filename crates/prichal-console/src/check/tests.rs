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
        signer: "ИВАНОВ ИВАН".to_owned(),
        company: "ТОО «Рога и копыта»".to_owned(),
        bin: "971240001315".to_owned(),
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
        reason: "the reason".to_owned(),
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
        trial.policy = "test".to_owned();
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
        broken.accepted_at = None;
        broken.claimed_at = broken.checked_at;
        broken.file = "signatures/1-971240001315.cms".to_owned();
        broken.steps = steps();
        broken.wanting = vec!["the revocation list for CN=Issuer".to_owned()];
        let unread = Signature {
            signer: String::new(),
            issuer: String::new(),
            reason: "format: the bytes are no SignedData".to_owned(),
            ..signature(Verdict::Invalid)
        };
        let signatures = vec![broken, unread];
        let sha256 = "e".repeat(64);
        outcome(
            Outcome::Checked { sha256, signatures },
            page(language, Subject::Any),
        )
    });
    snapshot("check-refused", |language| {
        let refused = Outcome::Refused(Refusal::TooMany(60));
        outcome(refused, page(language, Subject::Any))
    });
}

#[test]
fn every_step_has_its_name() {
    for language in Language::ALL {
        let names = words::Steps::of(language);
        let all: std::collections::HashSet<_> = (1..=21).map(|n| step_name(n, names)).collect();
        assert!(all.len() == 21 && !all.contains(""), "{all:?}");
        assert_eq!((step_name(0, names), step_name(22, names)), ("", ""));
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
    one.wanting = vec![hostile.clone()];
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
        sha256: hostile,
        signatures: vec![one],
    };
    check_hostile(&render(&outcome(checked, page)));
}

#[test]
fn refusals_have_their_status() {
    for (refusal, status, wait) in [
        (Refusal::NoFile, 400, None),
        (Refusal::Unreadable, 400, None),
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
