//! The reasons in reports on signatures, in English as the API has them, and in Russian and Kazakh. A test compares the
//! first column with the texts of prichal-sign.
//!
//! `{}` in English is an argument, `{0}` in the others the first one of them. `{0|файл|файла|файлов}` is the form of a
//! word after the number that the first argument is.

/// A reason in English, Russian and Kazakh.
pub(crate) type Reason = [&'static str; 3];

pub(crate) const REASONS: &[Reason] = &[
    [
        "an unsigned attribute: {}",
        "неподписанный атрибут: {0}",
        "қол қойылмаған атрибут: {0}",
    ],
    // Steps 1 to 3: the file and its content.
    ["the input is empty", "файл пуст", "файл бос"],
    [
        "the input is larger than {} bytes",
        "файл больше {0} {0|байта|байт|байт}",
        "файл {0} байттан үлкен",
    ],
    [
        "the nesting is deeper than {} levels",
        "вложенность больше {0} {0|уровня|уровней|уровней}",
        "кірістіру {0} деңгейден терең",
    ],
    [
        "there are more than {} {}",
        "больше допустимого ({0}): {1}",
        "рұқсат етілгеннен ({0}) көп: {1}",
    ],
    [
        "the input ends inside an element",
        "файл обрывается посреди элемента",
        "файл элемент ортасында үзіледі",
    ],
    [
        "{} {} after the end of {}",
        "после конца ещё {0} {0|байт|байта|байт}: {2}",
        "соңынан кейін тағы {0} байт: {2}",
    ],
    [
        "{} is missing or has another type",
        "нет или другого типа: {0}",
        "жоқ немесе түрі басқа: {0}",
    ],
    [
        "{} is malformed",
        "составлено неправильно: {0}",
        "қате құрылған: {0}",
    ],
    [
        "the input is neither DER, BER, PEM nor base64",
        "файл не в DER, BER, PEM и не в base64",
        "файл DER, BER, PEM немесе base64 пішімінде емес",
    ],
    [
        "the content type is {}, not {}",
        "тип содержимого {0}, а не {1}",
        "мазмұн түрі {1} емес, {0}",
    ],
    [
        "one well-formed SignedData within the limits",
        "один правильный SignedData в пределах ограничений",
        "шектеулер ішіндегі бір дұрыс SignedData",
    ],
    ["skipped {}", "пропущено: {0}", "өткізіп жіберілді: {0}"],
    [
        "skipped 1 zero byte after the signature",
        "пропущен 1 нулевой байт после подписи",
        "қолтаңбадан кейінгі 1 нөлдік байт өткізіп жіберілді",
    ],
    [
        "skipped {} zero bytes after the signature",
        "после подписи {0|пропущен|пропущено|пропущено} {0} {0|нулевой байт|нулевых байта|нулевых байт}",
        "қолтаңбадан кейінгі {0} нөлдік байт өткізіп жіберілді",
    ],
    [
        "certificate values: {}",
        "значения сертификатов: {0}",
        "сертификат мәндері: {0}",
    ],
    [
        "revocation values: {}",
        "значения об отзыве: {0}",
        "кері қайтару мәндері: {0}",
    ],
    [
        "the signature has no signer",
        "в подписи нет подписавшего",
        "қолтаңбада қол қоюшы жоқ",
    ],
    [
        "the required signer did not sign",
        "тот, чья подпись нужна, не подписал",
        "қолы қажет адам қол қоймаған",
    ],
    [
        "{} has the version {}",
        "у {0} версия {1}",
        "{0} нұсқасы — {1}",
    ],
    [
        "{} has the version {}, not {}",
        "у {0} версия {1}, а не {2}",
        "{0} нұсқасы {2} емес, {1}",
    ],
    [
        "SignedData with 1 signer",
        "SignedData с 1 подписавшим",
        "1 қол қоюшысы бар SignedData",
    ],
    [
        "SignedData with {} signers",
        "SignedData с {0} {0|подписавшим|подписавшими|подписавшими}",
        "{0} қол қоюшысы бар SignedData",
    ],
    [
        "the content type {} is not accepted",
        "тип содержимого {0} не принимается",
        "{0} мазмұн түрі қабылданбайды",
    ],
    [
        "the attached content differs from the given content",
        "содержимое внутри подписи отличается от данного",
        "қолтаңба ішіндегі мазмұн берілгеннен өзгеше",
    ],
    [
        "attached, 1 byte",
        "внутри подписи, 1 байт",
        "қолтаңба ішінде, 1 байт",
    ],
    [
        "attached, {} bytes",
        "внутри подписи, {0} {0|байт|байта|байт}",
        "қолтаңба ішінде, {0} байт",
    ],
    [
        "detached, 1 byte",
        "отдельно от подписи, 1 байт",
        "қолтаңбадан бөлек, 1 байт",
    ],
    [
        "detached, {} bytes",
        "отдельно от подписи, {0} {0|байт|байта|байт}",
        "қолтаңбадан бөлек, {0} байт",
    ],
    [
        "the signature is detached and no content was given",
        "содержимого нет в подписи, и оно не дано",
        "мазмұн қолтаңба ішінде жоқ және берілмеген",
    ],
    [
        "not reached",
        "до этого шага не дошло",
        "бұл қадамға жеткен жоқ",
    ],
    ["{} (ignored)", "{0} (не учитывается)", "{0} (ескерілмейді)"],
    // Steps 4 to 11: the signer, the attributes and the algorithms.
    [
        "no certificate with {} is embedded or given",
        "нет сертификата ни в подписи, ни среди данных: {0}",
        "сертификат қолтаңбада да, берілгендерде де жоқ: {0}",
    ],
    [
        "issuer {}, serial {}",
        "издатель {0}, номер {1}",
        "шығарушы {0}, нөмірі {1}",
    ],
    [
        "subject key id {}",
        "идентификатор ключа {0}",
        "кілт идентификаторы {0}",
    ],
    [
        "the signer's certificate was not found",
        "сертификат подписавшего не найден",
        "қол қоюшының сертификаты табылмады",
    ],
    ["{} (serial {})", "{0} (номер {1})", "{0} (нөмірі {1})"],
    [
        "the attribute {} is not signed",
        "атрибут {0} не подписан",
        "{0} атрибутына қол қойылмаған",
    ],
    [
        "signed attributes are required for content other than id-data",
        "для содержимого не типа id-data нужны подписанные атрибуты",
        "id-data түрінен басқа мазмұнға қол қойылған атрибуттар керек",
    ],
    [
        "there are no signed attributes",
        "подписанных атрибутов нет",
        "қол қойылған атрибуттар жоқ",
    ],
    [
        "the attribute {} occurs twice",
        "атрибут {0} повторяется",
        "{0} атрибуты қайталанады",
    ],
    [
        "the attribute {} has {} values",
        "у атрибута {0} {1} {1|значение|значения|значений}",
        "{0} атрибутында {1} мән бар",
    ],
    [
        "the message digest attribute is missing",
        "нет атрибута с хешем содержимого",
        "мазмұн хеші бар атрибут жоқ",
    ],
    [
        "the content type attribute is missing",
        "нет атрибута с типом содержимого",
        "мазмұн түрі бар атрибут жоқ",
    ],
    [
        "a counter-signature has a content type attribute",
        "у заверяющей подписи есть атрибут с типом содержимого",
        "растаушы қолтаңбада мазмұн түрінің атрибуты бар",
    ],
    [
        "the signature policy that the signer names is not applied",
        "политика, которую назвал подписавший, не применяется",
        "қол қоюшы атаған саясат қолданылмайды",
    ],
    [
        "1 signed attribute",
        "1 подписанный атрибут",
        "1 қол қойылған атрибут",
    ],
    [
        "{} signed attributes",
        "{0} {0|подписанный атрибут|подписанных атрибута|подписанных атрибутов}",
        "{0} қол қойылған атрибут",
    ],
    [
        "there is no content type attribute",
        "атрибута с типом содержимого нет",
        "мазмұн түрінің атрибуты жоқ",
    ],
    [
        "the attribute is {}, the content type is {}",
        "в атрибуте {0}, а тип содержимого {1}",
        "атрибутта {0}, ал мазмұн түрі {1}",
    ],
    [
        "the content type attribute is malformed",
        "атрибут с типом содержимого составлен неправильно",
        "мазмұн түрінің атрибуты қате құрылған",
    ],
    [
        "there is no message digest attribute",
        "атрибута с хешем содержимого нет",
        "мазмұн хешінің атрибуты жоқ",
    ],
    [
        "the digest algorithm {} is unknown",
        "алгоритм хеша {0} неизвестен",
        "{0} хеш алгоритмі белгісіз",
    ],
    ["there is no content", "содержимого нет", "мазмұн жоқ"],
    [
        "the message digest attribute is malformed",
        "атрибут с хешем содержимого составлен неправильно",
        "мазмұн хешінің атрибуты қате құрылған",
    ],
    ["{} of 1 byte", "{0} от 1 байта", "1 байттан {0}"],
    [
        "{} of {} bytes",
        "{0} от {1} {1|байта|байт|байт}",
        "{1} байттан {0}",
    ],
    [
        "the {} of the content differs from the signed digest",
        "{0} содержимого отличается от подписанного хеша",
        "мазмұнның {0} мәні қол қойылған хештен өзгеше",
    ],
    [
        "the signature is over signed attributes",
        "подписаны атрибуты",
        "атрибуттарға қол қойылған",
    ],
    [
        "the content is a set of signed attributes, and the signature has no signed attributes",
        "содержимое — набор подписанных атрибутов, а у подписи их нет",
        "мазмұн — қол қойылған атрибуттар жиыны, ал қолтаңбада олар жоқ",
    ],
    [
        "the content is not a set of signed attributes",
        "содержимое не выдано за подписанные атрибуты",
        "мазмұн қол қойылған атрибуттар ретінде ұсынылмаған",
    ],
    [
        "cmsAlgorithmProtection matches",
        "cmsAlgorithmProtection сходится",
        "cmsAlgorithmProtection сәйкес",
    ],
    [
        "cmsAlgorithmProtection differs from the algorithms of the signer",
        "cmsAlgorithmProtection отличается от алгоритмов подписавшего",
        "cmsAlgorithmProtection қол қоюшының алгоритмдерінен өзгеше",
    ],
    [
        "the number of keys and signatures exceeds the limit",
        "ключей и подписей больше допустимого",
        "кілттер мен қолтаңбалар рұқсат етілгеннен көп",
    ],
    ["valid: {}", "верно: {0}", "дұрыс: {0}"],
    [
        "the signed attributes are not in DER",
        "подписанные атрибуты не в DER",
        "қол қойылған атрибуттар DER пішімінде емес",
    ],
    [
        "valid only over the signed attributes in DER order, not as received",
        "верно только для атрибутов в порядке DER, а не как получено",
        "тек DER ретіндегі атрибуттар үшін дұрыс, алынған күйінде емес",
    ],
    [
        "the signature value is invalid: {}",
        "значение подписи неверно: {0}",
        "қолтаңба мәні дұрыс емес: {0}",
    ],
    [
        "there is no content to verify",
        "проверять нечего: содержимого нет",
        "тексеретін мазмұн жоқ",
    ],
    [
        "the algorithms do not allow a verification",
        "с такими алгоритмами проверить нельзя",
        "мұндай алгоритмдермен тексеру мүмкін емес",
    ],
    ["{}, key {}", "{0}, ключ {1}", "{0}, кілті {1}"],
    [
        "the key algorithm {} is unknown",
        "алгоритм ключа {0} неизвестен",
        "{0} кілт алгоритмі белгісіз",
    ],
    [
        "the curve {} is unknown",
        "кривая {0} неизвестна",
        "{0} қисығы белгісіз",
    ],
    [
        "the public key is malformed",
        "открытый ключ составлен неправильно",
        "ашық кілт қате құрылған",
    ],
    [
        "the public key is not a point on its curve",
        "открытый ключ — не точка своей кривой",
        "ашық кілт өз қисығының нүктесі емес",
    ],
    [
        "the RSA modulus is even or has {} bits",
        "модуль RSA чётный или в нём {0} {0|бит|бита|бит}",
        "RSA модулі жұп немесе {0} бит",
    ],
    [
        "the RSA exponent is even, 1, or not smaller than the modulus",
        "экспонента RSA чётная, равна 1 или не меньше модуля",
        "RSA экспонентасы жұп, 1-ге тең немесе модульден кіші емес",
    ],
    [
        "the RSA exponent has {} bits, more than 256",
        "в экспоненте RSA {0} {0|бит|бита|бит}, больше 256",
        "RSA экспонентасы {0} бит, 256-дан көп",
    ],
    [
        "the signature algorithm {} is unknown",
        "алгоритм подписи {0} неизвестен",
        "{0} қолтаңба алгоритмі белгісіз",
    ],
    [
        "the signature algorithm {} does not match a key of type {}",
        "алгоритм подписи {0} не подходит к ключу {1}",
        "{0} қолтаңба алгоритмі {1} кілтіне сәйкес емес",
    ],
    [
        "the signature algorithm uses {}, but the digest algorithm is {}",
        "алгоритм подписи с {0}, а алгоритм хеша {1}",
        "қолтаңба алгоритмі {0} қолданады, ал хеш алгоритмі {1}",
    ],
    [
        "the signature algorithm {} needs a separate digest algorithm",
        "алгоритму подписи {0} нужен отдельный алгоритм хеша",
        "{0} қолтаңба алгоритміне бөлек хеш алгоритмі керек",
    ],
    [
        "the parameters of RSA-PSS are not supported: {}",
        "такие параметры RSA-PSS не поддерживаются: {0}",
        "RSA-PSS мұндай параметрлеріне қолдау жоқ: {0}",
    ],
    [
        "{} is accepted only with an earlier proof of existence",
        "{0} принимается только с доказательством более раннего времени",
        "{0} тек бұрынғы уақыт дәлелімен қабылданады",
    ],
    [
        "{} is not accepted",
        "{0} не принимается",
        "{0} қабылданбайды",
    ],
    [
        "the RSA key has {} bits, fewer than {}",
        "в ключе RSA {0} {0|бит|бита|бит}, меньше {1}",
        "RSA кілті {0} бит, {1}-ден аз",
    ],
    [
        "the RSA exponent is {}, smaller than 65537",
        "экспонента RSA {0}, меньше 65537",
        "RSA экспонентасы {0}, 65537-ден кіші",
    ],
    [
        "the signing certificate attribute is malformed",
        "атрибут с сертификатом составлен неправильно",
        "сертификат атрибуты қате құрылған",
    ],
    [
        "the signing certificate attribute is empty",
        "атрибут с сертификатом пуст",
        "сертификат атрибуты бос",
    ],
    [
        "there is no signing certificate attribute",
        "атрибута с сертификатом нет",
        "сертификат атрибуты жоқ",
    ],
    [
        "the hash of the signing certificate attribute is unknown",
        "хеш атрибута с сертификатом неизвестен",
        "сертификат атрибутының хеші белгісіз",
    ],
    [
        "the signing certificate attribute names another certificate",
        "атрибут называет другой сертификат",
        "атрибут басқа сертификатты атайды",
    ],
    [
        "the signing certificate attribute names another issuer or serial number",
        "атрибут называет другого издателя или номер",
        "атрибут басқа шығарушыны немесе нөмірді атайды",
    ],
    [
        "the certificate is named by its {} only",
        "сертификат назван только по {0}",
        "сертификат тек {0} бойынша аталған",
    ],
    [
        "{} of the certificate matches",
        "{0} сертификата сходится",
        "сертификаттың {0} мәні сәйкес",
    ],
    // Steps 12, 13 and 19: times.
    [
        "{}, the earliest valid time-stamp",
        "{0}, самая ранняя верная метка времени",
        "{0}, ең ерте жарамды уақыт белгісі",
    ],
    [
        "{}, the time at which the caller had the signature",
        "{0}, когда подпись уже была у проверяющего",
        "{0}, қолтаңба тексерушіде болған уақыт",
    ],
    [
        "{}, the time of the check",
        "{0}, время проверки",
        "{0}, тексеру уақыты",
    ],
    [
        "the content time-stamp of {} is later than the signature time {}",
        "метка содержимого {0} позже времени подписи {1}",
        "мазмұн белгісі {0} қол қойылған {1} уақыттан кейін",
    ],
    [
        "the content time-stamp of {} is later than the expiry of the certificate",
        "метка содержимого {0} позже конца срока сертификата",
        "мазмұн белгісі {0} сертификат мерзімінің соңынан кейін",
    ],
    [
        "the claimed signing time {} is outside of the certificate's validity period",
        "названное время подписи {0} вне срока сертификата",
        "көрсетілген қол қою уақыты {0} сертификат мерзімінен тыс",
    ],
    [
        "the claimed signing time {} is after the time of the check",
        "названное время подписи {0} позже проверки",
        "көрсетілген қол қою уақыты {0} тексеруден кейін",
    ],
    [
        "the claimed signing time {} is after the time-stamp",
        "названное время подписи {0} позже метки времени",
        "көрсетілген қол қою уақыты {0} уақыт белгісінен кейін",
    ],
    [
        "there is no time-stamp",
        "метки времени нет",
        "уақыт белгісі жоқ",
    ],
    [
        "there is no archive time-stamp",
        "архивной метки времени нет",
        "мұрағаттық уақыт белгісі жоқ",
    ],
    [
        "there are too many time-stamps",
        "меток времени слишком много",
        "уақыт белгілері тым көп",
    ],
    [
        "too many archive time-stamps",
        "архивных меток времени слишком много",
        "мұрағаттық уақыт белгілері тым көп",
    ],
    [
        "{} is not verified",
        "{0} не проверяется",
        "{0} тексерілмейді",
    ],
    [
        "{} does not count: {}",
        "{0} не учитывается: {1}",
        "{0} ескерілмейді: {1}",
    ],
    ["time-stamp", "метка времени", "уақыт белгісі"],
    [
        "archive time-stamp",
        "архивная метка времени",
        "мұрағаттық уақыт белгісі",
    ],
    [
        "unreadable time-stamp",
        "нечитаемая метка времени",
        "оқылмайтын уақыт белгісі",
    ],
    ["time-stamp of {}", "метка времени {0}", "{0} уақыт белгісі"],
    [
        "time-stamp of {} by {}",
        "метка времени {0} от {1}",
        "{0} уақыт белгісі, берген {1}",
    ],
    [
        "the token is unreadable: {}",
        "метка не читается: {0}",
        "белгі оқылмайды: {0}",
    ],
    [
        "its time is in the future",
        "её время в будущем",
        "оның уақыты болашақта",
    ],
    [
        "its policy {} is not accepted",
        "её политика {0} не принимается",
        "оның {0} саясаты қабылданбайды",
    ],
    [
        "the hash {} of its message imprint is unknown",
        "хеш {0} её отпечатка неизвестен",
        "оның ізінің {0} хеші белгісіз",
    ],
    [
        "its message imprint does not match",
        "её отпечаток не сходится",
        "оның ізі сәйкес емес",
    ],
    [
        "its message imprint uses {}",
        "её отпечаток сделан с {0}",
        "оның ізі {0} арқылы жасалған",
    ],
    [
        "it has {} signers instead of one",
        "у неё {0} {0|подписавший|подписавших|подписавших} вместо одного",
        "онда бір емес, {0} қол қоюшы бар",
    ],
    [
        "the extended key usage of {} is not timeStamping alone and critical",
        "назначение ключа {0} — не одни метки времени с пометкой critical",
        "{0} кілтінің мақсаты тек critical белгілі уақыт белгілері емес",
    ],
    [
        "its signer is a certification authority",
        "её подписал удостоверяющий центр",
        "оған куәландырушы орталық қол қойған",
    ],
    // Step 14: the path.
    [
        "the path has more than {} intermediates",
        "в пути больше {0} {0|промежуточного центра|промежуточных центров|промежуточных центров}",
        "жолда {0} аралық орталықтан көп",
    ],
    [
        "no certificate of the issuer {} is available",
        "нет сертификата издателя {0}",
        "{0} шығарушысының сертификаты жоқ",
    ],
    [
        "{} is self-issued and not a trusted root",
        "{0} выдан сам себе, и этому корню не доверяют",
        "{0} өзіне өзі берген, бұл түбірге сенім жоқ",
    ],
    [
        "the path search exceeded its limit",
        "поиск пути превысил ограничение",
        "жолды іздеу шектен асты",
    ],
    [
        "the signature of {} does not verify with the key of {}",
        "подпись на {0} сделана не ключом {1}",
        "{0} қолтаңбасы {1} кілтімен қойылмаған",
    ],
    [
        "{} and could not be fetched",
        "{0}, и получить его не удалось",
        "{0}, оны алу мүмкін болмады",
    ],
    [
        "the key ids of {} and of its issuer differ",
        "идентификаторы ключа у {0} и у издателя различаются",
        "{0} және оның шығарушысының кілт идентификаторлары әртүрлі",
    ],
    [
        "{} has an unknown critical extension: {}",
        "у {0} неизвестное критическое расширение: {1}",
        "{0}: белгісіз критикалық кеңейтім: {1}",
    ],
    [
        "the RSA key of {} is too short",
        "ключ RSA у {0} слишком короткий",
        "{0}: RSA кілті тым қысқа",
    ],
    [
        "the RSA exponent of {} is {}, smaller than 65537",
        "экспонента RSA у {0} — {1}, меньше 65537",
        "{0}: RSA экспонентасы {1}, 65537-ден кіші",
    ],
    [
        "{} expired at {}, before {}",
        "срок {0} истёк {1}, раньше {2}",
        "{0}: мерзімі {1} өткен, {2} уақытынан бұрын",
    ],
    [
        "{} is valid from {} only, after {}",
        "{0} действует только с {1}, позже {2}",
        "{0} тек {1} бастап жарамды, {2} уақытынан кейін",
    ],
    [
        "{} is not a certification authority",
        "{0} — не удостоверяющий центр",
        "{0} куәландырушы орталық емес",
    ],
    [
        "the key usage of {} does not allow signing certificates",
        "назначение ключа {0} не разрешает подписывать сертификаты",
        "{0} кілтінің мақсаты сертификаттарға қол қоюға рұқсат бермейді",
    ],
    [
        "{} allows {} authorities below it, and the path has {}",
        "{0} разрешает центров под собой: {1}, а в пути их {2}",
        "{0} өзінен төмен орталықтарға рұқсаты: {1}, ал жолда {2}",
    ],
    [
        "{} is signed with {}",
        "{0} подписан с {1}",
        "{0} {1} арқылы қол қойылған",
    ],
    [
        "the names of {} violate the name constraints of {}",
        "имена {0} нарушают ограничения имён {1}",
        "{0} атаулары {1} атау шектеулерін бұзады",
    ],
    [
        "{} has no policy that is valid on its path",
        "у {0} нет политики, действительной на этом пути",
        "{0}: осы жолда жарамды саясат жоқ",
    ],
    [
        "the path has no valid certificate policy",
        "у пути нет действительной политики сертификатов",
        "жолда жарамды сертификат саясаты жоқ",
    ],
    [
        "{} maps anyPolicy",
        "{0} подменяет anyPolicy",
        "{0} anyPolicy алмастырады",
    ],
    // Step 15: the holder.
    [
        "the key usage does not allow signing",
        "назначение ключа не разрешает подписывать",
        "кілт мақсаты қол қоюға рұқсат бермейді",
    ],
    [
        "the key usage lacks nonRepudiation",
        "в назначении ключа нет nonRepudiation",
        "кілт мақсатында nonRepudiation жоқ",
    ],
    [
        "the signer is a certification authority",
        "подписал удостоверяющий центр",
        "куәландырушы орталық қол қойған",
    ],
    [
        "the key is for time-stamps or OCSP responses only",
        "ключ только для меток времени или ответов OCSP",
        "кілт тек уақыт белгілеріне немесе OCSP жауаптарына арналған",
    ],
    [
        "the certificate has two different {}s",
        "в сертификате два разных {0}",
        "сертификатта екі түрлі {0} бар",
    ],
    [
        "the certificate has neither an IIN nor a BIN, so it does not identify the signer",
        "в сертификате нет ни ИИН, ни БИН, поэтому он не называет подписавшего",
        "сертификатта ЖСН де, БСН де жоқ, сондықтан ол қол қоюшыны анықтамайды",
    ],
    [
        "the certificate of a company has no BIN",
        "в сертификате компании нет БИН",
        "компания сертификатында БСН жоқ",
    ],
    [
        "the certificate allows this signature",
        "сертификат разрешает эту подпись",
        "сертификат бұл қолтаңбаға рұқсат береді",
    ],
    [
        "the {} is {}, not {}",
        "{0} — {1}, а не {2}",
        "{0} {2} емес, {1}",
    ],
    [
        "the certificate has no {}, expected is {}",
        "в сертификате нет {0}, ожидался {1}",
        "сертификатта {0} жоқ, күтілгені {1}",
    ],
    [
        "the role of the holder allows financial documents only",
        "роль владельца разрешает только финансовые документы",
        "иесінің рөлі тек қаржылық құжаттарға рұқсат береді",
    ],
    [
        "the certificate is an individual's, not an organisation's",
        "сертификат физического лица, а не организации",
        "сертификат ұйымдікі емес, жеке тұлғанікі",
    ],
    [
        "the certificate names no role",
        "сертификат не называет роли",
        "сертификат рөлді атамайды",
    ],
    [
        "the roles {} do not allow signing documents",
        "роли не разрешают подписывать документы: {0}",
        "рөлдер құжаттарға қол қоюға рұқсат бермейді: {0}",
    ],
    // Steps 16 to 18: revocation.
    [
        "the certificate itself is pinned",
        "сертификат сам в числе доверенных",
        "сертификаттың өзі сенімділер қатарында",
    ],
    [
        "without a path no revocation data can be trusted",
        "без пути сведениям об отзыве нельзя доверять",
        "жолсыз кері қайтару мәліметтеріне сенуге болмайды",
    ],
    [
        "CRL of {} of {}",
        "список отзыва {0} от {1}",
        "{0} кері қайтару тізімі, {1}",
    ],
    [
        "delta CRL of {} of {}",
        "дополнение к списку отзыва {0} от {1}",
        "{0} кері қайтару тізіміне толықтыру, {1}",
    ],
    [
        "OCSP response of {}",
        "ответ OCSP от {0}",
        "{0} OCSP жауабы",
    ],
    ["{} extending {}", "{0} к {1}", "{0}, негізі {1}"],
    [
        "{}: embedded in the signature",
        "{0}: внутри подписи",
        "{0}: қолтаңба ішінде",
    ],
    [
        "{}: given by the caller",
        "{0}: получено при проверке",
        "{0}: тексеру кезінде алынған",
    ],
    [
        "{}: not accepted: {}",
        "{0}: не принято: {1}",
        "{0}: қабылданбады: {1}",
    ],
    ["and {} more", "и ещё {0}", "және тағы {0}"],
    [
        "{} is not revoked",
        "{0}: не отозван",
        "{0}: кері қайтарылмаған",
    ],
    [
        "{} was revoked at {}, after {}",
        "{0} отозван {1}, позже {2}",
        "{0} {1} кері қайтарылған, {2} уақытынан кейін",
    ],
    [
        "{} was revoked at {}: {}",
        "{0} отозван {1}: {2}",
        "{0} {1} кері қайтарылған: {2}",
    ],
    [
        "{} was revoked at {}, and the key may have been compromised: {}",
        "{0} отозван {1}, и ключ мог попасть в чужие руки: {2}",
        "{0} {1} кері қайтарылған, кілт бөтен қолға түскен болуы мүмкін: {2}",
    ],
    [
        "the revocation data for {} exceeds the limit",
        "сведений об отзыве {0} больше допустимого",
        "{0} кері қайтару мәліметтері рұқсат етілгеннен көп",
    ],
    [
        "no usable revocation data for {}",
        "нет пригодных сведений об отзыве: {0}",
        "жарамды кері қайтару мәліметтері жоқ: {0}",
    ],
    [
        "{}: no evidence available",
        "{0}: доказательств нет",
        "{0}: дәлелдер жоқ",
    ],
    [
        "{}: hosts not allowed by the policy: {}",
        "{0}: узлы, которых правила не разрешают: {1}",
        "{0}: ережелер рұқсат бермеген түйіндер: {1}",
    ],
    [
        "it covers only some revocations",
        "охватывает не все отзывы",
        "барлық кері қайтаруды қамтымайды",
    ],
    [
        "it was issued after the certificate expired",
        "издано после конца срока сертификата",
        "сертификат мерзімінен кейін шығарылған",
    ],
    [
        "it was superseded at {}, before {}",
        "заменено {0}, раньше {1}",
        "{0} ауыстырылған, {1} уақытынан бұрын",
    ],
    [
        "it is too old, from {}",
        "слишком старое, от {0}",
        "тым ескі, {0}",
    ],
    ["it has no nextUpdate", "нет nextUpdate", "nextUpdate жоқ"],
    [
        "{} has no nextUpdate",
        "{0}: нет nextUpdate",
        "{0}: nextUpdate жоқ",
    ],
    [
        "it is signed with {}",
        "подписано с {0}",
        "{0} арқылы қол қойылған",
    ],
    [
        "its thisUpdate is in the future",
        "thisUpdate в будущем",
        "thisUpdate болашақта",
    ],
    [
        "it has an unknown critical extension: {}",
        "неизвестное критическое расширение: {0}",
        "белгісіз критикалық кеңейтім: {0}",
    ],
    [
        "it is an indirect list",
        "это непрямой список",
        "бұл жанама тізім",
    ],
    [
        "it is for other types of certificates",
        "оно для сертификатов другого вида",
        "ол басқа түрдегі сертификаттарға арналған",
    ],
    [
        "it is for another distribution point",
        "оно для другой точки распространения",
        "ол басқа тарату нүктесіне арналған",
    ],
    [
        "its signature is invalid",
        "подпись на нём неверна",
        "ондағы қолтаңба дұрыс емес",
    ],
    [
        "the key of {} may not sign lists",
        "ключом {0} нельзя подписывать списки",
        "{0} кілтімен тізімдерге қол қоюға болмайды",
    ],
    [
        "{}: it does not continue this list",
        "{0}: не продолжает этот список",
        "{0}: бұл тізімді жалғастырмайды",
    ],
    [
        "its nonce differs from that of the request",
        "nonce отличается от запрошенного",
        "nonce сұралғаннан өзгеше",
    ],
    [
        "the responder does not know the certificate",
        "отвечающий сервер не знает сертификата",
        "жауап беруші сервер сертификатты білмейді",
    ],
    [
        "its responder's certificate is not available",
        "нет сертификата отвечающего сервера",
        "жауап беруші сервердің сертификаты жоқ",
    ],
    [
        "its responder's certificate is from another issuer",
        "сертификат отвечающего сервера от другого издателя",
        "жауап беруші сервердің сертификаты басқа шығарушыдан",
    ],
    [
        "its signer is not an authorized responder",
        "подписавший ответ на это не уполномочен",
        "жауапқа қол қоюшының өкілеттігі жоқ",
    ],
    [
        "its responder's certificate has an unknown critical extension",
        "у сертификата отвечающего сервера неизвестное критическое расширение",
        "жауап беруші сервердің сертификатында белгісіз критикалық кеңейтім бар",
    ],
    [
        "the key usage of its responder does not allow signing",
        "назначение ключа отвечающего сервера не разрешает подписывать",
        "жауап беруші сервер кілтінің мақсаты қол қоюға рұқсат бермейді",
    ],
    [
        "its responder's certificate was not valid at that time",
        "сертификат отвечающего сервера тогда не действовал",
        "жауап беруші сервердің сертификаты сол кезде жарамсыз болған",
    ],
    [
        "its responder's certificate is revoked",
        "сертификат отвечающего сервера отозван",
        "жауап беруші сервердің сертификаты кері қайтарылған",
    ],
    // Steps 20 and 21.
    [
        "the same SignerInfo occurs twice",
        "один и тот же SignerInfo повторяется",
        "бір SignerInfo қайталанады",
    ],
    [
        "the same certificate signed more than once",
        "один сертификат подписал больше одного раза",
        "бір сертификатпен бірнеше рет қол қойылған",
    ],
    [
        "a counter-signature is not valid: {}",
        "заверяющая подпись недействительна: {0}",
        "растаушы қолтаңба жарамсыз: {0}",
    ],
    ["valid", "действительна", "жарамды"],
    [
        "signer {} of {}, counter-signatures: {}",
        "подписавший {0} из {1}, заверяющих подписей: {2}",
        "{1} қол қоюшының {0}-сі, растаушы қолтаңбалар: {2}",
    ],
    [
        "policy {}, checked at {}, judged at {}, evidence: {}",
        "правила {0}, проверено {1}, на момент {2}, доказательств: {3}",
        "ережелер {0}, тексерілді {1}, {2} сәтіне, дәлелдер: {3}",
    ],
];
