//! The difference of two JSON values, as lines that people read.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::parts::visible;

/// The maximum number of characters of a value that is shown.
const MAX_VALUE: usize = 300;
/// The maximum number of lines. A change of more is shown in part.
const MAX_LINES: usize = 500;

/// A member that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its place, such as `customFields.sum` or `webHooks[1].url`.
    pub(crate) path: String,
    pub(crate) change: Change,
    /// The values, cut to a length; empty where there is none.
    pub(crate) before: String,
    pub(crate) after: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Removed,
    Changed,
    /// An element of an array has another place.
    Moved,
}

/// The lines of a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    pub(crate) lines: Vec<Line>,
    /// The number of members at the top that are equal.
    pub(crate) same: usize,
    /// The number of further lines, which are left out.
    pub(crate) more: usize,
}

/// Compares two values. An absent one counts as an empty object.
pub(crate) fn diff(before: Option<&Value>, after: Option<&Value>) -> Diff {
    let nothing = Value::Object(serde_json::Map::new());
    let (before, after) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
    let mut diff = Diff::default();
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        let is_same = |(name, value): &(&String, &Value)| before.get(*name) == Some(*value);
        diff.same = after.iter().filter(is_same).count();
    }
    diff.compare("", before, after);
    diff
}

impl Diff {
    fn push(&mut self, path: &str, change: Change, before: Option<&Value>, after: Option<&Value>) {
        if self.lines.len() >= MAX_LINES {
            self.more += 1;
            return;
        }
        self.lines.push(Line {
            path: visible(path),
            change,
            before: before.map_or_else(String::new, shown),
            after: after.map_or_else(String::new, shown),
        });
    }

    fn compare(&mut self, path: &str, before: &Value, after: &Value) {
        if before == after {
            return;
        }
        match (before, after) {
            (Value::Object(before), Value::Object(after)) => {
                for (name, old) in before {
                    let path = member(path, name);
                    match after.get(name) {
                        Some(new) => self.compare(&path, old, new),
                        None => self.push(&path, Change::Removed, Some(old), None),
                    }
                }
                for (name, new) in after.iter().filter(|(name, _)| !before.contains_key(*name)) {
                    self.push(&member(path, name), Change::Added, None, Some(new));
                }
            }
            (Value::Array(before), Value::Array(after)) => self.compare_arrays(path, before, after),
            _ => self.push(path, Change::Changed, Some(before), Some(after)),
        }
    }

    /// Compares arrays. An element is known by its `id`, or by its whole value.
    fn compare_arrays(&mut self, path: &str, before: &[Value], after: &[Value]) {
        let (old_keys, new_keys) = (keys(before), keys(after));
        let old_places = places(&old_keys);
        let new_places = places(&new_keys);
        if old_places.keys().all(|key| !new_places.contains_key(key)) && before.len() == after.len()
        {
            // No element is known again, so each took the place of another.
            for (n, (old, new)) in before.iter().zip(after).enumerate() {
                self.compare(&element(path, n), old, new);
            }
            return;
        }
        for (n, key) in old_keys.iter().enumerate() {
            if !new_places.contains_key(key) {
                self.push(&element(path, n), Change::Removed, Some(&before[n]), None);
            }
        }
        let stayed = in_order(
            new_keys
                .iter()
                .filter_map(|key| old_places.get(key).copied()),
        );
        for (n, key) in new_keys.iter().enumerate() {
            let path = element(path, n);
            match old_places.get(key) {
                None => self.push(&path, Change::Added, None, Some(&after[n])),
                Some(old) => {
                    if !stayed.contains(old) {
                        self.push(&path, Change::Moved, Some(&(*old).into()), Some(&n.into()));
                    }
                    self.compare(&path, &before[*old], &after[n]);
                }
            }
        }
    }
}

/// The names by which elements are known: their `id` or their text, and the number of equal ones before.
fn keys(values: &[Value]) -> Vec<(String, usize)> {
    let mut seen = HashMap::new();
    let name = |value: &Value| match value.get("id") {
        Some(id) => id.to_string(),
        None => value.to_string(),
    };
    values
        .iter()
        .map(|value| {
            let name = name(value);
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            (name, *count)
        })
        .collect()
}

fn places(keys: &[(String, usize)]) -> HashMap<&(String, usize), usize> {
    keys.iter().enumerate().map(|(n, key)| (key, n)).collect()
}

/// The largest set of places that kept their order: the longest increasing subsequence.
fn in_order(places: impl Iterator<Item = usize>) -> HashSet<usize> {
    let places: Vec<_> = places.collect();
    // The end of the best sequence of each length, and of each place the one before.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = vec![None; places.len()];
    for (n, place) in places.iter().enumerate() {
        let length = ends.partition_point(|end| places[*end] < *place);
        before[n] = length.checked_sub(1).map(|length| ends[length]);
        if length == ends.len() {
            ends.push(n);
        } else {
            ends[length] = n;
        }
    }
    let mut kept = HashSet::new();
    let mut at = ends.last().copied();
    while let Some(n) = at {
        kept.insert(places[n]);
        at = before[n];
    }
    kept
}

fn member(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn element(path: &str, n: usize) -> String {
    format!("{path}[{n}]")
}

/// A value as it is shown: a text without quotes, anything else as JSON.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut cut: String = text.chars().take(MAX_VALUE).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    visible(&cut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        let found = diff(Some(before), Some(after));
        let line = |line: &Line| {
            format!(
                "{:?} {} {}→{}",
                line.change, line.path, line.before, line.after
            )
        };
        found.lines.iter().map(line).collect()
    }

    #[test]
    fn members_are_compared() {
        for (before, after, wanted) in [
            (json!({"a": 1}), json!({"a": 1}), &[][..]),
            (json!({"a": 1}), json!({"a": 2}), &["Changed a 1→2"]),
            (json!({"a": "x"}), json!({"a": null}), &["Changed a x→null"]),
            (json!({"a": 1}), json!({}), &["Removed a 1→"]),
            (
                json!({}),
                json!({"a": {"b": []}}),
                &[r#"Added a →{"b":[]}"#],
            ),
            (
                json!({"a": {"b": {"c": 1, "d": 2}}}),
                json!({"a": {"b": {"c": 3, "d": 2}}}),
                &["Changed a.b.c 1→3"],
            ),
            (json!({"a": 1.0}), json!({"a": 1.5}), &["Changed a 1.0→1.5"]),
            (
                json!({"a": [1]}),
                json!({"a": {"b": 1}}),
                &[r#"Changed a [1]→{"b":1}"#],
            ),
        ] {
            assert_eq!(lines(&before, &after), wanted, "{before} {after}");
        }
    }

    #[test]
    fn elements_are_known_again() {
        for (before, after, wanted) in [
            (json!([1, 2]), json!([1, 2, 3]), &["Added [2] →3"][..]),
            (json!([1, 2, 3]), json!([1, 3]), &["Removed [1] 2→"]),
            (json!([1, 2, 3]), json!([3, 1, 2]), &["Moved [0] 2→0"]),
            (json!([1, 1]), json!([1]), &["Removed [1] 1→"]),
            (
                json!([1, 2]),
                json!([3, 4]),
                &["Changed [0] 1→3", "Changed [1] 2→4"],
            ),
            (
                json!([{"id": "a", "n": 1}, {"id": "b", "n": 2}]),
                json!([{"id": "b", "n": 2}, {"id": "a", "n": 5}]),
                &["Moved [0] 1→0", "Changed [1].n 1→5"],
            ),
            (json!([{"x": 1}]), json!([{"x": 2}]), &["Changed [0].x 1→2"]),
        ] {
            let (before, after) = (json!({"l": before}), json!({"l": after}));
            let wanted: Vec<_> = wanted
                .iter()
                .map(|line| line.replacen('[', "l[", 1))
                .collect();
            assert_eq!(lines(&before, &after), wanted, "{before} {after}");
        }
    }

    #[test]
    fn long_values_and_many_lines_are_cut() {
        let long = "é".repeat(10_000);
        let found = diff(None, Some(&json!({ "a": long })));
        assert_eq!(found.lines[0].after.chars().count(), MAX_VALUE + 1);
        let many: serde_json::Map<_, _> = (0..1000).map(|n| (n.to_string(), n.into())).collect();
        let found = diff(Some(&many.into()), None);
        assert_eq!((found.lines.len(), found.more), (MAX_LINES, 500));
        let found = diff(
            Some(&json!({"a": 1, "b": 2})),
            Some(&json!({"a": 1, "b": 3})),
        );
        assert_eq!(found.same, 1);
    }

    #[test]
    fn values_of_hidden_characters_are_visible() {
        let found = diff(None, Some(&json!({"a\u{202e}": "b\u{0}"})));
        assert_eq!(
            (&*found.lines[0].path, &*found.lines[0].after),
            ("a<U+202E>", "b<U+0000>")
        );
    }
}
