//! The receiver of the drill, which keeps every call that has arrived.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Semaphore;

use crate::harness::receiver::{Call, Receiver, Reply};

/// A call for an event.
pub(super) struct Arrival {
    /// The path of the webhook.
    pub(super) path: String,
    pub(super) event: String,
    /// True if the call is answered as delivered.
    pub(super) is_good: bool,
    pub(super) is_replay: bool,
}

/// The calls so far, and what decides about the next answers.
pub(super) struct Arrivals {
    calls: Mutex<Vec<Arrival>>,
    tries: Mutex<HashMap<(String, String), u32>>,
    /// True while `/outage` is down.
    is_down: AtomicBool,
    /// True while `/dead` refuses some events.
    is_refusing: AtomicBool,
    /// True while `/slow` keeps some first calls open.
    is_holding: AtomicBool,
    /// Opens once the server of these calls was killed.
    gate: Mutex<Arc<Semaphore>>,
}

impl Arrivals {
    pub(super) async fn start() -> (Receiver, Arc<Self>) {
        let arrivals = Arc::new(Self {
            calls: Mutex::default(),
            tries: Mutex::default(),
            is_down: true.into(),
            is_refusing: true.into(),
            is_holding: false.into(),
            gate: Mutex::new(Arc::new(Semaphore::new(0))),
        });
        let this = arrivals.clone();
        let receiver = Receiver::start(move |call| this.answer(call)).await;
        (receiver, arrivals)
    }

    pub(super) fn all(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.calls.lock().expect("no panic")
    }

    pub(super) fn count(&self) -> usize {
        self.all().len()
    }

    /// The events that were delivered to a webhook.
    pub(super) fn delivered(&self, path: &str) -> HashSet<String> {
        let calls = self.all();
        let good = calls.iter().filter(|one| one.is_good && one.path == path);
        good.map(|one| one.event.clone()).collect()
    }

    /// The events that were sent to a webhook again on request.
    pub(super) fn replayed(&self, path: &str) -> HashSet<String> {
        let calls = self.all();
        let sent = calls.iter().filter(|one| one.is_replay && one.path == path);
        sent.map(|one| one.event.clone()).collect()
    }

    /// Ends the outage of `/outage`.
    pub(super) fn recover(&self) {
        self.is_down.store(false, Ordering::SeqCst);
    }

    /// Lets `/dead` refuse nothing any more.
    pub(super) fn accept_all(&self) {
        self.is_refusing.store(false, Ordering::SeqCst);
    }

    /// Keeps some calls of `/slow` open from now on.
    pub(super) fn hold(&self) {
        *self.gate.lock().expect("no panic") = Arc::new(Semaphore::new(0));
        self.is_holding.store(true, Ordering::SeqCst);
    }

    /// Ends the open calls of a server that was killed.
    pub(super) fn release(&self) {
        self.is_holding.store(false, Ordering::SeqCst);
        let gate = self.gate.lock().expect("no panic");
        gate.add_permits(10_000);
    }

    fn answer(&self, call: &Call) -> Reply {
        let path = call.path.clone();
        let event = call.header("webhook-id").expect("an id").to_owned();
        // Ids are random in their last digits.
        let number = u32::from_str_radix(&event[event.len() - 4..], 16).expect("a UUID");
        let tries = {
            let mut tries = self.tries.lock().expect("no panic");
            let tries = tries.entry((path.clone(), event.clone())).or_default();
            *tries += 1;
            *tries
        };
        let set = |flag: &AtomicBool| flag.load(Ordering::SeqCst);
        let refused = match path.as_str() {
            // A quarter of the events fails once, and some of them twice.
            "/entity" if number.is_multiple_of(16) => tries <= 2,
            "/entity" => number.is_multiple_of(4) && tries == 1,
            "/whole" => number.is_multiple_of(8) && tries == 1,
            "/outage" => set(&self.is_down),
            "/dead" => set(&self.is_refusing) && call.json()["data"]["refused"] == true,
            _ => false,
        };
        let is_held = path == "/slow" && set(&self.is_holding) && number.is_multiple_of(8);
        let is_good = !refused && !is_held;
        let is_replay = call.header("x-prichal-replay").is_some();
        self.all().push(Arrival {
            path,
            event,
            is_good,
            is_replay,
        });
        if is_held {
            Reply::Held(self.gate.lock().expect("no panic").clone())
        } else if is_good {
            Reply::Good
        } else if number.is_multiple_of(3) {
            Reply::Close
        } else {
            Reply::Status(503)
        }
    }
}
