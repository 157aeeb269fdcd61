use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    source::{flags, is_secret, name, one_line},
    *,
};

fn load(
    flags: &[(&str, &str)],
    variables: &[(&str, &str)],
    file: &str,
) -> Result<Config, BadSetting> {
    let find = |list: &[(&str, &str)], name: &str| {
        list.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| (*value).to_owned())
    };
    Config::load(&Sources {
        flags: &|name| find(flags, name),
        variables: &|name| find(variables, name),
        file: Some(("prichal.toml".to_owned(), file.to_owned())),
    })
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = Config::for_data_dir("x".into());
    assert_eq!(config.listen, "127.0.0.1:8080");
    assert_eq!(config.retry_schedule, retry::Schedule::default());
    assert_eq!(config.delivery_timeout, Duration::from_secs(10));
    assert_eq!(config.access_key_ttl, Duration::from_mins(20));
    assert_eq!(config.temporary_file_ttl, Duration::from_hours(24));
    assert!(!config.allow_private_targets);
    assert_eq!(config.public_url(), "http://127.0.0.1:8080");
}

#[test]
fn links_lead_to_an_address_that_a_browser_can_open() {
    for (listen, url) in [
        ("0.0.0.0:8080", "http://localhost:8080"),
        ("[::]:80", "http://localhost:80"),
        ("[::1]:80", "http://[::1]:80"),
        ("hub.example:8080", "http://hub.example:8080"),
    ] {
        let config = Config {
            listen: listen.to_owned(),
            ..Config::for_data_dir("x".into())
        };
        assert_eq!(config.public_url(), url);
    }
    let behind = Config {
        public_url: Some("https://hub.example".to_owned()),
        listen: "0.0.0.0:8080".to_owned(),
        ..Config::for_data_dir("x".into())
    };
    assert_eq!(behind.public_url(), "https://hub.example");
}

/// The file equals the output of `prichal config`, which updates it.
#[test]
fn the_annotated_file_has_the_help_of_the_flags() {
    let file = include_str!("../../prichal.default.toml");
    assert_eq!(annotated(), file);
    let read = load(&[], &[], file).expect("the file is good");
    let defaults = load(&[], &[], "").expect("the defaults are good");
    assert_eq!(format!("{read:?}"), format!("{defaults:?}"));
    for setting in flags().get_arguments() {
        let line = format!("{} = ", name(setting));
        let lines = file.lines().map(|line| line.trim_start_matches("# "));
        assert_eq!(
            lines.filter(|it| it.starts_with(&line)).count(),
            1,
            "{line}"
        );
        // The command line finds a flag's value by this id.
        assert_eq!(setting.get_id().as_str(), name(setting).replace('-', "_"));
    }
}

#[test]
fn secrets_are_known_by_their_type() {
    let flags = flags();
    let secrets = flags.get_arguments().filter(|setting| is_secret(setting));
    assert_eq!(
        secrets.map(name).collect::<Vec<_>>(),
        [
            "database-url",
            "bus-url",
            "admin-token",
            "master-key",
            "previous-master-key",
            "egress-proxy",
            "smtp-url"
        ]
    );
}

#[test]
fn a_listener_is_an_address_or_a_name_and_a_port() {
    for good in [
        "127.0.0.1:8080",
        "0.0.0.0:0",
        "[::1]:8080",
        "[::]:80",
        "localhost:8080",
        "hub.example:443",
    ] {
        let config = load(&[("listen", good)], &[], "").expect(good);
        assert_eq!(config.listen, good);
    }
    for bad in [
        "",
        "nowhere",
        ":8080",
        "localhost",
        "localhost:",
        "localhost:65536",
        "::1:8080",
        "me@localhost:80",
        "localhost:80/x",
        "http://localhost:80",
        "local host:80",
    ] {
        assert!(load(&[("listen", bad)], &[], "").is_err(), "{bad}");
    }
}

#[test]
fn a_proxy_is_a_url_without_credentials() {
    for good in [
        "http://proxy.example:3128",
        "http://proxy.example:80",
        "http://10.0.0.7:8080/",
        "http://[::1]:3128",
    ] {
        load(&[("egress-proxy", good)], &[], "").expect(good);
    }
    for bad in [
        "",
        "proxy.example:3128",
        "http://proxy.example",
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://user:hunter2@proxy.example:3128",
        "http://user@proxy.example:3128",
        "http://proxy.example:3128/path",
        "http://proxy.example:3128?a=1",
        "http://:3128",
    ] {
        let error = load(&[("egress-proxy", bad)], &[], "").expect_err(bad);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn an_smtp_server_is_a_url_without_credentials() {
    for (good, port, is_tls) in [
        ("smtp://mail.example:25", 25, false),
        ("smtp://mail.example", 587, false),
        ("smtps://mail.example/", 465, true),
        ("smtps://10.0.0.7:4650", 4650, true),
        ("smtp://[::1]:2525", 2525, false),
    ] {
        load(&[("smtp-url", good)], &[], "").expect(good);
        let address = smtp_address(good).expect(good);
        assert_eq!((address.port, address.is_tls), (port, is_tls), "{good}");
    }
    for bad in [
        "",
        "mail.example:25",
        "http://mail.example:25",
        "smtp://",
        "smtp://:25",
        "smtp://mail.example:0x19",
        "smtp://mail.example:65536",
        "smtp://mail.example:",
        "smtp://user:hunter2@mail.example:25",
        "smtp://user@mail.example",
        "smtp://mail.example/path",
        "smtp://mail.example?a=1",
        "smtp://mail example",
    ] {
        let error = load(&[("smtp-url", bad)], &[], "").expect_err(bad);
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn the_sender_of_mails_is_an_address_with_or_without_a_name() {
    for good in [
        "hub@example.com",
        "Prichal <hub@example.com>",
        "\"Hub, the\" <hub@example.com>",
    ] {
        load(&[("mail-from", good)], &[], "").expect(good);
    }
    for bad in [
        "",
        "hub",
        "@example.com",
        "hub@example.com, other@example.com",
        "Prichal\r\nBcc: other@example.com <hub@example.com>",
        "hub@example.com\n",
    ] {
        load(&[("mail-from", bad)], &[], "").expect_err(bad);
    }
}

#[test]
fn there_is_one_source_address_of_a_kind() {
    for good in ["", "10.0.0.7", "::1", "10.0.0.7, 2001:db8::7"] {
        load(&[("egress-source-address", good)], &[], "").expect(good);
    }
    for bad in ["localhost", "10.0.0.7,10.0.0.8", "10.0.0.0/8", "::1,::2"] {
        load(&[("egress-source-address", bad)], &[], "").expect_err(bad);
    }
}

#[test]
fn a_boolean_is_true_or_false_by_whatever_way() {
    for (text, value) in [("true", true), ("false", false)] {
        let file = format!("edo-strict-codes = {text}");
        let quoted = format!("edo-strict-codes = \"{text}\"");
        for config in [
            load(&[("edo-strict-codes", text)], &[], ""),
            load(&[], &[("PRICHAL_EDO_STRICT_CODES", text)], ""),
            load(&[], &[], &file),
            load(&[], &[], &quoted),
        ] {
            assert_eq!(config.expect(text).edo_strict_codes, value);
        }
    }
    for bad in ["1", "yes", "TRUE", " true"] {
        let error = load(&[("edo-strict-codes", bad)], &[], "").expect_err(bad);
        assert!(
            error.to_string().ends_with("takes true or false"),
            "{error}"
        );
    }
    assert!(load(&[], &[], "edo-strict-codes = \"\"").is_err());
}

#[test]
fn unknown_variables_are_found() {
    let names = [
        "PRICHAL_LISTEN",
        "PRICHAL_LISTN",
        "PRICHAL_QUOTA_FILES",
        "PRICHAL_SCRIPT_WORKER",
        "PRICHAL_URL",
        "PRICHAL_TEST_NATS",
        "PATH",
        "prichal_listen",
    ];
    assert_eq!(
        unknown_variables(names.map(str::to_owned)),
        ["PRICHAL_LISTN", "PRICHAL_SCRIPT_WORKER"]
    );
}

#[test]
fn sizes_are_bytes_or_have_a_unit() {
    for (text, size) in [
        ("1", 1),
        ("64KiB", 65_536),
        ("4MiB", 4 << 20),
        ("4194304", 4 << 20),
    ] {
        let config = load(&[("hook-body-limit", text)], &[], "").expect(text);
        assert_eq!(config.hook_body_limit, size);
    }
}

#[test]
fn flags_go_before_variables_and_those_before_the_file() {
    let file = "listen = \"1.1.1.1:1\"\nallow-private-targets = true\n";
    let (flags, variables) = ([("listen", "3.3.3.3:3")], [("PRICHAL_LISTEN", "2.2.2.2:2")]);
    let listen = |config: Result<Config, BadSetting>| config.expect("good").listen;
    assert_eq!(listen(load(&flags, &variables, file)), "3.3.3.3:3");
    assert_eq!(listen(load(&[], &variables, file)), "2.2.2.2:2");
    assert_eq!(
        listen(load(&[], &[("PRICHAL_LISTEN", "")], file)),
        "1.1.1.1:1",
        "an empty variable is none"
    );
    assert!(load(&[], &[], file).expect("good").allow_private_targets);
}

#[test]
fn an_error_is_one_line_that_names_the_setting() {
    for (name, value) in [
        ("listen", "nowhere"),
        ("database-url", "mysql://u:hunter2@h/d"),
        ("bus-url", "http://x"),
        ("blob-url", "gopher://x"),
        ("blob-url", "s3://"),
        ("admin-token", "short"),
        ("admin-token", "one-character-too-short-a-token"),
        ("master-key", "c2hvcnQ="),
        ("public-url", "example.com"),
        ("retry-schedule", "30s,"),
        ("retry-schedule", "30s,999999999h"),
        ("delivery-timeout", "0s"),
        ("delivery-timeout", "18446744073709551615ms"),
        ("access-key-ttl", "20"),
        ("access-key-ttl", "87841h"),
        ("temporary-file-ttl", "-1h"),
        ("temporary-file-ttl", "999999999h"),
        ("allow-private-targets", "yes"),
        ("hook-body-limit", "0"),
        ("hook-body-limit", "5MiB"),
        ("hook-body-limit", "1MB"),
        ("hook-body-limit", "99999999999999999MiB"),
        ("memory-budget", "31MiB"),
        ("memory-budget", "256"),
        ("memory-budget", "99999999999999999GiB"),
        ("connections-per-address", "-1"),
        ("identifier-check", "lenient"),
        ("edo-strict-codes", "maybe"),
        ("sign-ticket-ttl", "1d"),
        ("sign-ticket-ttl", "999999999h"),
        ("document-retry-schedule", "soon"),
        ("document-retry-schedule", "1s,9999999m"),
        ("rate-limit", "1000"),
        ("rate-limit", "0/m"),
        ("rate-limit", "5/ms"),
        ("write-bytes-per-minute", "much"),
        ("write-bytes-per-minute", "-1"),
        ("data-dir", "not\u{FFFD}unicode"),
        ("log-format", "xml"),
        ("log-level", "a=b=c\nd"),
    ] {
        let text = load(&[(name, value)], &[], "")
            .expect_err(value)
            .to_string();
        assert!(
            text.starts_with(&format!("--{name}: ")) && !text.contains('\n'),
            "{text}"
        );
        let flags = flags();
        let mut secrets = flags.get_arguments().filter(|setting| is_secret(setting));
        let secret = secrets.any(|setting| setting.get_long() == Some(name));
        assert_eq!(text.contains(&one_line(value)), !secret, "{text}");
    }
    assert_eq!(
        load(&[], &[], "lisen = 7")
            .expect_err("unknown")
            .to_string(),
        "prichal.toml: `lisen` is not a setting"
    );
    let text = load(&[], &[], "\"a\\nb\" = 1")
        .expect_err("unknown")
        .to_string();
    assert_eq!(text, "prichal.toml: `a b` is not a setting");
}

#[test]
fn the_error_of_a_bad_file_names_the_line() {
    for file in [
        "# one\nadmin-token = \"hunter2hunter2",
        "# one\nadmin-token = hunter2hunter2",
        "# one\nadmin-token = ",
    ] {
        let text = load(&[], &[], file).expect_err("no TOML").to_string();
        assert!(
            text.starts_with("prichal.toml is not TOML: ")
                && text.ends_with(" in line 2")
                && !text.contains('\n')
                && !text.contains("hunter2"),
            "{text}"
        );
    }
    for (file, given) in [
        ("retry-schedule = [\"30s\"]", "`[…]`"),
        ("delivery-timeout = 1.5", "`1.5`"),
        ("[listen]\nport = 1", "`{…}`"),
        ("admin-token = [\"hunter2\"]", "the given value"),
    ] {
        let text = load(&[], &[], file).expect_err(file).to_string();
        assert!(
            text.contains(&format!(": {given} is not allowed")),
            "{text}"
        );
    }
}

#[test]
fn secrets_are_not_shown() {
    let key = STANDARD.encode([7; 32]);
    let flags = [
        ("database-url", "postgres://u:hunter2@h/d"),
        ("bus-url", "nats://u:hunter2@h"),
        ("admin-token", "hunter2hunter2hunter2hunter2hunter2"),
        ("master-key", key.as_str()),
    ];
    let shown = format!("{:?}", load(&flags, &[], "").expect("good"));
    assert!(
        !shown.contains("hunter2") && !shown.contains(&key),
        "{shown}"
    );
}
