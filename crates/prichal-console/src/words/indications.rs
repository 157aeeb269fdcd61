//! The words of the reasons for which a signature is not valid, or not yet (EN 319 102-1 §5.1.3).

use super::words;

words! {
    /// Each continues a sentence: «The signature is not valid: …».
    Indications {
        format_failure: "файл подписи испорчен или составлен не по правилам", "қолтаңба файлы бүлінген немесе ережеге сай құрылмаған", "the file of the signature is damaged, or not built by the standard";
        hash_failure: "подписан другой файл, или этот изменён после подписания", "басқа файлға қол қойылған немесе бұл файл қол қойылғаннан кейін өзгертілген", "another file was signed, or this one was changed afterwards";
        sig_crypto_failure: "подпись сделана не ключом этого сертификата", "қолтаңба бұл сертификаттың кілтімен қойылмаған", "the signature was not made with the key of this certificate";
        revoked: "сертификат подписавшего отозван", "қол қоюшының сертификаты кері қайтарып алынған", "the certificate of the signer was revoked";
        expired: "подписано после окончания срока сертификата", "сертификат мерзімі өткеннен кейін қол қойылған", "it was signed after the certificate had expired";
        not_yet_valid: "срок сертификата ещё не начался", "сертификат мерзімі әлі басталған жоқ", "the certificate is not valid yet";
        sig_constraints_failure: "подписал не тот, кого ожидали, или в подписи нет обязательных сведений", "күтілген адам қол қоймаған немесе қолтаңбада міндетті мәліметтер жоқ", "somebody else was expected to sign, or the signature lacks what the rules require";
        chain_constraints_failure: "сертификат не даёт права на такую подпись", "сертификат мұндай қол қоюға құқық бермейді", "the certificate does not allow such a signature";
        certificate_chain_general_failure: "сертификаты между подписавшим и корнем нарушают правила", "қол қоюшы мен түбір арасындағы сертификаттар ережені бұзады", "the certificates between the signer and the root break the rules";
        crypto_constraints_failure: "алгоритм или ключ слишком слабы или неизвестны", "алгоритм немесе кілт тым әлсіз немесе белгісіз", "the algorithm or the key is too weak, or unknown";
        crypto_constraints_failure_no_poe: "алгоритм устарел, и нет метки времени, что подпись сделана раньше", "алгоритм ескірген, қолтаңба бұрынырақ қойылғанын растайтын уақыт белгісі жоқ", "the algorithm is outdated, and no time-stamp proves that the signature is older";
        policy_processing_error: "подпись слишком велика или сложна, чтобы проверить её целиком", "қолтаңба толық тексеруге тым үлкен немесе күрделі", "the signature is too large or too complex for a complete check";
        timestamp_order_failure: "метки времени противоречат друг другу", "уақыт белгілері бір-біріне қайшы", "its time-stamps contradict each other";
        no_signing_certificate_found: "нет сертификата подписавшего", "қол қоюшының сертификаты жоқ", "the certificate of the signer is missing";
        no_certificate_chain_found: "ни один центр, которому доверяют эти правила, за сертификат не поручился", "бұл ережелер сенетін ешбір орталық сертификатқа кепіл болмаған", "no authority that these rules trust vouches for the certificate";
        revoked_ca_no_poe: "сертификат центра отозван, и нет метки времени, что подпись сделана раньше", "орталықтың сертификаты кері қайтарып алынған, қолтаңба бұрынырақ қойылғанын растайтын уақыт белгісі жоқ", "the certificate of the authority was revoked, and no time-stamp proves that the signature is older";
        out_of_bounds_no_poe: "срок сертификата истёк, и нет метки времени, что подпись сделана раньше", "сертификат мерзімі өткен, қолтаңба бұрынырақ қойылғанын растайтын уақыт белгісі жоқ", "the certificate has expired, and no time-stamp proves that the signature is older";
        try_later: "ещё неизвестно, не отозван ли сертификат; проверьте позже", "сертификат кері қайтарып алынғаны-алынбағаны әлі белгісіз; кейінірек тексеріңіз", "it is not known yet whether the certificate was revoked; check again later";
        signed_data_not_found: "нет подписанного файла: приложите его", "қол қойылған файл жоқ: оны қосыңыз", "the signed file is missing: add it";
    }
}

impl Indications {
    /// The words for a reason such as `HASH_FAILURE`. `None` for one that this table does not have.
    pub(crate) fn find(&self, name: &str) -> Option<&'static str> {
        Some(match name {
            "FORMAT_FAILURE" => self.format_failure,
            "HASH_FAILURE" => self.hash_failure,
            "SIG_CRYPTO_FAILURE" => self.sig_crypto_failure,
            "REVOKED" => self.revoked,
            "EXPIRED" => self.expired,
            "NOT_YET_VALID" => self.not_yet_valid,
            "SIG_CONSTRAINTS_FAILURE" => self.sig_constraints_failure,
            "CHAIN_CONSTRAINTS_FAILURE" => self.chain_constraints_failure,
            "CERTIFICATE_CHAIN_GENERAL_FAILURE" => self.certificate_chain_general_failure,
            "CRYPTO_CONSTRAINTS_FAILURE" => self.crypto_constraints_failure,
            "CRYPTO_CONSTRAINTS_FAILURE_NO_POE" => self.crypto_constraints_failure_no_poe,
            "POLICY_PROCESSING_ERROR" => self.policy_processing_error,
            "TIMESTAMP_ORDER_FAILURE" => self.timestamp_order_failure,
            "NO_SIGNING_CERTIFICATE_FOUND" => self.no_signing_certificate_found,
            "NO_CERTIFICATE_CHAIN_FOUND" => self.no_certificate_chain_found,
            "REVOKED_CA_NO_POE" => self.revoked_ca_no_poe,
            "OUT_OF_BOUNDS_NO_POE" => self.out_of_bounds_no_poe,
            "TRY_LATER" => self.try_later,
            "SIGNED_DATA_NOT_FOUND" => self.signed_data_not_found,
            _ => return None,
        })
    }
}

words! {
    /// Evidence that is missing. The argument is the name whose evidence it is.
    Needs {
        crl: "список отзыва для {}", "{} үшін кері қайтару тізімі", "the revocation list for {}";
        ocsp: "ответ OCSP для {}", "{} үшін OCSP жауабы", "the OCSP response for {}";
        issuer: "сертификат издателя для {}", "{} шығарушысының сертификаты", "the certificate of the issuer of {}";
        certificate: "сертификат {}", "{} сертификаты", "the certificate of {}";
    }
}

impl Needs {
    /// The sentence for a kind of evidence such as `crl`. `None` for one that this table does not have.
    pub(crate) fn find(&self, kind: &str) -> Option<&'static str> {
        Some(match kind {
            "crl" => self.crl,
            "ocsp" => self.ocsp,
            "issuer" => self.issuer,
            "certificate" => self.certificate,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use prichal_sign::{NeedKind, SubIndication};
    use serde::Serialize;

    use super::*;
    use crate::language::Language;

    /// The name in reports.
    fn name(value: impl Serialize) -> String {
        let name = serde_json::to_value(value).expect("a name");
        name.as_str().expect("a name").to_owned()
    }

    #[test]
    fn every_kind_of_evidence_has_its_words() {
        for language in Language::ALL {
            let words = Needs::of(language);
            let found = NeedKind::ALL.map(|one| words.find(&name(one)).expect("words"));
            assert_eq!(found.iter().collect::<HashSet<_>>().len(), found.len());
        }
    }

    #[test]
    fn every_reason_has_its_words() {
        for language in Language::ALL {
            let words = Indications::of(language);
            let found = SubIndication::ALL.map(|one| {
                let name = name(one);
                words.find(&name).unwrap_or_else(|| panic!("{name}"))
            });
            let distinct: HashSet<_> = found.iter().collect();
            assert_eq!(distinct.len(), SubIndication::ALL.len());
        }
    }
}
