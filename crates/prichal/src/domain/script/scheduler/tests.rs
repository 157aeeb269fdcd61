use futures_util::FutureExt as _;

use super::*;

const HERE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
const THERE: WorkspaceId = WorkspaceId(Uuid::from_u128(2));

fn lane(n: u128) -> EntityId {
    EntityId(Uuid::from_u128(n))
}

/// The permits that are given out at once.
fn take(scheduler: &Scheduler, workspace: WorkspaceId, n: u128, count: usize) -> Vec<Permit> {
    let turns = (0..count).map(|_| scheduler.take(workspace, lane(n), "s").now_or_never());
    turns.flatten().collect()
}

/// Makes a script known as quick.
fn make_quick(scheduler: &Scheduler, workspace: WorkspaceId, n: u128) {
    drop(take(scheduler, workspace, n, 1));
}

fn make(scheduler: &Scheduler, workspace: WorkspaceId, n: u128, speed: SpeedClass) {
    for permit in take(scheduler, workspace, n, 1) {
        scheduler.reclassify(&permit, speed);
    }
}

fn pool(scheduler: &Scheduler, permit: &Permit) -> SpeedClass {
    scheduler.lock().runs[&permit.id].pool
}

#[test]
fn an_unknown_script_is_tried_once_and_then_has_eight_runs() {
    let scheduler = Scheduler::default();
    let first = take(&scheduler, HERE, 1, 3);
    assert_eq!(first.len(), 1);
    drop(first);
    assert_eq!(take(&scheduler, HERE, 1, 12).len(), MAX_CONCURRENT_RUNS);
    // The waiters were cancelled and leave no trace.
    assert_eq!(take(&scheduler, HERE, 1, 12).len(), MAX_CONCURRENT_RUNS);
    assert_eq!(scheduler.lock().runs.len(), 0);
}

#[test]
fn hung_scripts_do_not_delay_quick_ones() {
    let scheduler = Scheduler::default();
    make_quick(&scheduler, HERE, 100);
    let mut hung = Vec::new();
    for _ in 0..8 {
        for n in 0..60 {
            for permit in take(&scheduler, HERE, n, 8) {
                scheduler.reclassify(&permit, SpeedClass::Hung);
                hung.push(permit);
            }
        }
    }
    // The pools of hung, long and unknown scripts.
    assert_eq!(hung.len(), 12 + 24 + 8);
    assert_eq!(take(&scheduler, HERE, 100, 8).len(), 8);
    assert_eq!(take(&scheduler, HERE, 101, 1).len(), 0, "new ones wait");
    assert_eq!(
        take(&scheduler, THERE, 102, 1).len(),
        1,
        "of this workspace"
    );
    // When runs end, others move into their pool, and new scripts are tried again.
    let is_stuck = |permit: &Permit| pool(&scheduler, permit) == SpeedClass::Unknown;
    let (stuck, ending): (Vec<_>, Vec<_>) = hung.into_iter().partition(&is_stuck);
    drop(ending);
    assert_eq!(stuck.len(), 8);
    assert!(
        stuck
            .iter()
            .all(|permit| pool(&scheduler, permit) == SpeedClass::Hung)
    );
    assert_eq!(take(&scheduler, HERE, 101, 1).len(), 1);
}

#[test]
fn workspaces_with_a_lane_of_one_id_share_nothing() {
    let scheduler = Scheduler::default();
    make(&scheduler, HERE, 1, SpeedClass::Hung);
    let held = take(&scheduler, HERE, 1, 8);
    assert!(!held.is_empty());
    make_quick(&scheduler, THERE, 1);
    let theirs = take(&scheduler, THERE, 1, 8);
    assert_eq!(theirs.len(), MAX_CONCURRENT_RUNS);
    let is_quick = |permit: &Permit| pool(&scheduler, permit) == SpeedClass::Quick;
    assert!(theirs.iter().all(is_quick));
}

#[test]
fn known_hung_scripts_do_not_delay_long_ones() {
    let scheduler = Scheduler::default();
    make(&scheduler, HERE, 100, SpeedClass::Long);
    for n in 0..30 {
        make(&scheduler, HERE, n, SpeedClass::Hung);
    }
    let mut hung = Vec::new();
    for n in 0..30 {
        hung.extend(take(&scheduler, HERE, n, 8));
    }
    assert_eq!(hung.len(), 8, "and room for those that move in");
    assert!(
        hung.iter()
            .all(|permit| pool(&scheduler, permit) == SpeedClass::Hung)
    );
    assert_eq!(take(&scheduler, HERE, 100, 8).len(), 7);
    // A script that has ended sooner does not count as hung any more.
    for permit in hung {
        scheduler.reclassify(&permit, SpeedClass::Hung);
    }
    for permit in take(&scheduler, HERE, 3, 1) {
        scheduler.reclassify(&permit, SpeedClass::Long);
    }
    let sooner = take(&scheduler, HERE, 3, 1);
    assert_eq!(pool(&scheduler, &sooner[0]), SpeedClass::Long);
}

#[test]
fn a_workspace_with_many_permits_leaves_more_to_others() {
    let scheduler = Scheduler::default();
    let mut counts = Vec::new();
    let mut held = Vec::new();
    for n in 0..8 {
        make(&scheduler, HERE, n, SpeedClass::Long);
        let taken = take(&scheduler, HERE, n, 8);
        counts.push(taken.len());
        held.extend(taken);
    }
    assert_eq!(counts, [7, 5, 3, 2, 1, 1, 1, 0]);
    make(&scheduler, THERE, 100, SpeedClass::Long);
    assert_eq!(
        take(&scheduler, THERE, 100, 8).len(),
        7,
        "nor do workspaces"
    );
}

#[test]
fn a_quick_script_may_take_long_by_chance() {
    let scheduler = Scheduler::default();
    make_quick(&scheduler, HERE, 1);
    for _ in 0..2 {
        make(&scheduler, HERE, 1, SpeedClass::Long);
        let next = take(&scheduler, HERE, 1, 8);
        assert_eq!(
            (next.len(), pool(&scheduler, &next[0])),
            (8, SpeedClass::Quick)
        );
        // Runs in progress do not change the class.
        std::mem::forget(next);
        scheduler.lock().runs.clear();
        scheduler.lock().lanes.clear();
        scheduler.lock().pools.clear();
    }
    make(&scheduler, HERE, 1, SpeedClass::Long);
    let next = take(&scheduler, HERE, 1, 1);
    assert_eq!(
        pool(&scheduler, &next[0]),
        SpeedClass::Long,
        "not three times in a row"
    );
}

#[test]
fn the_fewest_runs_go_first() {
    let scheduler = Scheduler::default();
    let mut held = Vec::new();
    for n in 0..8 {
        make(&scheduler, HERE, n, SpeedClass::Long);
        if n != 2 {
            held.extend(take(&scheduler, HERE, n, 8));
        }
    }
    assert_eq!(held.len(), 20);
    let mut again = Box::pin(scheduler.take(HERE, lane(7), "s"));
    let mut other = Box::pin(scheduler.take(HERE, lane(2), "s"));
    assert!(again.as_mut().now_or_never().is_none());
    assert!(other.as_mut().now_or_never().is_none());
    held.remove(0);
    let own = other.as_mut().now_or_never();
    assert!(own.is_some(), "although it came later");
    assert!(again.as_mut().now_or_never().is_none());
    drop(held);
    assert!(again.now_or_never().is_some());
}

#[test]
fn a_script_has_the_class_of_its_last_run() {
    let scheduler = Scheduler::default();
    make(&scheduler, HERE, 1, SpeedClass::Long);
    let key = |scheduler: &Scheduler| *scheduler.lock().speeds.keys().next().expect("one");
    let now = key(&scheduler);
    assert_eq!(scheduler.lock().speed(now), SpeedClass::Long);
    drop(take(&scheduler, HERE, 1, 1));
    assert_eq!(scheduler.lock().speed(now), SpeedClass::Quick);
    // Another script of the channel has its own class, but shares the channel's eight runs.
    let (quick, new) = (
        take(&scheduler, HERE, 1, 8),
        scheduler.take(HERE, lane(1), "other"),
    );
    assert_eq!(quick.len(), 8);
    let mut new = Box::pin(new);
    assert!(new.as_mut().now_or_never().is_none());
    drop(quick);
    assert!(new.now_or_never().is_some());
}

#[test]
fn one_workspace_has_no_more_than_its_share() {
    let scheduler = Scheduler::default();
    let mut held = Vec::new();
    for n in 0..20 {
        make_quick(&scheduler, HERE, n);
        held.extend(take(&scheduler, HERE, n, 1));
    }
    assert_eq!(held.len(), SpeedClass::Quick.size().1);
    make_quick(&scheduler, THERE, 100);
    assert_eq!(
        take(&scheduler, THERE, 100, 8).len(),
        4,
        "what is left of all"
    );
}
