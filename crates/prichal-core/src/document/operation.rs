//! Operations on a document: the table of transitions (`docs/contracts/idocs.md §2.2`).

use super::{
    Action, Direction, Document, Fate, Internal, Kind, NewRoute, Recipient, Route, Status,
};
use crate::id::{UserId, WorkspaceId};

/// The employee who acts, and the company he acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub company: WorkspaceId,
    pub employee: UserId,
}

/// An action on a document.
#[derive(Clone, Debug)]
pub enum Operation {
    /// The sender's route without nodes of his own; the document leaves with his signature.
    QuickRoute(NewRoute),
    /// The sender's full route, which starts at once.
    Route(NewRoute),
    /// The route of an internal document.
    InternalRoute(Internal),
    /// A recipient routes the document through his employees first.
    InboxRoute(Internal),
    /// A checked signature, given from this side.
    Sign(Direction),
    /// An employee acts as his node asks, or refuses with [`Action::Reject`].
    Act {
        action: Action,
        reason: Option<String>,
    },
    /// The sender takes the document back.
    Recall { reason: Option<String> },
    /// A recipient refuses the document.
    Reject { reason: Option<String> },
    /// The sender does not give the last signature.
    Decline { reason: Option<String> },
}

/// The reason why an operation is refused. The document is unchanged then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The document does not exist for this company.
    NotVisible,
    /// Not for this kind of document.
    WrongKind,
    /// Not in this status.
    WrongStatus(Status),
    /// No node of the internal route waits for this employee.
    NotYourTurn,
    /// The node asks for something else.
    WrongAction(Action),
    /// Internal nodes must act first.
    InternalFirst,
}

/// A change of the status that a company sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub viewer: WorkspaceId,
    /// `None`: the company did not see the document before.
    pub previous: Option<Status>,
    pub status: Status,
}

/// Collects the changes of status, company by company, step by step.
struct StatusWatch {
    seen: Vec<(WorkspaceId, Status)>,
    changes: Vec<Change>,
}

impl StatusWatch {
    fn new(document: &Document) -> Self {
        let seen = |viewer| document.status(viewer).map(|status| (viewer, status));
        Self {
            seen: document.viewers().filter_map(seen).collect(),
            changes: Vec::new(),
        }
    }

    fn record(&mut self, document: &Document) {
        for viewer in document.viewers() {
            let Some(status) = document.status(viewer) else {
                continue;
            };
            let seen = self.seen.iter_mut().find(|(known, _)| *known == viewer);
            let previous = match seen {
                Some((_, before)) if *before == status => continue,
                Some((_, before)) => Some(std::mem::replace(before, status)),
                None => {
                    self.seen.push((viewer, status));
                    None
                }
            };
            self.changes.push(Change {
                viewer,
                previous,
                status,
            });
        }
    }
}

impl Document {
    /// Applies an operation at `at`, in seconds since 1970, and returns the changes of status in order. A
    /// refusal leaves the document as it was.
    pub fn apply(
        &mut self,
        actor: Actor,
        operation: Operation,
        at: i64,
    ) -> Result<Vec<Change>, Refusal> {
        self.allow(actor, &operation)?;
        let mut watch = StatusWatch::new(self);
        match operation {
            Operation::QuickRoute(new) => {
                self.route = Some(Route::new(new, true));
            }
            Operation::Route(new) => {
                self.route = Some(Route::new(new, false));
                self.advance_sender(&mut watch, at);
            }
            Operation::InternalRoute(internal) => {
                let new = NewRoute {
                    ordering: internal.ordering,
                    sign_by_sender: false,
                    recipients: Vec::new(),
                    internal: Some(internal),
                };
                self.route = Some(Route::new(new, false));
                self.advance_sender(&mut watch, at);
            }
            Operation::InboxRoute(internal) => {
                if let Some(recipient) = self.recipient_mut(actor.company) {
                    recipient.internal = Some(internal);
                }
                watch.record(self);
                self.advance_recipient(actor.company, &mut watch, at);
            }
            Operation::Sign(_) => self.sign(actor, &mut watch, at),
            Operation::Act { action, reason } => self.act(actor, action, reason, &mut watch, at),
            Operation::Recall { reason } => self.fate = Some(Fate::Recalled { reason }),
            Operation::Reject { reason } => {
                if let Some(recipient) = self.recipient_mut(actor.company) {
                    recipient.state.refuse(at, reason.clone());
                }
                let company = actor.company;
                self.fate = Some(Fate::Refused { company, reason });
            }
            Operation::Decline { reason } => self.fate = Some(Fate::Declined { reason }),
        }
        watch.record(self);
        Ok(watch.changes)
    }

    /// Checks that a signature of this employee, from this side, would be taken now. The check precedes
    /// the download of the content to sign.
    pub fn may_sign(&self, actor: Actor, side: Direction) -> Result<(), Refusal> {
        self.allow(actor, &Operation::Sign(side))
    }

    /// Checks an operation against the table.
    fn allow(&self, actor: Actor, operation: &Operation) -> Result<(), Refusal> {
        let status = self.status(actor.company).ok_or(Refusal::NotVisible)?;
        let side = self.direction(actor.company).ok_or(Refusal::NotVisible)?;
        let from = |wanted: Direction| {
            if side == wanted {
                Ok(())
            } else {
                Err(Refusal::NotVisible)
            }
        };
        let of_kind = |kind: Kind| {
            if self.kind == kind {
                Ok(())
            } else {
                Err(Refusal::WrongKind)
            }
        };
        let in_status = |allowed: &[Status]| {
            if allowed.contains(&status) {
                Ok(())
            } else {
                Err(Refusal::WrongStatus(status))
            }
        };
        match operation {
            Operation::QuickRoute(_) | Operation::Route(_) => {
                from(Direction::Outbox)?;
                of_kind(Kind::External)?;
                in_status(&[Status::Draft])
            }
            Operation::InternalRoute(_) => {
                from(Direction::Outbox)?;
                of_kind(Kind::Internal)?;
                in_status(&[Status::Draft])
            }
            Operation::InboxRoute(_) => {
                from(Direction::Inbox)?;
                in_status(&[Status::InNew])
            }
            Operation::Sign(wanted) => {
                from(*wanted)?;
                self.allow_signature(actor, status)
            }
            Operation::Act { action, .. } => self.allow_act(actor, *action, status),
            Operation::Recall { .. } => {
                from(Direction::Outbox)?;
                of_kind(Kind::External)?;
                in_status(&[Status::SentBySender])?;
                let unsigned = self.route.as_ref().is_some_and(Route::is_unsigned);
                if unsigned {
                    Ok(())
                } else {
                    Err(Refusal::WrongStatus(status))
                }
            }
            Operation::Reject { .. } => {
                from(Direction::Inbox)?;
                in_status(&[
                    Status::InNew,
                    Status::InProcessByRecipient,
                    Status::RejectedByRecipientEmployee,
                ])
            }
            Operation::Decline { .. } => {
                from(Direction::Outbox)?;
                of_kind(Kind::External)?;
                in_status(&[Status::WaitingForSender])
            }
        }
    }

    fn allow_signature(&self, actor: Actor, status: Status) -> Result<(), Refusal> {
        let node = self
            .internal(actor.company)
            .and_then(|all| all.active(actor.employee));
        match status {
            Status::Draft if self.route.is_some() => Ok(()),
            Status::WaitingForSender | Status::InNew => Ok(()),
            Status::InProcessByRecipient
                if self.internal(actor.company).is_some_and(Internal::is_done) =>
            {
                Ok(())
            }
            Status::InProcess | Status::InProcessBySender | Status::InProcessByRecipient => {
                match node {
                    Some(node) if node.action == Action::Sign => Ok(()),
                    Some(node) => Err(Refusal::WrongAction(node.action)),
                    None if status == Status::InProcessByRecipient => Err(Refusal::InternalFirst),
                    None => Err(Refusal::NotYourTurn),
                }
            }
            _ => Err(Refusal::WrongStatus(status)),
        }
    }

    fn allow_act(&self, actor: Actor, action: Action, status: Status) -> Result<(), Refusal> {
        if !self.may_act_internally(actor.company) {
            return Err(Refusal::WrongStatus(status));
        }
        let internal = self.internal(actor.company);
        let node = internal.and_then(|all| all.active(actor.employee));
        match node {
            None => Err(Refusal::NotYourTurn),
            Some(_) if action == Action::Reject => Ok(()),
            Some(node) if node.action == action => Ok(()),
            Some(node) => Err(Refusal::WrongAction(node.action)),
        }
    }

    /// True while the nodes of a company's internal route may act.
    fn may_act_internally(&self, company: WorkspaceId) -> bool {
        matches!(
            self.status(company),
            Some(Status::InProcess | Status::InProcessBySender | Status::InProcessByRecipient)
        )
    }

    fn sign(&mut self, actor: Actor, watch: &mut StatusWatch, at: i64) {
        let internal = self.internal(actor.company);
        let node = internal.and_then(|all| all.active(actor.employee));
        if node.is_some_and(|node| node.action == Action::Sign) {
            return self.act(actor, Action::Sign, None, watch, at);
        }
        if actor.company == self.sender.company {
            if let Some(route) = &mut self.route {
                route.signed_by_sender = true;
                if !route.sent {
                    self.send(watch, at);
                }
            }
            return;
        }
        if let Some(recipient) = self.recipient_mut(actor.company) {
            recipient.signed = true;
            recipient.state.complete(at);
        }
        self.advance_recipients(watch, at);
    }

    fn act(
        &mut self,
        actor: Actor,
        action: Action,
        reason: Option<String>,
        watch: &mut StatusWatch,
        at: i64,
    ) {
        let inside = actor.company == self.sender.company;
        let Some(node) = self
            .internal_mut(actor.company)
            .and_then(|all| all.active_mut(actor.employee))
        else {
            return;
        };
        if action == Action::Reject {
            node.state.refuse(at, reason.clone());
            if inside {
                self.fate = Some(Fate::Employee { reason });
            }
            return;
        }
        node.state.complete(at);
        if action == Action::Sign {
            self.note_signature(actor.company);
        }
        if inside {
            self.advance_sender(watch, at);
        } else {
            self.advance_recipient(actor.company, watch, at);
        }
    }

    /// The signature of a node is its company's.
    fn note_signature(&mut self, company: WorkspaceId) {
        if company == self.sender.company {
            if let Some(route) = &mut self.route {
                route.signed_by_sender = true;
            }
        } else if let Some(recipient) = self.recipient_mut(company) {
            recipient.signed = true;
        }
    }

    /// Advances the sender's nodes. After the last one the document is sent.
    fn advance_sender(&mut self, watch: &mut StatusWatch, at: i64) {
        if self.internal(self.sender.company).is_some() {
            // Recorded before nodes that are only informed complete, so that viewers see this status too.
            watch.record(self);
        }
        if let Some(internal) = self.internal_mut(self.sender.company) {
            internal.advance(at);
        }
        let done = internal_done(self.internal(self.sender.company));
        if done && self.kind == Kind::External {
            self.send(watch, at);
        }
    }

    /// Advances a recipient's nodes. The company has signed once all are through and one has signed.
    fn advance_recipient(&mut self, company: WorkspaceId, watch: &mut StatusWatch, at: i64) {
        let Some(recipient) = self.recipient_mut(company) else {
            return;
        };
        if let Some(internal) = &mut recipient.internal {
            internal.advance(at);
        }
        if internal_done(recipient.internal.as_ref()) && recipient.signed {
            recipient.state.complete(at);
            self.advance_recipients(watch, at);
        }
    }

    fn send(&mut self, watch: &mut StatusWatch, at: i64) {
        if let Some(route) = &mut self.route {
            route.sent = true;
        }
        self.advance_recipients(watch, at);
    }

    /// Hands the document on to the recipients in their turn, until one has to sign.
    fn advance_recipients(&mut self, watch: &mut StatusWatch, at: i64) {
        loop {
            let Some(route) = &mut self.route else { return };
            route.open_recipients();
            watch.record(self);
            let Some(route) = &mut self.route else { return };
            if !route.pass_recipients(at) {
                return;
            }
        }
    }

    fn recipient_mut(&mut self, company: WorkspaceId) -> Option<&mut Recipient> {
        let recipients = &mut self.route.as_mut()?.recipients;
        recipients
            .iter_mut()
            .find(|one| one.party.company == company)
    }

    fn internal_mut(&mut self, company: WorkspaceId) -> Option<&mut Internal> {
        if company == self.sender.company {
            return self.route.as_mut()?.internal.as_mut();
        }
        self.recipient_mut(company)?.internal.as_mut()
    }
}

fn internal_done(internal: Option<&Internal>) -> bool {
    internal.is_none_or(Internal::is_done)
}

impl Route {
    fn new(new: NewRoute, quick: bool) -> Self {
        let NewRoute {
            ordering,
            sign_by_sender,
            recipients,
            internal,
        } = new;
        Self {
            quick,
            ordering,
            sign_by_sender,
            signed_by_sender: false,
            sent: false,
            recipients,
            internal: internal.filter(|internal| !internal.nodes.is_empty()),
        }
    }
}
