//! The checks at the end of the drill.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;

use super::{ARCHIVED, Drill, company_hooks};
use crate::harness::{
    hub::{Caller, eventually},
    server_process::whole_feed,
};

impl Drill {
    /// The events of the feed that each webhook should get, in the order of the log, with their entities.
    pub(super) async fn expected(&self) -> BTreeMap<&str, Vec<(String, String)>> {
        let mut expected: BTreeMap<&str, Vec<(String, String)>> = BTreeMap::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        for event in whole_feed(&self.space).await {
            let id = text(&event["id"]);
            if let Some(company) = event["entityIds"]["companyId"].as_str() {
                let is_skipped = text(&event["changeData"]["new"]["name"]).ends_with('1');
                for (path, _) in company_hooks() {
                    if path != "/scripted/skip" || !is_skipped {
                        let pair = (id.clone(), company.to_owned());
                        expected.entry(path).or_default().push(pair);
                    }
                }
            } else if let Some(deal) = event["entityIds"]["dealId"].as_str() {
                let pair = (id, deal.to_owned());
                expected.entry("/whole").or_default().push(pair);
            }
        }
        for event in own_events(&self.space).await {
            let path = match event["eventType"].as_str() {
                Some("order.created") => "/own",
                Some("dead") => "/dead",
                _ => "/archive",
            };
            let pair = (text(&event["id"]), text(&event["entity"]));
            expected.entry(path).or_default().push(pair);
        }
        expected
    }

    /// Checks that no event came before the success of each earlier one that it has to wait for.
    pub(super) async fn check_order(&self) {
        let expected = self.expected().await;
        for (path, is_whole) in [("/entity", false), ("/slow", false), ("/whole", true)] {
            let mut queues: HashMap<&str, Vec<&str>> = HashMap::new();
            let mut queue_of: HashMap<&str, &str> = HashMap::new();
            for (id, entity) in &expected[path] {
                let queue = if is_whole { "" } else { entity.as_str() };
                queues.entry(queue).or_default().push(id);
                queue_of.insert(id, queue);
            }
            let mut done: HashSet<&str> = HashSet::new();
            let calls = self.arrivals.all();
            for call in calls.iter().filter(|one| one.path == path) {
                let queue = &queues[queue_of[call.event.as_str()]];
                let earlier = queue.iter().take_while(|id| **id != call.event);
                let waiting: Vec<&&str> = earlier.filter(|id| !done.contains(**id)).collect();
                assert_eq!(
                    waiting,
                    [] as [&&str; 0],
                    "{path} got {} before these, of {queue:?}",
                    call.event
                );
                if call.is_good {
                    done.insert(&call.event);
                }
            }
        }
    }

    /// Checks that every change that was answered is in the feed once, and every published event.
    pub(super) async fn check_feed(&self) {
        let feed = whole_feed(&self.space).await;
        let mut listed: HashMap<&str, usize> = HashMap::new();
        for event in &feed {
            if let Some(name) = event["changeData"]["new"]["name"].as_str() {
                *listed.entry(name).or_default() += 1;
            }
        }
        for name in &self.sent.changes {
            assert_eq!(listed.get(name.as_str()), Some(&1), "{name}");
        }
        let own = own_events(&self.space).await;
        let mut listed: HashMap<&str, usize> = HashMap::new();
        for event in &own {
            *listed
                .entry(event["id"].as_str().expect("an id"))
                .or_default() += 1;
        }
        for event in &self.sent.published {
            let id = event["id"].as_str().expect("an id");
            assert_eq!(listed.get(id), Some(&1), "{id}");
        }
        let made = self.sent.published.len() + usize::try_from(ARCHIVED).expect("small");
        assert_eq!(own.len(), made, "and there are no others");
    }

    /// Checks that the log has a success for each delivery, and still has all that it has shown.
    pub(super) async fn check_log(&self) {
        let expected = self.expected().await;
        eventually("each delivery is in the log", || async {
            let (ids, delivered) = self.whole_log().await;
            let lost: Vec<&String> = self.logged.difference(&ids).collect();
            assert_eq!(lost, [] as [&String; 0], "the log has shown these");
            let is_logged = |path: &str, event: &str| {
                delivered.contains(&(self.hooks[path].clone(), event.to_owned()))
            };
            let mut all = expected
                .iter()
                .flat_map(|(path, events)| events.iter().map(move |(id, _)| (path, id)));
            all.all(|(path, id)| is_logged(path, id)).then_some(())
        })
        .await;
    }

    /// The ids of all calls in the log, and the deliveries that have succeeded: webhook and event.
    async fn whole_log(&self) -> (HashSet<String>, HashSet<(String, String)>) {
        let (mut ids, mut delivered) = (HashSet::new(), HashSet::new());
        let mut before = String::new();
        loop {
            let path = format!("/deliveries?limit=1000{before}");
            let page = self.space.get(&path).await.ok();
            for call in page["items"].as_array().expect("items") {
                let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
                ids.insert(text("id"));
                if call["status"] == "delivered" {
                    delivered.insert((text("webHookId"), text("eventId")));
                }
            }
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return (ids, delivered),
            }
        }
    }
}

/// The events of own types in the feed.
async fn own_events(space: &Caller) -> Vec<Value> {
    let (mut seen, mut offset) = (Vec::new(), Uuid::nil().to_string());
    loop {
        let path = format!("/events?eventTypes=*&limit=1000&offset={offset}");
        let page = space.get(&path).await.ok();
        seen.extend(page["items"].as_array().expect("items").clone());
        offset = page.str("lastOffset");
        if page["hasMore"] == false {
            return seen;
        }
    }
}
