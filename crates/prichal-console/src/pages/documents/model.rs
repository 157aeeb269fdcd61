//! Documents as the API tells them, and the words for what it says.

use std::collections::HashMap;

use http::Method;
use prichal_core::time::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::{
    answer::Fault,
    api::segment,
    moment::Moment,
    parts::{State, Tone, visible},
    visit::Visit,
    words,
};

/// A page of documents (`GET /documents/v1/documents`).
#[derive(Default, Deserialize)]
pub(super) struct DocumentList {
    pub(super) items: Vec<Document>,
    pub(super) next: Option<String>,
}

/// A document in a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) id: String,
    pub(super) document_name: String,
    pub(super) document_number: String,
    pub(super) document_date: i64,
    pub(super) document_group: String,
    pub(super) document_author_employee_id: String,
    pub(super) created_on: i64,
    pub(super) document_status: String,
    pub(super) document_direction: String,
    pub(super) is_internal: bool,
    pub(super) sender: Party,
    pub(super) recipients: Vec<Party>,
}

/// A company that takes part.
#[derive(Clone, Deserialize)]
pub(super) struct Party {
    pub(super) bin: String,
    pub(super) name: String,
}

impl Party {
    /// The name, or the BIN of a company without one.
    pub(super) fn shown(&self) -> String {
        match self.name.trim() {
            "" => self.bin.clone(),
            name => visible(name),
        }
    }

    /// The name with the BIN.
    pub(super) fn full(&self) -> String {
        match self.name.trim() {
            "" => self.bin.clone(),
            name => format!("{} ({})", visible(name), self.bin),
        }
    }
}

/// The statuses of documents, in the order of a filter.
pub(super) const STATUSES: [&str; 15] = [
    "DRAFT",
    "IN_NEW",
    "IN_PROCESS",
    "IN_PROCESS_BY_SENDER",
    "IN_PROCESS_BY_RECIPIENT",
    "SENT_BY_SENDER",
    "WAITING_FOR_SENDER",
    "FINISHED",
    "FINISHED_BY_COMPANY",
    "RECALLED_BY_SENDER",
    "REJECTED_BY_RECIPIENT",
    "REJECTED_BY_COMPANY",
    "REJECTED_BY_SENDER",
    "REJECTED_BY_SENDER_EMPLOYEE",
    "REJECTED_BY_EMPLOYEE",
];

/// The state of a document with a status. A status of a later server is shown as nothing special.
pub(super) fn state(status: &str, w: &'static words::Documents) -> State {
    let (tone, word) = match status {
        "DRAFT" => (Tone::Off, w.draft),
        "IN_NEW" => (Tone::Waiting, w.in_new),
        "IN_PROCESS" => (Tone::Waiting, w.in_process),
        "IN_PROCESS_BY_SENDER" => (Tone::Waiting, w.in_process_by_sender),
        "IN_PROCESS_BY_RECIPIENT" => (Tone::Waiting, w.in_process_by_recipient),
        "SENT_BY_SENDER" => (Tone::Waiting, w.sent_by_sender),
        "WAITING_FOR_SENDER" => (Tone::Waiting, w.waiting_for_sender),
        "FINISHED" | "FINISHED_EDITABLE" => (Tone::Good, w.finished),
        "FINISHED_BY_COMPANY" => (Tone::Good, w.finished_by_company),
        "RECALLED_BY_SENDER" => (Tone::Off, w.recalled_by_sender),
        "REJECTED_BY_RECIPIENT" => (Tone::Bad, w.rejected_by_recipient),
        "REJECTED_BY_COMPANY" => (Tone::Bad, w.rejected_by_company),
        "REJECTED_BY_SENDER" => (Tone::Bad, w.rejected_by_sender),
        "REJECTED_BY_SENDER_EMPLOYEE"
        | "REJECTED_BY_RECIPIENT_EMPLOYEE"
        | "REJECTED_BY_EMPLOYEE" => (Tone::Bad, w.rejected_by_employee),
        _ => (Tone::Off, w.unknown),
    };
    State { tone, word }
}

/// The subjects of documents, with their words.
pub(super) fn groups(w: &'static words::Documents) -> [(&'static str, &'static str); 10] {
    [
        ("Legal", w.group_legal),
        ("Accounting", w.group_accounting),
        ("Financial", w.group_financial),
        ("Purchase", w.group_purchase),
        ("Warehouse", w.group_warehouse),
        ("HR", w.group_hr),
        ("Organizational", w.group_organizational),
        ("Constitutive", w.group_constitutive),
        ("Paperwork", w.group_paperwork),
        ("General", w.group_general),
    ]
}

/// A time of the API, in seconds since 1970.
pub(super) fn moment(secs: i64, visit: &Visit) -> Moment {
    let at = Timestamp::from_micros(secs.saturating_mul(1_000_000));
    Moment::new(at, &visit.workspace.zone)
}

/// The date of a document. It is a day in UTC.
pub(super) fn day(secs: i64) -> String {
    let at = Timestamp::from_micros(secs.saturating_mul(1_000_000));
    Moment::new(at, &jiff::tz::TimeZone::UTC).day
}

/// A line of a list.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) state: State,
    pub(super) day: String,
    pub(super) number: String,
    pub(super) name: String,
    /// The other companies.
    pub(super) with: String,
    pub(super) way: &'static str,
}

impl Row {
    pub(super) fn new(
        document: &Document,
        employee: &str,
        visit: &Visit,
        w: &'static words::Documents,
    ) -> Self {
        let path = format!("documents/{}", segment(&document.id));
        let employee = crate::api::query([("employee", employee)]);
        let (way, with) = match &*document.document_direction {
            _ if document.is_internal => (w.internal, String::new()),
            "Inbox" => (w.from_company, document.sender.shown()),
            _ if document.recipients.is_empty() => ("", String::new()),
            _ => {
                let names: Vec<String> = document.recipients.iter().map(Party::shown).collect();
                (w.to_companies, names.join(", "))
            }
        };
        Self {
            href: format!("{}{employee}", visit.page(&path)),
            state: state(&document.document_status, w),
            day: day(document.document_date),
            number: visible(&document.document_number),
            name: visible(&document.document_name),
            with,
            way,
        }
    }
}

/// The employees of the company by their ids, as far as the session may see them.
#[derive(Default)]
pub(super) struct Employees {
    names: HashMap<String, String>,
    /// The ids in the order of the API.
    order: Vec<String>,
}

#[derive(Deserialize)]
struct Answer<T> {
    response: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmployeePage {
    page_items: Vec<Employee>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Employee {
    id: String,
    #[serde(default)]
    full_name: Option<String>,
}

impl Employees {
    /// Reads the first hundred. A session without the permission sees none.
    pub(super) async fn read(visit: &Visit) -> Result<Self, Fault> {
        let path = "/api/v3/sync/references/company-employees";
        let asked = visit
            .send::<Answer<EmployeePage>>(Method::POST, path, &json!({ "top": 100 }))
            .await;
        let found = match asked {
            Ok(found) => found.response.page_items,
            Err(error) if error.is_forbidden() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let order = found.iter().map(|one| one.id.clone()).collect();
        let pairs = found.into_iter().map(|one| {
            let name = one.full_name.filter(|name| !name.trim().is_empty());
            (one.id.clone(), name.unwrap_or(one.id))
        });
        let mut names: HashMap<_, _> = pairs.collect();
        if let Some(user) = visit.session.user {
            let name = || visit.session.name.clone();
            names.entry(user.to_string()).or_insert_with(name);
        }
        Ok(Self { names, order })
    }

    /// The name of an employee; the id of an unknown one.
    pub(super) fn name(&self, id: &str) -> String {
        self.find(id).unwrap_or_else(|| visible(id))
    }

    /// The name of a known employee.
    pub(super) fn find(&self, id: &str) -> Option<String> {
        self.names.get(id).map(|name| visible(name))
    }

    /// The ids and names.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.order.iter().filter_map(|id| {
            let name = self.names.get(id)?;
            Some((id.as_str(), name.as_str()))
        })
    }
}

/// The employee as whom the session acts: itself, or for an administrator the one that the page names.
pub(super) fn acting<'a>(visit: &Visit, named: &'a str) -> std::borrow::Cow<'a, str> {
    match visit.session.user {
        Some(user) => user.to_string().into(),
        None => named.into(),
    }
}
