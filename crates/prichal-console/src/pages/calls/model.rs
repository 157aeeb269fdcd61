//! Calls as the API tells them, and as lists show them.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    answer::Fault,
    api::segment,
    moment::{self, Moment},
    parts::{State, Tone, visible},
    visit::Visit,
    words,
};

/// The zero GUID, which stands for none.
const NONE: &str = "00000000-0000-0000-0000-000000000000";
/// The maximum number of names that one page looks up.
const MAX_NAMES: usize = 120;
/// The number of look-ups at a time.
const LOOK_UPS: usize = 16;

#[derive(Default, Deserialize)]
pub(super) struct CallList {
    pub(super) items: Vec<Call>,
    #[serde(default)]
    pub(super) next: Option<String>,
}

/// A call (`GET /api/v1/{ws}/communications`).
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Call {
    pub(super) id: String,
    #[serde(default)]
    pub(super) external_id: String,
    pub(super) external_created_at: String,
    pub(super) direction: Direction,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) links: Links,
    data: Data,
    #[serde(default)]
    pub(super) facts: Facts,
}

#[derive(Clone, Deserialize)]
struct Data {
    call: Content,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Content {
    #[serde(default)]
    pub(super) client_phone: String,
    #[serde(default)]
    pub(super) external_vats_phone: String,
    #[serde(default)]
    pub(super) items: Vec<Leg>,
    #[serde(default)]
    pub(super) events: Vec<Event>,
    #[serde(default)]
    pub(super) failed: bool,
    #[serde(default)]
    pub(super) fail_reason: String,
    #[serde(default)]
    pub(super) note: String,
}

/// The ids of the entities that a call is linked with.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Links {
    #[serde(rename = "companyIds")]
    pub(super) companies: Vec<String>,
    #[serde(rename = "contactIds")]
    pub(super) contacts: Vec<String>,
    #[serde(rename = "dealIds")]
    pub(super) deals: Vec<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Party {
    #[serde(rename = "type")]
    pub(super) kind: PartyType,
    #[serde(default)]
    pub(super) user_id: Option<String>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum PartyType {
    User,
    Client,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leg {
    pub(super) id: String,
    pub(super) from: Party,
    pub(super) to: Party,
    #[serde(default)]
    pub(super) recordings: Vec<Recording>,
    #[serde(default)]
    pub(super) started_at: Option<String>,
    #[serde(default)]
    pub(super) finished_at: Option<String>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recording {
    pub(super) file_id: String,
    #[serde(default)]
    pub(super) file_name: String,
    #[serde(default)]
    pub(super) content_type: String,
    #[serde(default)]
    pub(super) content_length: Value,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    #[serde(default)]
    pub(super) external_call_item_id: String,
    #[serde(default)]
    pub(super) realtime_call_item_id: String,
    pub(super) timestamp: String,
    #[serde(rename = "type")]
    pub(super) kind: EventType,
    pub(super) from: Party,
    pub(super) to: Party,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum EventType {
    Appeared,
    Connected,
    Paused,
    Disconnected,
    Finished,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Direction {
    Inbound,
    Outbound,
    Internal,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Status {
    Active,
    Sealed,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Facts {
    pub(super) state: Option<Phase>,
    pub(super) missed: bool,
    pub(super) answered: bool,
    pub(super) wait_ms: Option<i64>,
    pub(super) talk_ms: i64,
    pub(super) hold_ms: i64,
    pub(super) responsible_user_id: Option<String>,
    pub(super) called_back: bool,
    pub(super) arrivals: Vec<Arrival>,
}

/// The state of a call, as users see it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) enum Phase {
    Dialing,
    Ringing,
    Talking,
    OnHold,
    Ended,
}

/// An event by its place in the list, and the time at which it arrived.
#[derive(Clone, Deserialize)]
pub(super) struct Arrival {
    pub(super) event: usize,
    pub(super) at: String,
}

impl Direction {
    pub(super) const fn word(self, w: &words::Calls) -> &'static str {
        match self {
            Self::Inbound => w.inbound,
            Self::Outbound => w.outbound,
            Self::Internal => w.internal,
        }
    }
}

impl Call {
    pub(super) fn content(&self) -> &Content {
        &self.data.call
    }

    /// The outcome of a call that is over, and the state of one in progress.
    pub(super) fn state(&self, w: &words::Calls) -> State {
        let facts = &self.facts;
        let (tone, word) = match (self.status, facts.state) {
            (Status::Active, Some(Phase::Dialing)) => (Tone::Waiting, w.dialing),
            (Status::Active, Some(Phase::Talking)) => (Tone::Good, w.talking),
            (Status::Active, Some(Phase::OnHold)) => (Tone::Waiting, w.on_hold),
            (Status::Active, Some(Phase::Ended)) => (Tone::Off, w.ended),
            (Status::Active, Some(Phase::Ringing) | None) => (Tone::Waiting, w.ringing),
            (Status::Sealed, _) if self.content().failed => (Tone::Bad, w.failed),
            (Status::Sealed, _) if facts.missed && facts.called_back => (Tone::Off, w.called_back),
            (Status::Sealed, _) if facts.missed => (Tone::Bad, w.missed),
            (Status::Sealed, _) if facts.answered => (Tone::Good, w.answered),
            (Status::Sealed, _) => (Tone::Off, w.unanswered),
        };
        State { tone, word }
    }

    /// The client's number; the words for a hidden one.
    pub(super) fn phone(&self, w: &words::Calls) -> String {
        match &*self.content().client_phone {
            "" => w.hidden_number.to_owned(),
            phone => visible(phone),
        }
    }

    /// The users of all legs, and the responsible one.
    fn users(&self) -> impl Iterator<Item = &str> {
        let legs = self.content().items.iter();
        let of_legs = legs.flat_map(|leg| [&leg.from, &leg.to]);
        let named = of_legs.filter_map(|party| party.user_id.as_deref());
        named.chain(self.facts.responsible_user_id.as_deref())
    }

    /// The users whose legs are not over.
    fn users_on_line(&self) -> Vec<&str> {
        let open = self.content().items.iter();
        let open = open.filter(|leg| leg.finished_at.is_none());
        let mut users: Vec<&str> = open
            .flat_map(|leg| [&leg.from, &leg.to])
            .filter_map(|party| party.user_id.as_deref())
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }

    fn has_recording(&self) -> bool {
        let mut legs = self.content().items.iter();
        legs.any(|leg| !leg.recordings.is_empty())
    }

    fn clients(&self) -> impl Iterator<Item = (Kind, &str)> {
        let contacts = self.links.contacts.iter();
        let contacts = contacts.map(|id| (Kind::Contact, id.as_str()));
        let companies = self.links.companies.iter();
        contacts.chain(companies.map(|id| (Kind::Company, id.as_str())))
    }
}

/// A kind of entity that a call has to do with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::pages) enum Kind {
    User,
    Contact,
    Company,
    Deal,
}

impl Kind {
    const fn collection(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Contact => "contacts",
            Self::Company => "companies",
            Self::Deal => "deals",
        }
    }

    pub(super) const fn word(self, w: &words::Calls) -> &'static str {
        match self {
            Self::User => w.user,
            Self::Contact => w.contact,
            Self::Company => w.company,
            Self::Deal => w.deal,
        }
    }
}

/// An entity, as far as pages of calls show it.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::pages) struct Entity {
    pub(super) id: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) login: String,
    /// The stage of a deal; above zero while it is active.
    #[serde(default)]
    stage_id: i64,
}

impl Entity {
    /// The name, or else the login.
    pub(super) fn shown(&self) -> String {
        let names = [&self.name, &self.login, &self.id];
        let first = names.into_iter().find(|text| !text.is_empty());
        visible(first.map_or("", String::as_str))
    }
}

#[derive(Deserialize)]
pub(super) struct EntityList {
    pub(super) items: Vec<Entity>,
}

/// The entities of a page, by kind and id.
#[derive(Default)]
pub(in crate::pages) struct Names(HashMap<(Kind, String), Entity>);

impl Names {
    /// Reads the entities of calls that are not known yet. What the session may not see has no name.
    pub(super) async fn read(
        visit: &Visit,
        known: Vec<Entity>,
        calls: &[&Call],
    ) -> Result<Self, Fault> {
        let known = known
            .into_iter()
            .map(|user| ((Kind::User, user.id.clone()), user));
        let mut names = Self(known.collect());
        let wanted = calls.iter().flat_map(|call| {
            let users = call.users().map(|id| (Kind::User, id));
            let deals = call.links.deals.iter();
            let deals = deals.map(|id| (Kind::Deal, id.as_str()));
            let is_live = call.status == Status::Active;
            users
                .chain(call.clients().take(1))
                .chain(deals.filter(move |_| is_live))
        });
        let missing: HashSet<(Kind, &str)> = wanted
            .filter(|(kind, id)| *id != NONE && !names.0.contains_key(&(*kind, (*id).to_owned())))
            .take(MAX_NAMES)
            .collect();
        names.look_up(visit, missing).await?;
        Ok(names)
    }

    /// Reads users that are not known yet.
    pub(in crate::pages) async fn of_users(
        visit: &Visit,
        known: Vec<Entity>,
        wanted: impl Iterator<Item = &str>,
    ) -> Result<Self, Fault> {
        let mut names = Self::read(visit, known, &[]).await?;
        let is_known = |id: &str| names.0.contains_key(&(Kind::User, id.to_owned()));
        let missing: Vec<_> = wanted
            .filter(|id| !id.is_empty() && !is_known(id))
            .take(MAX_NAMES)
            .map(|id| (Kind::User, id))
            .collect();
        names.look_up(visit, missing).await?;
        Ok(names)
    }

    /// Reads entities by their ids.
    pub(super) async fn look_up(
        &mut self,
        visit: &Visit,
        wanted: impl IntoIterator<Item = (Kind, &str)>,
    ) -> Result<(), Fault> {
        let wanted: Vec<(Kind, String)> = wanted
            .into_iter()
            .map(|(kind, id)| (kind, id.to_owned()))
            .collect();
        let found = stream::iter(wanted).map(|(kind, id)| async move {
            let path = visit.api(&format!("{}/{}", kind.collection(), segment(&id)));
            let found = visit.get::<Entity>(&path).await;
            ((kind, id), found)
        });
        let mut found = found.buffer_unordered(LOOK_UPS);
        while let Some((key, entity)) = found.next().await {
            match entity {
                Ok(entity) => {
                    self.0.insert(key, entity);
                }
                // It was deleted, or is not this session's.
                Err(error) if error.is_not_found() || error.is_forbidden() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(in crate::pages) fn find(&self, kind: Kind, id: &str) -> Option<String> {
        self.0.get(&(kind, id.to_owned())).map(Entity::shown)
    }

    pub(super) fn user(&self, id: Option<&str>, w: &words::Calls) -> String {
        let name = id.and_then(|id| self.find(Kind::User, id));
        name.unwrap_or_else(|| w.someone.to_owned())
    }

    /// The name of a call's client; empty if nobody has the number.
    pub(super) fn client(&self, call: &Call) -> String {
        let mut names = call.clients().filter_map(|(kind, id)| self.find(kind, id));
        names.next().unwrap_or_default()
    }

    /// The names of a call's active deals.
    fn deals(&self, call: &Call) -> Vec<String> {
        let deals = call.links.deals.iter();
        let found = deals.filter_map(|id| self.0.get(&(Kind::Deal, id.clone())));
        found
            .filter(|deal| deal.stage_id > 0)
            .map(Entity::shown)
            .collect()
    }

    /// The side of a leg.
    pub(super) fn party(&self, party: &Party, w: &words::Calls) -> String {
        match party.kind {
            PartyType::Client => w.client.to_owned(),
            PartyType::User => self.user(party.user_id.as_deref(), w),
        }
    }
}

/// A line of a list of calls.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) state: State,
    pub(super) at: Option<Moment>,
    pub(super) direction: &'static str,
    pub(super) client: String,
    pub(super) phone: String,
    /// The number to call back; empty for a hidden one.
    pub(super) number: String,
    pub(super) line: String,
    pub(super) user: String,
    pub(super) waited: String,
    pub(super) talked: String,
    pub(super) has_recording: bool,
}

impl Row {
    pub(super) fn new(call: &Call, names: &Names, visit: &Visit, w: &words::Calls) -> Self {
        let facts = &call.facts;
        let responsible = facts.responsible_user_id.as_deref();
        Self {
            href: visit.page(&format!("calls/{}", segment(&call.id))),
            state: call.state(w),
            at: Moment::parse(&call.external_created_at, &visit.workspace.zone),
            direction: call.direction.word(w),
            client: names.client(call),
            phone: call.phone(w),
            number: call.content().client_phone.clone(),
            line: visible(&call.content().external_vats_phone),
            user: responsible.map_or_else(String::new, |id| names.user(Some(id), w)),
            waited: facts
                .wait_ms
                .map_or_else(String::new, |ms| moment::span(ms, visit.language)),
            talked: if facts.talk_ms > 0 {
                moment::span(facts.talk_ms, visit.language)
            } else {
                String::new()
            },
            has_recording: call.has_recording(),
        }
    }
}

/// A call in progress, as its card shows it.
pub(super) struct Card {
    pub(super) row: Row,
    /// The users whose phones ring or who talk.
    pub(super) users: Vec<String>,
    pub(super) deals: Vec<String>,
    /// The beginning of the present state: of the talk, or of the call.
    pub(super) since: Option<Moment>,
    /// The time since then, when the page was made.
    pub(super) clock: String,
}

impl Card {
    pub(super) fn new(call: &Call, names: &Names, visit: &Visit, w: &words::Calls) -> Self {
        let legs = call.content().items.iter();
        let talks = legs.filter(|leg| leg.finished_at.is_none());
        let began = talks.filter_map(|leg| leg.started_at.as_deref()).min();
        let began = began.unwrap_or(&call.external_created_at);
        let since = prichal_core::time::Timestamp::parse(began);
        let now = visit.console.now();
        let clock = since.map_or(0, |since| (now.micros() - since.micros()) / 1000);
        let users = call.users_on_line();
        Self {
            row: Row::new(call, names, visit, w),
            users: users
                .into_iter()
                .map(|id| names.user(Some(id), w))
                .collect(),
            deals: names.deals(call),
            since: since.map(|since| Moment::new(since, &visit.workspace.zone)),
            clock: moment::clock(clock),
        }
    }
}
