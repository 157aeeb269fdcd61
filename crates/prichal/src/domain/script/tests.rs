use uuid::Uuid;

use super::*;

/// Processes that do nothing, for tests of who gets them.
fn scripts() -> Scripts {
    Scripts::new("/bin/cat".into(), Clock::System)
}

fn workspace(n: u128) -> WorkspaceId {
    WorkspaceId(Uuid::from_u128(n))
}

#[tokio::test]
async fn a_process_serves_one_workspace() {
    let scripts = scripts();
    let mut first = scripts.worker(workspace(1)).expect("a process");
    first.runs = 7;
    scripts.keep(first);
    let other = scripts.worker(workspace(2)).expect("a process");
    assert_eq!(other.runs, 0, "the first belongs to another workspace");
    scripts.keep(other);
    let again = scripts.worker(workspace(1)).expect("a process");
    assert_eq!(again.runs, 7);
    let more = scripts.worker(workspace(1)).expect("a process");
    assert_eq!(more.runs, 0, "none is used twice at a time");
}

#[tokio::test]
async fn idle_processes_are_bounded() {
    let scripts = scripts();
    for n in 0..=MAX_IDLE {
        let worker = scripts.worker(workspace(n as u128)).expect("a process");
        scripts.keep(worker);
    }
    assert_eq!(scripts.lock().len(), MAX_IDLE);
    let oldest = workspace(0);
    let is_gone = |(worker, _): &(Worker, Instant)| worker.workspace != Some(oldest);
    assert!(scripts.lock().iter().all(is_gone));
}

/// Starts a task that ends with its test.
#[expect(clippy::disallowed_methods, reason = "nothing stops but the test")]
fn spawn<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(work)
}

/// Lets all tasks run until they wait for the clock.
async fn settle<T: Send + 'static>(
    all: &[tokio::task::JoinHandle<T>],
    is_there: impl Fn() -> bool,
) {
    while !is_there() {
        assert!(all.iter().all(|one| !one.is_finished()), "all wait");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_check_does_not_wait_for_those_of_another_workspace() {
    let clock = Clock::manual(Timestamp::default());
    // A process that never begins.
    let scripts = std::sync::Arc::new(Scripts::new("/bin/cat".into(), clock.clone()));
    let check = |of: u128| {
        let scripts = scripts.clone();
        spawn(async move { scripts.check(workspace(of), "1").await })
    };
    let mut all: Vec<_> = (0..20).map(|_| check(1)).collect();
    settle(&all, || {
        scripts.checking.free() == MAX_CONCURRENT_CHECKS - MAX_CONCURRENT_CHECKS_PER_WORKSPACE
    })
    .await;
    all.push(check(2));
    settle(&all, || {
        scripts.checking.free() == MAX_CONCURRENT_CHECKS - MAX_CONCURRENT_CHECKS_PER_WORKSPACE - 1
    })
    .await;
    clock.advance(CHECK_QUEUE_TIMEOUT);
    let mut refused = [0, 0];
    for one in all {
        match one.await.expect("no panic") {
            Err(Refused::Failed(_)) => refused[0] += 1,
            Err(Refused::Busy) => refused[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused[0] + refused[1], 21);
    assert!(refused[0] >= 3, "the time of those that wait is not over");
}

#[tokio::test]
async fn a_slow_check_is_distinguished_from_a_queued_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, marker) = (folder.path().join("slow"), folder.path().join("asked"));
    let missing = Vec::new();
    let ready = serde_json::to_string(&Report::Ready { missing }).expect("JSON");
    let length = u32::try_from(ready.len()).expect("short").to_le_bytes();
    let length: String = length.map(|byte| format!("\\{byte:03o}")).concat();
    // It starts, takes its task and sends nothing more.
    let text = format!(
        "#!/bin/sh\nprintf '{length}%s' '{ready}'\nhead -c 4 >/dev/null\n: >'{}'\nexec sleep 60\n",
        marker.display()
    );
    std::fs::write(&program, text).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&program, mode).expect("allowed");
    let clock = Clock::manual(Timestamp::default());
    let scripts = std::sync::Arc::new(Scripts::new(program, clock.clone()));
    let at = scripts.clone();
    let check = [spawn(async move { at.check(workspace(1), "1").await })];
    settle(&check, || marker.exists()).await;
    clock.advance(CHECK_TIMEOUT);
    let [check] = check;
    let refused = check.await.expect("no panic");
    assert!(matches!(refused, Err(Refused::Slow(_))), "{refused:?}");
    assert_eq!(scripts.checking.free(), MAX_CONCURRENT_CHECKS);
}
