//! The URLs of an integration (`docs/contracts/kontur.md §9`).

use crate::schema::Form;

/// The longest URL, in characters.
pub(super) const MAX_LENGTH: usize = 2048;

/// The form of URLs to which relative ones can be appended. The empty text stands for none. The host and the port are
/// checked beyond the pattern.
pub static BASE_URL: Form = Form::new(
    "an absolute http or https URL with a valid host, without a user name, blanks, a query or a fragment",
    r"^([hH][tT][tT][pP][sS]?://[^\s\\/?#@]+(/[^\s\\?#]*)?)?$",
    |text| text.is_empty() || is_base_url(text),
)
// It may contain a password.
.secret();

/// True for an absolute http or https URL with a host and without credentials, which would end up in logs.
pub fn is_http_url(text: &str) -> bool {
    check_http_url(text).is_ok()
}

/// Checks an absolute URL; the error is a predicate, such as `is empty`.
fn check_http_url(text: &str) -> Result<(), &'static str> {
    let rest = after_scheme(text).ok_or("is no http or https URL")?;
    check_plain(text)?;
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Err("has a user name or a password in it");
    }
    let is_good = is_authority(authority);
    is_good.then_some(()).ok_or("has no valid host or port")
}

/// Checks a hook's `relativeUrl`: an absolute URL, or a text to append to one. The error is a predicate,
/// such as `is empty`.
pub(super) fn check_relative_url(text: &str) -> Result<(), &'static str> {
    if text.contains("://") && text.find("://") < text.find(['/', '?', '#']) {
        check_http_url(text)
    } else if text.is_empty() {
        Err("is empty")
    } else {
        check_plain(text)
    }
}

/// The URL to call: an absolute one as it is, else appended to the base with exactly one slash between.
/// `None` for a relative one without a base.
pub fn target_url(base: Option<&str>, relative: &str) -> Option<String> {
    if after_scheme(relative).is_some() {
        return Some(relative.to_owned());
    }
    let base = base?.trim_end_matches('/');
    Some(format!("{base}/{}", relative.trim_start_matches('/')))
}

/// True if relative URLs can be appended to this one.
pub(super) fn is_base_url(text: &str) -> bool {
    is_http_url(text) && !text.contains(['?', '#'])
}

fn after_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &text[scheme.len()..])
    })
}

fn check_plain(text: &str) -> Result<(), &'static str> {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    if text.chars().count() > MAX_LENGTH {
        return Err("is longer than 2048 characters");
    }
    let is_odd = text.contains(odd);
    (!is_odd)
        .then_some(())
        .ok_or("has spaces, control characters or backslashes in it")
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rfind(':') {
        // A colon inside brackets belongs to an IPv6 address.
        Some(at) if !authority[at..].contains(']') => {
            (&authority[..at], Some(&authority[at + 1..]))
        }
        _ => (authority, None),
    };
    let port_fits = port
        .is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
    port_fits && is_host(host)
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_');
    !host.is_empty() && host.chars().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_urls() {
        for good in [
            "https://my-integration.ru",
            "HTTP://localhost:8080/x?y=z#f",
            "http://[::1]:80/",
            "https://пример.рф/путь",
            "http://10.0.0.1",
            "https://a.b/c/:d@e",
        ] {
            assert!(is_http_url(good), "{good}");
        }
        let long = format!("https://a/{}", "x".repeat(2048));
        for bad in [
            "",
            "https://",
            "https:///x",
            "ftp://a",
            "//a/b",
            "a.b",
            "https://user:pass@a",
            "https://a b",
            "https://a/\n",
            "https://a:99999",
            "https://a:x",
            "https://a:-1",
            "https://[::1",
            "https://[zz]",
            "https://a\\b",
            &long,
        ] {
            assert!(!is_http_url(bad), "{bad}");
        }
        assert!(!is_base_url("https://a/?x=1"));
        assert!(is_base_url("https://a/telephony/v1"));
    }

    #[test]
    fn relative_urls() {
        for good in [
            "setup/upgrade",
            "/callbacks",
            "https://publicUrl.ru/callbacks",
            "x?u=https://a b".trim_end_matches(" b"),
        ] {
            assert_eq!(check_relative_url(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "empty"),
            (" ", "spaces"),
            ("a b", "spaces"),
            ("ftp://a", "http or https"),
            ("https://", "host"),
            ("javascript://x", "http or https"),
            ("https://user:pass@a/x", "password"),
            ("https://user@a", "user name"),
        ] {
            let refused = check_relative_url(bad).unwrap_err();
            assert!(refused.contains(why), "{bad}: {refused}");
        }
    }

    #[test]
    fn exactly_one_slash_between() {
        for (base, relative, target) in [
            ("https://a", "x/y", "https://a/x/y"),
            ("https://a/", "/x", "https://a/x"),
            ("https://a/v1//", "//x", "https://a/v1/x"),
            ("https://a", "https://b/x", "https://b/x"),
            ("https://a", "HTTPS://b", "HTTPS://b"),
            ("https://a", "http", "https://a/http"),
        ] {
            assert_eq!(target_url(Some(base), relative).as_deref(), Some(target));
        }
        assert_eq!(target_url(None, "x"), None);
        assert_eq!(target_url(None, "http://b/").as_deref(), Some("http://b/"));
    }
}
