//! Checks of HTML that need no browser: what the content policy would refuse, and what a reader without eyes would miss.

use std::collections::HashSet;

use crate::parts::visible;

/// Elements without an end: the void elements of HTML.
const VOID: [&str; 7] = ["br", "hr", "img", "input", "link", "meta", "wbr"];

/// A tag of a page.
struct Tag<'a> {
    name: &'a str,
    is_end: bool,
    attributes: Vec<(&'a str, &'a str)>,
    /// The text in front of the tag.
    before: &'a str,
}

impl<'a> Tag<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.attributes.iter().find(|(found, _)| *found == name);
        found.map(|(_, value)| *value)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// The tags of a text. Attributes have quoted values, as our templates write them.
fn tags(html: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some((before, after)) = rest.split_once('<') {
        if let Some(after) = after.strip_prefix('!') {
            rest = after.split_once('>').expect("a declaration ends").1;
            continue;
        }
        let is_end = after.starts_with('/');
        let after = after.trim_start_matches('/');
        let end = after
            .find(|c: char| c.is_whitespace() || c == '>')
            .expect("a tag ends");
        let (name, after) = after.split_at(end);
        assert!(
            name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') && !name.is_empty(),
            "«{name}» is no name of an element"
        );
        let (attributes, after) = attributes(after);
        tags.push(Tag {
            name,
            is_end,
            attributes,
            before,
        });
        rest = after;
    }
    tags
}

/// The attributes up to the end of a tag, and what follows it.
fn attributes(mut rest: &str) -> (Vec<(&str, &str)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            return (found, after);
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | '>'))
            .expect("a tag ends");
        let (name, after) = rest.split_at(end);
        assert!(!name.contains(['"', '\'', '<']), "«{name}» is no attribute");
        let Some(after) = after.strip_prefix('=') else {
            found.push((name, ""));
            rest = after;
            continue;
        };
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.unwrap_or_else(|| panic!("the value of {name} has no quotes"));
        let (value, after) = after[1..].split_once(quote).expect("a value ends");
        found.push((name, value));
        rest = after;
    }
}

/// Checks a whole page.
pub(crate) fn check_page(html: &str) {
    let tags = tags(html);
    check(&tags);
    let count = |name: &str| {
        tags.iter()
            .filter(|tag| tag.name == name && !tag.is_end)
            .count()
    };
    for (name, wanted) in [("main", 1), ("h1", 1), ("title", 1)] {
        // The title of a column of a chart is another element.
        let found = if name == "title" {
            count("head")
        } else {
            count(name)
        };
        assert_eq!(found, wanted, "<{name}>");
    }
    let ids: HashSet<_> = tags.iter().filter_map(|tag| tag.get("id")).collect();
    for tag in &tags {
        for name in [
            "target",
            "for",
            "aria-labelledby",
            "aria-describedby",
            "data-copies",
            "data-opens",
            "list",
        ] {
            for id in tag.get(name).unwrap_or_default().split_whitespace() {
                let is_window = name == "target" && id.starts_with('_');
                assert!(
                    is_window || ids.contains(id),
                    "{name}={id}: there is no such id"
                );
            }
        }
        if let Some(id) = tag.get("href").and_then(|href| href.strip_prefix('#')) {
            assert!(ids.contains(id), "#{id} leads nowhere");
        }
    }
}

/// Checks a part of a page.
pub(crate) fn check_part(html: &str) {
    check(&tags(html));
}

fn check(tags: &[Tag]) {
    check_seen(tags);
    check_policy(tags);
    check_nesting(tags);
    check_names(tags);
    check_headings(tags);
    let mut ids = HashSet::new();
    for id in tags.iter().filter_map(|tag| tag.get("id")) {
        assert!(ids.insert(id), "two elements have the id {id}");
    }
}

/// Refuses hidden characters where somebody reads. What a form sends back has to keep them.
fn check_seen(tags: &[Tag]) {
    const READ: [&str; 5] = ["title", "alt", "placeholder", "aria-label", "label"];
    for tag in tags {
        let is_typed = tag.name == "textarea" && tag.is_end;
        let text = Some(tag.before).filter(|_| !is_typed);
        let read = READ.iter().filter_map(|name| tag.get(name));
        for text in text.into_iter().chain(read) {
            assert_eq!(text, visible(text), "at <{}>", tag.name);
        }
    }
}

/// Refuses inline code, as the content policy does.
fn check_policy(tags: &[Tag]) {
    for (at, tag) in tags.iter().enumerate() {
        for (name, value) in &tag.attributes {
            assert!(*name != "style", "<{}> has a style", tag.name);
            assert!(!name.starts_with("on"), "<{}> has {name}", tag.name);
            let is_script = value
                .trim_start()
                .to_ascii_lowercase()
                .starts_with("javascript:");
            assert!(!is_script, "<{}> has {name}={value}", tag.name);
        }
        assert_ne!(tag.name, "style", "a style is inline");
        if tag.name == "script" && !tag.is_end {
            assert!(tag.has("src"), "a script is inline");
            assert_eq!(tags[at + 1].before, "", "a script is inline");
        }
    }
}

fn check_nesting(tags: &[Tag]) {
    let mut open = Vec::new();
    for tag in tags.iter().filter(|tag| !VOID.contains(&tag.name)) {
        if tag.is_end {
            assert_eq!(open.pop(), Some(tag.name), "</{}> ends another", tag.name);
        } else {
            let is_nested = matches!(tag.name, "a" | "button" | "form" | "label");
            assert!(
                !is_nested || !open.contains(&tag.name),
                "<{0}> in <{0}>",
                tag.name
            );
            open.push(tag.name);
        }
    }
    assert!(open.is_empty(), "not ended: {open:?}");
}

/// Everything that can be used or seen has a name.
fn check_names(tags: &[Tag]) {
    let mut labels = 0;
    for (at, tag) in tags.iter().enumerate() {
        let is_named = tag.has("aria-label") || tag.has("aria-labelledby") || tag.has("title");
        match (tag.name, tag.is_end) {
            ("label", is_end) => labels += if is_end { -1 } else { 1 },
            ("input" | "select" | "textarea", false) => {
                let is_hidden = tag.get("type") == Some("hidden");
                let id = tag.get("id").unwrap_or("?");
                let is_labelled = labels > 0 || tags.iter().any(|one| one.get("for") == Some(id));
                assert!(
                    is_hidden || is_named || is_labelled,
                    "<{} name={:?}> has no label",
                    tag.name,
                    tag.get("name")
                );
            }
            ("a" | "button" | "th" | "caption" | "summary" | "h1" | "h2" | "h3", false) => {
                let end = tags[at..]
                    .iter()
                    .position(|one| one.is_end && one.name == tag.name);
                let inside = &tags[at + 1..=at + end.expect("an end")];
                let has_text = inside.iter().any(|one| !one.before.trim().is_empty());
                let has_image = inside
                    .iter()
                    .any(|one| one.get("alt").is_some_and(|alt| !alt.is_empty()));
                // A corner of a table may be empty.
                let is_corner = tag.name == "th" && at > 0 && tags[at - 1].name == "tr";
                assert!(
                    has_text || has_image || is_named || is_corner,
                    "an empty <{}>",
                    tag.name
                );
            }
            ("img", _) => assert!(tag.has("alt"), "<img> has no alt"),
            ("svg", false) => {
                let is_image = tag.get("role") == Some("img") && is_named;
                assert!(is_image || tag.has("aria-hidden"), "<svg> has no name");
            }
            ("dialog", false) => assert!(is_named, "<dialog> has no name"),
            _ => {}
        }
    }
}

/// Headings do not skip a level.
fn check_headings(tags: &[Tag]) {
    let mut last = 1;
    for tag in tags.iter().filter(|tag| !tag.is_end) {
        let level = tag
            .name
            .strip_prefix('h')
            .and_then(|level| level.parse::<u32>().ok());
        if let Some(level) = level {
            assert!(level <= last + 1, "<h{level}> after <h{last}>");
            last = level;
        }
    }
}

/// The method and address of each form with a button, and of each button with an address of its own.
pub(super) fn forms(html: &str) -> Vec<(&'static str, String)> {
    let tags = tags(html);
    let is_button = |tag: &Tag| {
        let kind = tag.get("type");
        let sends = match tag.name {
            "button" => kind.is_none_or(|kind| kind == "submit"),
            "input" => kind == Some("submit"),
            _ => false,
        };
        sends && !tag.is_end
    };
    let mut found = Vec::new();
    for (at, tag) in tags.iter().enumerate() {
        if tag.name != "form" || tag.is_end {
            continue;
        }
        let method = match tag.get("method") {
            Some("post") => "POST",
            // A dialog is closed here.
            Some("dialog") => continue,
            _ => "GET",
        };
        let inside = tags[at + 1..].iter().take_while(|one| one.name != "form");
        let id = tag.get("id");
        let outside = tags.iter();
        let outside = outside.filter(|one| one.has("form") && one.get("form") == id);
        let buttons = inside.chain(outside).filter(|one| is_button(one));
        let action = tag.get("action").unwrap_or_default();
        for button in buttons {
            let to = button.get("formaction").unwrap_or(action);
            found.push((method, to.replace("&#38;", "&")));
        }
    }
    found
}

/// Checks that [`HOSTILE`](super::HOSTILE) is in a page, as a text.
pub(crate) fn check_hostile(html: &str) {
    assert!(html.contains("alert(1)"), "the text is not there");
    let found = tags(html);
    let is_bad = |tag: &&Tag| tag.get("src") == Some("x") || tag.has("onerror");
    assert_eq!(found.iter().filter(is_bad).count(), 0);
    assert!(!html.contains("<script>alert"), "the text is a script");
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn faults_of_a_page_are_found() {
        for (part, is_right) in [
            (r#"<p class="a">1</p>"#, true),
            (r#"<p style="color:red">1</p>"#, false),
            (r#"<p onclick="a()">1</p>"#, false),
            (r#"<a href="javascript:a()">1</a>"#, false),
            ("<script>a()</script>", false),
            (r#"<script src="/a.js" defer></script>"#, true),
            ("<p>1</b>", false),
            ("<p>1", false),
            (r#"<a href="/">1<a href="/">2</a></a>"#, false),
            (r#"<input name="a">"#, false),
            (r#"<label>1 <input name="a"></label>"#, true),
            (r#"<input name="a" aria-label="1">"#, true),
            ("<button></button>", false),
            (r#"<img src="/a.png">"#, false),
            ("<p>1\u{202e}2</p>", false),
            ("<img src=\"/a.png\" alt=\"1\u{ad}\">", false),
            (
                "<textarea aria-label=\"1\">\u{202e}</textarea><input value=\"\u{ad}\" title=\"1\">",
                true,
            ),
            ("<h1>1</h1><h3>2</h3>", false),
            (r#"<i id="a"></i><b id="a"></b>"#, false),
            (r#"<svg viewBox="0 0 1 1"></svg>"#, false),
        ] {
            let checked = catch_unwind(|| check_part(part));
            assert_eq!(checked.is_ok(), is_right, "{part}");
        }
    }
}
