//! Paths in prose: a stranger has the repository and nothing beside it, so no comment or document names a file that is
//! elsewhere.

use std::path::Path;

use crate::repository::{Source, assert_none, root};

/// Beginnings of paths on the machines of those who wrote the text.
const MACHINES: [&str; 3] = ["/home/", "/root/", "/Users/"];
/// Folders with notes and samples that are not part of the repository.
const ELSEWHERE: [&str; 3] = ["reference/", "shared/", "seeds/"];

fn faults(source: &Source, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let prose = source.prose();
    let mut faults = Vec::new();
    for token in tokens(&prose) {
        let path = token.split('#').next().unwrap_or_default();
        let path = path.trim_end_matches(['.', ':', '!', '?']);
        let what = if token.contains("://") {
            None
        } else if begins(path, &MACHINES) {
            Some("is a path of one machine")
        } else if begins(path, &ELSEWHERE) {
            Some("is in no folder of the repository")
        } else if is_climbing(path) && resolved(source.folder(), path).is_none() {
            Some("leads out of the repository")
        } else if is_document(path) && !is_there(source, path, &exists) {
            Some("is no file of the repository")
        } else {
            None
        };
        if let Some(what) = what {
            let at = token.as_ptr() as usize - prose.as_ptr() as usize;
            faults.push(source.fault(&prose, at, &format!("{path} {what}")));
        }
    }
    faults
}

/// The words of a text that may be paths: between spaces, quotes and brackets.
fn tokens(prose: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| c.is_whitespace() || "()[]{}<>`'\"«»,;|*=".contains(c);
    prose.split(is_end).filter(|token| !token.is_empty())
}

fn begins(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

fn is_document(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|end| end == "md")
}

fn is_climbing(path: &str) -> bool {
    path.starts_with("../") || path == ".."
}

/// Documents name files as the root has them, and in links as their own folder has them.
fn is_there(source: &Source, path: &str, exists: impl Fn(&str) -> bool) -> bool {
    ["", source.folder()]
        .into_iter()
        .filter_map(|folder| resolved(folder, path))
        .any(|path| exists(&path))
}

/// The path from the root; `None` if it leads out.
pub(crate) fn resolved(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[test]
fn no_path_leads_out_of_the_repository() {
    assert_none(|source| faults(source, |path| root().join(path).is_file()));
}

#[test]
fn the_finder_finds() {
    let cases: [(&str, &str, Option<&str>); 14] = [
        ("src/lib.rs", "// see `docs/a.md`", None),
        ("src/lib.rs", "// see docs/a.md.", None),
        ("docs/b.md", "[a](a.md#one), [top](../README.md)", None),
        ("docs/b.md", "https://host.example/home/x.md", None),
        ("src/lib.rs", "let a = \"../../x\"; // fine", None),
        ("src/lib.rs", "// fuzz/seeds, `../lib.rs`", None),
        (
            "src/lib.rs",
            "// `a.md`",
            Some("a.md is no file of the repository"),
        ),
        (
            "docs/b.md",
            "[a](c.md)",
            Some("c.md is no file of the repository"),
        ),
        (
            "README.md",
            "../x",
            Some("../x leads out of the repository"),
        ),
        (
            "src/lib.rs",
            "/// (../../x/y.md)",
            Some("../../x/y.md leads out of the repository"),
        ),
        (
            "a.sql",
            "-- reference/x",
            Some("reference/x is in no folder of the repository"),
        ),
        (
            "a.toml",
            "# `shared/x`",
            Some("shared/x is in no folder of the repository"),
        ),
        (
            "a.sh",
            "true # /home/me/x",
            Some("/home/me/x is a path of one machine"),
        ),
        (
            "docs/b.md",
            "| `/home/x` |",
            Some("/home/x is a path of one machine"),
        ),
    ];
    for (path, text, expected) in cases {
        let exists = |path: &str| ["docs/a.md", "README.md"].contains(&path);
        let found = faults(&Source::new(path, text), exists);
        let expected = expected.map(|what| format!("{path}:1: {what}"));
        assert_eq!(found, Vec::from_iter(expected), "{text}");
    }
}
