//! Made-up calls, after the stories of `docs/contracts/kontur.md §6.2`.

use std::{collections::BTreeMap, time::Duration};

use prichal_core::time::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Value, json};

/// The course of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Story {
    Answered,
    Held,
    Missed,
    RingGroup,
    Outbound,
    BlindTransfer,
    AttendedTransfer,
    Internal,
    HistoryOnly,
}

pub const STORIES: [Story; 9] = [
    Story::Answered,
    Story::Held,
    Story::Missed,
    Story::RingGroup,
    Story::Outbound,
    Story::BlindTransfer,
    Story::AttendedTransfer,
    Story::Internal,
    Story::HistoryOnly,
];

/// A message of the connector: the last segment of the callback's path, and the body.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub name: &'static str,
    pub body: Value,
}

/// A call with its messages in their true order and its true legs.
#[derive(Clone, Debug)]
pub struct Call {
    pub external_id: String,
    pub story: Story,
    pub direction: &'static str,
    pub client_phone: String,
    pub messages: Vec<Message>,
    legs: BTreeMap<String, Leg>,
}

#[derive(Clone, Debug)]
struct Leg {
    from: Value,
    to: Value,
    first: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
}

/// The disorder of messages: the shares of affected calls or messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chaos {
    /// Calls whose messages arrive in any order.
    pub shuffle: f64,
    /// Messages that arrive twice.
    pub duplicate: f64,
    /// Messages that are lost at first and arrive at the end.
    pub drop: f64,
    /// The longest wait before a message.
    pub delay: Duration,
}

impl Call {
    /// Call number `number` of a seed, beginning at `at`, among users with these ids.
    pub fn random(seed: u64, number: u64, at: Timestamp, users: &[String]) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let story = STORIES[rng.random_range(0..STORIES.len())];
        let mut teller = Teller::new(format!("pbx-{seed}-{number}"), story, at, rng);
        teller.tell(users);
        teller.call
    }

    /// The expected record of a server: the call without its ids and events, its legs ordered by their beginning.
    pub fn expected(&self) -> Value {
        let mut legs: Vec<(&String, &Leg)> = self.legs.iter().collect();
        legs.sort_by_key(|(id, leg)| (leg.first, *id));
        let items: Vec<Value> = legs.into_iter().map(|(id, leg)| item(id, leg)).collect();
        json!({
            "direction": self.direction, "clientPhone": self.client_phone, "status": "sealed", "items": items,
        })
    }

    /// The comparable part of a server's record.
    pub fn comparable(communication: &Value) -> Value {
        let call = &communication["data"]["call"];
        let mut items = call["items"].clone();
        for item in items.as_array_mut().into_iter().flatten() {
            if let Some(item) = item.as_object_mut() {
                item.remove("recordings");
            }
        }
        json!({
            "direction": communication["direction"], "clientPhone": call["clientPhone"],
            "status": communication["status"], "items": items,
        })
    }

    /// The messages in their order of sending.
    pub fn untidy(&self, chaos: &Chaos, rng: &mut StdRng) -> Vec<Message> {
        let mut sent = Vec::new();
        let mut late = Vec::new();
        for message in &self.messages {
            let is_late = rng.random_bool(chaos.drop);
            let place = if is_late { &mut late } else { &mut sent };
            place.push(message.clone());
            if rng.random_bool(chaos.duplicate) {
                place.push(message.clone());
            }
        }
        if rng.random_bool(chaos.shuffle) {
            sent.shuffle(rng);
        }
        sent.extend(late);
        sent
    }
}

fn item(id: &str, leg: &Leg) -> Value {
    let mut item = json!({ "id": id, "from": leg.from, "to": leg.to });
    let times = [
        ("startedAt", leg.started_at),
        ("finishedAt", leg.finished_at),
    ];
    for (name, at) in times {
        if let Some(at) = at {
            item[name] = at.to_string().into();
        }
    }
    item
}

/// The narrator of a story, which records the messages and the truth.
struct Teller {
    call: Call,
    now: Timestamp,
    rng: StdRng,
}

const OUR_NUMBER: &str = "79229929292";

impl Teller {
    fn new(external_id: String, story: Story, at: Timestamp, mut rng: StdRng) -> Self {
        let direction = match story {
            Story::Outbound => "outbound",
            Story::Internal => "internal",
            _ => "inbound",
        };
        let client_phone = match story {
            Story::Internal => String::new(),
            // Few numbers, so that calls with the same number overlap.
            _ => format!("7999{:07}", rng.random_range(0..200)),
        };
        Self {
            call: Call {
                external_id,
                story,
                direction,
                client_phone,
                messages: Vec::new(),
                legs: BTreeMap::new(),
            },
            now: at,
            rng,
        }
    }

    fn tell(&mut self, users: &[String]) {
        let user = |teller: &mut Self| {
            let n = teller.rng.random_range(0..users.len().max(1));
            match users.get(n) {
                Some(id) => json!({ "type": "user", "userId": id }),
                None => json!({ "type": "user" }),
            }
        };
        let client = json!({ "type": "client" });
        let (one, two) = (user(self), user(self));
        if self.call.story != Story::HistoryOnly {
            self.say("call-started", json!({}));
        }
        match self.call.story {
            Story::Answered | Story::HistoryOnly => {
                self.ring(&["a"], &client, &one);
                self.answer("a");
                self.end("a");
            }
            Story::Held => {
                self.ring(&["a"], &client, &one);
                self.answer("a");
                for _ in 0..self.rng.random_range(1..4) {
                    self.happen("a", "paused");
                    self.happen("a", "connected");
                }
                self.end("a");
            }
            Story::Missed => {
                self.ring(&["a"], &client, &one);
                self.end("a");
            }
            Story::RingGroup => {
                self.ring(&["a", "b", "c"], &client, &one);
                self.answer("b");
                self.end("a");
                self.end("c");
                self.end("b");
            }
            Story::Outbound => {
                self.ring(&["a"], &one, &client);
                self.answer("a");
                self.end("a");
            }
            Story::BlindTransfer => {
                self.ring(&["a"], &client, &one);
                self.answer("a");
                self.end("a");
                self.ring(&["b"], &client, &two);
                self.answer("b");
                self.end("b");
            }
            Story::AttendedTransfer => {
                self.ring(&["a"], &client, &one);
                self.answer("a");
                self.happen("a", "paused");
                self.ring(&["b"], &one, &two);
                self.answer("b");
                self.end("b");
                self.end("a");
                self.ring(&["c"], &client, &two);
                self.answer("c");
                self.end("c");
            }
            Story::Internal => {
                self.ring(&["a"], &one, &two);
                self.answer("a");
                self.end("a");
            }
        }
        let is_history_only = self.call.story == Story::HistoryOnly;
        if is_history_only {
            // No message tells the time of ringing.
            self.call.messages.clear();
        } else {
            self.wait();
            self.say("call-finished", json!({}));
        }
        if is_history_only || self.rng.random_bool(0.7) {
            self.register();
        }
    }

    /// Advances the time by tens of milliseconds to seconds.
    fn wait(&mut self) {
        self.now = self.now + Duration::from_millis(self.rng.random_range(20..9000));
    }

    fn ring(&mut self, legs: &[&str], from: &Value, to: &Value) {
        self.wait();
        for id in legs {
            let leg = Leg {
                from: from.clone(),
                to: to.clone(),
                first: self.now,
                started_at: None,
                finished_at: None,
            };
            self.call.legs.insert((*id).to_owned(), leg);
            self.event(id, "appeared");
        }
    }

    fn answer(&mut self, id: &str) {
        self.wait();
        if let Some(leg) = self.call.legs.get_mut(id) {
            leg.started_at = Some(self.now);
        }
        self.event(id, "connected");
    }

    fn happen(&mut self, id: &str, what: &str) {
        self.wait();
        self.event(id, what);
    }

    fn end(&mut self, id: &str) {
        self.wait();
        if let Some(leg) = self.call.legs.get_mut(id) {
            leg.finished_at = Some(self.now);
        }
        let what = if self.rng.random_bool(0.8) {
            "disconnected"
        } else {
            "finished"
        };
        self.event(id, what);
    }

    fn event(&mut self, id: &str, what: &str) {
        let leg = &self.call.legs[id];
        let body = json!({
            "externalId": self.call.external_id, "externalCallItemId": id, "realtimeCallItemId": id,
            "timestamp": self.now.to_string(), "type": what, "from": leg.from, "to": leg.to,
        });
        self.call.messages.push(Message {
            name: "call-event",
            body,
        });
    }

    /// A message about the whole call.
    fn say(&mut self, name: &'static str, more: Value) {
        let mut body = json!({
            "timestamp": self.now.to_string(), "externalId": self.call.external_id,
            "externalVatsPhone": OUR_NUMBER, "clientPhone": self.call.client_phone,
            "direction": self.call.direction,
        });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        self.call.messages.push(Message { name, body });
    }

    fn register(&mut self) {
        let items: Vec<Value> = self
            .call
            .legs
            .iter()
            .map(|(id, leg)| item(id, leg))
            .collect();
        if self.call.story == Story::HistoryOnly {
            // Then a leg begins with its answer.
            for leg in self.call.legs.values_mut() {
                leg.first = leg.started_at.unwrap_or(leg.first);
            }
        }
        let created = self.now.to_string();
        self.say(
            "register-call",
            json!({ "items": items, "externalCreatedAt": created }),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn calls(seed: u64) -> Vec<Call> {
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let users = ["u1".to_owned(), "u2".to_owned()];
        (0..300)
            .map(|n| Call::random(seed, n, at, &users))
            .collect()
    }

    #[test]
    fn a_seed_makes_equal_calls() {
        for (one, other) in calls(7).iter().zip(&calls(7)) {
            assert_eq!(one.messages, other.messages);
        }
        assert_ne!(calls(7)[0].messages, calls(8)[0].messages);
    }

    #[test]
    fn every_story_is_complete_and_consistent() {
        let told = calls(1);
        let stories: BTreeSet<Story> = told.iter().map(|call| call.story).collect();
        assert_eq!(stories.len(), STORIES.len());
        for call in &told {
            for leg in call.legs.values() {
                assert!(leg.finished_at.is_some() && leg.started_at <= leg.finished_at);
            }
            let names: Vec<&str> = call.messages.iter().map(|message| message.name).collect();
            if call.story == Story::HistoryOnly {
                assert_eq!(names, ["register-call"]);
            } else {
                assert_eq!(names[0], "call-started");
                assert!(names.contains(&"call-finished"));
            }
            assert_eq!(
                call.expected()["items"].as_array().map(Vec::len),
                Some(call.legs.len())
            );
        }
    }

    #[test]
    fn disordered_messages_are_complete() {
        let chaos = Chaos {
            shuffle: 0.5,
            duplicate: 0.3,
            drop: 0.3,
            delay: Duration::ZERO,
        };
        let mut rng = StdRng::seed_from_u64(1);
        for call in calls(3) {
            let sent = call.untidy(&chaos, &mut rng);
            assert!(sent.len() >= call.messages.len());
            assert!(call.messages.iter().all(|message| sent.contains(message)));
        }
    }
}
