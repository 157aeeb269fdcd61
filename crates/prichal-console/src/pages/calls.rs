//! Calls: who is on the line now, whom nobody has called back, and all the others.

mod detail;
mod lanes;
pub(super) mod model;
mod statistics;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::{extract::RawQuery, response::Response};
use futures_util::future::{try_join, try_join3};
use http::Method;
use serde_json::{Map, Value};

pub(super) use detail::{detail, hang_up, recording};
pub(super) use statistics::statistics;

use self::model::{CallList, Card, Entity, EntityList, Names, Row};
use crate::{
    answer::{Fault, page, redirect},
    api::{ApiError, collect, json_request, query, segment},
    backend::Role,
    form::{Action, Fields},
    moment,
    page::{Layout, Section},
    parts::{Choice, choices},
    visit::Visit,
    words::{self, fill},
};

/// The number of calls on a page.
const PAGE: &str = "50";
/// The number of cards, and of calls to call back.
const FIRST: &str = "12";
/// The number of users to choose from.
const USERS: &str = "200";
/// The header that names a new call.
const NEW_CALL: &str = "x-xcom-communicationid";

/// The criteria that the page's address and the API share.
const CRITERIA: [&str; 4] = ["direction", "userId", "line", "phone"];

/// The outcomes of calls, as the page's address has them and as the API takes them.
const OUTCOMES: [(&str, &[(&str, &str)]); 6] = [
    ("answered", &[("answered", "true")]),
    ("missed", &[("missed", "true")]),
    ("not-called-back", &[("calledBack", "false")]),
    ("called-back", &[("calledBack", "true")]),
    (
        "unanswered",
        &[
            ("answered", "false"),
            ("missed", "false"),
            ("status", "sealed"),
        ],
    ),
    ("active", &[("status", "active")]),
];

/// The criteria of a list, as the address has them.
struct Criteria {
    fields: Fields,
    /// The period as the API takes it.
    from: String,
    to: String,
}

impl Criteria {
    fn read(query: Option<String>, visit: &Visit) -> Self {
        let fields = Fields::parse(query.unwrap_or_default().as_bytes());
        let zone = &visit.workspace.zone;
        // A time that cannot be read goes to the API as it is, which says what is wrong.
        let time = |name| {
            let text = fields.text(name);
            moment::from_input(text, zone).unwrap_or_else(|| text.to_owned())
        };
        let (from, to) = (time("from"), time("to"));
        Self { fields, from, to }
    }

    /// The criteria with a value, as the address has them.
    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = CRITERIA.iter().map(|name| (*name, self.fields.text(name)));
        named
            .chain([
                ("outcome", self.fields.text("outcome")),
                ("from", &*self.from),
                ("to", &*self.to),
            ])
            .filter(|(_, value)| !value.is_empty())
    }

    /// The criteria as the API takes them.
    fn of_api(&self) -> Vec<(&str, &str)> {
        let outcome = self.fields.text("outcome");
        let outcome = OUTCOMES.iter().find(|(name, _)| *name == outcome);
        let outcome = outcome.map_or(&[][..], |(_, pairs)| pairs);
        let shared = self.pairs().filter(|(name, _)| *name != "outcome");
        shared.chain(outcome.iter().copied()).collect()
    }

    /// The address of a page with these criteria.
    fn address(&self, visit: &Visit, below: &str, more: &[(&str, &str)]) -> String {
        let pairs = self.pairs().chain(more.iter().copied());
        format!("{}{}", visit.page(below), query(pairs))
    }

    fn is_empty(&self) -> bool {
        self.pairs().next().is_none()
    }
}

/// True for a session to which the API shows the own calls only.
fn is_employee(visit: &Visit) -> bool {
    visit.session.role == Role::Employee
}

#[derive(Template)]
#[template(path = "calls.html")]
struct ListPage {
    layout: Layout,
    w: &'static words::Calls,
    filter: Filter,
    /// The parts of the first page without criteria.
    first: Option<First>,
    rows: Vec<Row>,
    /// The address of the next page.
    older: Option<String>,
    /// The address of the first page, if this is another one.
    newest: Option<String>,
    statistics: String,
    /// The address of this list, for live updates; empty for pages of the past.
    live: String,
    /// The number of criteria.
    filters: usize,
    /// True for an employee's session that belongs to no user.
    lacks_user: bool,
    error: Option<String>,
    dial: Option<Dial>,
}

/// The part before the list: calls in progress, and missed ones.
struct First {
    cards: Vec<Card>,
    missed: Vec<Row>,
    /// The address of all missed calls that nobody has called back.
    all_missed: Option<String>,
}

/// The form by which a user calls somebody.
struct Dial {
    action: String,
    number: String,
    /// The users to choose from; empty if the session is a user.
    users: Vec<Choice>,
}

struct Filter {
    directions: Vec<Choice>,
    outcomes: Vec<Choice>,
    /// Empty for an employee, who sees its own calls.
    users: Vec<Choice>,
    phone: String,
    line: String,
    from: String,
    to: String,
    /// The address without criteria.
    reset: String,
}

impl Filter {
    fn new(criteria: &Criteria, users: &[Entity], visit: &Visit, w: &words::Calls) -> Self {
        let text = |name: &str| criteria.fields.text(name).to_owned();
        let words = [
            w.answered,
            w.missed,
            w.not_called_back,
            w.called_back,
            w.unanswered,
            w.active,
        ];
        let outcomes = OUTCOMES.iter().map(|(name, _)| *name).zip(words);
        let directions = [
            ("inbound", w.inbound),
            ("outbound", w.outbound),
            ("internal", w.internal),
        ];
        Self {
            directions: choices(&text("direction"), directions),
            outcomes: choices(&text("outcome"), outcomes),
            users: if is_employee(visit) {
                Vec::new()
            } else {
                user_choices(&text("userId"), users)
            },
            phone: text("phone"),
            line: text("line"),
            from: moment::to_input(&text("from"), &visit.workspace.zone),
            to: moment::to_input(&text("to"), &visit.workspace.zone),
            reset: visit.page("calls"),
        }
    }
}

/// The choices of users. One that is chosen and unknown stays chosen.
fn user_choices(chosen: &str, users: &[Entity]) -> Vec<Choice> {
    let choice = |user: &Entity| Choice {
        value: user.id.clone(),
        word: user.shown(),
        is_chosen: user.id == chosen,
    };
    let mut choices: Vec<Choice> = users.iter().map(choice).collect();
    if !chosen.is_empty() && choices.iter().all(|one| !one.is_chosen) {
        choices.push(Choice {
            value: chosen.to_owned(),
            word: chosen.to_owned(),
            is_chosen: true,
        });
    }
    choices
}

/// The calls that match the address, newest first.
pub(crate) async fn list(visit: Visit, RawQuery(query): RawQuery) -> Result<Response, Fault> {
    let criteria = Criteria::read(query, &visit);
    show(&visit, &criteria, None).await
}

async fn show(
    visit: &Visit,
    criteria: &Criteria,
    dialled: Option<Dialled>,
) -> Result<Response, Fault> {
    let w = words::Calls::of(visit.language);
    let cursor = criteria.fields.text("cursor");
    let is_first = cursor.is_empty() && criteria.is_empty();
    let (found, first, users) = try_join3(
        calls(visit, &criteria.of_api(), cursor, PAGE),
        first(visit, is_first),
        users(visit),
    )
    .await?;
    let (found, refused) = found;
    let (active, missed) = &first;
    let shown = [&found.items, &active.items, &missed.items];
    let shown: Vec<_> = shown.into_iter().flatten().collect();
    let filter = Filter::new(criteria, &users, visit, w);
    let dial = Dial::new(visit, &users, dialled.as_ref());
    let names = Names::read(visit, users, &shown).await?;
    let row = |call| Row::new(call, &names, visit, w);
    let next = found.next.as_deref();
    let newest = criteria.address(visit, "calls", &[]);
    let all_missed = criteria.address(visit, "calls", &[("outcome", "not-called-back")]);
    let card = |call| Card::new(call, &names, visit, w);
    let notice = criteria.done(w);
    let failed = dialled.map(|failed| fill(w.dial_failed, &[&failed.reason]));
    Ok(page(&ListPage {
        layout: Layout::of(visit, Section::Calls, w.title).with_notice(notice),
        w,
        filter,
        first: is_first.then(|| First {
            cards: active.items.iter().map(card).collect(),
            missed: missed.items.iter().map(row).collect(),
            all_missed: missed.next.is_some().then_some(all_missed),
        }),
        rows: found.items.iter().map(row).collect(),
        older: next.map(|next| criteria.address(visit, "calls", &[("cursor", next)])),
        statistics: criteria.address(visit, "calls/statistics", &[]),
        live: if cursor.is_empty() {
            newest.clone()
        } else {
            String::new()
        },
        newest: (!cursor.is_empty()).then_some(newest),
        filters: criteria.pairs().count(),
        lacks_user: is_employee(visit) && visit.session.user.is_none(),
        error: failed.or(refused),
        dial,
    }))
}

/// A page of calls, and the reason of a refusal.
async fn calls(
    visit: &Visit,
    pairs: &[(&str, &str)],
    cursor: &str,
    limit: &str,
) -> Result<(CallList, Option<String>), Fault> {
    let cursor = if cursor.is_empty() { "start" } else { cursor };
    let page = [("include", "facts"), ("limit", limit), ("cursor", cursor)];
    let pairs = pairs.iter().copied().chain(page);
    let path = format!("{}{}", visit.api("communications"), query(pairs));
    match visit.get(&path).await {
        Ok(found) => Ok((found, None)),
        Err(error) if error.is_refusal() => Ok((CallList::default(), Some(error.message))),
        Err(error) => Err(error.into()),
    }
}

/// Calls in progress, and missed ones that nobody has called back.
async fn first(visit: &Visit, is_first: bool) -> Result<(CallList, CallList), Fault> {
    if !is_first {
        return Ok((CallList::default(), CallList::default()));
    }
    let (active, missed) = try_join(
        calls(visit, &[("status", "active")], "", FIRST),
        calls(visit, &[("calledBack", "false")], "", FIRST),
    )
    .await?;
    Ok((active.0, missed.0))
}

/// The users to choose from.
async fn users(visit: &Visit) -> Result<Vec<Entity>, Fault> {
    let path = format!("{}{}", visit.api("users"), query([("limit", USERS)]));
    match visit.get::<EntityList>(&path).await {
        Ok(found) => Ok(found.items),
        Err(error) if error.is_forbidden() => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

impl Criteria {
    /// The sentence about what was just done, by the address.
    fn done(&self, w: &words::Calls) -> Option<&'static str> {
        (self.fields.text("done") == "dial").then_some(w.dialled)
    }
}

/// A call that was not taken, and the form that asked for it.
struct Dialled {
    number: String,
    user: String,
    reason: String,
}

impl Dial {
    fn new(visit: &Visit, users: &[Entity], failed: Option<&Dialled>) -> Option<Self> {
        let number = failed.map(|failed| failed.number.clone());
        let user = failed.map_or("", |failed| &failed.user);
        visit.may_change().then(|| Self {
            action: visit.page("calls"),
            number: number.unwrap_or_default(),
            users: if visit.session.user.is_some() {
                Vec::new()
            } else {
                user_choices(user, users)
            },
        })
    }
}

/// The reason why the exchange does nothing, for the reader.
fn reason(error: ApiError, w: &words::Calls) -> String {
    if error.code == "notSupported" {
        w.not_supported.to_owned()
    } else {
        error.message
    }
}

/// Asks the exchange for a call.
pub(crate) async fn dial(action: Action) -> Result<Response, Fault> {
    let Action { visit, fields } = action;
    let (number, user) = (fields.text("clientPhone"), fields.text("fromUserId"));
    let mut body = Map::new();
    for (name, value) in [("clientPhone", number), ("fromUserId", user)] {
        if !value.is_empty() {
            body.insert(name.to_owned(), value.into());
        }
    }
    let path = visit.api("communications/call");
    let request = json_request(Method::POST, &path, Some(&Value::Object(body)));
    match collect(visit.raw(request).await).await {
        Ok((_, headers, _)) => {
            let id = headers.get(NEW_CALL).and_then(|id| id.to_str().ok());
            let below =
                id.map_or_else(|| "calls".to_owned(), |id| format!("calls/{}", segment(id)));
            Ok(redirect(&format!("{}?done=dial", visit.page(&below))))
        }
        Err(error) if error.is_refusal() => {
            let failed = Dialled {
                number: number.to_owned(),
                user: user.to_owned(),
                reason: reason(error, words::Calls::of(visit.language)),
            };
            show(&visit, &Criteria::read(None, &visit), Some(failed)).await
        }
        Err(error) => Err(error.into()),
    }
}
