//! The place of a value in a JSON text, for error messages: the line, and the position in it of the value's
//! last character (`docs/contracts/prichal.md §11`).

/// The line and the position, both from 1, at which the value of `path` ends. A path is made of
/// member names, in either case, and indexes: `items[3].from.type`.
pub fn end_of(text: &str, path: &str) -> Option<(usize, usize)> {
    let mut scan = Scan {
        text: text.as_bytes(),
        at: 0,
    };
    scan.enter(path)?;
    scan.skip_value()?;
    let before = text.get(..scan.at)?;
    let line = before.matches('\n').count() + 1;
    let position = before.rsplit('\n').next()?.chars().count();
    Some((line, position))
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// Goes to where the value of `path` begins.
    fn enter(&mut self, path: &str) -> Option<()> {
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let (name, indexes) = step.split_at(step.find('[').unwrap_or(step.len()));
            if !name.is_empty() {
                self.enter_member(name)?;
            }
            for index in indexes.split(['[', ']']).filter(|index| !index.is_empty()) {
                self.enter_element(index.parse().ok()?)?;
            }
        }
        Some(())
    }

    fn enter_member(&mut self, name: &str) -> Option<()> {
        self.expect(b'{')?;
        loop {
            self.skip_space();
            let from = self.at;
            self.skip_string()?;
            let key = std::str::from_utf8(self.text.get(from + 1..self.at - 1)?).ok()?;
            self.expect(b':')?;
            if key.eq_ignore_ascii_case(name) {
                return Some(());
            }
            self.skip_value()?;
            self.expect(b',')?;
        }
    }

    fn enter_element(&mut self, index: usize) -> Option<()> {
        self.expect(b'[')?;
        for _ in 0..index {
            self.skip_value()?;
            self.expect(b',')?;
        }
        Some(())
    }

    fn skip_value(&mut self) -> Option<()> {
        self.skip_space();
        let mut depth = 0_usize;
        loop {
            match *self.text.get(self.at)? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                _ => self.skip_word(),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn skip_word(&mut self) {
        let ends = |byte: &u8| b",:{}[]\" \t\r\n".contains(byte);
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }

    fn skip_string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            match *self.text.get(self.at)? {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => self.at += 1,
            }
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (*self.text.get(self.at)? == byte).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        let text =
            "{\n  \"a\": \"é\\\"x\",\n  \"list\": [1, {\"B\": {\"c\": [true, null]}}],\n\"z\":5}";
        for (path, expected) in [
            ("a", Some((2, 13))),
            ("A", Some((2, 13))),
            ("list[0]", Some((3, 12))),
            ("list[1].b.c[1]", Some((3, 37))),
            ("list[1].b", Some((3, 39))),
            ("list", Some((3, 41))),
            ("z", Some((4, 5))),
            ("nothing", None),
            ("list[7]", None),
            ("a.b", None),
        ] {
            assert_eq!(end_of(text, path), expected, "{path}");
        }
    }

    #[test]
    fn broken_texts_have_no_places() {
        for text in ["", "{", "{\"a\"", "{\"a\":", "[1,2", "{\"a\":\"x", "}"] {
            assert_eq!(end_of(text, "a"), None, "{text}");
        }
    }
}
