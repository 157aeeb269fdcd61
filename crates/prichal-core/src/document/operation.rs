//! Operations on a document: the table of transitions (`docs/contracts/idocs.md §2.2`).

use super::{
    Action, Direction, Document, Fate, Internal, Kind, NewRoute, Recipient, Route, Status,
};
use crate::id::{UserId, WorkspaceId};

/// The employee who acts, and the company for which the employee acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actor {
    pub company: WorkspaceId,
    pub employee: UserId,
}

/// An action on a document.
#[derive(Clone, Debug)]
pub enum Operation {
    /// The sender's route without internal nodes. The document is sent when the sender signs it.
    QuickRoute(NewRoute),
    /// The sender's full route. It starts at once.
    Route(NewRoute),
    /// The route of an internal document.
    InternalRoute(Internal),
    /// A recipient's internal route. Its employees act before the company signs.
    InboxRoute(Internal),
    /// A valid signature of the sender (outbox) or of a recipient (inbox).
    Sign(Direction),
    /// An employee takes the action of a node, or refuses with [`Action::Reject`].
    Act {
        action: Action,
        reason: Option<String>,
    },
    /// The sender takes the document back.
    Recall { reason: Option<String> },
    /// A recipient refuses the document.
    Reject { reason: Option<String> },
    /// The sender refuses to give the last signature.
    Decline { reason: Option<String> },
}

/// The reason why an operation is refused. A refused operation changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The document does not exist for this company.
    NotVisible,
    /// The operation exists for this other kind of document only.
    WrongKind(Kind),
    /// The operation is not possible in this status.
    WrongStatus {
        status: Status,
        /// The statuses in which it is. Empty if the status alone does not decide.
        allowed: &'static [Status],
    },
    /// No node of the internal route waits for this employee.
    NotYourTurn,
    /// The node requires this action.
    WrongAction(Action),
    /// Internal nodes must act first.
    InternalFirst,
}

impl Refusal {
    /// The status, with other facts, does not allow the operation.
    pub(super) const fn wrong_status(status: Status) -> Self {
        Self::WrongStatus {
            status,
            allowed: &[],
        }
    }
}

/// A change of the status that a company sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub viewer: WorkspaceId,
    /// `None` if the company did not see the document before.
    pub previous: Option<Status>,
    pub status: Status,
}

/// Collects the status changes of all companies. A step of an operation is followed by [`Self::record`].
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
    /// Applies an operation at `at`, in seconds since 1970, and returns the status changes in order. A refused
    /// operation changes nothing.
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

    /// Checks that [`Operation::Sign`] would be accepted now. The check precedes the download of the content to sign.
    pub fn may_sign(&self, actor: Actor, side: Direction) -> Result<(), Refusal> {
        self.allow(actor, &Operation::Sign(side))
    }

    /// Checks an operation against the table of transitions.
    pub(super) fn allow(&self, actor: Actor, operation: &Operation) -> Result<(), Refusal> {
        let status = self.status(actor.company).ok_or(Refusal::NotVisible)?;
        let side = self.direction(actor.company).ok_or(Refusal::NotVisible)?;
        let on_side = |wanted: Direction| {
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
                Err(Refusal::WrongKind(kind))
            }
        };
        let in_status = |allowed: &'static [Status]| {
            if allowed.contains(&status) {
                Ok(())
            } else {
                Err(Refusal::WrongStatus { status, allowed })
            }
        };
        match operation {
            Operation::QuickRoute(_) | Operation::Route(_) => {
                on_side(Direction::Outbox)?;
                of_kind(Kind::External)?;
                in_status(&[Status::Draft])
            }
            Operation::InternalRoute(_) => {
                on_side(Direction::Outbox)?;
                of_kind(Kind::Internal)?;
                in_status(&[Status::Draft])
            }
            Operation::InboxRoute(_) => {
                on_side(Direction::Inbox)?;
                in_status(&[Status::InNew])
            }
            Operation::Sign(wanted) => {
                on_side(*wanted)?;
                self.allow_signature(actor, status)
            }
            Operation::Act { action, .. } => self.allow_act(actor, *action, status),
            Operation::Recall { .. } => {
                on_side(Direction::Outbox)?;
                of_kind(Kind::External)?;
                in_status(&[Status::SentBySender])?;
                let unsigned = self.route.as_ref().is_some_and(Route::is_unsigned);
                if unsigned {
                    Ok(())
                } else {
                    Err(Refusal::wrong_status(status))
                }
            }
            Operation::Reject { .. } => {
                on_side(Direction::Inbox)?;
                in_status(&[
                    Status::InNew,
                    Status::InProcessByRecipient,
                    Status::RejectedByRecipientEmployee,
                ])
            }
            Operation::Decline { .. } => {
                on_side(Direction::Outbox)?;
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
            _ => Err(Refusal::wrong_status(status)),
        }
    }

    fn allow_act(&self, actor: Actor, action: Action, status: Status) -> Result<(), Refusal> {
        if !self.may_act_internally(actor.company) {
            return Err(Refusal::wrong_status(status));
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
        let is_sender = actor.company == self.sender.company;
        let Some(node) = self
            .internal_mut(actor.company)
            .and_then(|all| all.active_mut(actor.employee))
        else {
            return;
        };
        if action == Action::Reject {
            node.state.refuse(at, reason.clone());
            if is_sender {
                self.fate = Some(Fate::Employee { reason });
            }
            return;
        }
        node.state.complete(at);
        if action == Action::Sign {
            self.note_signature(actor.company);
        }
        if is_sender {
            self.advance_sender(watch, at);
        } else {
            self.advance_recipient(actor.company, watch, at);
        }
    }

    /// Records that a company has signed. The signature of a node counts for its company.
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
            // The status is recorded before nodes that are only informed are completed, so that viewers see it, too.
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

    /// Advances a recipient's nodes. The company's part is complete once all nodes are complete and one of them has
    /// signed.
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

    /// Opens the document to the recipients in their order, up to the first one that has to sign.
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
