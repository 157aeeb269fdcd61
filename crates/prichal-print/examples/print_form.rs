//! Writes a sample print form to the path given as the argument, and prints the time that one form takes.

use prichal_print::{
    Action, Document, Group, Language, OriginalFile, Party, PrintForm, Signature, Status, Step,
    StepState, Verdict, print_form,
};
use std::time::{Duration, Instant};

const RUNS: usize = 50;
const NOW: i64 = 1_795_251_909;
const TEXT: &str = "АКТ ВЫПОЛНЕННЫХ РАБОТ\n\nКөрсетілген қызметтер бойынша тараптардың бір-біріне \
    талабы жоқ. Работы выполнены в полном объёме и в срок, стороны претензий не имеют.\n\n\
    Наименование                Кол-во      Цена, ₸       Сумма, ₸\n\
    Разработка модуля                1      1 200 000      1 200 000\n\
    Сопровождение, месяцев          12         90 000      1 080 000\n\
    Итого                                                  2 280 000\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("the path of the PDF");
    let language = match arguments.next().as_deref() {
        Some("kk") => Language::Kazakh,
        Some("en") => Language::English,
        _ => Language::Russian,
    };
    let form = sample(language);
    let pdf = print_form(&form).expect("a form");
    std::fs::write(&path, &pdf).expect("the file");
    let (bytes, median) = (pdf.len(), median(&form));
    let mut out = std::io::stdout();
    std::io::Write::write_fmt(
        &mut out,
        format_args!("{path}: {bytes} bytes, one form takes {median:?}\n"),
    )
    .expect("the output");
}

fn median(form: &PrintForm<'_>) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            print_form(form).expect("a form");
            start.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

fn sample(language: Language) -> PrintForm<'static> {
    PrintForm {
        language,
        utc_offset: 300,
        made: NOW,
        check_url: "https://hub.example.kz/check/0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7",
        notice: "Данный документ согласно пункту 1 статьи 7 Закона Республики Казахстан от 7 января \
            2003 года № 370-II «Об электронном документе и электронной цифровой подписи» \
            равнозначен документу на бумажном носителе.",
        document: Document {
            id: "0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7",
            name: "Акт выполненных работ по договору оказания услуг № 45/2026",
            number: "АВР-000117",
            date: NOW - 3 * 86_400,
            group: Group::Accounting,
            status: Status::Finished,
            created: NOW - 2 * 86_400,
        },
        sender: Party {
            name: "ТОО «Өрлеу Цифрлық Шешімдер»",
            bin: "990140000385",
        },
        recipients: vec![Party {
            name: "АО «Қазақстан темір жолы — Грузовые перевозки»",
            bin: "020540003431",
        }],
        route: route(),
        signatures: vec![
            head(),
            Signature {
                verdict: Verdict::Indeterminate,
                sub_indication: "TRY_LATER",
                time_stamped: None,
                ..head()
            },
            Signature {
                verdict: Verdict::Failed,
                sub_indication: "REVOKED",
                organisation: "АО «Қазақстан темір жолы — Грузовые перевозки»",
                bin: "020540003431",
                ..head()
            },
        ],
        files: files(),
    }
}

fn route() -> Vec<Step<'static>> {
    vec![
        Step {
            order: 1,
            participant: "Әбдірахманова Гүлнұр Серікқызы",
            detail: "Главный бухгалтер",
            action: Action::Approve,
            state: StepState::Completed,
            completed: Some(NOW - 86_400),
            comment: "",
        },
        Step {
            order: 2,
            participant: "ТОО «Өрлеу Цифрлық Шешімдер»",
            detail: "БИН 990140000385",
            action: Action::Sign,
            state: StepState::Completed,
            completed: Some(NOW - 80_000),
            comment: "",
        },
        Step {
            order: 3,
            participant: "АО «Қазақстан темір жолы — Грузовые перевозки»",
            detail: "БИН 020540003431",
            action: Action::Sign,
            state: StepState::Active,
            completed: None,
            comment: "",
        },
    ]
}

fn head() -> Signature<'static> {
    Signature {
        signer: "ӘБДІРАХМАНОВ ҚАЙРАТ НҰРЛАНҰЛЫ",
        iin: "800101300026",
        organisation: "ТОВАРИЩЕСТВО С ОГРАНИЧЕННОЙ ОТВЕТСТВЕННОСТЬЮ «ӨРЛЕУ ЦИФРЛЫҚ ШЕШІМДЕР»",
        bin: "990140000385",
        role: "Первый руководитель",
        serial: "3A7F19C0D2E84B5566778899AABBCCDDEEFF0011",
        issuer: "ҰЛТТЫҚ КУӘЛАНДЫРУШЫ ОРТАЛЫҚ (GOST) 2022",
        valid_from: Some(NOW - 200 * 86_400),
        valid_until: Some(NOW + 165 * 86_400),
        algorithm: "ГОСТ 34.10-2015, 512 бит",
        signed: Some(NOW - 80_000),
        time_stamped: Some(NOW - 79_998),
        verdict: Verdict::Passed,
        sub_indication: "",
        identity_unchecked: false,
        revocation_unchecked: false,
    }
}

fn files() -> Vec<OriginalFile<'static>> {
    vec![
        OriginalFile {
            name: "Акт АВР-000117.txt",
            size: 1_024,
            sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            text: Some(TEXT),
        },
        OriginalFile {
            name: "Приложение № 1 (спецификация).pdf",
            size: 2_485_760,
            sha256: "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
            text: None,
        },
    ]
}
