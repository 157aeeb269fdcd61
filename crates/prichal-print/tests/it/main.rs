//! The text and the layout of print forms, read back from the PDF.

mod reader;

use prichal_print::{
    Action, Document, Group, Language, MAX_TEXT_PAGES, OriginalFile, Party, PrintError, PrintForm,
    Signature, Status, Step, StepState, Verdict, print_form,
};
use proptest::prelude::*;
use reader::{Sheet, read};

const URL: &str = "https://hub.example.kz/check/0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7";
const AT: i64 = 1_795_251_909;

fn form(language: Language) -> PrintForm<'static> {
    PrintForm {
        language,
        utc_offset: 300,
        made: AT,
        check_url: URL,
        notice: "Равнозначен документу на бумажном носителе.",
        document: Document {
            id: "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7",
            name: "Акт № 5 — Көрсетілген қызметтер",
            number: "АВР-17",
            date: AT,
            group: Group::Accounting,
            status: Status::Finished,
            created: AT,
        },
        sender: party("«Өрлеу» ЖШС"),
        recipients: vec![party("ТОО «Ёлка»")],
        route: vec![step("Әбдірахманова Г. С.")],
        signatures: vec![signature("ҰЛЫҚБЕК ҒАЛЫМ ҺӘМИДҰЛЫ")],
        files: vec![file("Акт.txt", Some("Мәтін\n\n  1 200 ₸"))],
    }
}

fn party(name: &str) -> Party<'_> {
    Party {
        name,
        bin: "990140000385",
    }
}

fn step(participant: &str) -> Step<'_> {
    Step {
        order: 1,
        participant,
        detail: participant,
        action: Action::Approve,
        state: StepState::Completed,
        completed: Some(AT),
        comment: participant,
    }
}

fn signature(text: &str) -> Signature<'_> {
    Signature {
        signer: text,
        iin: text,
        organisation: text,
        bin: text,
        role: text,
        serial: text,
        issuer: text,
        valid_from: Some(AT),
        valid_until: Some(AT),
        algorithm: text,
        signed: Some(AT),
        time_stamped: Some(AT),
        verdict: Verdict::Passed,
        sub_indication: "",
        identity_unchecked: false,
        revocation_unchecked: false,
    }
}

fn file<'a>(name: &'a str, text: Option<&'a str>) -> OriginalFile<'a> {
    OriginalFile {
        name,
        size: 1_234_567,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        text,
    }
}

/// A form with this text in every string.
fn filled(text: &str) -> PrintForm<'_> {
    PrintForm {
        notice: text,
        document: Document {
            id: text,
            name: text,
            number: text,
            ..Document::default()
        },
        sender: Party {
            name: text,
            bin: text,
        },
        recipients: vec![party(text); 2],
        route: vec![step(text); 2],
        signatures: vec![signature(text); 2],
        files: vec![OriginalFile {
            name: text,
            size: u64::MAX,
            sha256: text,
            text: Some(text),
        }],
        ..form(Language::Russian)
    }
}

/// The sheets of a form, after asserting that their layout is tidy.
fn printed(form: &PrintForm<'_>) -> Vec<Sheet> {
    let sheets = read(&print_form(form).expect("a form"));
    for sheet in &sheets {
        sheet.assert_tidy();
    }
    sheets
}

fn said(sheets: &[Sheet]) -> String {
    sheets.iter().map(Sheet::text).collect()
}

#[test]
fn equal_input_gives_equal_bytes() {
    for language in Language::ALL {
        assert_eq!(print_form(&form(language)), print_form(&form(language)));
    }
    let later = PrintForm {
        made: AT + 1,
        ..form(Language::Russian)
    };
    assert_ne!(print_form(&later), print_form(&form(Language::Russian)));
}

#[test]
fn every_language_has_all_parts() {
    for (language, words) in [
        (
            Language::Russian,
            ["Завершён", "ПОДПИСЬ ДЕЙСТВИТЕЛЬНА", "Страница 2 из 2"],
        ),
        (
            Language::Kazakh,
            ["Аяқталды", "ҚОЛТАҢБА ЖАРАМДЫ", "2 беттің 2-беті"],
        ),
        (
            Language::English,
            ["Finished", "SIGNATURE IS VALID", "Page 2 of 2"],
        ),
    ] {
        let sheets = printed(&form(language));
        assert_eq!(sheets.len(), 2);
        let text = said(&sheets);
        let data = [
            "Акт № 5 — Көрсетілген қызметтер",
            "«Өрлеу» ЖШС",
            "ҰЛЫҚБЕК ҒАЛЫМ ҺӘМИДҰЛЫ",
            "Әбдірахманова Г. С.",
            "21.11.2026 14:05:09 UTC+5",
            "1 234 567",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "TOTAL-PASSED",
            URL,
            "1 200 ₸",
        ];
        for word in words.iter().chain(&data) {
            assert!(text.contains(word), "{word} in {text}");
        }
    }
}

#[test]
fn every_verdict_has_its_stamp() {
    let verdicts = [
        (Verdict::Passed, "", "TOTAL-PASSED"),
        (
            Verdict::Indeterminate,
            "TRY_LATER",
            "INDETERMINATE / TRY_LATER",
        ),
        (Verdict::Failed, "REVOKED", "TOTAL-FAILED / REVOKED"),
    ];
    for (language, (verdict, sub_indication, code)) in Language::ALL
        .into_iter()
        .flat_map(|language| verdicts.map(|verdict| (language, verdict)))
    {
        let mut form = form(language);
        form.signatures[0].verdict = verdict;
        form.signatures[0].sub_indication = sub_indication;
        assert!(said(&printed(&form)).contains(code));
    }
}

#[test]
fn a_heading_is_never_alone() {
    let long = "Участник ".repeat(400);
    for parties in 0..40 {
        let mut form = form(Language::Russian);
        form.recipients = vec![party("Получатель"); parties];
        form.route = vec![step(&long)];
        let sheets = printed(&form);
        let texts: Vec<String> = sheets.iter().map(Sheet::text).collect();
        let route = texts
            .iter()
            .find(|text| text.contains("Маршрут\n"))
            .expect("a route");
        assert!(route.contains("Согласование"));
        let stamps = texts
            .iter()
            .find(|text| text.contains("Электронные подписи\n"));
        assert!(stamps.expect("stamps").contains("ДОКУМЕНТ ПОДПИСАН"));
    }
}

#[test]
fn only_web_addresses_are_linked() {
    let links = |check_url| {
        let form = PrintForm {
            check_url,
            ..PrintForm::default()
        };
        reader::links(&print_form(&form).expect("a form"))
    };
    assert_eq!(links(URL), [URL]);
    for other in [
        "",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://x/\n",
    ] {
        assert_eq!(links(other), [""; 0], "{other}");
    }
}

#[test]
fn an_empty_form_is_one_sheet() {
    let sheets = printed(&PrintForm::default());
    assert_eq!(sheets.len(), 1);
    let text = said(&sheets);
    for word in ["Маршрут не задан.", "Подписей нет.", "Файлов нет."]
    {
        assert!(text.contains(word));
    }
}

#[test]
fn long_lists_go_over_sheets() {
    let long = PrintForm {
        route: vec![step("Участник"); 1_000],
        signatures: vec![signature("Подписавший"); 1_000],
        ..form(Language::Russian)
    };
    let sheets = printed(&long);
    assert!((180..260).contains(&sheets.len()), "{}", sheets.len());
    let text = said(&sheets);
    assert_eq!(text.matches("Согласование").count(), 1_000);
    assert_eq!(text.matches("ДОКУМЕНТ ПОДПИСАН").count(), 1_000);
    // The table has a head on every sheet of the route.
    assert!(text.matches("Участник").count() > 3_000 + 40);
}

#[test]
fn very_long_lists_are_cut() {
    let endless = PrintForm {
        recipients: vec![party("Получатель"); 2_001],
        route: vec![step("x"); 2_007],
        files: vec![file("y", None); 2_003],
        ..form(Language::Russian)
    };
    let text = said(&printed(&endless));
    for left in ["строк: 1", "строк: 7", "строк: 3"] {
        assert!(text.contains(left), "{left}");
    }
}

#[test]
fn texts_end_after_200_sheets() {
    let text = "строка текста\n".repeat(20_000);
    let mut form = form(Language::Russian);
    form.files = vec![file("a.txt", Some(&text)), file("b.txt", Some("ещё"))];
    let sheets = printed(&form);
    assert_eq!(sheets.len(), MAX_TEXT_PAGES + 1);
    let shown = said(&sheets).matches("строка текста").count();
    let left = (20_000 - shown) * "строка текста\n".chars().count() + 3;
    // The end of the last line is not counted.
    let note = format!("Не напечатано знаков: {}", left - 1);
    assert!(
        sheets.last().expect("a sheet").text().contains(&note),
        "{note}"
    );
}

#[test]
fn a_very_long_line_is_cut() {
    let text = "Ю".repeat(3_000_000);
    let mut form = form(Language::English);
    form.files = vec![file("a.txt", Some(&text))];
    let sheets = printed(&form);
    assert_eq!(sheets.len(), MAX_TEXT_PAGES + 1);
    let text = said(&sheets);
    let (_, left) = text.rsplit_once("left out: ").expect("a note");
    let left: usize = left
        .split_whitespace()
        .next()
        .expect("a number")
        .parse()
        .expect("it");
    assert_eq!(left + text.matches('Ю').count(), 3_000_000);
}

#[test]
fn hostile_strings_are_printed() {
    let long = "Щ".repeat(10_000);
    let words = "Щука ".repeat(2_000);
    for text in [
        long.as_str(),
        words.as_str(),
        "\0\u{1}\u{7F}\u{85}\r\n\t\u{202E}\u{2066}\u{FFFF}\u{10FFFF}",
        "שלום مرحبا 华为技术 🙂👩‍👩‍👧 e\u{301}\u{301}\u{301}",
        "\u{301}",
        "))(( \\ <</Type>> endstream endobj %%EOF",
        " ",
    ] {
        printed(&filled(text));
    }
}

#[test]
fn missing_glyphs_can_be_copied() {
    let text = said(&printed(&filled("华为")));
    assert!(text.contains("华为"));
}

#[test]
fn a_long_address_is_an_error() {
    let url = "x".repeat(513);
    let long = PrintForm {
        check_url: &url,
        ..PrintForm::default()
    };
    assert_eq!(print_form(&long), Err(PrintError::Address(513)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_string_is_printed(
        text in any::<String>(),
        url in "\\PC{0,60}",
        at in any::<i64>(),
        rows in 0..30_usize,
        stamps in 0..30_usize,
    ) {
        let mut form = filled(&text);
        form.route = vec![step(&text); rows];
        form.signatures = vec![signature(&text); stamps];
        form.check_url = &url;
        form.made = at;
        form.document.date = at;
        let sheets = printed(&form);
        prop_assert!(sheets.len() >= 2);
    }

    #[test]
    fn any_text_is_printed(text in "(\\PC|[ \t\r\n]){0,2000}", offset in any::<i16>()) {
        let mut form = form(Language::Kazakh);
        form.utc_offset = offset;
        form.files = vec![file("a.txt", Some(&text))];
        printed(&form);
    }
}
