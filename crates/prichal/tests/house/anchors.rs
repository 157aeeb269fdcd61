//! Links to headings: `docs/telephony.md#numbers` names a heading of a page, by the words that it has in links.

use std::sync::LazyLock;

use regex::Regex;

use crate::{
    paths::resolved,
    repository::{Source, assert_none, read},
};

/// A link's page, which is empty for the page itself, and its anchor.
static LINK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\]\(([\w./-]*)#([^)\s]+)\)").expect("a regular expression"));

/// The links of a document to headings that do not exist; `page` returns the text of another file.
fn faults(source: &Source, page: impl Fn(&str) -> Option<String>) -> Vec<String> {
    if !source.is_document() {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for link in LINK.captures_iter(&source.text) {
        let text = if link[1].is_empty() {
            Some(source.text.clone())
        } else {
            resolved(source.folder(), &link[1]).and_then(|path| page(&path))
        };
        let is_there = text.is_some_and(|text| anchors(&text).any(|anchor| anchor == link[2]));
        if !is_there {
            let at = link.get(0).map_or(0, |whole| whole.start());
            let what = format!("{}#{} is no heading", &link[1], &link[2]);
            faults.push(source.fault(&source.text, at, &what));
        }
    }
    faults
}

/// The anchors of a page's headings: lower case, hyphens for spaces, no other signs.
fn anchors(page: &str) -> impl Iterator<Item = String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings.map(|heading| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let words = words.chars().filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        });
        words.collect()
    })
}

#[test]
fn every_heading_that_is_linked_exists() {
    assert_none(|source| faults(source, read));
}

#[test]
fn the_finder_finds() {
    let page = "# A page\n\n## When the issuer's server is away\n";
    let cases: [(&str, &[&str]); 6] = [
        ("[a](b.md#a-page)", &[]),
        ("[a](b.md#when-the-issuers-server-is-away)", &[]),
        ("[a](../docs/b.md#a-page)", &[]),
        ("## One\n[a](#one) [a](https://a.example/b.md#two)", &[]),
        ("[a](b.md#page)", &["docs/a.md:1: b.md#page is no heading"]),
        (
            "\n[a](#two) [a](c.md#a-page)",
            &[
                "docs/a.md:2: #two is no heading",
                "docs/a.md:2: c.md#a-page is no heading",
            ],
        ),
    ];
    for (text, expected) in cases {
        let source = Source::new("docs/a.md", text);
        let found = faults(&source, |path| {
            (path == "docs/b.md").then(|| page.to_owned())
        });
        assert_eq!(found, expected, "{text}");
    }
}
