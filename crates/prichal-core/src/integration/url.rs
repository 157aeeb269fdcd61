//! Where an integration is called (`reference/kontur.md` §9).

const MAX_LENGTH: usize = 2048;

/// Whether a text is an absolute http or https URL with a host and without credentials, which would
/// end up in logs.
pub fn is_http_url(text: &str) -> bool {
    let Some(rest) = after_scheme(text) else {
        return false;
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    is_plain(text) && is_authority(&rest[..end])
}

/// Whether a text can be a hook's `relativeUrl`: an absolute URL, or something to put behind one.
pub(super) fn is_relative_url(text: &str) -> bool {
    if text.contains("://") && text.find("://") < text.find(['/', '?', '#']) {
        is_http_url(text)
    } else {
        !text.is_empty() && is_plain(text)
    }
}

/// The URL to call: an absolute one as it is, else behind the base with exactly one slash between.
/// `None`: a relative one without a base.
pub fn target_url(base: Option<&str>, relative: &str) -> Option<String> {
    if after_scheme(relative).is_some() {
        return Some(relative.to_owned());
    }
    let base = base?.trim_end_matches('/');
    Some(format!("{base}/{}", relative.trim_start_matches('/')))
}

/// Whether relative URLs can be put behind this one.
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

fn is_plain(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == '\\';
    text.len() <= MAX_LENGTH && !text.contains(odd)
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
            assert!(is_relative_url(good), "{good}");
        }
        for bad in ["", " ", "a b", "ftp://a", "https://", "javascript://x"] {
            assert!(!is_relative_url(bad), "{bad}");
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
