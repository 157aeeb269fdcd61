//! The words of the console in Russian, Kazakh and English. A page has a table of its own in a file of `words/`; what
//! several pages say is in [`Common`].
//!
//! Sentences with `{}` are completed by [`fill`]. Counts are worded so that no language needs a plural: «Найдено: 5».

mod calls;
mod channels;
mod check;
mod common;
mod deliveries;
mod documents;
mod events;
mod facts;
mod indications;
mod integrations;
mod now;
mod reasons;
mod server;
mod settings;

use std::fmt::{Display, Write as _};

pub(crate) use calls::Calls;
pub(crate) use channels::Channels;
pub(crate) use check::{Check, Steps};
pub(crate) use common::{Common, Faults, SignIn};
pub(crate) use deliveries::Deliveries;
pub(crate) use documents::Documents;
pub(crate) use events::Events;
pub(crate) use facts::Facts;
pub(crate) use indications::{Indications, Needs};
pub(crate) use integrations::Integrations;
pub(crate) use now::Now;
pub(crate) use reasons::{REASONS, Reason};
pub(crate) use server::Server;
pub(crate) use settings::Settings;

/// A table of words: each line has a name, and the Russian, Kazakh and English text. A line without one does not compile.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($key:ident: $ru:literal, $kk:literal, $en:literal;)* }) => {
        $(#[$doc])*
        pub(crate) struct $name {
            $(pub(crate) $key: &'static str,)*
        }

        impl $name {
            pub(crate) const fn of(language: $crate::language::Language) -> &'static Self {
                match language {
                    $crate::language::Language::Ru => &Self { $($key: $ru,)* },
                    $crate::language::Language::Kk => &Self { $($key: $kk,)* },
                    $crate::language::Language::En => &Self { $($key: $en,)* },
                }
            }

            #[cfg(test)]
            pub(crate) const TABLE: $crate::words::Lines = &[$((stringify!($key), [$ru, $kk, $en]),)*];
        }
    };
}
pub(crate) use words;

/// A sentence with its arguments in the places of `{}`, in their order.
pub(crate) fn fill(sentence: &str, args: &[&dyn Display]) -> String {
    let mut args = args.iter();
    let mut pieces = sentence.split("{}");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        if let Some(arg) = args.next() {
            let _ = write!(text, "{arg}");
        }
        text.push_str(piece);
    }
    text
}

/// The lines of a table, with the texts in the order of [`Language::ALL`](crate::language::Language::ALL).
#[cfg(test)]
pub(crate) type Lines = &'static [(&'static str, [&'static str; 3])];

/// All tables, for tests.
#[cfg(test)]
const TABLES: &[(&str, Lines)] = &[
    ("calls", Calls::TABLE),
    ("channels", Channels::TABLE),
    ("check", Check::TABLE),
    ("steps", Steps::TABLE),
    ("common", Common::TABLE),
    ("faults", Faults::TABLE),
    ("sign in", SignIn::TABLE),
    ("deliveries", Deliveries::TABLE),
    ("documents", Documents::TABLE),
    ("events", Events::TABLE),
    ("facts", Facts::TABLE),
    ("indications", Indications::TABLE),
    ("needs", Needs::TABLE),
    ("integrations", Integrations::TABLE),
    ("now", Now::TABLE),
    ("server", Server::TABLE),
    ("settings", Settings::TABLE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_say_the_same() {
        for (table, lines) in TABLES {
            for (key, texts) in *lines {
                let places = texts.map(|text| text.matches("{}").count());
                assert_eq!(places, [places[0]; 3], "{table}.{key}: arguments");
                for text in texts {
                    assert!(!text.is_empty(), "{table}.{key} is empty");
                    assert_eq!(text.trim(), *text, "{table}.{key}: spaces");
                }
            }
        }
    }

    #[test]
    fn sentences_are_filled() {
        assert_eq!(fill("{} из {}", &[&3, &"5"]), "3 из 5");
        assert_eq!(fill("{}{}", &[&"{}"]), "{}");
    }
}
