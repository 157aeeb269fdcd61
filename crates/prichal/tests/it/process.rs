//! The program itself: started, killed, started again, asked for help.

use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use prichal::cli::pbx::{
    plan::{self, Chaos},
    play::{self, Player},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    hub::{ADMIN_TOKEN, Caller, Database, PATIENCE, anybody_at, eventually, spawn},
    partner::Partner,
    receiver::{Receiver, Reply},
};

/// Where a server's log goes, in its folder.
const LOG: &str = "log";
const PROGRAM: &str = env!("CARGO_BIN_EXE_prichal");

fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied());
    command.output().expect("the program runs")
}

/// A server in a process of its own; killed when dropped.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start(folder: &Path, database: &Database) -> Self {
        Self::start_at(&free_address(), folder, database).await
    }

    async fn start_at(listen: &str, folder: &Path, database: &Database) -> Self {
        let mut command = Command::new(PROGRAM);
        command.current_dir(folder).args([
            "serve",
            "--listen",
            listen,
            "--allow-private-targets",
            "true",
        ]);
        command.env_clear().env("PRICHAL_ADMIN_TOKEN", ADMIN_TOKEN);
        if let Some(url) = database.url() {
            command.env("PRICHAL_DATABASE_URL", url);
        }
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join(LOG))
            .expect("a file for the log");
        let child = command
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        let server = Self {
            child,
            url: format!("http://{listen}"),
        };
        let started = Instant::now();
        while std::net::TcpStream::connect(listen).is_err() {
            assert!(started.elapsed() < PATIENCE, "the server does not listen");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // It listens before it has opened everything, and answers only then.
        anybody_at(&server.url).get("/healthz").await.ok();
        server
    }

    fn admin(&self) -> Caller {
        anybody_at(&self.url).bearer(ADMIN_TOKEN)
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Asks it to stop, as an init system does, and returns its exit code.
    fn terminate(mut self) -> Option<i32> {
        let signal = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(signal.expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }
}

/// An address that is free now.
fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port").to_string()
}

async fn everything(space: &Caller) -> Vec<Value> {
    let (mut seen, mut offset) = (
        Vec::new(),
        "00000000-0000-0000-0000-000000000000".to_owned(),
    );
    loop {
        let page = space
            .get(&format!("/events?offset={offset}&limit=1000"))
            .await
            .ok();
        seen.extend(page["items"].as_array().expect("items").clone());
        offset = page.str("lastOffset");
        if page["hasMore"] == false {
            return seen;
        }
    }
}

/// The promise: what was acknowledged is in the feed exactly once, in order, and reaches the receiver
/// at least once, whenever the process is killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_under_load_it_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let receiver = Receiver::good().await;
    let mut server = Server::start(folder.path(), &database).await;
    assert_eq!(
        server
            .admin()
            .post("/admin/v1/workspaces", json!({ "name": "acme" }))
            .await
            .status,
        201
    );
    let token = server
        .admin()
        .post(
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "admin" }),
        )
        .await;
    let space = server
        .admin()
        .bearer(&token.str("token"))
        .at("/api/v1/acme");
    let partner = Partner::install(&space, "listener", &receiver.url).await;
    partner.subscribe().await;

    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let here = anybody_at(&server.url)
            .bearer(&token.str("token"))
            .at("/api/v1/acme");
        let mut load = JoinSet::new();
        for n in 0..16 {
            let space = here.clone();
            load.spawn(async move {
                let mut made = Vec::new();
                for turn in 0..10_000 {
                    let body = json!({ "name": format!("{round}-{n}-{turn}") });
                    match space.try_post("/companies", body).await {
                        Some(answer) if answer.status == 200 => made.push(answer.str("id")),
                        Some(answer) => assert_eq!(answer.status, 503, "{}", answer.text),
                        None => break,
                    }
                }
                made
            });
        }
        // Somewhere in the middle of it.
        receiver.take(200).await;
        server.kill();
        acknowledged.extend(load.join_all().await.concat());
        server = Server::start(folder.path(), &database).await;
    }
    assert!(
        acknowledged.len() >= 300,
        "there was something to lose: {}",
        acknowledged.len()
    );

    let space = anybody_at(&server.url)
        .bearer(&token.str("token"))
        .at("/api/v1/acme");
    let feed = everything(&space).await;
    let mut listed: HashMap<String, usize> = HashMap::new();
    for event in &feed {
        if let Some(id) = event["entityIds"]["companyId"].as_str() {
            *listed.entry(id.to_owned()).or_default() += 1;
        }
    }
    assert!(
        acknowledged.iter().all(|id| listed.get(id) == Some(&1)),
        "each acknowledged change is in the feed exactly once"
    );
    let offsets: Vec<&str> = feed
        .iter()
        .map(|event| event["offset"].as_str().expect("an offset"))
        .collect();
    assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]));

    // At least once each; calls that were taken above to wait for the load count, too.
    let started = Instant::now();
    while !listed.keys().all(|id| receiver.ever_saw(id)) {
        assert!(
            started.elapsed() < PATIENCE,
            "some events never reached the receiver"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.terminate(), Some(0), "a clean stop");
}

/// Flags, variables, and the setting that is wrong.
type Case<'a> = (Vec<&'a str>, Vec<(&'a str, &'a str)>, &'a str);

#[test]
fn a_bad_setting_is_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cases: Vec<Case<'_>> = vec![
        (vec!["--listen", "nowhere"], vec![], "listen"),
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
        let output = run(folder.path(), &arguments, &variables);
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
    let output = run(folder.path(), &["serve", "--check"], &[]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("listen-on")
    );
    std::fs::write(
        folder.path().join("prichal.toml"),
        "delivery-timeout = \"never\"\n",
    )
    .expect("written");
    assert!(
        !run(folder.path(), &["serve", "--check"], &[])
            .status
            .success(),
        "the file counts"
    );
    let flag = run(
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
fn said(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
    let output = run(folder, arguments, variables);
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
            said(folder.path(), &arguments, &[])
        };
        let (good, _, text) = check("127.0.0.1:0");
        assert!(good, "{switch:?}: {text}");
        let (good, _, text) = check("nowhere");
        assert!(!good && text.contains("--listen: `nowhere`"), "{text}");
    }
    let (good, _, text) = said(
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
        let (good, help, _) = said(folder.path(), &["serve", flag], &variables);
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
    let (good, file, _) = said(folder.path(), &["config"], &variables);
    assert!(good && !file.contains("hunter2"));
    for line in ["listen = \"127.0.0.1:8080\"", "log-format = \"text\""] {
        assert!(file.lines().any(|it| it == line), "{file}");
    }
    let changed = file.replace("127.0.0.1:8080", "127.0.0.1:0");
    std::fs::write(folder.path().join("prichal.toml"), changed).expect("written");
    let (good, _, text) = said(folder.path(), &["serve", "--check"], &[]);
    assert!(good, "what it prints is a good file: {text}");
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let variables = [
        ("PRICHAL_LISTN", "hunter2"),
        ("PRICHAL_LISTEN", "127.0.0.1:0"),
    ];
    let (good, _, text) = said(folder.path(), &["serve", "--check"], &variables);
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
    let (good, _, text) = said(folder.path(), &["serve"], &variables);
    assert!(!good && text.contains("PRICHAL_LISTN"), "{text}");
}

#[tokio::test]
async fn a_name_is_a_listener() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let free = free_address();
    let port = free.rsplit_once(':').expect("a port").1;
    let listen = format!("localhost:{port}");
    let _server = Server::start_at(&listen, folder.path(), &Database::new()).await;
    anybody_at(&format!("http://127.0.0.1:{port}"))
        .get("/healthz")
        .await
        .ok();
    let flags = ["serve", "--check", "--listen", &listen];
    let (good, _, text) = said(folder.path(), &flags, &[]);
    assert!(good, "a server that is running is no obstacle: {text}");
}

#[test]
fn a_check_tries_what_the_settings_name_and_makes_nothing() {
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
        let (good, _, text) = said(folder.path(), &arguments, &[]);
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
    let (good, _, text) = said(folder.path(), &arguments, &[]);
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
    let (good, _, text) = said(folder.path(), &arguments, &[]);
    assert!(!good && text.contains("database"), "{text}");
    std::fs::remove_file(data.join("prichal.sqlite")).expect("removed");
    let newer = rusqlite::Connection::open(data.join("prichal.sqlite")).expect("a store");
    newer
        .execute_batch("CREATE TABLE migration (version BIGINT PRIMARY KEY); INSERT INTO migration VALUES (9999);")
        .expect("made");
    let (good, _, text) = said(folder.path(), &arguments, &[]);
    assert!(!good && text.contains("9999"), "{text}");
}

#[tokio::test]
async fn a_data_directory_has_one_server() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let _server = Server::start(folder.path(), &database).await;
    let second = run(folder.path(), &["serve", "--listen", "127.0.0.1:0"], &[]);
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
    let server = Server::start(folder.path(), &Database::new()).await;
    let variables = [("PRICHAL_ADMIN_TOKEN", ADMIN_TOKEN)];
    let verb = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(["--url", &server.url])
            .collect();
        let output = run(folder.path(), &arguments, &variables);
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
    anybody_at(&server.url)
        .bearer(&token)
        .get("/api/v1/acme/companies")
        .await
        .ok();
    assert!(verb(&["token", "list", "acme"]).1.contains("mine"));
    assert!(verb(&["workspace", "delete", "acme"]).0);
    assert_eq!(
        anybody_at(&server.url)
            .bearer(&token)
            .get("/api/v1/acme/companies")
            .await
            .status,
        401
    );
}

#[test]
fn the_demo_shows_deliveries() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run(
        folder.path(),
        &["demo", "--seconds", "3", "--listen", "127.0.0.1:0"],
        &[("TMPDIR", folder.path().to_str().expect("text"))],
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.matches("delivered").count() >= 1 && text.contains("curl"),
        "{text}"
    );
}

/// The integration may have dialled before the server was killed: sent again under its key, a wish to call is
/// not passed on a second time.
#[tokio::test]
async fn killed_while_it_dials_it_does_not_dial_again() {
    let receiver = Receiver::start(|_| Reply::Silence).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let server = Server::start_at(&listen, folder.path(), &database).await;
    let admin = server.admin();
    let made = admin.post("/admin/v1/workspaces", json!({ "name": "acme" }));
    assert_eq!(made.await.status, 201);
    let space = admin.at("/api/v1/acme");
    let pbx = Partner::install(&space, "pbx", &receiver.url).await;
    let features = json!({ "call": true });
    pbx.patch(json!([{ "op": "replace", "path": "/features", "value": features }]))
        .await
        .ok();
    let caller = space.clone().header("idempotency-key", "1");
    let wish = json!({ "clientPhone": "79997775533" });
    let (lost, call) = tokio::join!(
        caller.try_post("/communications/call", wish.clone()),
        async {
            let call = receiver.next().await;
            server.kill();
            call
        }
    );
    assert!(lost.is_none());
    receiver.answer(|_| Reply::Good);

    let _server = Server::start_at(&listen, folder.path(), &database).await;
    let again = caller.post("/communications/call", wish).await;
    assert_eq!(
        (again.status, &again["status"]),
        (409, &json!("notAnswered"))
    );
    let id = again.header("x-xcom-communicationid");
    assert_eq!(id, call.json()["communicationId"].as_str());
    assert_eq!(receiver.waiting(), 0);
}

/// Calls that are told while the server is killed again and again: what it took is kept, so that in the
/// end each call is right.
#[tokio::test(flavor = "multi_thread")]
async fn killed_among_calls_it_loses_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let mut server = Server::start_at(&listen, folder.path(), &database).await;
    let made = server
        .admin()
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    let token = server
        .admin()
        .post(
            "/admin/v1/workspaces/acme/tokens",
            json!({ "name": "t", "role": "admin" }),
        )
        .await;
    let token = token["token"].as_str().expect("a token").to_owned();
    let mut pbx = play::Server {
        client: reqwest::Client::new(),
        url: server.url.clone(),
        workspace: "acme".into(),
        api_key: String::new(),
    };
    pbx.api_key = play::install(&pbx, &token, "pbx", "http://127.0.0.1:9")
        .await
        .expect("installed");
    let begin = prichal::platform::clock::Clock::System.now();
    let calls: Vec<plan::Call> = (0..300)
        .map(|n| plan::Call::random(9, n, begin, &[]))
        .collect();
    let chaos = Chaos {
        shuffle: 0.5,
        duplicate: 0.2,
        drop: 0.2,
        delay: Duration::from_millis(5),
    };
    let player = Player::new(pbx.clone(), chaos, Duration::from_millis(20)).await;
    let player = Arc::new(player.expect("an access key"));
    let telling = {
        let (player, calls) = (player.clone(), calls.clone());
        spawn(async move { player.tell_all(calls, 16, 1).await })
    };
    for wait in [300, 500, 400] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let is_first = wait == 300;
        assert!(
            !is_first || !telling.is_finished(),
            "all was told before the first kill"
        );
        server.kill();
        server = Server::start_at(&listen, folder.path(), &database).await;
    }
    telling.await.expect("no panic");
    let tally = player.tally();
    assert_eq!(tally.complaints, [] as [&str; 0]);
    let wrong = play::verify(&pbx, &token, "pbx", &calls)
        .await
        .expect("read");
    assert_eq!(wrong, [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_does_not_open_the_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let server = Server::start(folder.path(), &database).await;
    assert_eq!(server.terminate(), Some(0));
    let key = folder.path().join("prichal-data/master-key");
    let kept = std::fs::read(&key).expect("a key");
    std::fs::remove_file(&key).expect("removed");
    let url = database.url();
    let variables: Vec<(&str, &str)> = url
        .iter()
        .map(|url| ("PRICHAL_DATABASE_URL", *url))
        .collect();
    let refused = run(
        folder.path(),
        &["serve", "--listen", &free_address()],
        &variables,
    );
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("master key"),
        "{said}"
    );
    std::fs::write(&key, kept).expect("put back");
    Server::start(folder.path(), &database).await;
}

/// Every file and folder in a folder that others have rights to.
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
async fn what_it_keeps_is_for_its_owner_alone() {
    let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::new());
    let file = "security.log";
    std::fs::write(
        folder.path().join("prichal.toml"),
        format!("security-log = \"{file}\"\nlog-level = \"error\"\n"),
    )
    .expect("written");
    let server = Server::start(folder.path(), &database).await;
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
    let space = anybody_at(&server.url).bearer(&token).at("/api/v1/acme");
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
    let server = Server::start(folder.path(), &database).await;
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

/// Even at the most talkative level, where libraries would say whatever they carry.
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
    let server = Server::start(folder.path(), &database).await;
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
    let rest = anybody_at(&server.url).bearer(&token);
    let receiver = Receiver::start(|_| Reply::Status(204)).await;
    let data = json!({ "language": "javascript", "source": "respond(200)" });
    let script = json!({ "code": "s", "name": "s", "scriptdata": data });
    rest.post("/rest/v1/service/svcscripts", script).await.ok();
    let channel = json!({ "code": "c", "type": "public", "recv_svcscriptcode": "s", "url": receiver.url, "token_remote": "far-secret" });
    let points = "/rest/v1/service/integration_points";
    let channel = rest.post(points, channel).await.ok();
    let (id, local) = (channel.str("id"), channel.str("token_local"));
    let anybody = anybody_at(&server.url);
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
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "{log}");
    for secret in [token.as_str(), &local, "far-secret", ADMIN_TOKEN] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// The processes that a process has started.
fn children(of: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("processes");
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything: the state, then the parent.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1));
        parent == Some(of.to_string().as_str())
    })
    .collect()
}

/// A process that runs scripts can do nothing to the world: not read what its user may read, nor connect, nor
/// start or look into anything.
#[test]
fn a_process_that_runs_scripts_is_confined() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("master-key");
    std::fs::write(&key, "secret").expect("a file");
    let file = key.to_str().expect("a path");
    let tried = run(folder.path(), &["script-worker", "probe", file], &[]);
    assert!(tried.status.success(), "{tried:?}");
    let told: Value = serde_json::from_slice(&tried.stdout).expect("JSON");
    assert_eq!(told["worked"], json!([]), "{told}");
    // Containers may forbid namespaces; all else is there on every system that we test on.
    for missing in told["missing"].as_array().expect("a list") {
        let text = missing.as_str().expect("a text");
        assert!(text.starts_with("namespaces"), "{text}");
    }
}

/// The server says at its start whether the system lets it confine them, and gives them nothing but pipes.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_run_scripts_inherit_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path(), &Database::new()).await;
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

/// Hooks that were answered while the server was killed again and again: each is run, and what its script
/// changes is changed once. Nothing is left of the processes that ran them.
#[tokio::test(flavor = "multi_thread")]
async fn killed_among_hooks_it_runs_them_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let mut server = Server::start_at(&listen, folder.path(), &database).await;
    let made = server
        .admin()
        .post("/admin/v1/workspaces", json!({ "name": "acme" }))
        .await;
    assert_eq!(made.status, 201);
    let body = json!({ "name": "t", "role": "admin" });
    let token = server
        .admin()
        .post("/admin/v1/workspaces/acme/tokens", body)
        .await
        .str("token");
    let rest = anybody_at(&server.url).bearer(&token);
    let source = "entities.create('companies', {name: request.body.name})";
    let data = json!({ "language": "javascript", "source": source });
    let script = json!({ "code": "s", "name": "s", "scriptdata": data });
    rest.post("/rest/v1/service/svcscripts", script).await.ok();
    let channel = json!({ "code": "c", "type": "public", "recv_svcscriptcode": "s" });
    let channel = rest
        .post("/rest/v1/service/integration_points", channel)
        .await
        .ok();
    let channel = channel.str("token_local");

    let mut accepted: Vec<String> = Vec::new();
    for round in 0..3 {
        let mut load = JoinSet::new();
        for n in 0..8 {
            let hooks = anybody_at(&server.url).bearer(&channel);
            load.spawn(async move {
                let mut names = Vec::new();
                for turn in 0..10_000 {
                    let name = format!("{round}-{n}-{turn}");
                    match hooks.try_post("/exec", json!({ "name": name })).await {
                        Some(answer) if answer.status == 200 => names.push(name),
                        Some(answer) => assert_eq!(answer.status, 503, "{}", answer.text),
                        None => break,
                    }
                }
                names
            });
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        let workers = children(server.child.id());
        server.kill();
        accepted.extend(load.join_all().await.concat());
        let is_gone = |id: &u32| !Path::new(&format!("/proc/{id}/cwd")).exists();
        eventually("nothing is left of its processes", || async {
            workers.iter().all(is_gone).then_some(())
        })
        .await;
        server = Server::start_at(&listen, folder.path(), &database).await;
    }
    assert!(
        accepted.len() >= 100,
        "there was something to lose: {}",
        accepted.len()
    );

    let space = anybody_at(&server.url).bearer(&token).at("/api/v1/acme");
    let started = Instant::now();
    loop {
        let waiting = space.at("").get("/rest/v1/service/svcscript_runtimes?limit=1&filter=%7B%22status%22%3A%22queued%22%7D").await.ok();
        if waiting.text == "[]" {
            break;
        }
        assert!(started.elapsed() < 3 * PATIENCE, "hooks still wait");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut made: HashMap<String, usize> = HashMap::new();
    for event in everything(&space).await {
        if let Some(name) = event["changeData"]["new"]["name"].as_str() {
            *made.entry(name.to_owned()).or_default() += 1;
        }
    }
    for name in &accepted {
        assert_eq!(made.get(name), Some(&1), "{name}");
    }
}

/// Bulk calls that were answered while the server was killed again and again: each element ends once, as
/// its companion says.
#[tokio::test(flavor = "multi_thread")]
async fn killed_among_bulk_calls_each_element_ends_once() {
    const CALL: &str = "/api/v3/async/bulk/external/outbox/document/create";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = Database::new();
    let listen = free_address();
    let mut server = Server::start_at(&listen, folder.path(), &database).await;
    let workspace = json!({ "name": "acme", "bin": "971240001315" });
    let made = server.admin().post("/admin/v1/workspaces", workspace).await;
    assert_eq!(made.status, 201);
    let body = json!({ "name": "t", "role": "admin" });
    let token = server
        .admin()
        .post("/admin/v1/workspaces/acme/tokens", body)
        .await
        .str("token");
    let api = anybody_at(&server.url).bearer(&token);
    let user = json!({ "login": "head", "isAdmin": true });
    api.at("/api/v1/acme").post("/users", user).await.ok();
    let form = "--x\r\nContent-Disposition: form-data; name=\"documentContent\"; filename=\"a.txt\"\r\n\r\ntext\r\n--x--\r\n";
    let blob = api
        .clone()
        .header("content-type", "multipart/form-data; boundary=x")
        .send(
            reqwest::Method::POST,
            "/api/v3/sync/blobs/document-content",
            Some(form.into()),
        )
        .await
        .ok();
    let blob = blob["response"]["blobId"].clone();

    let mut told: Vec<Value> = Vec::new();
    for round in 0..3 {
        let elements: Vec<Value> = (0..500)
            .map(|n| {
                let metadata = json!({
                    "documentName": "n", "documentNumber": format!("{round}-{n}"), "documentDate": 1, "documentGroup": "HR",
                });
                let contents = json!([{ "blobId": blob }]);
                json!({ "data": { "documentMetadata": metadata, "documentBinaryContents": contents } })
            })
            .collect();
        let answer = api.post(CALL, json!({ "operations": elements })).await.ok();
        told.extend(answer["operations"].as_array().expect("a list").clone());
        // In the middle of it, some time or other.
        tokio::time::sleep(Duration::from_millis(15 * round)).await;
        server.kill();
        server = Server::start_at(&listen, folder.path(), &database).await;
    }
    let mut ids = Vec::new();
    for bite in told.chunks(500) {
        let asked: Vec<Value> = bite
            .iter()
            .map(|one| json!({ "operationId": one["operationId"] }))
            .collect();
        let ended = eventually("all elements end", || async {
            let body = json!({ "operations": asked });
            let answer = api.post(&format!("{CALL}/status"), body).await.ok();
            let told = answer["operations"].as_array().expect("a list").clone();
            told.iter()
                .all(|one| one["operationStatus"] == "CompletedWithOk")
                .then_some(told)
        })
        .await;
        ids.extend(ended.iter().map(|one| one["data"]["id"].to_string()));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1500, "each is another document");
    let path = "/api/v3/sync/external/documents-query/outbox";
    let found = api.post(path, json!({ "top": 1 })).await.ok();
    assert_eq!(
        found["response"]["totalSize"], 1500,
        "and there are no others"
    );
}

/// A run that takes the server down with it does so three times. Everything else goes on, and an administrator has it
/// tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_kills_the_server_is_held_after_three_deaths() {
    let receiver = Receiver::start(|call| match call.path.as_str() {
        "/poison" => Reply::Silence,
        _ => Reply::Good,
    })
    .await;
    let (folder, database) = (
        tempfile::tempdir().expect("a temporary folder"),
        Database::new(),
    );
    let listen = free_address();
    let mut server = Server::start_at(&listen, folder.path(), &database).await;
    let admin = server.admin();
    let made = admin.post("/admin/v1/workspaces", json!({ "name": "acme" }));
    assert_eq!(made.await.status, 201);
    let token = json!({ "name": "t", "role": "admin" });
    let token = admin.post("/admin/v1/workspaces/acme/tokens", token).await;
    let space = anybody_at(&server.url).bearer(&token.str("token"));
    let source = "await fetch(request.entity.url)";
    let script = json!({ "code": "s", "name": "s", "scriptdata": { "language": "javascript", "source": source } });
    space.post("/rest/v1/service/svcscripts", script).await.ok();
    let mut holders = Vec::new();
    for code in ["poison", "good"] {
        let url = format!("{}/{code}", receiver.url);
        let channel =
            json!({ "code": code, "type": "public", "recv_svcscriptcode": "s", "url": url });
        let points = "/rest/v1/service/integration_points";
        let channel = space.post(points, channel).await.ok();
        holders.push(anybody_at(&server.url).bearer(&channel.str("token_local")));
    }
    holders[0].post("/exec", json!({})).await.ok();
    for _ in 0..3 {
        assert_eq!(receiver.next().await.path, "/poison");
        server.kill();
        server = Server::start_at(&listen, folder.path(), &database).await;
    }

    let held = || async {
        let list = admin.get("/admin/v1/quarantine?workspace=acme&kind=run");
        list.await.ok()["items"].as_array().expect("a list").clone()
    };
    eventually("it is held", || async {
        (held().await.len() == 1).then_some(())
    })
    .await;
    let item = held().await[0].clone();
    assert_eq!((&item["deaths"], &item["kind"]), (&json!(3), &json!("run")));
    let log = std::fs::read_to_string(folder.path().join(LOG)).expect("a log");
    assert!(log.contains("it is in quarantine"), "{log}");
    let metrics = admin.get("/metrics").await.text;
    assert!(metrics.contains("prichal_quarantined 1"), "{metrics}");
    holders[1].post("/exec", json!({})).await.ok();
    assert_eq!(receiver.next().await.path, "/good");
    assert_eq!(receiver.waiting(), 0, "what is held is not tried");

    receiver.answer(|_| Reply::Good);
    let id = item["id"].as_str().expect("an id");
    let path = format!("/admin/v1/quarantine/{id}/release");
    assert_eq!(admin.post(&path, json!({})).await.status, 204);
    assert_eq!(receiver.next().await.path, "/poison");
    assert_eq!(held().await, Vec::<Value>::new());
    assert_eq!(admin.post(&path, json!({})).await.status, 404);
}
