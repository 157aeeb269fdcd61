//! The routes of the console by its sources, and the table of their answers, `console_table.txt`.
//!
//! A line of the table has the method, the path, and the answers to an operator, an administrator, an integrator, an
//! employee, a viewer and nobody: a status, or `in` where the browser is led to sign in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const TABLE: &str = include_str!("console_table.txt");
/// The answer that leads the browser to sign in.
pub(super) const IN: &str = "in";

/// A method and a path.
pub(super) type Route = (String, String);

/// The routes of the console by its sources: each call of `.route` with a path below `/console`.
pub(super) fn routes() -> BTreeSet<Route> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = BTreeSet::new();
    for (source, is_console) in [("prichal-console/src", true), ("prichal/src", false)] {
        for text in sources(&crates.join(source)) {
            for other in [".route_service(", ".nest(", ".nest_service(", ".fallback("] {
                assert!(!is_console || !text.contains(other), "{other} hides routes");
            }
            for call in text.split(".route(").skip(1) {
                found.extend(routes_of(call, is_console));
            }
        }
    }
    assert!(found.len() > 60, "{found:?}");
    found
}

fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(fs::read_to_string(path).expect("a source"));
        }
    }
    found
}

/// The routes of the arguments of `.route(`, such as `"/console", get(home))`.
fn routes_of(call: &str, is_console: bool) -> Vec<Route> {
    let Some(text) = call.trim_start().strip_prefix('"') else {
        assert!(!is_console, "a path that is no text: {}", &call[..40]);
        return Vec::new();
    };
    let (path, handlers) = text.split_once('"').expect("the end of a path");
    if !path.starts_with("/console") {
        return Vec::new();
    }
    let (mut depth, mut word, mut methods) = (0, String::new(), Vec::new());
    for letter in handlers.chars() {
        match letter {
            '(' if depth == 0 => {
                methods.extend(match word.as_str() {
                    "get" => vec!["GET"],
                    "post" => vec!["POST"],
                    "any" => vec!["GET", "POST"],
                    other => panic!("an unknown method `{other}` of {path}"),
                });
                depth = 1;
            }
            '(' => depth += 1,
            ')' if depth == 0 => break,
            ')' => depth -= 1,
            _ if depth > 0 => {}
            letter if letter.is_ascii_alphanumeric() || letter == '_' => word.push(letter),
            _ => word.clear(),
        }
    }
    let routes = methods.into_iter();
    routes
        .map(|method| (method.to_owned(), path.to_owned()))
        .collect()
}

/// The lines of the table: the answers by route.
pub(super) fn table() -> BTreeMap<Route, Vec<String>> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    let rows = lines.map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        let route = (
            words.next().expect("a method"),
            words.next().expect("a path"),
        );
        (route, words.collect())
    });
    rows.collect()
}

/// The route of an address.
pub(super) fn route_of<'a>(
    routes: impl Iterator<Item = &'a Route>,
    method: &str,
    address: &str,
) -> Option<&'a Route> {
    let (address, _) = address.split_once(['?', '#']).unwrap_or((address, ""));
    let parts: Vec<&str> = address.split('/').collect();
    let is_name = |part: &str| part.starts_with('{');
    let fits = |path: &str| {
        let of_path: Vec<&str> = path.split('/').collect();
        let mut pairs = of_path.iter().zip(&parts);
        of_path.len() == parts.len() && pairs.all(|(one, part)| is_name(one) || one == part)
    };
    // A word counts for more than a name.
    let names = |path: &str| path.split('/').map(is_name).collect::<Vec<_>>();
    routes
        .filter(|(of, path)| of == method && fits(path))
        .min_by_key(|(_, path)| names(path))
}
