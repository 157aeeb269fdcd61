//! The steps that somebody may take on a document now, as the table of transitions tells them.

use super::{Action, Actor, Document, Internal, Operation, Ordering, Refusal, Status};
use crate::{
    id::WorkspaceId,
    words::{serde_by_name, words},
};

words! {
    /// A step that an employee may take on a document, under our own names.
    Step {
        Sign "SIGN", Approve "APPROVE",
        /// Refuses as an employee on an internal route.
        Refuse "REFUSE",
        /// Refuses for the company that has received the document.
        Reject "REJECT",
        /// Refuses to give the sender's last signature.
        Decline "DECLINE",
        Recall "RECALL",
        /// Sets the sender's route.
        Route "ROUTE",
        /// Sets the internal route of a received document.
        InboxRoute "INBOX_ROUTE",
        Delete "DELETE",
    }
}

serde_by_name!(Step);

impl Step {
    /// The steps for which a document can wait. The others are there to be taken, but nothing stands still without them.
    pub const AWAITED: [Self; 2] = [Self::Sign, Self::Approve];

    /// The permission that an employee needs for the step.
    pub const fn permission(self) -> &'static str {
        match self {
            Self::Sign => "DOCUMENT_SIGN",
            Self::Approve => "DOCUMENT_APPROVE",
            Self::Refuse | Self::Reject | Self::Decline | Self::Recall => "DOCUMENT_REJECT",
            Self::Route | Self::InboxRoute => "ROUTE_CREATE",
            Self::Delete => "DOCUMENT_CREATE",
        }
    }
}

impl Document {
    /// The steps that an employee with every permission may take now.
    pub fn steps(&self, actor: Actor) -> Vec<Step> {
        let all = Step::ALL.iter().copied();
        all.filter(|step| self.permits(actor, *step).is_ok())
            .collect()
    }

    fn permits(&self, actor: Actor, step: Step) -> Result<(), Refusal> {
        let act = |action| Operation::Act {
            action,
            reason: None,
        };
        let reason = None;
        let operation = match step {
            Step::Sign => {
                let side = self.direction(actor.company);
                return self.may_sign(actor, side.ok_or(Refusal::NotVisible)?);
            }
            // The sender sets a route and deletes as long as the document is a draft.
            Step::Route | Step::Delete => {
                let status = self.status(actor.company).ok_or(Refusal::NotVisible)?;
                return match status {
                    Status::Draft => Ok(()),
                    _ => Err(Refusal::wrong_status(status)),
                };
            }
            Step::InboxRoute => Operation::InboxRoute(Internal {
                ordering: Ordering::None,
                nodes: Vec::new(),
            }),
            Step::Approve => act(Action::Approve),
            Step::Refuse => act(Action::Reject),
            Step::Reject => Operation::Reject { reason },
            Step::Decline => Operation::Decline { reason },
            Step::Recall => Operation::Recall { reason },
        };
        self.allow(actor, &operation)
    }

    /// True if the name, the number or a company's number contains the text, in either case.
    pub fn mentions(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let bins = self.recipients().iter().map(|one| &one.party.bin);
        self.name.to_lowercase().contains(&text)
            || self.number.to_lowercase().contains(&text)
            || bins.chain([&self.sender.bin]).any(|bin| *bin == text)
    }

    /// True if a company with this BIN takes part beside the viewer.
    pub fn is_with(&self, bin: &str, viewer: WorkspaceId) -> bool {
        let recipients = self.recipients().iter().map(|one| &one.party);
        let mut parties = recipients.chain([&self.sender]);
        parties.any(|party| party.company != viewer && party.bin == bin)
    }
}
