//! The files of the repository, and the prose in them: documents, and the comments of code.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Folders that are made, not kept. So are all that begin with a dot, but for [`KEPT`].
const MADE: [&str; 5] = ["target", "corpus", "artifacts", "fonts", "prichal-data"];
const KEPT: [&str; 3] = [".ci", ".config", ".cargo"];

/// A file with text in it.
pub(crate) struct Source {
    /// Relative to the root, with slashes.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The top folder of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a file; `None` if there is no such file.
pub(crate) fn read(path: &str) -> Option<String> {
    fs::read_to_string(root().join(path)).ok()
}

/// Fails with all faults that `guard` finds in the repository.
pub(crate) fn assert_none(guard: impl Fn(&Source) -> Vec<String>) {
    let sources = sources().expect("the repository can be read");
    assert!(sources.len() > 300, "only {} files", sources.len());
    let faults: Vec<String> = sources.iter().flat_map(guard).collect();
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn sources() -> io::Result<Vec<Source>> {
    let (mut sources, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() {
                name.clone()
            } else {
                format!("{folder}/{name}")
            };
            if entry.file_type()?.is_dir() {
                let is_hidden = name.starts_with('.') && !KEPT.contains(&name.as_str());
                if !is_hidden && !MADE.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                sources.push(Source { path, text });
            }
        }
    }
    Ok(sources)
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    /// A document in its whole, of code the comments without their marks. Each line stays a line, so that an
    /// offset in the prose has the line number of the file.
    pub(crate) fn prose(&self) -> String {
        let Some(mark) = self.mark() else {
            return String::new();
        };
        let lines = self.text.lines().map(|line| {
            if mark.is_empty() {
                return line;
            }
            comment(line, mark).unwrap_or_default()
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn is_document(&self) -> bool {
        self.mark() == Some("")
    }

    /// The folder of the file; empty for the root.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// A fault at an offset of the prose.
    pub(crate) fn fault(&self, prose: &str, at: usize, what: &str) -> String {
        let line = prose[..at].matches('\n').count() + 1;
        format!("{}:{line}: {what}", self.path)
    }

    /// What begins a comment; empty for a document, `None` for a file without prose.
    fn mark(&self) -> Option<&'static str> {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("md") => Some(""),
            Some("rs" | "js") => Some("//"),
            Some("sql") => Some("--"),
            Some("toml" | "sh" | "yml" | "yaml" | "py") => Some("#"),
            _ if self.text.starts_with("#!") => Some("#"),
            _ => None,
        }
    }
}

/// The comment that a line is or ends with.
fn comment<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let comment = match line.trim_start().strip_prefix(mark) {
        // The further marks of `///`, `//!` and `##`.
        Some(comment) => comment.trim_start_matches(['/', '!', '#']),
        None => line.split_once(&format!(" {mark} "))?.1,
    };
    Some(comment.trim())
}

#[test]
fn prose_is_documents_and_comments() {
    let cases = [
        ("a.md", "# One\n\ntwo", "# One\n\ntwo"),
        (
            "a.rs",
            "//! One\nlet a = 1; // two\n    /// three",
            "One\ntwo\nthree",
        ),
        ("a.rs", "let url = \"https://a.example\";", ""),
        ("a.sql", "-- One\nSELECT 1; -- two", "One\ntwo"),
        ("a.toml", "# One\na = 1 # /two", "One\n/two"),
        ("scripts/a", "#!/bin/sh\n# One\ntrue", "bin/sh\nOne\n"),
        ("a.bin", "# One", ""),
    ];
    for (path, text, prose) in cases {
        assert_eq!(Source::new(path, text).prose(), prose, "{path}: {text}");
    }
}
