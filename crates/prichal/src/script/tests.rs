use uuid::Uuid;

use super::*;

/// Processes that do nothing: only who gets them is looked at.
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
async fn processes_that_wait_are_few() {
    let scripts = scripts();
    for n in 0..=MOST_IDLE {
        let worker = scripts.worker(workspace(n as u128)).expect("a process");
        scripts.keep(worker);
    }
    assert_eq!(scripts.lock().len(), MOST_IDLE);
    let oldest = workspace(0);
    let is_gone = |(worker, _): &(Worker, Instant)| worker.workspace != Some(oldest);
    assert!(scripts.lock().iter().all(is_gone));
}
