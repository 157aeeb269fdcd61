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
        without_script: "Без JavaScript посчитайте SHA-256 сами и вставьте результат:", "JavaScript болмаса, SHA-256 мәнін өзіңіз есептеп, нәтижесін қойыңыз:", "Without JavaScript compute the SHA-256 yourself, and paste the result:";
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
        upload_rules: "Правила — те, что у отправителя этого документа.", "Ережелер — осы құжатты жіберушінікі.", "The rules are those of this document's sender.";
        report: "Что проверил сервер", "Сервер нені тексерді", "What the server has checked";
        report_text: "Владелец сертификата ни с кем не сравнивался: решите сами, тот ли это человек и та ли компания.", "Сертификат иесі ешкіммен салыстырылған жоқ: бұл сол адам және сол компания ма, өзіңіз шешіңіз.", "The holder of the certificate was compared with nobody: decide yourself whether it is that person and that company.";
        file: "Файл", "Файл", "File";
        wanting: "Чтобы решить, не хватает:", "Шешу үшін жетіспейді:", "To decide, this is missing:";
        no_file: "Файл не выбран", "Файл таңдалмаған", "No file was chosen";
        too_large: "Файл больше, чем можно проверить", "Файл тексеруге болатын шектен үлкен", "The file is larger than what can be checked";
        unreadable: "Файл не читается", "Файл оқылмайды", "The file cannot be read";
        no_signatures: "В архиве нет подписей (signatures/*.cms)", "Мұрағатта қолтаңбалар жоқ (signatures/*.cms)", "The archive has no signatures (signatures/*.cms)";
        too_many: "Слишком много проверок с вашего адреса. Повторите через {} с.", "Мекенжайыңыздан тексеру тым көп. {} секундтан кейін қайталаңыз.", "Too many checks from your address. Repeat in {} s.";
        busy: "Сервер сейчас занят. Повторите через минуту.", "Сервер қазір бос емес. Бір минуттан кейін қайталаңыз.", "The server is busy now. Repeat in a minute.";
        others: "Проверить независимо", "Тәуелсіз тексеру", "Check independently";
        others_why: "Эту страницу показывает сам сервер, на котором документ подписан, поэтому одна она ничего не доказывает. Возьмите подписи из архива и проверьте их там, где этот сервер ничего не решает:", "Бұл бетті құжатқа қол қойылған сервердің өзі көрсетеді, сондықтан ол жалғыз өзі ештеңені дәлелдемейді. Қолтаңбаларды мұрағаттан алып, бұл сервер ештеңе шешпейтін жерде тексеріңіз:", "This page is shown by the very server on which the document was signed, so by itself it proves nothing. Take the signatures from the archive, and check them where this server has no say:";
        other_kz: "ezSigner: подписи НУЦ РК", "ezSigner: ҚР ҰКО қолтаңбалары", "ezSigner: signatures of NCA RK";
        other_ru: "Госуслуги: подписи российских центров", "Госуслуги: Ресей орталықтарының қолтаңбалары", "Gosuslugi: signatures of Russian authorities";
        other_eu: "EU DSS: европейские подписи", "EU DSS: еуропалық қолтаңбалар", "EU DSS: European signatures";
        other_command: "или сами, без сервера:", "немесе өзіңіз, серверсіз:", "or by yourself, without a server:";
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
