//! Files, logs and processes that show others no secret.

use std::{os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::{Value, json};

use crate::harness::{
    hub::{ADMIN_TOKEN, Database, anonymous_at, eventually},
    receiver::{Receiver, Reply},
    server_process::{LOG, ServerProcess, children, run_program},
};

/// Collects the files and folders that others have rights to.
fn open_to_others(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let about = std::fs::symlink_metadata(entry.path()).expect("it is there");
        if about.permissions().mode() & 0o077 != 0 {
            found.push(entry.path().display().to_string());
        }
        if about.is_dir() {
            open_to_others(&entry.path(), found);
        }
    }
}

#[tokio::test]
async fn the_data_directory_is_private_to_its_owner() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::new());
    let file = "security.log";
    std::fs::write(
        folder.path().join("prichal.toml"),
        format!("security-log = \"{file}\"\nlog-level = \"error\"\n"),
    )
    .expect("written");
    let server = ServerProcess::start(folder.path(), &database).await;
    let admin = server.admin();
    let made = admin
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let token = json!({ "name": "t", "role": "admin" });
    let token = admin
        .post("/admin/v1/workspaces/acme/tokens", token)
        .await
        .str("token");
    let space = anonymous_at(&server.url).bearer(&token).at("/api/v1/acme");
    let body = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nx\r\n--b--\r\n";
    let upload = space.header("content-type", "multipart/form-data; boundary=b");
    let upload = upload.send(reqwest::Method::POST, "/files", Some(body.into()));
    upload.await.ok();
    let data = folder.path().join("prichal-data");
    let mut found = Vec::new();
    open_to_others(&data, &mut found);
    assert_eq!(found, Vec::<String>::new());
    drop(server);

    let key = data.join("master-key");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&key, open).expect("opened");
    let server = ServerProcess::start(folder.path(), &database).await;
    let mut found = Vec::new();
    open_to_others(&data, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let lines = std::fs::read_to_string(folder.path().join(file)).expect("a security log");
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let events: Vec<&Value> = lines.iter().map(|line| &line["event"]).collect();
    for event in ["workspace_created", "token_created", "files_tightened"] {
        assert!(events.contains(&&json!(event)), "{event}: {events:?}");
    }
    assert!(
        lines
            .iter()
            .all(|line| line["target"] == "prichal::security")
    );
    drop(server);
}

/// The log level is the most verbose, at which libraries log their data.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    std::fs::write(
        folder.path().join("prichal.toml"),
        "log-level = \"trace\"\n",
    )
    .expect("written");
    let server = ServerProcess::start(folder.path(), &database).await;
    let admin = server.admin();
    let made = admin
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    let body = json!({ "name": "t", "role": "admin" });
    let token = admin
        .post("/admin/v1/workspaces/acme/tokens", body)
        .await
        .str("token");
    let rest = anonymous_at(&server.url).bearer(&token);
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let data = json!({ "language": "javascript", "source": "respond(200)" });
    let script = json!({ "code": "s", "name": "s", "scriptdata": data });
    rest.post("/rest/v1/service/svcscripts", script).await.ok();
    let channel = json!({ "code": "c", "type": "public", "recv_svcscriptcode": "s", "url": receiver.url, "token_remote": "far-secret" });
    let points = "/rest/v1/service/integration_points";
    let channel = rest.post(points, channel).await.ok();
    let (id, local) = (channel.str("id"), channel.str("token_local"));
    let anybody = anonymous_at(&server.url);
    anybody
        .post(&format!("/hook/{local}/x?y=1"), json!({}))
        .await
        .ok();
    anybody
        .clone()
        .bearer(&local)
        .post("/exec", json!({}))
        .await
        .ok();
    rest.get(&format!("/rest/v1/service/integration_tokens/{local}"))
        .await
        .ok();
    rest.post(&format!("{points}/{id}/send"), json!({}))
        .await
        .ok();
    receiver.next().await;
    let address = server.url.replace("http://", "ws://");
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("{address}/ws/token/v1/{local}"))
            .await
            .expect("a websocket");
    for frame in [
        json!(["setup", { "capabilities": [{ "key": "rest" }] }]),
        json!(["connection_info", {}]),
        json!(["rest", { "operation": "read", "classpath": "service/integration_points", "id": id }]),
    ] {
        socket
            .send(Message::text(frame.to_string()))
            .await
            .expect("sent");
        socket.next().await.expect("open").expect("a frame");
    }
    drop(socket);
    assert_eq!(server.terminate(), Some(0));
    let log = std::fs::read_to_string(folder.path().join(LOG)).expect("a log");
    assert!(log.contains("was answered"), "{log}");
    for secret in [token.as_str(), &local, "far-secret", ADMIN_TOKEN] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// A script process cannot read its user's files, connect, or start and inspect processes.
#[test]
fn a_process_that_runs_scripts_is_confined() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("master-key");
    std::fs::write(&key, "secret").expect("a file");
    let file = key.to_str().expect("a path");
    let tried = run_program(folder.path(), &["script-worker", "probe", file], &[]);
    assert!(tried.status.success(), "{tried:?}");
    let told: Value = serde_json::from_slice(&tried.stdout).expect("JSON");
    assert_eq!(told["worked"], json!([]), "{told}");
    // Containers may forbid namespaces. All other layers exist on every system of these tests.
    for missing in told["missing"].as_array().expect("a list") {
        let text = missing.as_str().expect("a text");
        assert!(text.starts_with("namespaces"), "{text}");
    }
}

/// The server logs at its start the layers of confinement that the system allows. Script processes inherit only
/// pipes.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_run_scripts_inherit_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = ServerProcess::start(folder.path(), &Database::new()).await;
    let log = folder.path().join(LOG);
    eventually("the first process", || async {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        log.contains("processes that run scripts are").then_some(())
    })
    .await;
    let children = children(server.child.id());
    assert_eq!(children.len(), 1);
    // Only an administrator may look into it.
    if let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", children[0])) {
        assert_eq!(open.count(), 3);
    }
}
