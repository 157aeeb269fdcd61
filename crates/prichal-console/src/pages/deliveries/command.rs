//! A call as a command of the shell, which sends what the server has sent.

use std::fmt::Write as _;

use prichal_core::hidden::is_hidden;

use super::detail::Header;

/// The call as a command of curl. Headers with secrets are left out, since they are not known here.
pub(super) fn curl(url: &str, headers: &[Header], body: &str) -> String {
    // Curl reads brackets and braces of an address as patterns.
    let patterns = if url.contains(['[', ']', '{', '}']) {
        " -g"
    } else {
        ""
    };
    let mut parts = vec![format!("curl -sS{patterns} -X POST {}", word(url))];
    // The shell's words end at a NUL, so such a body is written into a pipe.
    let has_nul = body.contains('\0');
    if has_nul {
        parts.insert(0, format!("printf -- {} |", word(&format_of(body))));
    }
    let known = headers.iter().filter(|one| one.value != "***");
    parts.extend(known.map(|one| format!("-H {}", word(&header(one)))));
    parts.push(if has_nul {
        "--data-binary @-".to_owned()
    } else {
        format!("--data-raw {}", word(body))
    });
    parts.join(" \\\n  ")
}

/// A header as curl takes it: one without a value ends with a semicolon.
fn header(one: &Header) -> String {
    if one.value.is_empty() {
        format!("{};", one.name)
    } else {
        format!("{}: {}", one.name, one.value)
    }
}

/// A text as a format of `printf`, with its NULs as escapes.
fn format_of(text: &str) -> String {
    let plain = text.replace('\\', r"\\").replace('%', "%%");
    plain.replace('\0', r"\000")
}

/// True for a character that a reader does not see, or that a page or a terminal would change on the way.
fn is_escaped(c: char) -> bool {
    is_hidden(c) || matches!(c, '\t' | '\r')
}

/// A word of the shell. Hidden characters are the octal escapes of their bytes, in quotes that bash, zsh, ksh and POSIX
/// (2024) understand, in any locale.
fn word(text: &str) -> String {
    if !text.contains(is_escaped) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let mut word = String::from("$'");
    for c in text.chars() {
        match c {
            '\'' => word.push_str(r"\'"),
            '\\' => word.push_str(r"\\"),
            c if is_escaped(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(word, "\\{byte:03o}");
                }
            }
            c => word.push(c),
        }
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn named(name: &str, value: &str) -> Header {
        Header {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn a_command_is_quoted_and_has_no_masked_header() {
        let headers = [
            named("x-xcom-accesskey", "***"),
            named("webhook-id", "1"),
            named("x-empty", ""),
        ];
        let command = curl("http://[::1]/;rm", &headers, "{\"a\":\"it's\"}");
        assert_eq!(
            command,
            "curl -sS -g -X POST 'http://[::1]/;rm' \\\n  -H 'webhook-id: 1' \\\n  -H 'x-empty;' \\\n  --data-raw '{\"a\":\"it'\\''s\"}'"
        );
    }

    #[test]
    fn hidden_characters_are_seen_in_a_command() {
        let command = curl("http://h/", &[named("a", "b\u{200b}")], "it's \\ \u{202e}1");
        assert!(!command.contains(is_hidden), "{command:?}");
        assert!(command.contains(r"-H $'a: b\342\200\213'"), "{command}");
        assert!(
            command.ends_with(r"--data-raw $'it\'s \\ \342\200\2561'"),
            "{command}"
        );
    }

    /// A shell takes the command apart as it would for curl: each argument is written with a line that ends it.
    #[test]
    fn a_shell_sends_the_bytes_that_the_server_has_sent() {
        let nul = "100%\0 \\ \u{202e}7";
        let all: String = prichal_core::hidden::HIDDEN
            .iter()
            .flat_map(|(first, last)| [*first, *last])
            .filter(|c| *c != '\0')
            .collect();
        for body in ["@file", "a\tb\r\nc\n", "it's \\n $HOME `x` 9", nul, &all] {
            let headers = [named("one", "x\u{ad}"), named("two", "")];
            let command = curl("http://h/?a=[1]", &headers, body);
            assert!(!command.contains(is_hidden), "{command:?}");
            let script = format!(
                "curl() {{ printf '%s\\n--\\n' \"$@\"; case \"$*\" in *@-) cat;; esac; }}\n{command}"
            );
            for locale in ["C", "C.UTF-8"] {
                let ran = Command::new("bash")
                    .args(["-c", &script])
                    .env("LC_ALL", locale)
                    .output()
                    .expect("bash");
                assert!(ran.status.success(), "{ran:?}");
                let mut words = vec!["-sS", "-g", "-X", "POST", "http://h/?a=[1]"];
                words.extend(["-H", "one: x\u{ad}", "-H", "two;"]);
                let (last, rest) = if body.contains('\0') {
                    (["--data-binary", "@-"], body)
                } else {
                    (["--data-raw", body], "")
                };
                words.extend(last);
                let sent = String::from_utf8(ran.stdout).expect("a text");
                let expected = format!("{}\n--\n{rest}", words.join("\n--\n"));
                assert_eq!(sent, expected, "{locale}");
            }
        }
    }
}
