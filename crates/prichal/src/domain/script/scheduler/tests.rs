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

fn make(places: &Places, workspace: WorkspaceId, n: u128, pace: Pace) {
    for place in take(places, workspace, n, 1) {
        places.step_back(&place, pace);
    }
}

fn room(places: &Places, place: &Place) -> Pace {
    places.lock().runs[&place.id].room
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
        for n in 0..60 {
            for place in take(&places, HERE, n, 8) {
                places.step_back(&place, Pace::Hung);
                hung.push(place);
            }
        }
    }
    // Their own room, that of those that take long, and where they were tried.
    assert_eq!(hung.len(), 12 + 24 + 8);
    assert_eq!(take(&places, HERE, 100, 8).len(), 8);
    assert_eq!(take(&places, HERE, 101, 1).len(), 0, "new ones wait");
    assert_eq!(take(&places, THERE, 102, 1).len(), 1, "of this workspace");
    // With those that end, others move in; then new ones are tried again.
    let is_stuck = |place: &Place| room(&places, place) == Pace::Unknown;
    let (stuck, ending): (Vec<_>, Vec<_>) = hung.into_iter().partition(&is_stuck);
    drop(ending);
    assert_eq!(stuck.len(), 8);
    assert!(stuck.iter().all(|place| room(&places, place) == Pace::Hung));
    assert_eq!(take(&places, HERE, 101, 1).len(), 1);
}

#[test]
fn scripts_that_are_known_to_hang_leave_those_that_take_long_alone() {
    let places = Places::default();
    make(&places, HERE, 100, Pace::Long);
    for n in 0..30 {
        make(&places, HERE, n, Pace::Hung);
    }
    let mut hung = Vec::new();
    for n in 0..30 {
        hung.extend(take(&places, HERE, n, 8));
    }
    assert_eq!(hung.len(), 8, "and room for those that move in");
    assert!(hung.iter().all(|place| room(&places, place) == Pace::Hung));
    assert_eq!(take(&places, HERE, 100, 8).len(), 7);
    // One that has come to an end sooner is no longer one of them.
    for place in hung {
        places.step_back(&place, Pace::Hung);
    }
    for place in take(&places, HERE, 3, 1) {
        places.step_back(&place, Pace::Long);
    }
    let sooner = take(&places, HERE, 3, 1);
    assert_eq!(room(&places, &sooner[0]), Pace::Long);
}

#[test]
fn whoever_has_much_leaves_more_to_others() {
    let places = Places::default();
    let mut counts = Vec::new();
    let mut held = Vec::new();
    for n in 0..8 {
        make(&places, HERE, n, Pace::Long);
        let taken = take(&places, HERE, n, 8);
        counts.push(taken.len());
        held.extend(taken);
    }
    assert_eq!(counts, [7, 5, 3, 2, 1, 1, 1, 0]);
    make(&places, THERE, 100, Pace::Long);
    assert_eq!(take(&places, THERE, 100, 8).len(), 7, "nor do workspaces");
}

#[test]
fn a_quick_script_may_take_long_by_chance() {
    let places = Places::default();
    make_quick(&places, HERE, 1);
    for _ in 0..2 {
        make(&places, HERE, 1, Pace::Long);
        let next = take(&places, HERE, 1, 8);
        assert_eq!((next.len(), room(&places, &next[0])), (8, Pace::Quick));
        // Nothing is learnt of runs that go on.
        std::mem::forget(next);
        places.lock().runs.clear();
        places.lock().lanes.clear();
        places.lock().rooms.clear();
    }
    make(&places, HERE, 1, Pace::Long);
    let next = take(&places, HERE, 1, 1);
    assert_eq!(
        room(&places, &next[0]),
        Pace::Long,
        "not three times in a row"
    );
}

#[test]
fn the_fewest_runs_go_first() {
    let places = Places::default();
    let mut held = Vec::new();
    for n in 0..8 {
        make(&places, HERE, n, Pace::Long);
        if n != 2 {
            held.extend(take(&places, HERE, n, 8));
        }
    }
    assert_eq!(held.len(), 20);
    let mut again = Box::pin(places.take(HERE, lane(7), "s"));
    let mut other = Box::pin(places.take(HERE, lane(2), "s"));
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
fn a_script_is_what_it_was_the_last_time() {
    let places = Places::default();
    make(&places, HERE, 1, Pace::Long);
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
