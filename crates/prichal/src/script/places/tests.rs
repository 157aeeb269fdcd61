use futures_util::FutureExt as _;

use super::*;

const HERE: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
const THERE: WorkspaceId = WorkspaceId(Uuid::from_u128(2));

fn lane(n: u128) -> EntityId {
    EntityId(Uuid::from_u128(n))
}

/// The places that are there at once.
fn take(places: &Places, workspace: WorkspaceId, n: u128, count: usize) -> Vec<Place> {
    let turns = (0..count).map(|_| places.take(workspace, lane(n), "s").now_or_never());
    turns.flatten().collect()
}

/// Makes a script known as one that ends at once.
fn make_quick(places: &Places, workspace: WorkspaceId, n: u128) {
    drop(take(places, workspace, n, 1));
}

fn make_long(places: &Places, workspace: WorkspaceId, n: u128) {
    for place in take(places, workspace, n, 1) {
        places.step_back(&place);
    }
}

#[test]
fn what_is_unknown_is_tried_once_and_then_has_its_eight() {
    let places = Places::default();
    let first = take(&places, HERE, 1, 3);
    assert_eq!(first.len(), 1);
    drop(first);
    assert_eq!(take(&places, HERE, 1, 12).len(), LANE);
    // Those that waited have gone away: nothing is left of them.
    assert_eq!(take(&places, HERE, 1, 12).len(), LANE);
    assert_eq!(places.lock().runs.len(), 0);
}

#[test]
fn scripts_that_hang_leave_the_quick_alone() {
    let places = Places::default();
    make_quick(&places, HERE, 100);
    let mut hung = Vec::new();
    for _ in 0..8 {
        for n in 0..40 {
            for place in take(&places, HERE, n, 8) {
                places.step_back(&place);
                hung.push(place);
            }
        }
    }
    // 24 places, 8 of them for those that moved in, and 8 more where they were tried.
    assert_eq!(hung.len(), 32);
    assert_eq!(take(&places, HERE, 100, 8).len(), 8);
    assert_eq!(take(&places, HERE, 101, 1).len(), 0, "new ones wait");
    assert_eq!(take(&places, THERE, 102, 1).len(), 1, "of this workspace");
    // With each that ends, one that is stuck moves in; then new ones are tried again.
    let is_stuck = |place: &Place| places.lock().runs[&place.id].room != Pace::Long;
    let (stuck, ending): (Vec<_>, Vec<_>) = hung.into_iter().partition(&is_stuck);
    drop(ending);
    assert_eq!(stuck.len(), 8);
    assert!(!stuck.iter().any(&is_stuck));
    assert_eq!(take(&places, HERE, 101, 1).len(), 1);
}

#[test]
fn a_few_that_hang_hold_up_nobody_who_is_new() {
    let places = Places::default();
    let mut hung = Vec::new();
    for n in 0..8 {
        for _ in 0..8 {
            for place in take(&places, HERE, n, 1) {
                places.step_back(&place);
                hung.push(place);
            }
        }
    }
    assert_eq!(
        hung.len(),
        16 + 6,
        "two channels, and where others were tried"
    );
    assert_eq!(take(&places, HERE, 100, 1).len(), 1);
}

#[test]
fn the_fewest_runs_go_first() {
    let places = Places::default();
    for n in 0..3 {
        make_long(&places, HERE, n);
    }
    let mut held = take(&places, HERE, 0, 8);
    held.extend(take(&places, HERE, 1, 8));
    assert_eq!(held.len(), 16);
    let mut again = Box::pin(places.take(HERE, lane(0), "s"));
    let mut other = Box::pin(places.take(HERE, lane(2), "s"));
    assert!(again.as_mut().now_or_never().is_none());
    assert!(other.as_mut().now_or_never().is_none());
    held.truncate(15);
    let own = other.as_mut().now_or_never();
    assert!(own.is_some(), "although it came later");
    held.remove(0);
    assert!(again.now_or_never().is_some());
}

#[test]
fn a_script_is_what_it_was_the_last_time() {
    let places = Places::default();
    make_long(&places, HERE, 1);
    let key = |places: &Places| *places.lock().paces.keys().next().expect("one");
    let now = key(&places);
    assert_eq!(places.lock().pace(now), Pace::Long);
    drop(take(&places, HERE, 1, 1));
    assert_eq!(places.lock().pace(now), Pace::Quick);
    // Another script of the channel is another matter, but shares its eight.
    let (quick, new) = (
        take(&places, HERE, 1, 8),
        places.take(HERE, lane(1), "other"),
    );
    assert_eq!(quick.len(), 8);
    let mut new = Box::pin(new);
    assert!(new.as_mut().now_or_never().is_none());
    drop(quick);
    assert!(new.now_or_never().is_some());
}

#[test]
fn one_workspace_has_no_more_than_its_share() {
    let places = Places::default();
    let mut held = Vec::new();
    for n in 0..20 {
        make_quick(&places, HERE, n);
        held.extend(take(&places, HERE, n, 1));
    }
    assert_eq!(held.len(), Pace::Quick.size().1);
    make_quick(&places, THERE, 100);
    assert_eq!(take(&places, THERE, 100, 8).len(), 4, "what is left of all");
}
