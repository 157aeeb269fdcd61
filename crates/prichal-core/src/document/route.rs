//! Routes: the parties that act on a document, their order and their progress.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Action, NodeStatus, Ordering, Party};
use crate::id::UserId;

/// The route of a document: through the sender's own employees, then to the recipients.
#[expect(clippy::struct_excessive_bools, reason = "four independent facts")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// True for a quick route: the document is sent when the sender signs it, without internal nodes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quick: bool,
    pub ordering: Ordering,
    pub sign_by_sender: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub signed_by_sender: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub sent: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Recipient>,
    /// The sender's own nodes, or those of an internal document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<Internal>,
}

/// A route to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoute {
    pub ordering: Ordering,
    pub sign_by_sender: bool,
    pub recipients: Vec<Recipient>,
    pub internal: Option<Internal>,
}

/// A company that a document is sent to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub order: i32,
    #[serde(flatten)]
    pub party: Party,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub individual: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<String>,
    pub sign_required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org_unit: Option<Uuid>,
    /// True if the company has signed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub signed: bool,
    #[serde(flatten)]
    pub state: NodeState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<Internal>,
}

/// Employees of one company who have to act on a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Internal {
    pub ordering: Ordering,
    pub nodes: Vec<ActionNode>,
}

/// An employee who has to act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionNode {
    pub order: i32,
    pub employee: UserId,
    pub action: Action,
    #[serde(flatten)]
    pub state: NodeState,
}

/// The progress of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    pub status: NodeStatus,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_on: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            status: NodeStatus::NotStarted,
            completed_on: None,
            reason: None,
        }
    }
}

impl NodeState {
    pub(super) fn complete(&mut self, at: i64) {
        self.status = NodeStatus::Done;
        self.completed_on = Some(at);
    }

    pub(super) fn refuse(&mut self, at: i64, reason: Option<String>) {
        self.status = NodeStatus::Refused;
        self.completed_on = Some(at);
        self.reason = reason;
    }
}

/// A node of a route: it has an order and a state.
trait Node {
    fn order(&self) -> i32;
    fn state(&mut self) -> &mut NodeState;
    /// True for a node that is done as soon as it is reached.
    fn asks_nothing(&self) -> bool;
}

impl Node for Recipient {
    fn order(&self) -> i32 {
        self.order
    }

    fn state(&mut self) -> &mut NodeState {
        &mut self.state
    }

    fn asks_nothing(&self) -> bool {
        !self.sign_required
    }
}

impl Node for ActionNode {
    fn order(&self) -> i32 {
        self.order
    }

    fn state(&mut self) -> &mut NodeState {
        &mut self.state
    }

    fn asks_nothing(&self) -> bool {
        self.action == Action::Inform
    }
}

/// Opens the next nodes. In sequence, those of the lowest order that is not done; else all.
fn open<N: Node>(nodes: &mut [N], ordering: Ordering) {
    let next = nodes
        .iter_mut()
        .filter_map(|node| (node.state().status != NodeStatus::Done).then(|| node.order()))
        .min();
    for node in nodes {
        let reached = ordering != Ordering::Sequential || Some(node.order()) == next;
        if reached && node.state().status == NodeStatus::NotStarted {
            node.state().status = NodeStatus::Active;
        }
    }
}

/// Completes the open nodes that ask for nothing. Returns false if there were none.
fn pass<N: Node>(nodes: &mut [N], at: i64) -> bool {
    let mut passed = false;
    for node in nodes {
        if node.asks_nothing() && node.state().status == NodeStatus::Active {
            node.state().complete(at);
            passed = true;
        }
    }
    passed
}

impl Route {
    pub(super) fn recipients_done(&self) -> bool {
        self.recipients
            .iter()
            .all(|one| one.state.status == NodeStatus::Done)
    }

    pub(super) fn waits_for_sender(&self) -> bool {
        self.sign_by_sender && !self.signed_by_sender
    }

    /// True while no recipient has signed.
    pub(super) fn is_unsigned(&self) -> bool {
        !self.recipients.iter().any(|one| one.signed)
    }

    /// Opens the document to the next recipients.
    pub(super) fn open_recipients(&mut self) {
        open(&mut self.recipients, self.ordering);
    }

    /// Completes the open recipients that need not sign. Returns false if there were none.
    pub(super) fn pass_recipients(&mut self, at: i64) -> bool {
        pass(&mut self.recipients, at)
    }
}

impl Recipient {
    /// True once the company has the document.
    pub fn is_open(&self) -> bool {
        self.state.status != NodeStatus::NotStarted
    }
}

impl Internal {
    pub fn is_done(&self) -> bool {
        self.nodes
            .iter()
            .all(|node| node.state.status == NodeStatus::Done)
    }

    pub fn is_refused(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.state.status == NodeStatus::Refused)
    }

    /// Opens the next nodes. Nodes that are only informed are done at once.
    pub(super) fn advance(&mut self, at: i64) {
        loop {
            open(&mut self.nodes, self.ordering);
            if !pass(&mut self.nodes, at) {
                break;
            }
        }
    }

    /// The node at which an employee may act now.
    pub fn active(&self, employee: UserId) -> Option<&ActionNode> {
        let active = |node: &&ActionNode| {
            node.employee == employee && node.state.status == NodeStatus::Active
        };
        self.nodes
            .iter()
            .filter(active)
            .min_by_key(|node| node.order)
    }

    pub(super) fn active_mut(&mut self, employee: UserId) -> Option<&mut ActionNode> {
        let active = |node: &&mut ActionNode| {
            node.employee == employee && node.state.status == NodeStatus::Active
        };
        let mut found: Vec<&mut ActionNode> = self.nodes.iter_mut().filter(active).collect();
        found.sort_by_key(|node| node.order);
        found.into_iter().next()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}
