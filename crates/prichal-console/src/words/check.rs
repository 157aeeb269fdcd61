//! The words of the public page on which documents and signatures are checked.

use super::words;

words! {
    /// The words of the page.
    Check {
        title: "Проверка электронного документа", "Электрондық құжатты тексеру", "Check of an electronic document";
        about: "Здесь проверяют документ, подписанный в этой системе, или любую подпись в формате CMS. Файл остаётся у вас, пока вы сами не попросите сервер его проверить.", "Мұнда осы жүйеде қол қойылған құжат немесе CMS пішіміндегі кез келген қолтаңба тексеріледі. Серверден тексеруді өзіңіз сұрамайынша, файл өзіңізде қалады.", "Here you check a document that was signed in this system, or any signature in the CMS format. The file stays with you until you yourself ask the server to check it.";
        missing: "Такого документа здесь нет", "Мұнда ондай құжат жоқ", "There is no such document here";
        missing_text: "Проверьте адрес. Черновики не показываются, пока их не отправили.", "Мекенжайды тексеріңіз. Жобалар жіберілгенше көрсетілмейді.", "Check the address. Drafts are not shown before they are sent.";
        number: "Номер", "Нөмірі", "Number";
        date: "Дата", "Күні", "Date";
        state: "Состояние", "Жағдайы", "State";
        finished: "завершён", "аяқталды", "finished";
        ended: "отклонён или отозван, силы не имеет", "қабылданбады немесе кері қайтарылды, күші жоқ", "refused or taken back, without force";
        unfinished: "ещё не завершён", "әлі аяқталған жоқ", "not finished yet";
        signatures: "Подписи", "Қолтаңбалар", "Signatures";
        unsigned: "Документ ещё никем не подписан.", "Құжатқа әлі ешкім қол қойған жоқ.", "Nobody has signed the document yet.";
        valid: "Подпись действительна", "Қолтаңба жарамды", "The signature is valid";
        invalid: "Подпись недействительна", "Қолтаңба жарамсыз", "The signature is not valid";
        undecided: "Действительность подписи ещё не установлена", "Қолтаңбаның жарамдылығы әлі анықталмаған", "The validity of the signature is not established yet";
        is_valid: "Подпись действительна по правилам «{}».", "Қолтаңба «{}» ережелері бойынша жарамды.", "The signature is valid by the rules “{}”.";
        is_undecided: "Действительность подписи не установлена: {}. Правила: «{}».", "Қолтаңбаның жарамдылығы анықталмаған: {}. Ережелер: «{}».", "The validity of the signature is not established: {}. The rules: “{}”.";
        is_invalid: "Подпись недействительна: {}. Правила: «{}».", "Қолтаңба жарамсыз: {}. Ережелер: «{}».", "The signature is not valid: {}. The rules: “{}”.";
        no_reason: "причина в шагах проверки", "себебі тексеру қадамдарында", "the steps of the check tell why";
        one_of: "Подпись № {} из {}.", "{}-қолтаңба, барлығы {}.", "Signature No. {} of {}.";
        all_valid: "Все подписи ({}) действительны по правилам «{}».", "Барлық қолтаңба ({}) «{}» ережелері бойынша жарамды.", "All signatures ({}) are valid by the rules “{}”.";
        all_valid_by_own: "Все подписи ({}) действительны, каждая по своим правилам.", "Барлық қолтаңба ({}) жарамды, әрқайсысы өз ережелері бойынша.", "All signatures ({}) are valid, each by its own rules.";
        no_signature: "Не подпись", "Қолтаңба емес", "Not a signature";
        not_signature: "Это не подпись, а {}.", "Бұл қолтаңба емес, {}.", "This is not a signature, but {}.";
        kind_text: "текст", "мәтін", "a text";
        kind_pdf: "документ PDF", "PDF құжаты", "a PDF document";
        kind_office: "документ Word, Excel или похожей программы", "Word, Excel немесе ұқсас бағдарламаның құжаты", "a document of Word, Excel or the like";
        kind_zip: "архив zip", "zip мұрағаты", "a zip";
        kind_image: "изображение", "сурет", "an image";
        kind_xml: "файл XML", "XML файлы", "an XML file";
        kind_certificate: "сертификат", "сертификат", "a certificate";
        kind_key: "закрытый ключ или его хранилище", "жабық кілт немесе оның қоймасы", "a private key or a container of one";
        kind_content: "подписанный файл: подпись оказалась в другом поле", "қол қойылған файл: қолтаңба басқа өріске түскен", "the signed file: the signature is in the other field";
        kind_other: "файл другого вида", "басқа түрдегі файл", "a file of another kind";
        no_pdf_signatures: "Подписи внутри PDF здесь не проверяются.", "PDF ішіндегі қолтаңбалар мұнда тексерілмейді.", "Signatures inside of a PDF are not checked here.";
        keep_key: "Никому его не отправляйте. Здесь он не сохранён.", "Оны ешкімге жібермеңіз. Ол мұнда сақталған жоқ.", "Send it to nobody. It is not stored here.";
        what_to_drop: "Выберите подпись (.cms, .p7s, .sig) и, если его нет внутри, подписанный файл; или весь архив документа (.zip).", "Қолтаңбаны (.cms, .p7s, .sig) және, егер оның ішінде болмаса, қол қойылған файлды таңдаңыз; немесе құжаттың бүкіл мұрағатын (.zip).", "Choose a signature (.cms, .p7s, .sig), and the signed file if it is not inside; or the whole archive of a document (.zip).";
        signer: "Подписал", "Қол қойған", "Signer";
        unknown_signer: "не указан", "көрсетілмеген", "not named";
        company: "Компания, БИН", "Компания, БСН", "Company, BIN";
        issuer: "Издатель сертификата", "Сертификатты шығарушы", "Issuer of the certificate";
        unknown_issuer: "не установлен", "анықталмаған", "not established";
        accepted_at: "Принята этим сервером", "Осы сервер қабылдаған уақыт", "Accepted by this server";
        claimed_at: "Время, названное подписавшим", "Қол қоюшы көрсеткен уақыт", "Time that the signer claims";
        stamped_at: "Метка времени", "Уақыт белгісі", "Time-stamp";
        checked_at: "Проверена", "Тексерілген уақыт", "Checked";
        policy: "Правила проверки", "Тексеру ережелері", "Rules of the check";
        policy_kz: "Казахстан: НУЦ РК", "Қазақстан: ҚР ҰКО", "Kazakhstan: NCA RK";
        policy_ru: "Россия", "Ресей", "Russia";
        policy_eu: "Европа: EN 319 102-1", "Еуропа: EN 319 102-1", "Europe: EN 319 102-1";
        policy_test: "пробные: без отзыва, полномочий и личности", "сынақ: кері қайтару, өкілеттік және тұлға тексерілмейді", "trial: without revocation, authority and identity";
        no_identity: "Не проверено: принадлежит ли подпись этой компании и этому сотруднику (БИН, ИИН)", "Тексерілмеген: қолтаңба осы компания мен қызметкердікі ме (БСН, ЖСН)", "Not checked: whether the signature is this company's and this employee's (BIN, IIN)";
        no_revocation: "Не проверено: не отозван ли сертификат", "Тексерілмеген: сертификат кері қайтарып алынған ба", "Not checked: whether the certificate was revoked";
        steps: "Шаги проверки: {}", "Тексеру қадамдары: {}", "Steps of the check: {}";
        passed: "пройден", "өтті", "passed";
        warned: "с замечанием", "ескертумен", "with a warning";
        failed: "не пройден", "өтпеді", "failed";
        skipped: "не применим", "қолданылмайды", "not applicable";
        compare: "Сравнить ваш файл", "Файлыңызды салыстыру", "Compare your file";
        compare_how: "Отправляется только SHA-256 файла: 64 знака, по которым содержание не восстановить.", "Тек файлдың SHA-256 мәні жіберіледі: мазмұнын қалпына келтіруге болмайтын 64 таңба.", "Only the file's SHA-256 is sent: 64 digits from which its contents cannot be restored.";
        drop: "Перетащите сюда документ, подпись (.cms) или архив, или выберите файл", "Құжатты, қолтаңбаны (.cms) немесе мұрағатты осында сүйреңіз немесе файлды таңдаңыз", "Drop a document, a signature (.cms) or an archive here, or choose a file";
        without_script: "Без JavaScript посчитайте SHA-256 сами и вставьте строку результата; в папке архива:", "JavaScript болмаса, SHA-256 мәнін өзіңіз есептеп, нәтиже жолын қойыңыз; мұрағат қалтасында:", "Without JavaScript compute the SHA-256 yourself, and paste a line of the result; in the folder of the archive:";
        hash: "SHA-256 файла", "Файлдың SHA-256 мәні", "SHA-256 of the file";
        document: "Документ: адрес из QR-кода печатной формы", "Құжат: баспа нысанындағы QR-код мекенжайы", "Document: the address in the QR code of the print form";
        compare_button: "Сравнить", "Салыстыру", "Compare";
        is_original: "Оригинал № {} этого документа", "Осы құжаттың № {} түпнұсқасы", "Original No. {} of this document";
        is_content: "Подписанное содержимое этого документа: zip с оригиналами", "Осы құжаттың қол қойылған мазмұны: түпнұсқалары бар zip", "The signed content of this document: the zip of its originals";
        is_signature: "Подпись № {} в том виде, в котором её приняли", "№ {} қолтаңба, қабылданған күйінде", "Signature No. {} as it was submitted";
        is_nothing: "Среди оригиналов и подписей этого документа такого файла нет", "Осы құжаттың түпнұсқалары мен қолтаңбаларының арасында мұндай файл жоқ", "No original and no signature of this document is this file";
        nothing_text: "Печатная форма, архив целиком и подпись, дополненная доказательствами, здесь не сравниваются: проверьте их на сервере или другой программой.", "Баспа нысаны, тұтас мұрағат және дәлелдермен толықтырылған қолтаңба мұнда салыстырылмайды: оларды серверде немесе басқа бағдарламамен тексеріңіз.", "Print forms, whole archives, and signatures extended with evidence are not compared here: check them on the server or with another program.";
        bad_hash: "SHA-256 — это 64 цифры и буквы a–f", "SHA-256 — бұл 64 цифр және a–f әріптері", "A SHA-256 is 64 digits and letters a–f";
        hashing: "Считаем SHA-256 на этом компьютере…", "SHA-256 осы компьютерде есептелуде…", "Computing the SHA-256 on this computer…";
        too_large_here: "Файл велик для браузера. Посчитайте SHA-256 командой.", "Файл браузер үшін тым үлкен. SHA-256 мәнін пәрменмен есептеңіз.", "The file is too large for the browser. Compute its SHA-256 with the command.";
        insecure: "Браузер считает хеши только по https. Посчитайте SHA-256 командой.", "Браузер хештерді тек https арқылы есептейді. SHA-256 мәнін пәрменмен есептеңіз.", "Browsers hash over https only. Compute the SHA-256 with the command.";
        name_document: "Теперь назовите документ, с которым сравнить.", "Енді салыстыратын құжатты көрсетіңіз.", "Now name the document to compare with.";
        offline: "Сервер не ответил. Попробуйте ещё раз.", "Сервер жауап бермеді. Қайталап көріңіз.", "The server did not answer. Try again.";
        upload: "Проверить на сервере", "Серверде тексеру", "Check on the server";
        upload_how: "Файл будет отправлен этому серверу, проверен и не сохранён; не больше {} МиБ. Так проверяются и подписи ГОСТ, хеши которых браузер не считает.", "Файл осы серверге жіберіледі, тексеріледі және сақталмайды; {} МиБ-тан аспайды. Хэштерін браузер есептемейтін МЕМСТ қолтаңбалары да осылай тексеріледі.", "The file is sent to this server, checked, and not stored; at most {} MiB. GOST signatures, whose hashes browsers do not compute, are checked in this way, too.";
        upload_file: "Подпись (.cms, .p7s) или архив документа", "Қолтаңба (.cms, .p7s) немесе құжаттың мұрағаты", "A signature (.cms, .p7s), or a document's archive";
        upload_content: "Подписанный файл, если его нет внутри подписи", "Қол қойылған файл, егер ол қолтаңбаның ішінде болмаса", "The signed file, if it is not inside of the signature";
        upload_default: "Архив документа с этого сервера проверяется по правилам его отправителя, остальное — по этим:", "Осы сервердегі құжаттың мұрағаты оны жіберушінің ережелерімен тексеріледі, қалғандары — мыналармен:", "The archive of a document of this server is checked by the rules of its sender, anything else by these:";
        upload_rules: "Правила — те, что у отправителя этого документа.", "Ережелер — осы құжатты жіберушінікі.", "The rules are those of this document's sender.";
        by_chosen: "Проверено по правилам, выбранным на этой странице: {}.", "Осы бетте таңдалған ережелермен тексерілді: {}.", "Checked by the rules that were chosen on this page: {}.";
        by_sender: "Проверено по правилам отправителя этого документа ({}) и по центрам, которым он доверяет.", "Осы құжатты жіберушінің ережелерімен ({}) және ол сенетін орталықтармен тексерілді.", "Checked by the rules of this document's sender ({}) and the authorities that the sender trusts.";
        other_content: "Это не подпись этого документа: подписано другое содержимое.", "Бұл осы құжаттың қолтаңбасы емес: басқа мазмұнға қол қойылған.", "This is no signature of this document: other content is signed.";
        other_archive: "Архив называет документ этого сервера, но подписано в нём другое содержимое. Правила отправителя документа поэтому не применялись.", "Мұрағат осы сервердің құжатын атайды, бірақ онда басқа мазмұнға қол қойылған. Сондықтан құжатты жіберушінің ережелері қолданылмады.", "The archive names a document of this server, but other content is signed in it. So the rules of the document's sender were not applied.";
        to_document: "Страница документа", "Құжаттың беті", "The page of the document";
        report: "Что проверил сервер", "Сервер нені тексерді", "What the server has checked";
        report_text: "Владелец сертификата ни с кем не сравнивался: решите сами, тот ли это человек и та ли компания.", "Сертификат иесі ешкіммен салыстырылған жоқ: бұл сол адам және сол компания ма, өзіңіз шешіңіз.", "The holder of the certificate was compared with nobody: decide yourself whether it is that person and that company.";
        file: "Файл", "Файл", "File";
        wanting: "Чтобы решить, не хватает:", "Шешу үшін жетіспейді:", "To decide, this is missing:";
        no_file: "Файл не выбран", "Файл таңдалмаған", "No file was chosen";
        too_large: "Файл больше, чем можно проверить", "Файл тексеруге болатын шектен үлкен", "The file is larger than what can be checked";
        unreadable: "Файл не читается", "Файл оқылмайды", "The file cannot be read";
        no_signatures: "В архиве нет подписей (signatures/*.cms).", "Мұрағатта қолтаңбалар жоқ (signatures/*.cms).", "The archive has no signatures (signatures/*.cms).";
        too_many: "Слишком много проверок с вашего адреса. Повторите через {} с.", "Мекенжайыңыздан тексеру тым көп. {} секундтан кейін қайталаңыз.", "Too many checks from your address. Repeat in {} s.";
        busy: "Сервер сейчас занят. Повторите через минуту.", "Сервер қазір бос емес. Бір минуттан кейін қайталаңыз.", "The server is busy now. Repeat in a minute.";
        others: "Проверить независимо", "Тәуелсіз тексеру", "Check independently";
        others_why: "Эту страницу показывает сам сервер, на котором документ подписан, поэтому одна она ничего не доказывает. Возьмите подписи из архива и проверьте их там, где этот сервер ничего не решает:", "Бұл бетті құжатқа қол қойылған сервердің өзі көрсетеді, сондықтан ол жалғыз өзі ештеңені дәлелдемейді. Қолтаңбаларды мұрағаттан алып, бұл сервер ештеңе шешпейтін жерде тексеріңіз:", "This page is shown by the very server on which the document was signed, so by itself it proves nothing. Take the signatures from the archive, and check them where this server has no say:";
        other_kz: "ezSigner: подписи НУЦ РК", "ezSigner: ҚР ҰКО қолтаңбалары", "ezSigner: signatures of NCA RK";
        other_ru: "Госуслуги: подписи российских центров", "Госуслуги: Ресей орталықтарының қолтаңбалары", "Gosuslugi: signatures of Russian authorities";
        other_eu: "EU DSS: европейские подписи", "EU DSS: еуропалық қолтаңбалар", "EU DSS: European signatures";
        by_yourself: "Проверить самому, без сервера", "Серверсіз өзіңіз тексеру", "By yourself, without a server";
        by_yourself_how: "Распакуйте архив документа и выполните в его папке. Команды проверяют, что содержимое подписано ключом сертификата из подписи, и показывают этот сертификат:", "Құжаттың мұрағатын ашып, оның қалтасында орындаңыз. Пәрмендер мазмұнға қолтаңбадағы сертификаттың кілтімен қол қойылғанын тексеріп, сол сертификатты көрсетеді:", "Unpack the document's archive, and run these in its folder. They check that the content is signed with the key of the certificate in the signature, and show that certificate:";
        with_root: "Кто поручился за сертификат, проверяют по корневому сертификату его центра. Возьмите его на сайте центра и положите в папку как root.pem:", "Сертификатқа кім кепіл екені оның орталығының түбір сертификатымен тексеріледі. Оны орталықтың сайтынан алып, қалтаға root.pem атымен салыңыз:", "The root certificate of its authority tells who vouches for the certificate. Take it from the authority's own site, and put it into the folder as root.pem:";
        no_gost: "Подписи ГОСТ openssl без дополнений не проверяет: для них есть prichal verify и программы по ссылкам выше.", "МЕМСТ қолтаңбаларын openssl қосымшасыз тексермейді: олар үшін prichal verify және жоғарыдағы сілтемелердегі бағдарламалар бар.", "OpenSSL by itself checks no GOST signatures: for those there are prichal verify and the programs behind the links above.";
    }
}

words! {
    /// The 21 steps of the check of a signature, in their order.
    Steps {
        format: "формат файла", "файл пішімі", "format of the file";
        signed_data: "структура SignedData", "SignedData құрылымы", "structure of SignedData";
        content: "подписанное содержимое", "қол қойылған мазмұн", "signed content";
        signer_certificate: "сертификат подписавшего", "қол қоюшының сертификаты", "certificate of the signer";
        signed_attributes: "подписанные атрибуты", "қол қойылған атрибуттар", "signed attributes";
        content_type: "тип содержимого", "мазмұн түрі", "type of the content";
        message_digest: "хеш содержимого", "мазмұн хеші", "digest of the content";
        signature_value: "значение подписи", "қолтаңба мәні", "value of the signature";
        attribute_confusion: "атрибуты не выданы за содержимое", "атрибуттар мазмұн ретінде ұсынылмаған", "attributes are not passed off as content";
        algorithms: "алгоритмы", "алгоритмдер", "algorithms";
        signing_certificate: "подпись привязана к сертификату", "қолтаңба сертификатқа байланған", "signature bound to the certificate";
        signature_time: "время подписи", "қол қойылған уақыт", "time of the signature";
        time_stamp: "метка времени", "уақыт белгісі", "time-stamp";
        certificate_path: "путь до доверенного корня", "сенімді түбірге дейінгі жол", "path to a trusted root";
        signer_authority: "личность и полномочия", "тұлға және өкілеттік", "identity and authority";
        revocation_evidence: "сведения об отзыве", "кері қайтару туралы мәліметтер", "revocation data";
        revocation_status: "сертификаты не отозваны", "сертификаттар кері қайтарылмаған", "certificates are not revoked";
        evidence_order: "порядок доказательств во времени", "дәлелдердің уақыт бойынша реті", "order of the evidence in time";
        archive_time_stamp: "архивная метка времени", "мұрағаттық уақыт белгісі", "archive time-stamp";
        signers: "все подписавшие", "барлық қол қоюшылар", "all signers";
        report: "отчёт", "есеп", "report";
    }
}

/// The names of the steps in reports, in their order.
const STEPS: [&str; 21] = [
    "format",
    "signed-data",
    "content",
    "signer-certificate",
    "signed-attributes",
    "content-type",
    "message-digest",
    "signature-value",
    "attribute-confusion",
    "algorithms",
    "signing-certificate",
    "signature-time",
    "time-stamp",
    "certificate-path",
    "signer-authority",
    "revocation-evidence",
    "revocation-status",
    "evidence-order",
    "archive-time-stamp",
    "signers",
    "report",
];

impl Steps {
    const fn all(&self) -> [&'static str; 21] {
        [
            self.format,
            self.signed_data,
            self.content,
            self.signer_certificate,
            self.signed_attributes,
            self.content_type,
            self.message_digest,
            self.signature_value,
            self.attribute_confusion,
            self.algorithms,
            self.signing_certificate,
            self.signature_time,
            self.time_stamp,
            self.certificate_path,
            self.signer_authority,
            self.revocation_evidence,
            self.revocation_status,
            self.evidence_order,
            self.archive_time_stamp,
            self.signers,
            self.report,
        ]
    }

    /// The words for a step by its number, from 1. Empty for a number that no step has.
    pub(crate) fn by_number(&self, number: u8) -> &'static str {
        let at = usize::from(number).checked_sub(1);
        at.and_then(|at| self.all().get(at).copied())
            .unwrap_or_default()
    }

    /// The words for a step by its name in reports. `None` for a name that no step has.
    pub(crate) fn by_name(&self, name: &str) -> Option<&'static str> {
        let at = STEPS.iter().position(|one| *one == name)?;
        self.all().get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::language::Language;

    #[test]
    fn every_step_has_its_words() {
        assert_eq!(STEPS, prichal_sign::STEPS);
        for language in Language::ALL {
            let words = Steps::of(language);
            let all: HashSet<_> = (1..=21).map(|number| words.by_number(number)).collect();
            assert!(all.len() == 21 && !all.contains(""), "{all:?}");
            assert_eq!((words.by_number(0), words.by_number(22)), ("", ""));
            for (number, name) in (1..).zip(STEPS) {
                assert_eq!(words.by_name(name), Some(words.by_number(number)));
            }
            assert_eq!(words.by_name("moon"), None);
        }
    }
}
