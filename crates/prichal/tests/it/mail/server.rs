//! The SMTP server of the settings: TLS, the login, and a real server.

use std::{path::PathBuf, time::Duration};

use prichal::config::Config;

use super::{mail, mail_after, plain_at, test_mail};
use crate::harness::{
    hub::{CapturedLog, Hub, eventually},
    smtp_receiver::{Say, Security, SmtpReceiver},
};

const PASSWORD: &str = "hunter2hunter2";
/// `\0hub\0hunter2hunter2` in base64.
const PLAIN_LOGIN: &str = "AGh1YgBodW50ZXIyaHVudGVyMg==";

/// Files of a server's settings.
struct Files {
    _folder: tempfile::TempDir,
    ca: PathBuf,
    credentials: PathBuf,
}

impl Files {
    fn new(server: &SmtpReceiver) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let ca = folder.path().join("ca.pem");
        let credentials = folder.path().join("credentials");
        std::fs::write(&ca, &server.certificate).expect("written");
        std::fs::write(&credentials, format!("hub:{PASSWORD}\n")).expect("written");
        Self {
            _folder: folder,
            ca,
            credentials,
        }
    }
}

/// A server with TLS to the SMTP server, whose authority it knows.
async fn hub_with_tls(server: &SmtpReceiver, files: &Files) -> Hub {
    let (url, ca, credentials) = (
        server.url.clone(),
        files.ca.clone(),
        files.credentials.clone(),
    );
    Hub::with(move |config: &mut Config| {
        config.smtp_url = Some(url.clone().into());
        config.mail_from = Some("hub@example.com".to_owned());
        config.egress_ca = Some(ca.clone());
        config.smtp_credentials_file = Some(credentials.clone());
    })
    .await
}

#[tokio::test]
async fn the_login_and_the_mail_are_encrypted() {
    for security in [Security::StartTls, Security::Tls] {
        let log = CapturedLog::new();
        let server = SmtpReceiver::start(security).await;
        let files = Files::new(&server);
        let hub = hub_with_tls(&server, &files).await;
        let space = hub.workspace("acme").await;
        let id = test_mail(&space, "oncall@example.com").await;
        mail_after(&space, &id, "sent", 1).await;
        assert!(server.received()[0].is_encrypted);
        let commands = server.commands();
        let at = |word: &str| commands.iter().position(|it| it.starts_with(word));
        assert_eq!(
            commands.iter().filter(|it| it.starts_with("AUTH")).count(),
            1
        );
        let login = at("AUTH").expect("a login");
        assert_eq!(commands[login], format!("AUTH PLAIN {PLAIN_LOGIN}"));
        if security == Security::StartTls {
            assert!(at("STARTTLS").expect("a change to TLS") < login);
            let greetings = commands.iter().filter(|it| it.starts_with("EHLO"));
            assert_eq!(
                greetings.count(),
                2,
                "what was said before TLS is forgotten"
            );
        }
        for secret in [PASSWORD, PLAIN_LOGIN] {
            assert!(!log.has(secret));
            assert!(!space.get("/mails").await.text.contains(secret));
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_without_tls_unless_the_operator_says_so() {
    // The server offers none, or somebody on the way has taken the offer away.
    let server = SmtpReceiver::plain().await;
    let files = Files::new(&server);
    let hub = hub_with_tls(&server, &files).await;
    let space = hub.workspace("acme").await;
    let id = test_mail(&space, "oncall@example.com").await;
    let waiting = mail_after(&space, &id, "waiting", 1).await;
    assert_eq!(
        waiting["answer"],
        "the SMTP server offers no STARTTLS, and nothing is sent without it"
    );
    let commands = server.commands();
    assert!(
        commands
            .iter()
            .all(|it| it == "CONNECT" || it.starts_with("EHLO")),
        "{commands:?}"
    );
}

#[tokio::test]
async fn answers_from_before_tls_do_not_count_after_it() {
    let server = SmtpReceiver::start(Security::StartTls).await;
    let files = Files::new(&server);
    server.answer(|command, _| match command {
        "STARTTLS" => Say::This("220 go ahead\r\n250-evil\r\n250 AUTH LOGIN"),
        _ => Say::Usual,
    });
    let hub = hub_with_tls(&server, &files).await;
    let space = hub.workspace("acme").await;
    let id = test_mail(&space, "oncall@example.com").await;
    let waiting = mail_after(&space, &id, "waiting", 1).await;
    assert_eq!(
        waiting["answer"],
        "the answer of the SMTP server is not SMTP"
    );
}

#[tokio::test]
async fn the_certificate_of_the_server_is_checked() {
    for security in [Security::StartTls, Security::Tls] {
        let server = SmtpReceiver::start(security).await;
        let (url, by_address) = (
            server.url.clone(),
            server.url.replace("localhost", "127.0.0.1"),
        );
        let files = Files::new(&server);
        for (url, ca, reason) in [
            (url, None, "the certificate is self-signed"),
            (
                by_address,
                Some(files.ca.clone()),
                "the certificate is for another host",
            ),
        ] {
            let hub = Hub::with(move |config: &mut Config| {
                config.smtp_url = Some(url.clone().into());
                config.mail_from = Some("hub@example.com".to_owned());
                config.egress_ca.clone_from(&ca);
            })
            .await;
            let space = hub.workspace("acme").await;
            let id = test_mail(&space, "oncall@example.com").await;
            let waiting = mail_after(&space, &id, "waiting", 1).await;
            let expected = format!("the SMTP server: no TLS connection: {reason}");
            assert_eq!(waiting["answer"], expected);
        }
        assert!(server.received().is_empty());
    }
}

#[tokio::test]
async fn a_refused_login_costs_no_mail() {
    let log = CapturedLog::new();
    let server = SmtpReceiver::start(Security::Tls).await;
    let files = Files::new(&server);
    server.answer(|command, _| match command.split(' ').next() {
        Some("AUTH") => Say::This("535 5.7.8 not AGh1YgBodW50ZXIyaHVudGVyMg=="),
        _ => Say::Usual,
    });
    let hub = hub_with_tls(&server, &files).await;
    let space = hub.workspace("acme").await;
    let id = test_mail(&space, "oncall@example.com").await;
    let waiting = mail_after(&space, &id, "waiting", 1).await;
    assert_eq!(waiting["answer"], "the SMTP server refuses the login (535)");
    // A mail that comes meanwhile waits for the end of the pause: the server must not be flooded with logins.
    let other = test_mail(&space, "other@example.com").await;
    assert_eq!(mail(&space, &other, |_| true).await["status"], "waiting");
    server.answer(|_, _| Say::Usual);
    hub.advance(Duration::from_mins(1));
    mail_after(&space, &id, "sent", 2).await;
    mail(&space, &other, |mail| mail["status"] == "sent").await;
    assert!(!log.has(PLAIN_LOGIN) && !log.has(PASSWORD));
}

#[tokio::test]
async fn a_server_that_wants_a_login_costs_no_mail() {
    let server = SmtpReceiver::plain().await;
    let url = server.url.clone();
    let hub = Hub::with(move |config| plain_at(config, &url)).await;
    let space = hub.workspace("acme").await;
    server.answer(|command, _| match command.split(' ').next() {
        Some("MAIL") => Say::This("530 5.7.0 authentication required"),
        _ => Say::Usual,
    });
    let id = test_mail(&space, "oncall@example.com").await;
    let waiting = mail_after(&space, &id, "waiting", 1).await;
    assert_eq!(
        waiting["answer"],
        "the SMTP server answered 530 5.7.0 authentication required"
    );
}

/// The mails to an address that the server of `./test` has kept, once there are that many.
async fn kept(to: &str, count: usize) -> Vec<String> {
    let folder = PathBuf::from(variable("PRICHAL_TEST_SMTP_MAILS")).join("new");
    let line = format!("To: {to}");
    eventually("the mails", || async {
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        let found: Vec<_> = texts
            .filter(|text| text.lines().any(|it| it == line))
            .collect();
        (found.len() >= count).then_some(found)
    })
    .await
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("./test sets it")
}

#[tokio::test]
#[ignore = "needs aiosmtpd; ./test has it"]
async fn a_real_server_takes_mails() {
    let hub = Hub::with(|config: &mut Config| {
        config.smtp_url = Some(variable("PRICHAL_TEST_SMTP").into());
        config.mail_from = Some("Причал <hub@example.com>".to_owned());
        config.egress_ca = Some(variable("PRICHAL_TEST_SMTP_CA").into());
        config.smtp_credentials_file = Some(variable("PRICHAL_TEST_SMTP_CREDENTIALS").into());
    })
    .await;
    let name = format!("w{}", std::process::id());
    let space = hub.workspace(&name).await;
    let mut all = Vec::new();
    for n in 0..3 {
        all.push(test_mail(&space, &format!("{name}-{n}@example.com")).await);
    }
    let nobody = test_mail(&space, "nobody@example.com").await;
    for (n, id) in all.iter().enumerate() {
        let sent = mail_after(&space, id, "sent", 1).await;
        assert!(
            sent["answer"]
                .as_str()
                .expect("an answer")
                .starts_with("250 "),
            "{sent}"
        );
        let found = kept(&format!("{name}-{n}@example.com"), 1).await;
        assert_eq!(found.len(), 1);
        for part in [
            format!("Message-ID: <{id}@example.com>"),
            format!("Subject: [{name}] Test mail"),
            "Content-Transfer-Encoding: quoted-printable".to_owned(),
        ] {
            assert!(found[0].contains(&part), "{part} in {}", found[0]);
        }
    }
    let failed = mail_after(&space, &nobody, "failed", 1).await;
    assert_eq!(
        failed["answer"],
        "the SMTP server answered 550 5.1.1 no such user"
    );

    // Without the login the server refuses, and the mail waits for the operator.
    let hub = Hub::with(|config: &mut Config| {
        config.smtp_url = Some(variable("PRICHAL_TEST_SMTP").into());
        config.mail_from = Some("hub@example.com".to_owned());
        config.egress_ca = Some(variable("PRICHAL_TEST_SMTP_CA").into());
    })
    .await;
    let space = hub.workspace("acme").await;
    let id = test_mail(&space, "oncall@example.com").await;
    let waiting = mail_after(&space, &id, "waiting", 1).await;
    let answer = waiting["answer"].as_str().expect("an answer");
    assert!(
        answer.starts_with("the SMTP server answered 530 "),
        "{answer}"
    );
}

#[tokio::test]
async fn a_check_of_the_settings_logs_in() {
    let server = SmtpReceiver::plain().await;
    let files = Files::new(&server);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let check = |url: String, more: Vec<String>| {
        let folder = folder.path().to_owned();
        async move {
            let run = move || {
                let mut arguments = vec![
                    "serve".to_owned(),
                    "--check".to_owned(),
                    "--listen".to_owned(),
                    "127.0.0.1:0".to_owned(),
                    "--mail-from".to_owned(),
                    "hub@example.com".to_owned(),
                    "--smtp-url".to_owned(),
                    url,
                ];
                arguments.extend(more);
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                crate::harness::server_process::run_program(&folder, &arguments, &[])
            };
            let output = tokio::task::spawn_blocking(run).await.expect("no panic");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            (output.status.success(), text)
        }
    };
    let credentials = files.credentials.to_string_lossy().into_owned();
    let login = vec![
        "--smtp-plaintext".to_owned(),
        "true".to_owned(),
        "--smtp-credentials-file".to_owned(),
        credentials,
    ];
    let (is_good, text) = check(server.url.clone(), login.clone()).await;
    assert!(is_good, "{text}");
    assert!(server.commands().iter().any(|it| it.starts_with("AUTH")));
    let (is_good, text) = check(server.url.clone(), Vec::new()).await;
    assert!(
        !is_good && text.contains("`smtp-url`: the SMTP server offers no STARTTLS"),
        "{text}"
    );
    server.answer(|command, _| match command.split(' ').next() {
        Some("AUTH") => Say::This("535 5.7.8 no"),
        _ => Say::Usual,
    });
    let (is_good, text) = check(server.url.clone(), login).await;
    assert!(
        !is_good && text.contains("refuses the login (535)"),
        "{text}"
    );
    assert!(!text.contains(PASSWORD));
    let url = server.url.clone();
    drop(server);
    let (is_good, text) = check(url, Vec::new()).await;
    assert!(
        !is_good && text.contains("no connection to the SMTP server"),
        "{text}"
    );
}
