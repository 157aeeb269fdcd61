//! The search over all documents of a company: those that wait for an employee, received, sent, ended ones.

use prichal_core::{
    document::{Actor, Document, Status, Step},
    id::WorkspaceId,
};
use prichal_store::{
    Conn,
    document::{Filter, Place, Position, Side, walk},
};

use crate::error::Result;

/// The maximum number of documents that one search reads. A search that finds little goes on in the next page.
const MAX_READ: usize = 5000;
/// The number of documents that are read at once.
const STRETCH: i64 = 500;

/// A folder of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// Those that wait for a signature or an approval of the employee.
    Waiting,
    /// Those that wait for a signature or an approval of anybody in the company. Drafts are not among them.
    Pending,
    Received,
    /// Sent documents, and internal ones.
    Sent,
    Drafts,
    Finished,
    /// Those that have ended without being finished.
    Refused,
}

impl Folder {
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Pending,
        Self::Received,
        Self::Sent,
        Self::Drafts,
        Self::Finished,
        Self::Refused,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Pending => "pending",
            Self::Received => "received",
            Self::Sent => "sent",
            Self::Drafts => "drafts",
            Self::Finished => "finished",
            Self::Refused => "refused",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The sides, and the statuses there. No status means any.
    const fn places(self) -> &'static [(Side, &'static [Status])] {
        use Side::{Inbox, Internal, Outbox};
        use Status as S;
        match self {
            Self::Waiting => &[
                (Inbox, &[S::InNew, S::InProcessByRecipient]),
                (
                    Outbox,
                    &[S::Draft, S::InProcessBySender, S::WaitingForSender],
                ),
                (Internal, &[S::InProcess]),
            ],
            Self::Pending => &[
                (Inbox, &[S::InNew, S::InProcessByRecipient]),
                (Outbox, &[S::InProcessBySender, S::WaitingForSender]),
                (Internal, &[S::InProcess]),
            ],
            Self::Received => &[(Inbox, &[])],
            Self::Sent => &[
                (
                    Outbox,
                    &[
                        S::InProcessBySender,
                        S::RejectedBySenderEmployee,
                        S::SentBySender,
                        S::RecalledBySender,
                        S::Finished,
                        S::RejectedByRecipient,
                        S::WaitingForSender,
                        S::RejectedBySender,
                    ],
                ),
                (
                    Internal,
                    &[S::InProcess, S::RejectedByEmployee, S::FinishedByCompany],
                ),
            ],
            Self::Drafts => &[(Outbox, &[S::Draft]), (Internal, &[S::Draft])],
            Self::Finished => &[
                (Inbox, &[S::Finished, S::FinishedByCompany]),
                (Outbox, &[S::Finished]),
                (Internal, &[S::FinishedByCompany]),
            ],
            Self::Refused => &[
                (
                    Inbox,
                    &[
                        S::RecalledBySender,
                        S::RejectedByRecipientEmployee,
                        S::RejectedByRecipient,
                        S::RejectedByCompany,
                        S::RejectedBySender,
                    ],
                ),
                (
                    Outbox,
                    &[
                        S::RejectedBySenderEmployee,
                        S::RecalledBySender,
                        S::RejectedByRecipient,
                        S::RejectedBySender,
                    ],
                ),
                (Internal, &[S::RejectedByEmployee]),
            ],
        }
    }
}

/// The criteria of a search.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Every folder, if there is none.
    pub folder: Option<Folder>,
    pub status: Option<Status>,
    /// Text of the name or the number, or a company's number.
    pub text: Option<String>,
    /// The number of another company that takes part.
    pub bin: Option<String>,
    /// Seconds since 1970, both inclusive.
    pub from: Option<i64>,
    pub to: Option<i64>,
    /// The employee for whom documents wait, with the steps that the employee may take.
    pub actor: Option<(Actor, Vec<Step>)>,
}

/// A part of what a search finds.
pub struct Found {
    pub documents: Vec<Document>,
    /// The position behind which the search goes on. `None` at the end.
    pub next: Option<Position>,
}

impl Search {
    fn places(&self) -> Vec<Place> {
        let all: &[(Side, &[Status])] = match self.folder {
            Some(folder) => folder.places(),
            None => &[
                (Side::Inbox, &[]),
                (Side::Outbox, &[]),
                (Side::Internal, &[]),
            ],
        };
        let of = |(side, statuses): &(Side, &[Status])| match self.status {
            None => Some((*side, statuses.to_vec())),
            Some(one) if statuses.is_empty() || statuses.contains(&one) => Some((*side, vec![one])),
            Some(_) => None,
        };
        all.iter().filter_map(of).collect()
    }

    fn fits(&self, document: &Document, viewer: WorkspaceId) -> bool {
        let text = self.text.as_deref();
        let bin = self.bin.as_deref();
        text.is_none_or(|text| document.mentions(text))
            && bin.is_none_or(|bin| document.is_with(bin, viewer))
            && (self.folder != Some(Folder::Waiting) || self.waits(document))
    }

    fn waits(&self, document: &Document) -> bool {
        let Some((actor, may)) = &self.actor else {
            return false;
        };
        let steps = document.steps(*actor);
        let mut awaited = Step::AWAITED.into_iter();
        awaited.any(|step| may.contains(&step) && steps.contains(&step))
    }

    /// True if every document of the places fits.
    fn is_plain(&self) -> bool {
        self.text.is_none() && self.bin.is_none() && self.folder != Some(Folder::Waiting)
    }
}

/// Finds documents, the latest date first, from behind `before` on.
pub fn find(
    conn: &mut Conn,
    viewer: WorkspaceId,
    search: &Search,
    before: Option<Position>,
    limit: usize,
) -> Result<Found> {
    let places = search.places();
    let filter = Filter {
        from: search.from,
        to: search.to,
        ..Filter::default()
    };
    let stretch = match i64::try_from(limit) {
        Ok(limit) if search.is_plain() => limit + 1,
        _ => STRETCH,
    };
    let (mut documents, mut at, mut seen) = (Vec::new(), before, 0);
    loop {
        let read = walk(conn, viewer, &places, &filter, at, stretch)?;
        let is_last = i64::try_from(read.len()).is_ok_and(|len| len < stretch);
        for document in read {
            if documents.len() == limit || seen == MAX_READ {
                return Ok(Found {
                    documents,
                    next: at,
                });
            }
            at = Some((document.date, document.id));
            seen += 1;
            if search.fits(&document, viewer) {
                documents.push(document);
            }
        }
        if is_last {
            return Ok(Found {
                documents,
                next: None,
            });
        }
    }
}
