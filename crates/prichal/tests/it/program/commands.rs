//! The verbs of the command line.

use std::os::unix::fs::PermissionsExt as _;

use crate::harness::{
    hub::{ADMIN_TOKEN, Database, anonymous_at},
    server_process::{ServerProcess, free_address, run_program},
};

#[tokio::test]
async fn a_data_directory_has_one_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let _server = ServerProcess::start(folder.path(), &database).await;
    let second = run_program(folder.path(), &["serve", "--listen", "127.0.0.1:0"], &[]);
    assert!(!second.status.success());
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("prichal-data"), "{text}");
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join("prichal-data").join(name))
            .expect("a file")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("master-key"), 0o600);
}

#[tokio::test]
async fn the_verbs_of_the_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = ServerProcess::start(folder.path(), &Database::new()).await;
    let variables = [("PRICHAL_ADMIN_TOKEN", ADMIN_TOKEN)];
    let verb = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(["--url", &server.url])
            .collect();
        let output = run_program(folder.path(), &arguments, &variables);
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (done, text) = verb(&["workspace", "create", "acme"]);
    assert!(done, "{text}");
    assert!(verb(&["workspace", "list"]).1.contains("acme"));
    let (again, text) = verb(&["workspace", "create", "acme"]);
    assert!(!again && text.contains("exists already"), "{text}");
    let (done, text) = verb(&[
        "token", "create", "acme", "--name", "mine", "--role", "admin",
    ]);
    assert!(done, "{text}");
    let token = text
        .split_whitespace()
        .find(|word| word.len() == 64)
        .expect("a token")
        .to_owned();
    anonymous_at(&server.url)
        .bearer(&token)
        .get("/api/v1/acme/companies")
        .await
        .ok();
    assert!(verb(&["token", "list", "acme"]).1.contains("mine"));
    let (done, text) = verb(&["login-link", "--workspace", "acme", "--role", "viewer"]);
    let page = format!("{}/console/sign-in#", server.url);
    assert!(done && text.starts_with(&page), "{text}");
    assert!(verb(&["login-link"]).1.starts_with(&page));
    let (done, text) = verb(&["login-link", "--role", "viewer"]);
    assert!(!done && text.contains("--workspace"), "{text}");
    assert!(verb(&["workspace", "delete", "acme"]).0);
    assert_eq!(
        anonymous_at(&server.url)
            .bearer(&token)
            .get("/api/v1/acme/companies")
            .await
            .status,
        401
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_does_not_open_the_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let server = ServerProcess::start(folder.path(), &database).await;
    assert_eq!(server.terminate(), Some(0));
    let key = folder.path().join("prichal-data/master-key");
    let kept = std::fs::read(&key).expect("a key");
    std::fs::remove_file(&key).expect("removed");
    let url = database.url();
    let variables: Vec<(&str, &str)> = url
        .iter()
        .map(|url| ("PRICHAL_DATABASE_URL", *url))
        .collect();
    let refused = run_program(
        folder.path(),
        &["serve", "--listen", &free_address()],
        &variables,
    );
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("`master-key`"),
        "{said}"
    );
    std::fs::write(&key, kept).expect("put back");
    ServerProcess::start(folder.path(), &database).await;
}
