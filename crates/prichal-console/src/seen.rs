//! Hidden characters in a page that has been made: where somebody reads them, they are written as their code points.

use prichal_core::hidden::{is_hidden, visible};

/// The attributes that somebody reads, or hears.
const READ: [&str; 5] = [
    " title=",
    " alt=",
    " placeholder=",
    " aria-label=",
    " label=",
];

/// A page whose texts show their hidden characters. What a form sends back keeps them: other attributes, and the text of
/// a `textarea`.
pub(crate) fn seen(page: String) -> String {
    if !page.contains(is_hidden) {
        return page;
    }
    let mut shown = String::with_capacity(page.len() + 64);
    let (mut rest, mut is_typed) = (&*page, false);
    while let Some(at) = rest.find('<') {
        let (text, tags) = rest.split_at(at);
        push(&mut shown, text, !is_typed);
        // Templates write `>` of a value as an entity.
        let end = tags.find('>').map_or(tags.len(), |at| at + 1);
        let (tag, after) = tags.split_at(end);
        let mut before = "";
        for (n, piece) in tag.split('"').enumerate() {
            if n > 0 {
                shown.push('"');
            }
            let is_value = n % 2 == 1;
            let is_read = is_value && READ.iter().any(|name| before.ends_with(name));
            push(&mut shown, piece, is_read);
            before = piece;
        }
        is_typed = tag.starts_with("<textarea");
        rest = after;
    }
    push(&mut shown, rest, true);
    shown
}

fn push(shown: &mut String, text: &str, is_read: bool) {
    if is_read && text.contains(is_hidden) {
        let text = visible(text).replace("<U+", "&#60;U+");
        shown.push_str(&text.replace('>', "&#62;"));
    } else {
        shown.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_shows_hidden_characters_and_what_is_sent_keeps_them() {
        for (page, expected) in [
            ("<p>plain</p>", "<p>plain</p>"),
            ("a\u{ad}b", "a&#60;U+00AD&#62;b"),
            ("<p>a\u{202e}&#60;b</p>", "<p>a&#60;U+202E&#62;&#60;b</p>"),
            (
                "<input value=\"a\u{ad}\" title=\"b\u{ad}\"> c\u{ad}",
                "<input value=\"a\u{ad}\" title=\"b&#60;U+00AD&#62;\"> c&#60;U+00AD&#62;",
            ),
            (
                "<textarea>a\u{ad}</textarea>b\u{ad}",
                "<textarea>a\u{ad}</textarea>b&#60;U+00AD&#62;",
            ),
            ("a\u{ad}<b", "a&#60;U+00AD&#62;<b"),
        ] {
            assert_eq!(seen(page.to_owned()), expected);
        }
    }
}
