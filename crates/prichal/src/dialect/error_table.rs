//! `docs/errors.md`: the errors of every dialect, from the functions that render them and from the meanings in
//! [`crate::error`]. A test compares the committed page with this one.

use std::{collections::BTreeSet, fmt::Write as _};

use axum::http::StatusCode;

use super::DIALECTS;
use crate::error::{Code, Error};

/// The errors of a dialect as the page shows them.
pub struct Errors {
    pub title: &'static str,
    /// The form of its errors, as Markdown.
    pub about: &'static str,
    pub status: fn(&Error) -> StatusCode,
    /// The code or the phrase by which a client tells the error from others.
    pub code: fn(&Error) -> String,
    /// The business refusals that it has.
    pub refusals: &'static [Code],
    /// True if it has patches of operations.
    pub has_patches: bool,
}

const HEAD: &str = "\
# Errors

Every error of every API, by its code. The texts of errors name the value that is wrong and what would be right;
programs decide by status and code. [Habits of our APIs](api.md) has the rest.

* `X-Request-Id` of the answer is on each line that the server logs for the request, and so is the `traceId` of a
  problem under `/api/v1`.
* 429 and 503 have a `Retry-After` in seconds. 405 has an `Allow`. 401 has a `WWW-Authenticate`.

This page is generated; `crates/prichal/src/error.rs` has the meanings, and `error_response.rs` of each dialect
the codes.
";

impl Errors {
    fn all(&self) -> Vec<Error> {
        let refusals = self.refusals.iter();
        let mut all = Error::samples();
        all.retain(|error| self.has_patches || !matches!(error, Error::PatchRefused(_)));
        all.extend(refusals.map(|code| Error::refused(*code, "")));
        all
    }

    fn rows(&self) -> BTreeSet<String> {
        let all = self.all();
        let rows = all.iter().map(|error| {
            let (status, code) = ((self.status)(error), (self.code)(error));
            let meaning = error.meaning();
            format!(
                "| {} | `{code}` | {} | {} |",
                status.as_u16(),
                meaning.when,
                meaning.remedy
            )
        });
        rows.collect()
    }
}

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for dialect in DIALECTS {
        let Errors { title, about, .. } = dialect.errors;
        // Writing into a `String` cannot fail.
        let _ = write!(
            page,
            "\n## {title}\n\n{about}\n\n| status | code | when | what to do |\n|---|---|---|---|\n"
        );
        for row in dialect.errors.rows() {
            page.push_str(&row);
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::Path};

    use super::*;

    const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");

    #[test]
    fn the_committed_page_is_the_generated_one() {
        if env::var_os("PRICHAL_WRITE_DOCS").is_some() {
            fs::write(PAGE, page()).expect("it is written");
        }
        let committed = fs::read_to_string(PAGE).unwrap_or_default();
        assert!(
            committed == page(),
            "docs/errors.md is not what the code says. Write it anew: \
             PRICHAL_WRITE_DOCS=1 cargo test -p prichal --lib error_table"
        );
    }

    /// The codes that the sources below a folder or in a file name, without the rendering of errors.
    fn codes(path: &Path) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if path.is_dir() {
            for entry in fs::read_dir(path).expect("a folder") {
                found.extend(codes(&entry.expect("an entry").path()));
            }
            return found;
        }
        if path.ends_with("error_response.rs") {
            return found;
        }
        let text = fs::read_to_string(path).expect("a text");
        for (at, name) in text.match_indices("Code::") {
            let before = text[..at].chars().next_back();
            let rest = &text[at + name.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
            let word = &rest[..end.unwrap_or(rest.len())];
            if before.is_some_and(|c| !c.is_alphanumeric()) && word.contains(char::is_lowercase) {
                found.insert(word.to_owned());
            }
        }
        found
    }

    fn names(codes: &[Code]) -> BTreeSet<String> {
        codes.iter().map(|code| format!("{code:?}")).collect()
    }

    #[test]
    fn a_dialect_lists_every_refusal_that_its_own_code_makes() {
        for (folder, dialect) in ["admin", "kontur", "era", "idocs"]
            .into_iter()
            .zip(DIALECTS)
        {
            let listed = names(dialect.errors.refusals);
            let path = Path::new(SOURCES).join("dialect").join(folder);
            let mut made = codes(&path);
            // The codes with which a websocket is closed have the same name.
            made.retain(|code| names(Code::ALL).contains(code));
            assert!(
                !made.is_empty() && made.is_subset(&listed),
                "{folder}: {made:?}"
            );
        }
    }

    #[test]
    fn every_refusal_is_listed_or_stays_inside() {
        // These end in another attempt, never in an answer.
        let inside = names(&[Code::Overtaken, Code::LeaseLost]);
        let dialects = DIALECTS.iter();
        let listed: BTreeSet<String> = dialects
            .flat_map(|dialect| names(dialect.errors.refusals))
            .collect();
        for code in names(Code::ALL) {
            assert!(listed.contains(&code) != inside.contains(&code), "{code}");
        }
    }
}
