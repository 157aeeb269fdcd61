//! E-documents: their vocabulary, their state, and the status that each company sees (`docs/contracts/idocs.md §1.4,
//! §2`).
//!
//! A document is stored once, for all parties. Its route lists the parties that act and their progress.
//! [`Document::status`] computes the status that a company sees. [`Document::apply`] applies an operation, or refuses
//! it and changes nothing.

mod format;
pub mod limits;
mod operation;
mod route;
pub mod snapshot;
mod step;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    id::{UserId, WorkspaceId},
    words::{serde_by_name, words},
};

pub use format::FormatCheck;
pub use operation::{Actor, Change, Operation, Refusal};
pub use route::{ActionNode, Internal, NewRoute, NodeState, Recipient, Route};
pub use step::Step;

words! {
    /// The subject of a document. Numbers on the wire begin with 1.
    Group {
        Accounting "Accounting", Financial "Financial", Legal "Legal", Constitutive "Constitutive", Hr "HR",
        Paperwork "Paperwork", Purchase "Purchase", Warehouse "Warehouse", Organizational "Organizational",
        General "General",
    }
}

words! {
    /// The status of a document as one company sees it, in the order of the numbers on the wire, from 0.
    Status {
        None "NONE", Draft "DRAFT", InProcess "IN_PROCESS", InProcessBySender "IN_PROCESS_BY_SENDER",
        RejectedBySenderEmployee "REJECTED_BY_SENDER_EMPLOYEE", SentBySender "SENT_BY_SENDER",
        RecalledBySender "RECALLED_BY_SENDER", InNew "IN_NEW", InProcessByRecipient "IN_PROCESS_BY_RECIPIENT",
        RejectedByRecipientEmployee "REJECTED_BY_RECIPIENT_EMPLOYEE", Finished "FINISHED",
        RejectedByRecipient "REJECTED_BY_RECIPIENT", RejectedByCompany "REJECTED_BY_COMPANY",
        WaitingForSender "WAITING_FOR_SENDER", RejectedBySender "REJECTED_BY_SENDER",
        RejectedByEmployee "REJECTED_BY_EMPLOYEE", FinishedByCompany "FINISHED_BY_COMPANY",
        FinishedEditable "FINISHED_EDITABLE",
    }
}

words! {
    /// The side of a document on which a company is, numbered from 0.
    Direction { Inbox "Inbox", Outbox "Outbox" }
}

words! {
    /// The order in which the nodes of a route act, numbered from 0.
    Ordering { None "NONE", Parallel "PARALLEL", Sequential "SEQUENTIAL" }
}

words! {
    /// The action that a node of a route asks for, or that was taken, numbered from 0.
    Action { Sign "SIGN", Approve "APPROVE", Inform "INFORM", Reject "REJECT" }
}

impl Action {
    /// The permission that an employee needs for the action.
    pub const fn permission(self) -> Option<&'static str> {
        match self {
            Self::Sign => Some("DOCUMENT_SIGN"),
            Self::Approve => Some("DOCUMENT_APPROVE"),
            Self::Reject => Some("DOCUMENT_REJECT"),
            Self::Inform => None,
        }
    }
}

words! {
    /// The progress of a node, numbered from 0.
    NodeStatus {
        NotStarted "NotStarted", Active "Active", Done "CompletedWithOk", Refused "CompletedWithFail",
    }
}

serde_by_name!(Group Status Ordering Action NodeStatus);

/// The scope of a document. An external document is sent to other companies, an internal one is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    External,
    Internal,
}

/// A company that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    pub company: WorkspaceId,
    pub bin: String,
}

/// A document with its route, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    pub id: Uuid,
    pub kind: Kind,
    pub sender: Party,
    pub name: String,
    pub number: String,
    /// Seconds since 1970.
    pub date: i64,
    pub group: Group,
    /// An employee of the sender.
    pub author: UserId,
    /// Seconds since 1970.
    pub created_on: i64,
    /// The originals, by the ids of their blobs.
    pub contents: Vec<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<Route>,
    /// The way in which the document ended, if it ended without being finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fate: Option<Fate>,
}

/// The way in which a document ended without being finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "camelCase")]
pub enum Fate {
    /// The sender took it back.
    Recalled { reason: Option<String> },
    /// A recipient refused it.
    Refused {
        company: WorkspaceId,
        reason: Option<String>,
    },
    /// The sender refused to give the last signature.
    Declined { reason: Option<String> },
    /// An employee of the sender refused the document before it was sent, or a participant refused an internal
    /// document.
    Employee { reason: Option<String> },
}

impl Fate {
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Recalled { reason }
            | Self::Refused { reason, .. }
            | Self::Declined { reason }
            | Self::Employee { reason } => reason.as_deref(),
        }
    }
}

impl Document {
    /// The side on which a company is; `None` if it does not see the document.
    pub fn direction(&self, viewer: WorkspaceId) -> Option<Direction> {
        if viewer == self.sender.company {
            return Some(Direction::Outbox);
        }
        let recipient = self.recipient(viewer)?;
        recipient.is_open().then_some(Direction::Inbox)
    }

    /// The status as a company sees it; `None` if it does not see the document.
    pub fn status(&self, viewer: WorkspaceId) -> Option<Status> {
        match self.direction(viewer)? {
            Direction::Outbox => Some(self.sender_status()),
            Direction::Inbox => self.recipient(viewer).map(|one| self.recipient_status(one)),
        }
    }

    /// The companies that see the document, beginning with the sender.
    pub fn viewers(&self) -> impl Iterator<Item = WorkspaceId> {
        let open = self.recipients().iter().filter(|one| one.is_open());
        std::iter::once(self.sender.company).chain(open.map(|one| one.party.company))
    }

    pub fn recipients(&self) -> &[Recipient] {
        self.route
            .as_ref()
            .map_or(&[], |route| route.recipients.as_slice())
    }

    pub fn recipient(&self, company: WorkspaceId) -> Option<&Recipient> {
        let mut all = self.recipients().iter();
        all.find(|one| one.party.company == company)
    }

    /// The reason of the refusal, as a company sees it. `None` if no reason was given.
    pub fn reason(&self, viewer: WorkspaceId) -> Option<&str> {
        if let Some(fate) = &self.fate {
            return fate.reason();
        }
        let refused = self.internal(viewer)?.nodes.iter();
        let mut refused = refused.filter(|node| node.state.status == NodeStatus::Refused);
        refused.next()?.state.reason.as_deref()
    }

    /// The internal route of the sender or of a recipient.
    pub fn internal(&self, company: WorkspaceId) -> Option<&Internal> {
        if company == self.sender.company {
            return self
                .route
                .as_ref()
                .and_then(|route| route.internal.as_ref());
        }
        self.recipient(company)?.internal.as_ref()
    }

    /// True while the sender may change the route.
    fn is_draft(&self) -> bool {
        let waits = |route: &Route| route.quick && !route.sent;
        self.fate.is_none() && self.route.as_ref().is_none_or(waits)
    }

    fn sender_status(&self) -> Status {
        match &self.fate {
            Some(Fate::Recalled { .. }) => return Status::RecalledBySender,
            Some(Fate::Refused { .. }) => return Status::RejectedByRecipient,
            Some(Fate::Declined { .. }) => return Status::RejectedBySender,
            Some(Fate::Employee { .. }) => {
                return match self.kind {
                    Kind::External => Status::RejectedBySenderEmployee,
                    Kind::Internal => Status::RejectedByEmployee,
                };
            }
            None => {}
        }
        let Some(route) = self.route.as_ref().filter(|_| !self.is_draft()) else {
            return Status::Draft;
        };
        match self.kind {
            Kind::Internal if route.internal.as_ref().is_none_or(Internal::is_done) => {
                Status::FinishedByCompany
            }
            Kind::Internal => Status::InProcess,
            Kind::External if !route.sent => Status::InProcessBySender,
            Kind::External if !route.recipients_done() => Status::SentBySender,
            Kind::External if route.waits_for_sender() => Status::WaitingForSender,
            Kind::External => Status::Finished,
        }
    }

    fn recipient_status(&self, recipient: &Recipient) -> Status {
        match &self.fate {
            Some(Fate::Recalled { .. }) => return Status::RecalledBySender,
            Some(Fate::Refused { company, .. }) if *company == recipient.party.company => {
                return Status::RejectedByRecipient;
            }
            Some(Fate::Refused { .. }) => return Status::RejectedByCompany,
            Some(Fate::Declined { .. }) => return Status::RejectedBySender,
            Some(Fate::Employee { .. }) | None => {}
        }
        if recipient.state.status == NodeStatus::Done {
            let all = self.route.as_ref();
            let all = all.is_some_and(|route| route.recipients_done() && !route.waits_for_sender());
            return if all {
                Status::Finished
            } else {
                Status::FinishedByCompany
            };
        }
        match &recipient.internal {
            None => Status::InNew,
            Some(internal) if internal.is_refused() => Status::RejectedByRecipientEmployee,
            Some(_) => Status::InProcessByRecipient,
        }
    }
}

#[cfg(test)]
mod tests;
