//! The labels in Russian, Kazakh and English.

/// The language of the labels. The document's own texts are not translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    Russian,
    Kazakh,
    English,
}

impl Language {
    /// All languages.
    pub const ALL: [Self; 3] = [Self::Russian, Self::Kazakh, Self::English];

    /// The BCP 47 tag, for PDF and HTTP.
    pub const fn tag(self) -> &'static str {
        self.pick("ru", "kk", "en")
    }

    /// "n из m".
    pub(crate) fn page_of(self, page: usize, pages: usize) -> String {
        match self {
            Self::Russian => format!("Страница {page} из {pages}"),
            Self::Kazakh => format!("{pages} беттің {page}-беті"),
            Self::English => format!("Page {page} of {pages}"),
        }
    }

    /// "№ 17 от 21.11.2026".
    pub(crate) fn numbered(self, number: &str, date: &str) -> String {
        match (number, self) {
            ("", _) => date.to_owned(),
            (_, Self::Russian) => format!("№ {number} от {date}"),
            (_, Self::Kazakh) => format!("№ {number}, {date}"),
            (_, Self::English) => format!("No. {number} of {date}"),
        }
    }

    const fn pick(
        self,
        russian: &'static str,
        kazakh: &'static str,
        english: &'static str,
    ) -> &'static str {
        match self {
            Self::Russian => russian,
            Self::Kazakh => kazakh,
            Self::English => english,
        }
    }
}

macro_rules! words {
    ($(#[$about:meta])* $seen:vis enum $kind:ident {
        $($(#[$note:meta])* $name:ident: $russian:literal, $kazakh:literal, $english:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $seen enum $kind { $($(#[$note])* $name),* }

        impl $kind {
            pub(crate) const fn word(self, language: Language) -> &'static str {
                match self {
                    $(Self::$name => language.pick($russian, $kazakh, $english)),*
                }
            }
        }

        #[cfg(test)]
        impl $kind {
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

words! {
    /// The kind of a document: `DocumentGroupType` of the integration API.
    #[derive(Default)]
    pub enum Group {
        Accounting: "Бухгалтерский", "Бухгалтерлік", "Accounting";
        Financial: "Финансовый", "Қаржылық", "Financial";
        Legal: "Юридический", "Заңдық", "Legal";
        Constitutive: "Учредительный", "Құрылтайлық", "Constitutive";
        Hr: "Кадровый", "Кадрлық", "Human resources";
        Paperwork: "Делопроизводство", "Іс жүргізу", "Paperwork";
        Purchase: "Закупочный", "Сатып алу", "Purchase";
        Warehouse: "Складской", "Қоймалық", "Warehouse";
        Organizational: "Организационный", "Ұйымдастырушылық", "Organizational";
        #[default]
        General: "Общий", "Жалпы", "General";
    }
}

words! {
    /// The status of a document as its viewer sees it: `ExternalNodeStatus` of the integration API.
    #[derive(Default)]
    pub enum Status {
        #[default]
        None: "Не определён", "Анықталмаған", "Undefined";
        Draft: "Черновик", "Жоба", "Draft";
        InProcess: "В работе", "Өңделуде", "In process";
        InProcessBySender: "В работе у отправителя", "Жіберушіде өңделуде", "In process by the sender";
        RejectedBySenderEmployee: "Отклонён сотрудником отправителя", "Жіберушінің қызметкері қабылдамады", "Rejected by the sender's employee";
        SentBySender: "Отправлен", "Жіберілді", "Sent";
        RecalledBySender: "Отозван отправителем", "Жіберуші кері қайтарып алды", "Recalled by the sender";
        InNew: "Получен, новый", "Алынды, жаңа", "Received, new";
        InProcessByRecipient: "В работе у получателя", "Алушыда өңделуде", "In process by the recipient";
        RejectedByRecipientEmployee: "Отклонён сотрудником получателя", "Алушының қызметкері қабылдамады", "Rejected by the recipient's employee";
        Finished: "Завершён", "Аяқталды", "Finished";
        RejectedByRecipient: "Отклонён получателем", "Алушы қабылдамады", "Rejected by the recipient";
        RejectedByCompany: "Отклонён одной из компаний", "Компаниялардың бірі қабылдамады", "Rejected by one of the companies";
        WaitingForSender: "Ожидает подписи отправителя", "Жіберушінің қолтаңбасын күтуде", "Waiting for the sender's signature";
        RejectedBySender: "Отклонён отправителем", "Жіберуші қабылдамады", "Rejected by the sender";
        RejectedByEmployee: "Отклонён сотрудником", "Қызметкер қабылдамады", "Rejected by an employee";
        FinishedByCompany: "Завершён компанией", "Компания аяқтады", "Finished by the company";
        FinishedEditable: "Завершён, допускает изменения", "Аяқталды, өзгертуге болады", "Finished, editable";
    }
}

words! {
    /// The action of a route's step: `RouteActionEnum` of the integration API.
    #[derive(Default)]
    pub enum Action {
        #[default]
        Sign: "Подписание", "Қол қою", "Sign";
        Approve: "Согласование", "Келісу", "Approve";
        Inform: "Ознакомление", "Танысу", "Take note";
        Reject: "Отклонение", "Қабылдамау", "Reject";
    }
}

words! {
    /// The progress of a route's step: `NodeActionStatus` of the integration API.
    #[derive(Default)]
    pub enum StepState {
        #[default]
        NotStarted: "Не начато", "Басталмаған", "Not started";
        Active: "Ожидается", "Күтілуде", "Pending";
        Completed: "Выполнено", "Орындалды", "Done";
        Failed: "Отклонено", "Қабылданбады", "Rejected";
    }
}

words! {
    /// The result of a signature's validation (EN 319 102-1).
    #[derive(Default)]
    pub enum Verdict {
        Passed: "ПОДПИСЬ ДЕЙСТВИТЕЛЬНА", "ҚОЛТАҢБА ЖАРАМДЫ", "SIGNATURE IS VALID";
        #[default]
        Indeterminate: "ДЕЙСТВИТЕЛЬНОСТЬ НЕ УСТАНОВЛЕНА", "ЖАРАМДЫЛЫҒЫ АНЫҚТАЛМАДЫ", "VALIDITY IS NOT ESTABLISHED";
        Failed: "ПОДПИСЬ НЕДЕЙСТВИТЕЛЬНА", "ҚОЛТАҢБА ЖАРАМСЫЗ", "SIGNATURE IS NOT VALID";
    }
}

impl Verdict {
    /// The code of EN 319 102-1.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Passed => "TOTAL-PASSED",
            Self::Indeterminate => "INDETERMINATE",
            Self::Failed => "TOTAL-FAILED",
        }
    }
}

words! {
    /// The labels of the form itself.
    pub(crate) enum Word {
        Title: "ПЕЧАТНАЯ ФОРМА ЭЛЕКТРОННОГО ДОКУМЕНТА", "ЭЛЕКТРОНДЫҚ ҚҰЖАТТЫҢ БАСПА НЫСАНЫ", "PRINT FORM OF AN ELECTRONIC DOCUMENT";
        Group: "Вид документа", "Құжат түрі", "Kind";
        Status: "Статус", "Мәртебесі", "Status";
        Created: "Создан в системе", "Жүйеде құрылған", "Created";
        Made: "Состояние на", "Жай-күй уақыты", "State as of";
        Id: "Идентификатор", "Сәйкестендіргіш", "Identifier";
        Parties: "Стороны", "Тараптар", "Parties";
        Role: "Роль", "Рөлі", "Role";
        Name: "Наименование", "Атауы", "Name";
        BinOrIin: "БИН / ИИН", "БСН / ЖСН", "BIN / IIN";
        Sender: "Отправитель", "Жіберуші", "Sender";
        Recipient: "Получатель", "Алушы", "Recipient";
        Route: "Маршрут", "Бағыт", "Route";
        RouteEmpty: "Маршрут не задан.", "Бағыт белгіленбеген.", "There is no route.";
        Order: "№", "№", "No.";
        Participant: "Участник", "Қатысушы", "Participant";
        Action: "Действие", "Әрекет", "Action";
        State: "Состояние", "Күйі", "State";
        When: "Когда", "Қашан", "When";
        Signatures: "Электронные подписи", "Электрондық қолтаңбалар", "Electronic signatures";
        SignaturesEmpty: "Подписей нет.", "Қолтаңба жоқ.", "There are no signatures.";
        Signed: "ДОКУМЕНТ ПОДПИСАН ЭЛЕКТРОННОЙ ПОДПИСЬЮ", "ҚҰЖАТҚА ЭЛЕКТРОНДЫҚ ҚОЛТАҢБА ҚОЙЫЛҒАН", "SIGNED WITH AN ELECTRONIC SIGNATURE";
        Signature: "ЭЛЕКТРОННАЯ ПОДПИСЬ", "ЭЛЕКТРОНДЫҚ ҚОЛТАҢБА", "ELECTRONIC SIGNATURE";
        Signer: "Владелец", "Иесі", "Signer";
        Iin: "ИИН", "ЖСН", "IIN";
        Organisation: "Организация", "Ұйым", "Organisation";
        Bin: "БИН", "БСН", "BIN";
        SignerRole: "Полномочия", "Өкілеттігі", "Role";
        SignedAt: "Подписано", "Қол қойылған", "Signed";
        Certificate: "Сертификат", "Сертификат", "Certificate";
        Issuer: "Издатель", "Беруші", "Issuer";
        Validity: "Срок действия", "Мерзімі", "Validity";
        Algorithm: "Алгоритм", "Алгоритм", "Algorithm";
        TimeStamp: "Метка времени", "Уақыт белгісі", "Time-stamp";
        Verdict: "Проверка", "Тексеру", "Validation";
        NotChecked: "Не проверено", "Тексерілмеген", "Not checked";
        Identity: "БИН и ИИН подписавшего", "қол қоюшының БСН мен ЖСН", "the signer's BIN and IIN";
        Revocation: "отзыв сертификата", "сертификаттың кері қайтарылуы", "revocation of the certificate";
        Files: "Файлы документа", "Құжат файлдары", "Files";
        FilesEmpty: "Файлов нет.", "Файл жоқ.", "There are no files.";
        FileName: "Имя файла", "Файл атауы", "File name";
        Size: "Размер, байт", "Көлемі, байт", "Size, bytes";
        Check: "Проверка подлинности", "Түпнұсқалығын тексеру", "Check of authenticity";
        CheckText: "Отсканируйте код в начале формы или откройте страницу:", "Нысан басындағы кодты сканерлеңіз немесе бетті ашыңыз:", "Scan the code at the beginning of the form or open the page:";
        CheckCaption: "Проверка документа", "Құжатты тексеру", "Check the document";
        More: "Не показано строк:", "Көрсетілмеген жолдар:", "Rows left out:";
        Text: "Текст файла", "Файл мәтіні", "Text of the file";
        TextCut: "Текст сокращён. Не напечатано знаков:", "Мәтін қысқартылды. Басылмаған таңбалар:", "The text is cut. Characters left out:";
        TextEmpty: "Файл пуст.", "Файл бос.", "The file is empty.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_said(words: [&str; 3]) {
        for word in words {
            assert!(!word.trim().is_empty());
        }
        assert!(
            !words[2]
                .chars()
                .any(|c| ('\u{400}'..'\u{530}').contains(&c))
        );
    }

    #[test]
    fn every_label_exists_in_every_language() {
        let each = |word: fn(usize, Language) -> &'static str, count: usize| {
            for at in 0..count {
                assert_said(Language::ALL.map(|language| word(at, language)));
            }
        };
        each(|at, language| Word::ALL[at].word(language), Word::ALL.len());
        each(
            |at, language| Status::ALL[at].word(language),
            Status::ALL.len(),
        );
        each(
            |at, language| Group::ALL[at].word(language),
            Group::ALL.len(),
        );
        each(
            |at, language| Action::ALL[at].word(language),
            Action::ALL.len(),
        );
        each(
            |at, language| StepState::ALL[at].word(language),
            StepState::ALL.len(),
        );
        each(
            |at, language| Verdict::ALL[at].word(language),
            Verdict::ALL.len(),
        );
    }

    #[test]
    fn a_page_number_has_the_total() {
        assert_eq!(Language::Russian.page_of(2, 3), "Страница 2 из 3");
        assert_eq!(Language::Kazakh.page_of(2, 3), "3 беттің 2-беті");
        assert_eq!(Language::English.page_of(2, 3), "Page 2 of 3");
    }
}
