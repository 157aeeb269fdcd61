//! References to sections: `docs/contracts/kontur.md §6.4` and its like name a file of the repository and a numbered
//! heading in it. Rules, rows and checks that are named behind it are numbered there, too.

use std::sync::LazyLock;

use regex::Regex;

use crate::repository::{Source, assert_none, read};

/// A file, its sections, and perhaps numbered parts of the last of them.
static REFERENCE: LazyLock<Regex> = LazyLock::new(|| {
    let section = r"§\d+(?:\.\d+)*";
    let part = r"(?:rules?|rows?|checks?|steps?)\s+(\d+(?:(?:,\s+|\s+and\s+|\s+to\s+)\d+)*)";
    pattern(&format!(
        r"([\w./-]+\.md)`?\s+({section}(?:,\s+{section})*)`?(?:\s+{part})?"
    ))
});

/// Sections of a standard, whose name stands before them.
static STANDARD: LazyLock<Regex> = LazyLock::new(|| {
    let section = r"§[A-Z\d][\w.()]*";
    let name = r"\b(?:RFC|EN|TS|FIPS|SP|SEC|X\.)\s?\d[\d.A-Z-]*(?:\s\d[\d-]*)?";
    pattern(&format!(
        r"{name}\s+{section}(?:(?:,|\s+and|\s+or|\s+to)\s+{section})*"
    ))
});

static BARE: LazyLock<Regex> = LazyLock::new(|| pattern(r"§(\d+(?:\.\d+)*)"));
static HEADING: LazyLock<Regex> = LazyLock::new(|| pattern(r"^#+ (\d+(?:\.\d+)*)\.? "));
static PART: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:\| )?(\d+)(?:\. | \|)"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a regular expression")
}

/// The faults of a file's references; `page` returns the text of another file.
fn faults(source: &Source, page: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let prose = source.prose();
    let mut faults = Vec::new();
    for found in REFERENCE.captures_iter(&prose) {
        let at = found.get(0).map_or(0, |whole| whole.start());
        let mut fault = |what: &str| faults.push(source.fault(&prose, at, what));
        let file = &found[1];
        let Some(text) = page(file) else {
            fault(&format!("there is no file {file}"));
            continue;
        };
        let sections: Vec<&str> = BARE
            .find_iter(&found[2])
            .map(|one| &one.as_str()[2..])
            .collect();
        for section in &sections {
            if parts(&text, section).is_none() {
                fault(&format!("{file} has no section {section}"));
            }
        }
        let last = sections.last().copied().unwrap_or_default();
        let (Some(parts), Some(named)) = (parts(&text, last), found.get(3)) else {
            continue;
        };
        for number in NUMBER
            .find_iter(named.as_str())
            .map(|number| number.as_str())
        {
            if !parts.iter().any(|part| part == number) {
                fault(&format!("{file} §{last} has no number {number}"));
            }
        }
    }
    // The remaining sections name no document. A document may mean its own by them.
    let rest = blanked(&blanked(&prose, &REFERENCE), &STANDARD);
    for found in BARE.captures_iter(&rest) {
        let at = found.get(0).map_or(0, |whole| whole.start());
        let is_own = source.is_document() && parts(&source.text, &found[1]).is_some();
        if !is_own {
            let what = format!("§{} is of no document", &found[1]);
            faults.push(source.fault(&prose, at, &what));
        }
    }
    faults
}

/// The text with spaces where the pattern matches, line ends and offsets as they were.
fn blanked(text: &str, pattern: &Regex) -> String {
    let blank = |found: &regex::Captures<'_>| {
        let bytes = found[0].bytes();
        bytes
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect::<String>()
    };
    pattern.replace_all(text, blank).into_owned()
}

/// The numbers of list items and rows in a section of a page; `None` if there is no such section.
fn parts(page: &str, section: &str) -> Option<Vec<String>> {
    let (mut parts, mut is_inside, mut is_code) = (None, false, false);
    for line in page.lines() {
        is_code ^= line.starts_with("```");
        if is_code {
            continue;
        }
        if line.starts_with('#') {
            is_inside = HEADING
                .captures(line)
                .is_some_and(|heading| &heading[1] == section);
        }
        if is_inside {
            let part = PART.captures(line).map(|part| part[1].to_owned());
            parts.get_or_insert_with(Vec::new).extend(part);
        }
    }
    parts
}

#[test]
fn every_section_that_is_named_exists() {
    assert_none(|source| faults(source, read));
}

#[test]
fn the_finder_finds() {
    let page = "# A page\n\n## 1. One\n\n1. first\n2. second\n\n### 1.2 Two\n\n| 7 | row |\n\n```\n## 9. code\n```\n\n## 10. Ten\n";
    let cases: [(&str, &[&str]); 18] = [
        ("`docs/a.md §1`", &[]),
        ("`docs/a.md §1, §1.2` and `docs/a.md §10`", &[]),
        ("(`docs/a.md §1` rule 2)", &[]),
        ("`docs/a.md §1, §1.2` row 7", &[]),
        ("`docs/a.md §1` rules 1 to 2", &[]),
        (
            "RFC 5280 §4.2.1.6, EN 319 122-1 §A.1.1.2, FIPS 186-5 §5.4(e)",
            &[],
        ),
        ("RFC 5035 §3 and §4; NIST SP 800-131A §3; X.690 §8.7", &[]),
        ("`docs/b.md §1`", &["there is no file docs/b.md"]),
        ("`a.md` §1", &["there is no file a.md"]),
        ("`docs/a.md §2`", &["docs/a.md has no section 2"]),
        ("`docs/a.md` §2", &["docs/a.md has no section 2"]),
        ("`docs/a.md §1, §1.1`", &["docs/a.md has no section 1.1"]),
        ("`docs/a.md\n/// §3`", &["docs/a.md has no section 3"]),
        ("`docs/a.md §9`", &["docs/a.md has no section 9"]),
        (
            "`docs/a.md §1` rules 1 and 3",
            &["docs/a.md §1 has no number 3"],
        ),
        (
            "`docs/a.md §1.2` row 1",
            &["docs/a.md §1.2 has no number 1"],
        ),
        ("the contract §1", &["§1 is of no document"]),
        ("`docs/a.md §10`, as in §1", &["§1 is of no document"]),
    ];
    for (comment, expected) in cases {
        let source = Source::new("src/lib.rs", &format!("\n/// {comment}\n"));
        let found = faults(&source, |path| {
            (path == "docs/a.md").then(|| page.to_owned())
        });
        let expected: Vec<_> = expected
            .iter()
            .map(|what| format!("src/lib.rs:2: {what}"))
            .collect();
        assert_eq!(found, expected, "{comment}");
    }
}

#[test]
fn a_document_may_name_its_own_sections() {
    let faults = |text: &str| faults(&Source::new("docs/a.md", text), |_| None);
    assert_eq!(faults("## 1. One\n\nas in §1"), [""; 0]);
    assert_eq!(
        faults("## 1. One\n\nas in §2"),
        ["docs/a.md:3: §2 is of no document"]
    );
}
