//! The server in a process of its own, and single runs of the program.

use std::{
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

use crate::harness::hub::{ADMIN_TOKEN, Caller, Database, anonymous_at, eventually};

/// The name of a server's log file in its folder.
pub(crate) const LOG: &str = "log";
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_prichal");

pub(crate) fn run_program(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command
        .current_dir(folder)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied());
    command.output().expect("the program runs")
}

/// A server in a process of its own; killed when dropped.
pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl ServerProcess {
    pub(crate) async fn start(folder: &Path, database: &Database) -> Self {
        Self::start_at(&free_address(), folder, database).await
    }

    pub(crate) async fn start_at(listen: &str, folder: &Path, database: &Database) -> Self {
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
        eventually("the server listens", || async {
            std::net::TcpStream::connect(listen).ok()
        })
        .await;
        // The server listens early, and answers when everything is open.
        anonymous_at(&server.url).get("/healthz").await.ok();
        server
    }

    pub(crate) fn admin(&self) -> Caller {
        anonymous_at(&self.url).bearer(ADMIN_TOKEN)
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Asks it to stop, as an init system does, and returns its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let signal = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        assert!(signal.expect("kill runs").success());
        self.child.wait().expect("it ends").code()
    }
}

/// An address that is free now.
pub(crate) fn free_address() -> String {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    free.expect("a free port").to_string()
}

pub(crate) async fn whole_feed(space: &Caller) -> Vec<Value> {
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

/// The processes that a process has started.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("processes");
    let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name may contain anything. Behind it are the state and the parent.
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1));
        parent == Some(of.to_string().as_str())
    })
    .collect()
}
