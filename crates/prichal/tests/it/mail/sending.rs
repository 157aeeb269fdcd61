//! The outbox: each mail is sent once, and again after a failure.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::{mail, mail_after, plain_at, test_mail};
use crate::harness::{
    hub::{Caller, CapturedLog, Hub, Installation, eventually},
    smtp_receiver::{Say, SmtpReceiver},
};

const MINUTE: Duration = Duration::from_mins(1);

async fn hub_with(server: &SmtpReceiver) -> Hub {
    let url = server.url.clone();
    Hub::with(move |config| plain_at(config, &url)).await
}

#[tokio::test]
async fn a_mail_is_sent_and_its_answer_is_kept() {
    let log = CapturedLog::new();
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let id = test_mail(&space, "oncall@example.com").await;
    let sent = mail_after(&space, &id, "sent", 1).await;
    assert_eq!(sent["kind"], "test");
    assert_eq!(sent["to"], "oncall@example.com");
    assert_eq!(sent["subject"], "[acme] Test mail");
    assert_eq!(sent["answer"], "250 2.0.0 queued");
    assert_eq!(sent.get("nextAttemptAt"), None);
    assert_eq!(sent["finishedAt"], sent["createdAt"], "the clock stands");

    let [received] = server.received().try_into().expect("one mail");
    assert_eq!(received.from, "MAIL FROM:<hub@example.com>");
    assert_eq!(received.to, ["RCPT TO:<oncall@example.com>"]);
    for (name, value) in [
        ("From", "Prichal <hub@example.com>"),
        ("To", "oncall@example.com"),
        ("Subject", "[acme] Test mail"),
        ("Auto-Submitted", "auto-generated"),
        ("Date", "Thu, 01 Jan 2026 00:00:00 +0000"),
        ("Message-ID", &format!("<{id}@example.com>")),
    ] {
        assert_eq!(received.header(name).as_deref(), Some(value), "{name}");
    }
    assert!(received.body().contains("asked for by an administrator"));
    server.hears("QUIT").await;

    let metrics = hub.anonymous().get("/metrics").await.ok().text;
    assert!(
        metrics.contains("prichal_mails_total{outcome=\"sent\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("prichal_mails_waiting"), "{metrics}");
    assert!(!metrics.contains('@'), "{metrics}");
    assert!(!log.has("oncall"));
}

#[tokio::test]
async fn only_an_administrator_sends_tests_and_sees_mails() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let member = hub.token("acme", "member").await;
    let body = json!({ "to": "oncall@example.com" });
    assert_eq!(member.post("/mails/test", body.clone()).await.status, 403);
    assert_eq!(member.get("/mails").await.status, 403);
    test_mail(&space, "oncall@example.com").await;
    let other = hub.workspace("other").await;
    assert_eq!(other.get("/mails").await.ok()["count"], 0);
    assert_eq!(server.mails(1).await.len(), 1);
}

#[tokio::test]
async fn an_address_is_an_address_and_nothing_else() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    for to in [
        json!(""),
        json!("oncall"),
        json!("a@example.com, b@example.com"),
        json!("a@example.com\r\nBcc: b@example.com"),
        json!("<a@example.com>\r\nDATA"),
        json!("a@[127.0.0.1]"),
        json!("a@127.0.0.1"),
        json!(["a@example.com"]),
        json!(format!("{}@example.com", "a".repeat(300))),
        json!(null),
    ] {
        let refused = space.post("/mails/test", json!({ "to": to })).await;
        assert_eq!(refused.status, 400, "{to}: {}", refused.text);
    }
    assert_eq!(space.get("/mails").await.ok()["count"], 0);
    assert!(server.commands().is_empty());
}

#[tokio::test]
async fn test_mails_are_bounded() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    for n in 0..5 {
        test_mail(&space, &format!("a{n}@example.com")).await;
    }
    let body = json!({ "to": "b@example.com" });
    let refused = space.post("/mails/test", body.clone()).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.text.contains("5 test mails"), "{}", refused.text);
    let other = hub.workspace("other").await;
    test_mail(&other, "b@example.com").await;
    hub.advance(61 * MINUTE);
    test_mail(&space, "b@example.com").await;
    let received = server.mails(7).await;
    assert_eq!(received.len(), 7);
    // The page, newest first.
    let first = space.get("/mails?limit=4").await.ok();
    let next = first.str("next");
    let second = space
        .get(&format!("/mails?limit=4&before={next}"))
        .await
        .ok();
    assert_eq!((&first["count"], &second["count"]), (&json!(4), &json!(2)));
    assert_eq!(second.json.get("next"), None);
    assert_eq!(second["items"][1]["to"], "a0@example.com");
}

#[tokio::test]
async fn without_an_smtp_server_there_are_no_mails() {
    let hub = Hub::start().await;
    let space = hub.workspace("acme").await;
    let body = json!({ "to": "oncall@example.com" });
    let refused = space.post("/mails/test", body).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(refused["status"], "notSupported");
    assert!(refused.text.contains("smtp-url"), "{}", refused.text);
    assert_eq!(space.get("/mails").await.ok()["count"], 0);
}

#[tokio::test]
async fn a_refusal_for_now_is_repeated_on_schedule_with_the_same_id() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    server.answer(|command, _| match command {
        "RCPT TO:<grey@example.com>" => Say::This("450 4.7.1 greylisted, come back"),
        "TEXT" => Say::This("452 4.3.1 no\r\nroom"),
        _ => Say::Usual,
    });
    let grey = test_mail(&space, "grey@example.com").await;
    let full = test_mail(&space, "full@example.com").await;
    let waiting = mail_after(&space, &grey, "waiting", 1).await;
    assert_eq!(
        waiting["answer"],
        "the SMTP server answered 450 4.7.1 greylisted, come back"
    );
    assert_eq!(waiting["nextAttemptAt"], "2026-01-01T00:01:00+00:00");
    mail_after(&space, &full, "waiting", 1).await;
    assert!(server.received().is_empty());

    server.answer(|command, _| match command.split(':').next() {
        Some("RCPT TO") => Say::This("451 4.7.1 still not"),
        _ => Say::Usual,
    });
    hub.advance(MINUTE);
    for id in [&grey, &full] {
        let waiting = answered(&space, id, "the SMTP server answered 451 4.7.1 still not").await;
        assert_eq!(waiting["attempts"], 2);
        assert_eq!(waiting["nextAttemptAt"], "2026-01-01T00:06:00+00:00");
    }

    let before = server.connections();
    server.answer(|_, _| Say::Usual);
    hub.advance(5 * MINUTE);
    mail_after(&space, &grey, "sent", 3).await;
    mail_after(&space, &full, "sent", 3).await;
    let mut ids: Vec<_> = server
        .received()
        .iter()
        .map(|mail| mail.header("Message-ID").expect("an id"))
        .collect();
    ids.sort();
    let mut expected = [grey, full].map(|id| format!("<{id}@example.com>"));
    expected.sort();
    assert_eq!(ids, expected, "each once");
    assert_eq!(server.connections(), before + 1, "both on one connection");
}

/// A mail, once its last answer is this one.
async fn answered(space: &Caller, id: &str, answer: &str) -> Value {
    mail(space, id, |mail| mail["answer"] == answer).await
}

/// An answer to each attempt, which tells them apart.
const ANSWERS: [&str; 9] = [
    "421 one",
    "421 two",
    "421 three",
    "421 four",
    "421 five",
    "421 six",
    "421 seven",
    "421 eight",
    "421 nine",
];

#[tokio::test]
async fn a_mail_is_given_up_after_a_day() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let count = AtomicUsize::new(0);
    server.answer(move |command, _| match command {
        "CONNECT" => Say::This(ANSWERS[count.fetch_add(1, Ordering::Relaxed)]),
        _ => Say::Usual,
    });
    let id = test_mail(&space, "oncall@example.com").await;
    for (n, answer) in ANSWERS.iter().enumerate() {
        let found = answered(&space, &id, &format!("the SMTP server answered {answer}")).await;
        assert_eq!(found["attempts"], n + 1);
        hub.advance(8 * 60 * MINUTE);
    }
    let failed = mail_after(&space, &id, "failed", 9).await;
    assert_eq!(failed.get("nextAttemptAt"), None);
    assert!(failed.get("finishedAt").is_some());
}

#[tokio::test]
async fn a_refusal_for_good_ends_a_mail_and_no_other() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    server.answer(|command, _| match command {
        "RCPT TO:<gone@example.com>" => Say::This("550-5.1.1 no such\r\n550 5.1.1 user"),
        _ => Say::Usual,
    });
    let gone = test_mail(&space, "gone@example.com").await;
    let here = test_mail(&space, "here@example.com").await;
    let failed = mail_after(&space, &gone, "failed", 1).await;
    let answer = failed["answer"].as_str().expect("an answer");
    assert!(
        answer.starts_with("the SMTP server answered 550 5.1.1 no such"),
        "{answer}"
    );
    mail_after(&space, &here, "sent", 1).await;
    hub.advance(60 * MINUTE);
    let received = server.mails(1).await;
    assert_eq!(received.len(), 1);
    // An address that needs more than this server has.
    let abroad = test_mail(&space, "почта@example.com").await;
    let failed = mail_after(&space, &abroad, "failed", 1).await;
    let answer = "the SMTP server takes no addresses with letters beyond ASCII";
    assert_eq!(failed["answer"], answer);
}

#[tokio::test]
async fn a_slow_server_delays_nothing_else() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    for (n, silent) in ["CONNECT", "EHLO", "MAIL", "TEXT"].into_iter().enumerate() {
        let already = server.commands().len();
        server.answer(move |command, _| {
            if command.starts_with(silent) {
                Say::Nothing
            } else {
                Say::Usual
            }
        });
        let id = test_mail(&space, &format!("a{n}@example.com")).await;
        eventually("the command", || async {
            let heard = server.commands();
            let mut heard = heard[already..].iter();
            let word = if silent == "TEXT" { "DATA" } else { silent };
            heard.any(|it| it.starts_with(word)).then_some(())
        })
        .await;
        assert_eq!(space.get("/settings").await.status, 200);
        hub.advance(2 * MINUTE);
        let waiting = mail(&space, &id, |mail| mail.get("answer").is_some()).await;
        let answer = waiting["answer"].as_str().expect("an answer");
        assert!(
            answer.starts_with("the SMTP server has not answered within"),
            "{silent}: {answer}"
        );
        server.answer(|_, _| Say::Usual);
        hub.advance(5 * MINUTE);
        mail(&space, &id, |mail| mail["status"] == "sent").await;
    }
}

#[tokio::test]
async fn a_queued_mail_survives_a_restart() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    server.answer(|_, _| Say::Nothing);
    let id = test_mail(&space, "oncall@example.com").await;
    server.hears("CONNECT").await;
    let stopped = hub.stop().await;
    server.answer(|_, _| Say::Usual);
    let hub = stopped.start().await;
    let space = hub.adopt(&space);
    let waiting = mail_after(&space, &id, "waiting", 1).await;
    assert_eq!(
        waiting["answer"],
        "the attempt was interrupted by a stop of this server"
    );
    hub.advance(MINUTE);
    mail_after(&space, &id, "sent", 2).await;
    assert_eq!(server.mails(1).await.len(), 1);
}

#[tokio::test]
async fn a_mail_in_flight_is_repeated_after_a_kill_with_the_same_id() {
    let server = SmtpReceiver::plain().await;
    let url = server.url.clone();
    let installation = Installation::new(move |config| plain_at(config, &url));
    let hub = installation.start().await;
    let space = hub.workspace("acme").await;
    // The server has taken the mail, and the answer never comes.
    server.answer(|command, taken| match (command, taken) {
        ("TEXT", 0) => Say::Nothing,
        _ => Say::Usual,
    });
    let id = test_mail(&space, "oncall@example.com").await;
    server.mails(1).await;
    hub.kill();
    let hub = installation.start().await;
    let space = hub.adopt(&space);
    hub.advance(5 * MINUTE);
    mail_after(&space, &id, "sent", 2).await;
    let received = server.mails(2).await;
    let ids: Vec<_> = received
        .iter()
        .map(|mail| mail.header("Message-ID"))
        .collect();
    assert_eq!(ids, [Some(format!("<{id}@example.com>")), ids[1].clone()]);
    assert_eq!(received[0].text, received[1].text, "the same mail");
    hub.advance(60 * MINUTE);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn old_mails_and_those_of_a_deleted_workspace_go() {
    let server = SmtpReceiver::plain().await;
    let hub = hub_with(&server).await;
    let space = hub.workspace("acme").await;
    let id = test_mail(&space, "oncall@example.com").await;
    mail_after(&space, &id, "sent", 1).await;
    hub.advance(Duration::from_hours(7 * 24 + 2));
    eventually("the removal", || async {
        (space.get("/mails").await.ok()["count"] == 0).then_some(())
    })
    .await;
    server.answer(|command, _| match command {
        "CONNECT" => Say::This("421 not now"),
        _ => Say::Usual,
    });
    let id = test_mail(&space, "oncall@example.com").await;
    mail_after(&space, &id, "waiting", 1).await;
    let gone = hub.admin().delete("/admin/v1/workspaces/acme").await;
    assert!(gone.status < 300, "{}", gone.text);
    server.answer(|_, _| Say::Usual);
    hub.advance(60 * MINUTE);
    let other = hub.workspace("other").await;
    let id = test_mail(&other, "oncall@example.com").await;
    mail_after(&other, &id, "sent", 1).await;
    assert_eq!(server.received().len(), 2, "none of the deleted workspace");
}

#[tokio::test]
#[ignore = "needs PostgreSQL; ./test has it"]
async fn two_nodes_send_each_mail_once() {
    let server = SmtpReceiver::plain().await;
    let url = server.url.clone();
    let installation = Installation::new(move |config| plain_at(config, &url));
    let first = installation.start().await;
    let second = installation.second_node().start().await;
    server.answer(|command, _| match command {
        "CONNECT" => Say::This("421 not now"),
        _ => Say::Usual,
    });
    let mut all = Vec::new();
    for n in 0..8 {
        let space = first.workspace(&format!("w{n}")).await;
        for m in 0..5 {
            let id = test_mail(&space, &format!("a{m}@example.com")).await;
            all.push((space.clone(), id));
        }
    }
    server.answer(|_, _| Say::Usual);
    // Pauses after failed connections, and the retries of the mails that had one.
    for _ in 0..8 {
        first.advance(MINUTE);
    }
    for (space, id) in &all {
        mail(space, id, |mail| mail["status"] == "sent").await;
    }
    let mut ids: Vec<_> = server
        .received()
        .iter()
        .map(|mail| mail.header("Message-ID").expect("an id"))
        .collect();
    ids.sort();
    let mut expected: Vec<_> = all
        .iter()
        .map(|(_, id)| format!("<{id}@example.com>"))
        .collect();
    expected.sort();
    assert_eq!(ids, expected);
    drop(second);
}
