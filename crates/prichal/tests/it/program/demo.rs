//! The demonstration: there is something of everything to see, and a failed delivery can be sent again.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{
    hub::{Caller, anonymous_at, eventually},
    server_process::PROGRAM,
};

/// A demonstration; ended when dropped.
struct Demo {
    child: Child,
    /// Its output up to the command for a new link; `later` has the rest.
    said: String,
    later: Lines<BufReader<ChildStdout>>,
    /// A caller with the printed token.
    api: Caller,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Demo {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["demo", "--listen", "127.0.0.1:0"])
            .env_clear()
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut later = BufReader::new(child.stdout.take().expect("an output")).lines();
        let mut said = String::new();
        while !said.contains("login-link") {
            said += &later.next().expect("more").expect("text");
            said.push('\n');
        }
        let line = said.lines().find(|line| line.contains("curl"));
        let line = line.expect("a line with curl");
        let words = || line.split([' ', '\'']);
        let token = words().find(|word| word.len() == 64).expect("a token");
        let url = words().find(|word| word.starts_with("http://"));
        let url = url
            .and_then(|url| url.split("/api/").next())
            .expect("a URL");
        Self {
            api: anonymous_at(url).bearer(token),
            child,
            said,
            later,
        }
    }

    fn space(&self) -> Caller {
        self.api.at("/api/v1/demo")
    }

    /// The printed command that begins after `name`, without its line end.
    fn command(&self, name: &str) -> &str {
        let mut lines = self.said.lines().map(str::trim);
        let found = lines.find_map(|line| line.strip_prefix(name));
        found.expect("a line").trim()
    }

    /// Waits until a list of the workspace is as expected.
    async fn list(&self, path: &str, is_expected: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let space = self.space();
        eventually(path, || async {
            let items = space.get(path).await.ok()["items"].as_array()?.clone();
            is_expected(&items).then_some(items)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_is_sent_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = Demo::start(folder.path());
    let space = demo.space();
    demo.list("/deliveries?status=delivered", |all| !all.is_empty())
        .await;
    let deferred = demo
        .list(
            "/deliveries?status=deferred&entityType=company&eventType=change",
            |all| all.len() == 3,
        )
        .await;
    let given_up = demo
        .list("/deliveries?status=exhausted", |all| all.len() == 2)
        .await;
    for call in [&deferred[0], &given_up[0]] {
        let id = call["id"].as_str().expect("an id");
        let detail = space.get(&format!("/deliveries/{id}")).await.ok();
        let reason = detail["received"].to_string();
        assert!(
            detail["httpStatus"] == 503 && reason.contains("taking stock"),
            "{}",
            detail.text
        );
        let resend = format!("/deliveries/{id}/resend");
        assert_eq!(space.post(&resend, json!({})).await.status, 202);
        let event = &call["eventId"];
        demo.list("/deliveries?status=delivered&limit=100", |all| {
            all.iter().any(|one| one["eventId"] == *event)
        })
        .await;
    }
    let missed = json!({ "status": "exhausted" });
    assert_eq!(space.post("/resends", missed).await.status, 202);
    demo.list("/dead-letters", <[Value]>::is_empty).await;
    let alerts = demo.list("/alerts?state=open", |all| !all.is_empty()).await;
    assert_eq!(alerts[0]["kind"], "switchedOff", "{alerts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_something_of_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = Demo::start(folder.path());
    let space = demo.space();

    let calls = space.get("/communications?include=facts").await.ok();
    let of = |state: &str, missed: bool| {
        let items = calls["items"].as_array().into_iter().flatten();
        let mut found = items
            .filter(|call| call["facts"]["state"] == state && call["facts"]["missed"] == missed);
        found
            .next()
            .unwrap_or_else(|| panic!("{state}: {}", calls.text))
    };
    assert_eq!(of("ended", true)["facts"]["calledBack"], false);
    of("talking", false);
    let recorded = &of("ended", false)["data"]["call"]["items"][0]["recordings"][0];
    let file = recorded["fileId"].as_str().expect("a recording");
    let piece = space
        .clone()
        .header("range", "bytes=0-3")
        .get(&format!("/files/{file}"))
        .await;
    assert_eq!((piece.status, &piece.bytes[..]), (206, &b"RIFF"[..]));

    for (side, status, number) in [("outbox", "FINISHED", "17/1"), ("inbox", "IN_NEW", "4")] {
        let path = format!("/api/v3/sync/external/documents-query/{side}");
        let body = json!({ "documentStatuses": [status] });
        let page = demo.api.post(&path, body).await.ok();
        let items = &page["response"]["pageItems"];
        assert_eq!(items[0]["documentNumber"], number, "{}", page.text);
        let id = items[0]["documentId"].as_str().or(items[0]["id"].as_str());
        let id = id.expect("an id");
        let path = format!("/api/v3/sync/single/document/signatures/{id}");
        for signature in demo
            .api
            .get(&path)
            .await
            .ok()
            .json
            .as_array()
            .expect("a list")
        {
            assert_eq!(
                signature["report"]["verdict"], "TOTAL_PASSED",
                "{signature}"
            );
            let path = signature["report"]["signers"][0]["path"].to_string();
            assert!(
                path.contains("trusted in this demonstration only"),
                "{path}"
            );
        }
    }

    let runs = demo
        .api
        .get("/rest/v1/service/svcscript_runtimes")
        .await
        .ok();
    let mut states: Vec<&str> = runs
        .json
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|run| run["status"].as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["failed", "finished", "finished"], "{}", runs.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_come_by_a_command_and_by_enter() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut demo = Demo::start(folder.path());
    let first = demo.command("look at it").to_owned();
    let output = Command::new("sh")
        .args(["-c", demo.command("a new link")])
        .output();
    let by_command = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let mut input = demo.child.stdin.take().expect("an input");
    input.write_all(b"\n").expect("it reads");
    let mut lines = demo.later.by_ref().map(|line| line.expect("text"));
    let by_enter = lines.find(|line| line.contains("look at it"));
    let by_enter = by_enter.expect("a line");
    let (page, _) = first.split_once('#').expect("a secret");
    assert!(
        by_command.contains(page) && by_enter.contains(page),
        "{by_command}{by_enter}"
    );
    assert!(!by_command.contains(&first) && !by_enter.contains(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn its_exchange_takes_a_call_and_hangs_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = Demo::start(folder.path());
    let users = demo.space().get("/users").await.ok();
    let mut users = users["items"].as_array().expect("a list").iter();
    let user = users
        .find(|one| one["login"] == "dana")
        .expect("an employee")["id"]
        .clone();
    let call = json!({ "clientPhone": "77011112233", "fromUserId": user });
    demo.space().post("/communications/call", call).await.ok();
    let of = |all: &[Value]| {
        let mut all = all.iter();
        let found = all.find(|one| one["direction"] == "outbound");
        found.cloned()
    };
    let all = demo.list("/communications", |all| of(all).is_some()).await;
    let id = of(&all).expect("the call")["id"].clone();
    let path = format!("/communications/{}/hangup", id.as_str().expect("an id"));
    let end = json!({ "realtimeCallItemId": id, "userId": user });
    let space = demo.space();
    // The exchange reports the leg a little later.
    eventually("the end", || async {
        let answer = space.post(&path, end.clone()).await;
        (answer.status == 200).then_some(())
    })
    .await;
    let ended = |all: &[Value]| of(all).is_some_and(|call| call["status"] != "active");
    demo.list("/communications", ended).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_signed_with_the_printed_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let demo = Demo::start(folder.path());
    std::fs::write(folder.path().join("content.zip"), "content").expect("written");
    let signed = Command::new("sh")
        .args(["-c", demo.command("to sign")])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    assert!(
        signed.status.success(),
        "{}",
        String::from_utf8_lossy(&signed.stderr)
    );
    let verified = Command::new("openssl")
        .args([
            "cms",
            "-verify",
            "-binary",
            "-noverify",
            "-inform",
            "DER",
            "-in",
            "signature.cms",
        ])
        .args(["-content", "content.zip"])
        .current_dir(folder.path())
        .output()
        .expect("it runs");
    assert_eq!(
        verified.stdout,
        b"content",
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}

#[test]
fn it_ends_by_itself_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(PROGRAM);
    command.args(["demo", "--seconds", "1", "--listen", "127.0.0.1:0"]);
    let output = command.env_clear().env("TMPDIR", folder.path()).output();
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0);
}
