//! Forms of texts: each has a function that accepts them and a pattern that describes them.

use serde_json::Value;

use super::{Fault, value::excerpt};

/// A form that texts of a member have.
#[derive(Debug)]
pub struct Form {
    /// The allowed texts, as the end of «The name must be …».
    pub meaning: &'static str,
    /// A regular expression of ECMA-262 that matches every accepted text. Texts that it matches are accepted as well,
    /// unless the form's comment says otherwise.
    pub pattern: &'static str,
    pub accepts: fn(&str) -> bool,
    /// True for values that no error repeats, since they may be secrets or contain one.
    pub is_secret: bool,
}

impl Form {
    pub const fn new(
        meaning: &'static str,
        pattern: &'static str,
        accepts: fn(&str) -> bool,
    ) -> Self {
        Self {
            meaning,
            pattern,
            accepts,
            is_secret: false,
        }
    }

    /// Keeps the values out of errors.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self {
            is_secret: true,
            ..self
        }
    }

    /// The fault of a value, which is a text or a list of texts.
    pub fn check(&self, path: &str, value: &Value) -> Result<(), Fault> {
        if let Some(texts) = value.as_array() {
            let mut texts = texts.iter().enumerate();
            return texts.try_for_each(|(n, text)| self.check(&format!("{path}[{n}]"), text));
        }
        if value.as_str().is_none_or(self.accepts) {
            return Ok(());
        }
        Err(self.fault(path, value))
    }

    /// The fault of a text that has another form.
    pub fn fault(&self, path: &str, value: &Value) -> Fault {
        let meaning = self.meaning;
        let message = if self.is_secret {
            format!("The {path} must be {meaning}.")
        } else {
            format!("The {path} must be {meaning}, not {}.", excerpt(value))
        };
        Fault::rule(path, message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, string::string_regex, test_runner::TestRunner};
    use regex::Regex;

    use crate::{
        channel, identifier,
        integration::{self, MANIFEST},
        network,
        time::SPAN,
        workspace_name,
    };

    use super::*;

    /// The forms whose pattern matches exactly the accepted texts.
    fn exact() -> Vec<&'static Form> {
        let [name, version, ..] = MANIFEST else {
            panic!("a manifest has a name and a version");
        };
        let mut forms = vec![&channel::TOKEN, &identifier::DIGITS, &network::MASK, &SPAN];
        forms.extend(name.form);
        forms.extend(version.form);
        assert_eq!(forms.len(), 6);
        forms
    }

    /// The forms that refuse some of the texts that their pattern matches.
    const LOOSE: &[&Form] = &[&integration::BASE_URL, &workspace_name::NAME];

    /// Texts of the characters that forms are made of, some of them near to a form.
    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            "[0-9.:/a-f-]{0,24}",
            "(https?://|HTTP://)?[a-z@:/?#. \\[\\]0-9]{0,20}",
            "[A-Za-z0-9_.-]{0,70}",
            "([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,3})?",
            "([0-9a-f]{0,5}:){1,8}[0-9a-f.]{0,8}(/[0-9]{1,3})?",
            "([0-9]{1,2}\\.)?[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\\.[0-9]{0,8})?",
            ".{0,14}",
        ]
    }

    #[test]
    fn accepted_texts_match_the_pattern() {
        let loose = LOOSE.iter().map(|form| (*form, false));
        for (form, is_exact) in exact().into_iter().map(|form| (form, true)).chain(loose) {
            let pattern = Regex::new(form.pattern).unwrap();
            let mut runner = TestRunner::deterministic();
            let check = runner.run(&texts(), |text| {
                let (fits, matches) = ((form.accepts)(&text), pattern.is_match(&text));
                prop_assert!(matches || !fits, "{text:?} is accepted");
                prop_assert!(fits || !matches || !is_exact, "{text:?} is refused");
                Ok(())
            });
            assert!(check.is_ok(), "{}: {check:?}", form.meaning);
        }
    }

    #[test]
    fn texts_made_of_the_pattern_are_accepted() {
        for form in exact() {
            let inner = form.pattern.trim_start_matches('^').trim_end_matches('$');
            let mut runner = TestRunner::deterministic();
            let check = runner.run(&string_regex(inner).unwrap(), |text| {
                prop_assert!((form.accepts)(&text), "{text:?} is refused");
                Ok(())
            });
            assert!(check.is_ok(), "{}: {check:?}", form.meaning);
        }
    }
}
