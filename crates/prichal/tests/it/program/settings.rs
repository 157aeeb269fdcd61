//! Flags, variables and the settings file.

use std::path::Path;

use crate::harness::{
    hub::{Database, anonymous_at},
    server_process::{ServerProcess, free_address, run_program},
};

/// Flags, variables, and the name of the wrong setting.
type Case<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>, &'a str);

#[test]
fn a_bad_setting_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases: Vec<Case<'_>> = vec![
        (vec!["--listen", "nowhere"], vec![], "listen"),
        (
            vec!["--egress-proxy", "http://user:hunter2@proxy.example:3128"],
            vec![],
            "egress-proxy",
        ),
        (
            vec!["--smtp-url", "smtp://user:hunter2@mail.example"],
            vec![],
            "smtp-url",
        ),
        (
            vec!["--smtp-url", "smtp://mail.example"],
            vec![],
            "mail-from",
        ),
        (vec!["--mail-from", "hub@example.com"], vec![], "mail-from"),
        (
            vec!["--egress-proxy-resolves", "*"],
            vec![],
            "egress-proxy-resolves",
        ),
        (vec!["--delivery-timeout", "10"], vec![], "delivery-timeout"),
        (vec!["--delivery-timeout", "0s"], vec![], "delivery-timeout"),
        (
            vec!["--retry-schedule", "30s,soon"],
            vec![],
            "retry-schedule",
        ),
        (
            vec!["--allow-private-targets", "perhaps"],
            vec![],
            "allow-private-targets",
        ),
        (
            vec![],
            vec![("PRICHAL_IDENTIFIER_CHECK", "lenient")],
            "identifier-check",
        ),
        (
            vec![],
            vec![("PRICHAL_DATABASE_URL", "mysql://user:hunter2@host/db")],
            "database-url",
        ),
        (
            vec![],
            vec![("PRICHAL_MASTER_KEY", "c2hvcnQ=")],
            "master-key",
        ),
        (vec![], vec![("PRICHAL_BLOB_URL", "gopher://x")], "blob-url"),
        (vec![], vec![("PRICHAL_BUS_URL", "http://x")], "bus-url"),
    ];
    for (flags, variables, setting) in cases {
        let arguments: Vec<&str> = ["serve", "--check"].into_iter().chain(flags).collect();
        let output = run_program(folder.path(), &arguments, &variables);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} {variables:?}");
        assert_eq!(text.trim().lines().count(), 1, "{text}");
        assert!(text.contains(setting), "{setting}: {text}");
        for secret in ["hunter2", "c2hvcnQ="] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    std::fs::write(
        folder.path().join("prichal.toml"),
        "listen = \"127.0.0.1:0\"\nlisten-on = 7\n",
    )
    .expect("written");
    let output = run_program(folder.path(), &["serve", "--check"], &[]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("listen-on")
    );
    std::fs::write(
        folder.path().join("prichal.toml"),
        "delivery-timeout = \"never\"\n",
    )
    .expect("written");
    assert!(
        !run_program(folder.path(), &["serve", "--check"], &[])
            .status
            .success(),
        "the file counts"
    );
    let flag = run_program(
        folder.path(),
        &["serve", "--check", "--delivery-timeout", "3s"],
        &[],
    );
    assert!(
        flag.status.success(),
        "a flag goes before the file: {}",
        String::from_utf8_lossy(&flag.stderr)
    );
}

/// Runs the program to its end: true if it succeeded, its standard output and its standard error.
fn run_to_end(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (bool, String, String) {
    let output = run_program(folder, arguments, variables);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_switch_takes_no_other_flag_for_its_value() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for switch in [
        &["--allow-private-targets"][..],
        &["--allow-private-targets", "false"],
        &["--allow-private-targets=true"],
        &["--access-key-over-http"],
        &["--edo-strict-codes"],
    ] {
        let check = |listen: &str| {
            let flags = ["--listen", listen, "--check"];
            let arguments = ["serve"].iter().chain(switch).chain(&flags).copied();
            let arguments: Vec<&str> = arguments.collect();
            run_to_end(folder.path(), &arguments, &[])
        };
        let (good, _, text) = check("127.0.0.1:0");
        assert!(good, "{switch:?}: {text}");
        let (good, _, text) = check("nowhere");
        assert!(!good && text.contains("--listen: `nowhere`"), "{text}");
    }
    let (good, _, text) = run_to_end(
        folder.path(),
        &[
            "serve",
            "--admin-token",
            "--check",
            "--listen",
            "127.0.0.1:0",
        ],
        &[],
    );
    assert!(
        !good && text.contains("a value is required for '--admin-token"),
        "{text}"
    );
}

#[test]
fn the_help_and_the_settings_file_show_the_defaults() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = "hunter2hunter2hunter2hunter2hunter2";
    let variables = [("PRICHAL_ADMIN_TOKEN", secret)];
    for flag in ["--help", "-h"] {
        let (good, help, _) = run_to_end(folder.path(), &["serve", flag], &variables);
        assert!(good && !help.contains("hunter2"));
        for text in [
            "Run the server",
            "[default: 127.0.0.1:8080]",
            "[default: 30s,1m,5m,15m,1h,1h,1h]",
            "[default: false]",
            "[possible values: text, json]",
            "[env: PRICHAL_DELIVERY_TIMEOUT]",
        ] {
            assert!(help.contains(text), "{text} in {help}");
        }
    }
    let (good, file, _) = run_to_end(folder.path(), &["config"], &variables);
    assert!(good && !file.contains("hunter2"));
    for line in ["listen = \"127.0.0.1:8080\"", "log-format = \"text\""] {
        assert!(file.lines().any(|it| it == line), "{file}");
    }
    let changed = file.replace("127.0.0.1:8080", "127.0.0.1:0");
    std::fs::write(folder.path().join("prichal.toml"), changed).expect("written");
    let (good, _, text) = run_to_end(folder.path(), &["serve", "--check"], &[]);
    assert!(good, "what it prints is a good file: {text}");
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let variables = [
        ("PRICHAL_LISTN", "hunter2"),
        ("PRICHAL_LISTEN", "127.0.0.1:0"),
    ];
    let (good, _, text) = run_to_end(folder.path(), &["serve", "--check"], &variables);
    assert!(good && text.contains("PRICHAL_LISTN"), "{text}");
    assert!(
        !text.contains("PRICHAL_LISTEN") && !text.contains("hunter2"),
        "{text}"
    );
    // A server says so in its log, before it fails for another reason.
    let variables = [
        ("PRICHAL_LISTN", "hunter2"),
        ("PRICHAL_LISTEN", "192.0.2.1:1"),
    ];
    let (good, _, text) = run_to_end(folder.path(), &["serve"], &variables);
    assert!(!good && text.contains("PRICHAL_LISTN"), "{text}");
}

#[tokio::test]
async fn a_name_is_a_listener() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let free = free_address();
    let port = free.rsplit_once(':').expect("a port").1;
    let listen = format!("localhost:{port}");
    let _server = ServerProcess::start_at(&listen, folder.path(), &Database::new()).await;
    anonymous_at(&format!("http://127.0.0.1:{port}"))
        .get("/healthz")
        .await
        .ok();
    let flags = ["serve", "--check", "--listen", &listen];
    let (good, _, text) = run_to_end(folder.path(), &flags, &[]);
    assert!(good, "a server that is running is no obstacle: {text}");
}

#[test]
fn a_check_tests_the_settings_and_creates_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("file"), "text").expect("written");
    let nobody = free_address();
    let (nats, postgres) = (
        format!("nats://{nobody}"),
        format!("postgres://u:hunter2@{nobody}/d"),
    );
    let blobs = format!("file:{}/file/deep", folder.path().display());
    for (flags, setting) in [
        (&["--data-dir", "file/deep"][..], "data-dir"),
        (&["--listen", "192.0.2.1:1"], "listen"),
        (&["--listen", "no.such.host.invalid:1"], "listen"),
        (&["--security-log", "file/deep"], "security-log"),
        (&["--security-log", "."], "security-log"),
        (&["--egress-ca", "none.pem"], "egress-ca"),
        (&["--egress-ca", "file"], "egress-ca"),
        (&["--egress-proxy-bypass", "::1"], "egress-proxy-bypass"),
        (&["--egress-proxy-resolves", "a.b"], "egress-proxy-resolves"),
        (
            &["--egress-proxy-credentials-file", "file"],
            "egress-proxy-credentials-file",
        ),
        (
            &[
                "--egress-proxy",
                "http://127.0.0.1:1",
                "--egress-proxy-credentials-file",
                "file",
            ],
            "egress-proxy-credentials-file",
        ),
        (
            &["--egress-source-address", "192.0.2.1"],
            "egress-source-address",
        ),
        (&["--blob-url", &blobs], "blob-url"),
        (&["--bus-url", &nats], "bus-url"),
        (&["--database-url", &postgres], "database-url"),
        (
            &["--database-url", &postgres, "--database-ca", "none.pem"],
            "database-ca",
        ),
        (
            &["--database-url", &postgres, "--database-ca", "file"],
            "database-ca",
        ),
    ] {
        let start = ["serve", "--check", "--listen", "127.0.0.1:0"];
        let start = if flags[0] == "--listen" {
            &start[..2]
        } else {
            &start
        };
        let arguments: Vec<&str> = start.iter().chain(flags).copied().collect();
        let (good, _, text) = run_to_end(folder.path(), &arguments, &[]);
        assert!(
            !good && text.contains(&format!("`{setting}`")),
            "{flags:?}: {text}"
        );
        assert_eq!(text.trim().lines().count(), 1, "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
    let arguments = [
        "serve",
        "--check",
        "--listen",
        "127.0.0.1:0",
        "--security-log",
        "new.log",
    ];
    let (good, _, text) = run_to_end(folder.path(), &arguments, &[]);
    assert!(good, "{text}");
    let inside = std::fs::read_dir(folder.path()).expect("a folder");
    assert_eq!(inside.count(), 1, "nothing was made");

    let data = folder.path().join("prichal-data");
    std::fs::create_dir(&data).expect("made");
    std::fs::write(
        data.join("prichal.sqlite"),
        "no database, but long enough to look like one".repeat(20),
    )
    .expect("written");
    let (good, _, text) = run_to_end(folder.path(), &arguments, &[]);
    assert!(!good && text.contains("database"), "{text}");
    std::fs::remove_file(data.join("prichal.sqlite")).expect("removed");
    let newer = rusqlite::Connection::open(data.join("prichal.sqlite")).expect("a store");
    newer
        .execute_batch("CREATE TABLE migration (version BIGINT PRIMARY KEY); INSERT INTO migration VALUES (9999);")
        .expect("made");
    let (good, _, text) = run_to_end(folder.path(), &arguments, &[]);
    assert!(!good && text.contains("9999"), "{text}");
}
