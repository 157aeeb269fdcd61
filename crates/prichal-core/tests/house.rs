//! The house rule of this crate: its sources name no vendor, but for the contract that a comment refers to.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Words of vendors in any case, wherever they stand.
const WORDS: [&str; 13] = [
    "asp.net",
    "bitrix",
    "documentbasevm",
    "documentextendedvm",
    "errorinfo",
    "idocs",
    "integrationinstanceid",
    "kedo",
    "kontur",
    "newtonsoft",
    "objectevent",
    "vendor",
    "xcom",
];
/// Words of vendors in this case only, as whole words.
const NAMES: [&str; 3] = ["Era", "ERA", ".NET"];
/// The author of the server's own events: stored in every log, so it stays.
const SYSTEM_AUTHOR: &str = "with: \"xcom\".to_owned()";

#[test]
fn no_source_names_a_vendor() {
    let mut found = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&file).expect("a source");
        for (n, line) in text.lines().enumerate() {
            if let Some(word) = vendor_word(line) {
                found.push(format!("{}:{}: {word}", file.display(), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn vendors_are_found() {
    for (line, expected) in [
        ("/// As Kontur prints it.", Some("kontur")),
        ("let name = \"Xcom.Api\";", Some("xcom")),
        ("/// The Era face.", Some("Era")),
        ("/// A .NET `TimeSpan`.", Some(".NET")),
        ("let camera = operations;", None),
        ("/// The feed (`docs/contracts/kontur.md §5`).", None),
        (
            "/// Kontur's feed (`docs/contracts/kontur.md §5`).",
            Some("kontur"),
        ),
        ("let path = \"docs/contracts/kontur.md\";", Some("kontur")),
        ("            with: \"xcom\".to_owned(),", None),
    ] {
        assert_eq!(vendor_word(line), expected, "{line}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let nested = paths.map(|path| {
        if path.is_dir() {
            sources(&path)
        } else {
            vec![path]
        }
    });
    nested.flatten().collect()
}

fn vendor_word(line: &str) -> Option<&'static str> {
    let line = without_references(line).replace(SYSTEM_AUTHOR, "");
    let lower = line.to_lowercase();
    let anywhere = WORDS.into_iter().find(|word| lower.contains(word));
    anywhere.or_else(|| NAMES.into_iter().find(|name| has_word(&line, name)))
}

/// The line without the names of contracts, which only its comment may have.
fn without_references(line: &str) -> String {
    let (code, comment) = line.split_at(line.find("//").unwrap_or(line.len()));
    let mut rest = comment;
    let mut kept = code.to_owned();
    while let Some(at) = rest.find("docs/contracts/") {
        kept.push_str(&rest[..at]);
        let end = rest[at..].find(".md").map(|end| at + end + ".md".len());
        rest = &rest[end.unwrap_or(rest.len())..];
    }
    kept + rest
}

fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(word).any(|(at, _)| {
        let after = &line[at + word.len()..];
        !is_letter(line[..at].chars().next_back()) && !is_letter(after.chars().next())
    })
}
