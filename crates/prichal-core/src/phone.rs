//! Telephone numbers: one key for each, however it was written.
//!
//! The text that a user typed or an exchange sent is stored as it is; the key is only for finding. It is the
//! number in E.164 without the plus, as far as the text and the workspace's region tell the country.

use std::borrow::Cow;

use crate::schema::Words;

/// The version of these rules. If it is increased, the server recomputes all stored keys.
pub const RULES: i64 = 2;

/// The maximum number of digits of a key. E.164 allows 15, and a carrier's prefix may come before them.
const MAX_DIGITS: usize = 20;
/// The minimum number of digits of a key. Shorter numbers are extensions, which must never match a client.
const MIN_DIGITS: usize = 7;
/// The maximum number of numbers that one text holds.
const MAX_NUMBERS: usize = 4;

/// The home region of numbers without a country code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region(&'static Plan);

/// The way numbers are dialled in a region.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    name: &'static str,
    /// Its calling code.
    code: &'static str,
    /// Dialled before a number of the region, the longest first.
    trunks: &'static [&'static str],
    /// The minimum and the maximum number of digits of its numbers, without code and trunk prefix.
    lengths: (usize, usize),
    /// The first digits of its numbers; any digit where this is empty.
    first: &'static str,
    /// Dialled before a number abroad.
    abroad: &'static [&'static str],
}

const fn plan(
    name: &'static str,
    code: &'static str,
    trunks: &'static [&'static str],
    lengths: (usize, usize),
) -> Plan {
    Plan {
        name,
        code,
        trunks,
        lengths,
        first: "",
        abroad: &["00"],
    }
}

/// Russia and Kazakhstan share a calling code and a way to dial.
const fn zone_7(name: &'static str) -> Plan {
    Plan {
        first: "34789",
        abroad: &["810", "00"],
        ..plan(name, "7", &["8"], (10, 10))
    }
}

static PLANS: [Plan; 22] = [
    zone_7("RU"),
    zone_7("KZ"),
    plan("AM", "374", &["0"], (8, 8)),
    plan("AZ", "994", &["0"], (9, 9)),
    Plan {
        abroad: &["810", "00"],
        ..plan("BY", "375", &["80", "8", "0"], (9, 9))
    },
    Plan {
        abroad: &["011", "00"],
        ..plan("CA", "1", &["1"], (10, 10))
    },
    plan("CN", "86", &["0"], (10, 11)),
    plan("DE", "49", &["0"], (6, 11)),
    plan("EE", "372", &[], (7, 8)),
    plan("GB", "44", &["0"], (9, 10)),
    plan("GE", "995", &["0"], (9, 9)),
    plan("IL", "972", &["0"], (8, 9)),
    plan("KG", "996", &["0"], (9, 9)),
    plan("LT", "370", &["8", "0"], (8, 8)),
    plan("LV", "371", &[], (8, 8)),
    plan("MD", "373", &["0"], (8, 8)),
    plan("PL", "48", &[], (9, 9)),
    Plan {
        abroad: &["810", "00"],
        ..plan("TJ", "992", &["8"], (9, 9))
    },
    plan("TR", "90", &["0"], (10, 10)),
    plan("UA", "380", &["0"], (9, 9)),
    Plan {
        abroad: &["011", "00"],
        ..plan("US", "1", &["1"], (10, 10))
    },
    Plan {
        abroad: &["810", "00"],
        ..plan("UZ", "998", &["8"], (9, 9))
    },
];

/// The names of the regions in settings.
pub static REGIONS: Words = Words {
    name: "phoneRegion",
    words: &[
        "RU", "KZ", "AM", "AZ", "BY", "CA", "CN", "DE", "EE", "GB", "GE", "IL", "KG", "LT", "LV",
        "MD", "PL", "TJ", "TR", "UA", "US", "UZ",
    ],
};

impl Default for Region {
    fn default() -> Self {
        Self(&PLANS[0])
    }
}

impl Region {
    pub fn from_name(name: &str) -> Option<Self> {
        let mut plans = PLANS.iter();
        plans.find(|plan| plan.name == name).map(Self)
    }

    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The key of digits that came without a plus.
    fn complete(self, digits: &str) -> String {
        let plan = self.0;
        let is_own = |number: &str| {
            (plan.lengths.0..=plan.lengths.1).contains(&number.len())
                && (plan.first.is_empty() || number.starts_with(|c| plan.first.contains(c)))
        };
        let abroad = plan.abroad.iter().find_map(|prefix| {
            let number = digits.strip_prefix(prefix)?;
            (number.len() > MIN_DIGITS && !number.starts_with('0')).then(|| number.to_owned())
        });
        let of_trunk = || {
            let mut numbers = plan
                .trunks
                .iter()
                .filter_map(|trunk| digits.strip_prefix(trunk));
            let number = numbers.find(|number| is_own(number))?;
            Some([plan.code, number].concat())
        };
        abroad.or_else(of_trunk).unwrap_or_else(|| {
            let has_code = digits.strip_prefix(plan.code).is_some_and(is_own);
            // In regions with numbers of several lengths, a part of one looks like a whole one.
            let is_whole = plan.lengths.0 == plan.lengths.1 && is_own(digits);
            if !has_code && is_whole {
                [plan.code, digits].concat()
            } else {
                digits.to_owned()
            }
        })
    }
}

/// The key of the first number in a text. `None` for extensions, hidden callers and texts without a number.
pub fn key(text: &str, region: Region) -> Option<String> {
    keys(text, region).into_iter().next()
}

/// The maximum number of bytes of a text that are searched for numbers. A SIP address with a name and parameters has
/// fewer.
const MAX_TEXT: usize = 512;

/// The keys of all numbers in a text, each once.
pub fn keys(text: &str, region: Region) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let text = &text[..text.floor_char_boundary(MAX_TEXT)];
    for key in pieces(&address(text)).filter_map(|piece| number(piece, region)) {
        if keys.len() < MAX_NUMBERS && !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// The number in an address: the user of a SIP address, or the number of a `tel:` address or of a channel's
/// name. Any other text is returned unchanged.
fn address(text: &str) -> Cow<'_, str> {
    let inner = match text.rsplit_once('<') {
        Some((_, inner)) if inner.contains([':', '@']) || digits_in(inner) >= MIN_DIGITS => {
            inner.split('>').next().unwrap_or_default()
        }
        Some((before, _)) => before,
        None => text,
    };
    let inner = channel(inner.trim());
    if let Some(rest) = strip_scheme(inner, "sip:").or_else(|| strip_scheme(inner, "sips:")) {
        return sip_user(rest);
    }
    match strip_scheme(inner, "tel:") {
        Some(rest) => tel(rest),
        None => Cow::Borrowed(inner.split('@').next().unwrap_or_default()),
    }
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let is_there = text.get(..scheme.len())?.eq_ignore_ascii_case(scheme);
    is_there.then(|| &text[scheme.len()..])
}

/// The user of a SIP address, without password and parameters. A host alone is not a number.
fn sip_user(rest: &str) -> Cow<'_, str> {
    let end = |text: &'_ str| text.find([';', ':', '?']).unwrap_or(text.len());
    let (user, host) = match rest.split_once('@') {
        Some((user, _)) => (user, ""),
        None => ("", rest),
    };
    let host = &host[..end(host)];
    let is_address = host.contains(|c: char| c == '.' || c.is_alphabetic());
    let user = &user[..end(user)];
    let user = if user.is_empty() && !is_address {
        host
    } else {
        user
    };
    // A name with digits in it is not a number.
    let begin = user.chars().take_while(|c| !c.is_alphabetic());
    let is_number = begin.filter(char::is_ascii_digit).count() >= MIN_DIGITS;
    let user = if is_number || user.contains('%') {
        user
    } else {
        ""
    };
    if user.contains('%') {
        Cow::Owned(user.replace("%2B", "+").replace("%2b", "+"))
    } else {
        Cow::Borrowed(user)
    }
}

/// The number of a `tel:` address, with the country code of its context.
fn tel(rest: &str) -> Cow<'_, str> {
    let mut parts = rest.split(';');
    let number = parts.next().unwrap_or_default();
    let context = parts.find_map(|part| strip_scheme(part.trim(), "phone-context="));
    match context.filter(|context| context.starts_with('+') && !number.contains('+')) {
        Some(context) => Cow::Owned([context, number].concat()),
        None => Cow::Borrowed(number),
    }
}

/// The last part of a channel's name, such as `PJSIP/77011234567-0000001a`, without the channel's
/// unique suffix. The name of a trunk is not a number, even with digits in it.
fn channel(text: &str) -> &str {
    let is_technology = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let Some((_, rest)) = text.split_once('/').filter(|(name, _)| is_technology(name)) else {
        return text;
    };
    let last = rest.rsplit('/').next().unwrap_or_default();
    if last.contains(':') {
        return last;
    }
    let last = &last[..last.find(['@', ';']).unwrap_or(last.len())];
    let is_unique = |name: &str, mark: &str| {
        let is_hex = !mark.is_empty() && mark.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex && (mark.len() >= 8 || !name.contains('-'))
    };
    let number = match last.rsplit_once('-') {
        Some((name, mark)) if is_unique(name, mark) => name,
        _ => last,
    };
    if number.starts_with(|c: char| c == '+' || c.is_ascii_digit()) {
        number
    } else {
        ""
    }
}

fn digits_in(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// The numbers of a text that holds several. A slash inside of a single one only groups its digits.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let first = text.split('/').next().unwrap_or_default();
    let is_grouping = digits_in(first) < MIN_DIGITS && digits_in(text) <= 11;
    text.split(move |c| matches!(c, ',' | ';' | '|' | '\n') || (c == '/' && !is_grouping))
}

/// The key of a piece that holds one number at the most.
fn number(piece: &str, region: Region) -> Option<String> {
    let piece = before_extension(piece);
    // A zero that is dialled only inside the country.
    let piece = if piece.contains('+') {
        Cow::Owned(piece.replace("(0)", ""))
    } else {
        Cow::Borrowed(piece)
    };
    let mut digits = String::new();
    let mut is_international = false;
    for c in piece.chars() {
        match c {
            '0'..='9' => digits.push(c),
            '+' | '＋' if digits.is_empty() => is_international = true,
            // After the number an extension, or another number.
            '#' | '+' | '＋' => break,
            '(' if digits.len() >= 10 => break,
            c if digits.len() >= MIN_DIGITS && (c.is_alphabetic() || c == '*') => break,
            _ => {}
        }
    }
    if !(MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) {
        return None;
    }
    if is_international {
        let number = digits.strip_prefix("00").unwrap_or(&digits);
        return (number.len() >= MIN_DIGITS).then(|| number.to_owned());
    }
    Some(region.complete(&digits))
}

/// The text before a word for «extension».
fn before_extension(text: &str) -> &str {
    const MARKS: [&str; 3] = ["доб", "ext", "вн"];
    let mut is_inside = false;
    for (at, c) in text.char_indices() {
        let begins = |mark: &&str| {
            let mut rest = text[at..].chars().flat_map(char::to_lowercase);
            mark.chars().all(|c| rest.next() == Some(c))
        };
        if !is_inside && MARKS.iter().any(begins) {
            return &text[..at];
        }
        is_inside = c.is_alphabetic();
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Option<String> {
        super::key(text, Region::default())
    }

    fn key_in(region: &str, text: &str) -> Option<String> {
        super::key(text, Region::from_name(region).unwrap())
    }

    #[test]
    fn addresses_and_channels() {
        for form in [
            "sip:77011234567@pbx.local",
            "sip:+77011234567@10.0.0.5:5060;user=phone",
            "SIPS:+77011234567:secret@10.0.0.5",
            "sip:%2B77011234567@pbx",
            "sip:+77011234567;ext=5@pbx",
            "sip:87011234567",
            "<sip:77011234567@10.0.0.5>",
            "\"Ivan\" <sip:+77011234567@pbx.kz:5060>;tag=1",
            "\"8 702 000 00 00\" <sip:+77011234567@pbx.kz>;tag=as58f4",
            "Ivan <+77011234567>",
            "8 701 123 45 67 <mobile>",
            "tel:+7-701-123-45-67",
            "tel:+77011234567;ext=101",
            "tel:7011234567;phone-context=+7",
            "tel:87011234567;phone-context=pbx.local",
            "77011234567@pbx.local",
            "PJSIP/77011234567-0000001a",
            "SIP/+77011234567-b7f0ac38",
            "PJSIP/77011234567@trunk-0000001a",
            "PJSIP/trunk/sip:77011234567@10.0.0.5-0000001a",
            "Local/87011234567@from-internal-0000000f;1",
            "DAHDI/i1/87011234567-1",
            "77011234567x101",
            "77011234567 p101",
            "8 701 123-45-67 доб. 101",
            "8 701 123-45-67 (вн. 101)",
            "8 701 123-45-67 (101)",
            "87011234567 ext 5",
            "87011234567;101",
            "87011234567,,101",
            "87011234567*101",
            "8/701/1234567",
            "тел. 8 701 123-45-67",
            "Главный: 8 701 123-45-67",
        ] {
            assert_eq!(key(form).as_deref(), Some("77011234567"), "{form}");
        }
        for form in [
            "sip:pbx.local",
            "sip:192.168.100.200",
            "sip:192.168.100.200:5060",
            "PJSIP/101-0000001a",
            "PJSIP/megafon79990000000-0000001a",
            "PJSIP/my-trunk-0000001a",
            "tel:7042;phone-context=example.com",
            "sip:anonymous@anonymous.invalid",
            "sip:c8oqz84zk7z1234@privacy.org",
            "sip:0ab3f9c2-1234567-99@pbx",
            "#79997775533",
            "<>",
            "PJSIP/",
        ] {
            assert_eq!(key(form), None, "{form}");
        }
    }

    #[test]
    fn several_numbers() {
        for (text, expected) in [
            (
                "8-701-123-45-67 / 8-702-000-00-00",
                &["77011234567", "77020000000"][..],
            ),
            ("87011234567, +37251234567", &["77011234567", "37251234567"]),
            ("87011234567/68", &["77011234567"]),
            ("87011234567 | 87011234567", &["77011234567"]),
            ("101", &[]),
        ] {
            assert_eq!(keys(text, Region::default()), expected, "{text}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("870112345{n:02}")).collect();
        assert_eq!(keys(&many.join("/"), Region::default()).len(), MAX_NUMBERS);
    }

    #[test]
    fn a_number_abroad_never_becomes_one_at_home() {
        for (form, expected) in [
            ("tel:+3725123456", "3725123456"),
            ("sip:+3725123456@x", "3725123456"),
            ("(+372) 512 3456", "3725123456"),
            ("＋372 512 3456", "3725123456"),
            ("003725123456", "3725123456"),
            ("8103725123456", "3725123456"),
            ("8~10 372 512 3456", "3725123456"),
            ("+44 (0)20 7946 0958", "442079460958"),
            ("998901234567", "998901234567"),
            ("375291234567", "375291234567"),
            ("12025550123", "12025550123"),
            ("2025550123", "2025550123"),
            ("6512345678", "6512345678"),
            ("81312345678", "81312345678"),
            ("8 372 512-34-56", "73725123456"),
        ] {
            assert_eq!(key(form).as_deref(), Some(expected), "{form}");
            assert_eq!(key_in("KZ", form).as_deref(), Some(expected), "{form}");
        }
    }

    #[test]
    fn each_region_completes_its_own() {
        for (region, form, expected) in [
            ("KZ", "8 701 123 45 67", "77011234567"),
            ("KZ", "701 123 45 67", "77011234567"),
            ("BY", "8 029 123-45-67", "375291234567"),
            ("BY", "29 123-45-67", "375291234567"),
            ("UA", "050 123 45 67", "380501234567"),
            ("UZ", "90 123 45 67", "998901234567"),
            ("EE", "512 3456", "5123456"),
            ("EE", "372 512 3456", "3725123456"),
            ("DE", "030 901820", "4930901820"),
            ("DE", "0049 30 901820", "4930901820"),
            ("DE", "+7 701 123 45 67", "77011234567"),
            ("US", "(202) 555-0123", "12025550123"),
            ("US", "1 202 555 0123", "12025550123"),
            ("US", "011 7 701 123 45 67", "77011234567"),
            ("UA", "+7 701 123 45 67", "77011234567"),
            ("UA", "89997775533", "89997775533"),
        ] {
            assert_eq!(
                key_in(region, form).as_deref(),
                Some(expected),
                "{region} {form}"
            );
        }
        let names: Vec<&str> = PLANS.iter().map(|plan| plan.name).collect();
        assert_eq!(names, REGIONS.words);
        assert_eq!(Region::from_name("XX"), None);
    }

    proptest! {
        /// A key is digits of a bounded length, and is its own key when it is written with a plus.
        #[test]
        fn a_key_is_its_own_key(text in "(sip:|tel:|PJSIP/)?[+0-9 ()/;,@x<>.a\\-]{0,40}|\\PC{0,40}") {
            for region in &PLANS {
                for key in keys(&text, Region(region)) {
                    prop_assert!((MIN_DIGITS..=MAX_DIGITS).contains(&key.len()));
                    prop_assert!(key.bytes().all(|b| b.is_ascii_digit()));
                    if !key.starts_with("00") {
                        let again = super::key(&format!("+{key}"), Region(region));
                        prop_assert_eq!(again, Some(key));
                    }
                }
            }
        }
    }

    #[test]
    fn one_number_in_its_many_forms() {
        for form in [
            "79997775533",
            "+79997775533",
            "89997775533",
            "9997775533",
            "8 (999) 777-55-33",
            "+7 999 777 55 33",
            "8-999-777-55-33 доб. 12",
            "+7(999)7775533,12",
            "+7 999 777-55-33 EXT 4",
            "79997775533#5",
        ] {
            assert_eq!(key(form).as_deref(), Some("79997775533"), "{form}");
        }
    }

    #[test]
    fn numbers_abroad() {
        for (form, expected) in [
            ("+49 30 901820", "4930901820"),
            ("00493012345678", "493012345678"),
            ("810493012345678", "493012345678"),
            ("8 10 49 301 234 5678", "493012345678"),
            ("+1 (202) 555-0123", "12025550123"),
            ("+998 90 123 45 67", "998901234567"),
            ("+8 999 777 55 33", "89997775533"),
        ] {
            assert_eq!(key(form).as_deref(), Some(expected), "{form}");
        }
    }

    #[test]
    fn odd_numbers_are_kept_as_they_are() {
        // One of the documents' samples has twelve digits.
        for (form, expected) in [
            ("791229929292", "791229929292"),
            ("2345678", "2345678"),
            ("234-56-78", "2345678"),
        ] {
            assert_eq!(key(form).as_deref(), Some(expected), "{form}");
        }
    }

    #[test]
    fn extensions_and_hidden_callers_have_no_key() {
        for form in [
            "",
            "101",
            "123456",
            "anonymous",
            "Скрыт",
            "доб. 79997775533",
            "123456789012345678901",
        ] {
            assert_eq!(key(form), None, "{form}");
        }
    }
}
