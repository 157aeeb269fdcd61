//! The route of a document, drawn as a path, and what is missing on it.

use serde::Deserialize;

use super::model::{Employees, Party};
use crate::{
    parts::{Tone, visible},
    words::{self, fill},
};

/// The route as the API tells it.
#[derive(Deserialize)]
pub(super) struct Route {
    pub(super) external: External,
    pub(super) internal: Internal,
}

#[derive(Deserialize)]
pub(super) struct External {
    pub(super) nodes: Vec<CompanyNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Internal {
    pub(super) route_action_ordering_type: String,
    pub(super) nodes: Vec<EmployeeNode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CompanyNode {
    order: i64,
    counterparty_company_bin: String,
    is_sign_required: bool,
    state: NodeState,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EmployeeNode {
    order: i64,
    employee_id: String,
    required_action: String,
    state: NodeState,
}

#[derive(Deserialize)]
struct NodeState {
    status: String,
}

/// The sender's part of a route.
pub(super) struct Sender<'a> {
    pub(super) party: &'a Party,
    /// True if the document is sent by the sender's signature; else the sender signs at the end, if at all.
    pub(super) is_quick: bool,
    pub(super) is_sent: bool,
    /// True if the document waits for nothing but the sender's signature.
    pub(super) is_turn: bool,
    pub(super) must_sign: bool,
    pub(super) has_signed: bool,
    /// True if the viewer is the sender, whose employees act before the document is sent.
    pub(super) is_viewer: bool,
}

/// A stop of the drawn path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) name: String,
    /// The action there and its progress, such as «подписывает: готово».
    pub(super) text: String,
    pub(super) tone: Tone,
    /// True if it may act at the same time as the one before.
    is_beside: bool,
}

/// The stops of a route, in the order in which they act.
pub(super) fn stops(
    route: &Route,
    order: &str,
    sender: &Sender<'_>,
    recipients: &[Party],
    employees: &Employees,
    w: &words::Documents,
) -> Vec<Stop> {
    let is_ordered = route.internal.route_action_ordering_type == "SEQUENTIAL";
    let mut inside: Vec<&EmployeeNode> = route.internal.nodes.iter().collect();
    inside.sort_by_key(|node| node.order);
    let inside = inside.into_iter().enumerate().map(|(n, node)| {
        let action = match &*node.required_action {
            "SIGN" => w.route_signs,
            "APPROVE" => w.route_approves,
            _ => w.route_informed,
        };
        node.state.stop(
            employees.name(&node.employee_id),
            action,
            n > 0 && !is_ordered,
            w,
        )
    });
    let inside: Vec<Stop> = inside.collect();
    let is_sequence = order == "SEQUENTIAL";
    let mut companies: Vec<&CompanyNode> = route.external.nodes.iter().collect();
    companies.sort_by_key(|node| node.order);
    let outside = companies.into_iter().enumerate().map(|(n, node)| {
        let action = if node.is_sign_required {
            w.route_signs
        } else {
            w.route_receives
        };
        let name = name_of(&node.counterparty_company_bin, recipients);
        node.state.stop(name, action, n > 0 && !is_sequence, w)
    });
    let outside: Vec<Stop> = outside.collect();
    let own = |action, is_done: bool| {
        let (tone, progress) = match (is_done, sender.is_turn) {
            (true, _) => (Tone::Good, w.route_done),
            (false, true) => (Tone::Waiting, w.route_active),
            (false, false) => (Tone::Off, w.route_later),
        };
        Stop {
            name: sender.party.shown(),
            text: format!("{action}: {progress}"),
            tone,
            is_beside: false,
        }
    };
    let first = if sender.is_quick && sender.must_sign {
        own(w.route_signs, sender.has_signed)
    } else {
        own(w.route_sends, sender.is_sent)
    };
    let last = sender.must_sign && !sender.is_quick;
    let last = last.then(|| own(w.route_signs, sender.has_signed));
    let mut stops = Vec::new();
    if sender.is_viewer {
        stops.extend(inside);
        if !outside.is_empty() {
            stops.push(first);
        }
        stops.extend(outside);
    } else {
        stops.push(first);
        stops.extend(outside);
        stops.extend(inside);
    }
    stops.extend(last);
    stops
}

fn name_of(bin: &str, parties: &[Party]) -> String {
    let found = parties.iter().find(|one| one.bin == bin);
    found.map_or_else(|| visible(bin), Party::shown)
}

impl NodeState {
    fn stop(&self, name: String, action: &str, is_beside: bool, w: &words::Documents) -> Stop {
        let (tone, progress) = match &*self.status {
            "CompletedWithOk" => (Tone::Good, w.route_done),
            "CompletedWithFail" => (Tone::Bad, w.route_refused),
            "Active" => (Tone::Waiting, w.route_active),
            _ => (Tone::Off, w.route_later),
        };
        Stop {
            name,
            text: format!("{action}: {progress}"),
            tone,
            is_beside,
        }
    }

    fn is_open(&self) -> bool {
        matches!(&*self.status, "Active" | "NotStarted")
    }
}

/// The actions that a document still needs, in sentences.
pub(super) fn missing(
    route: &Route,
    sender: &Sender<'_>,
    recipients: &[Party],
    employees: &Employees,
    w: &words::Documents,
) -> Vec<String> {
    let mut sentences = Vec::new();
    for node in route
        .internal
        .nodes
        .iter()
        .filter(|one| one.state.is_open())
    {
        let name = employees.name(&node.employee_id);
        match &*node.required_action {
            "SIGN" => sentences.push(fill(w.missing_sign, &[&name])),
            "APPROVE" => sentences.push(fill(w.missing_approve, &[&name])),
            _ => {}
        }
    }
    if sender.must_sign && !sender.has_signed {
        sentences.push(fill(w.missing_sender, &[&sender.party.shown()]));
    }
    let companies = route.external.nodes.iter();
    for node in companies.filter(|one| one.is_sign_required && one.state.is_open()) {
        let name = name_of(&node.counterparty_company_bin, recipients);
        sentences.push(fill(w.missing_sign, &[&name]));
    }
    sentences
}

/// The drawing of a route: from above to below, with stops that may act at the same time on branches.
pub(super) struct Drawing {
    pub(super) height: usize,
    pub(super) marks: Vec<Mark>,
}

pub(super) struct Mark {
    pub(super) stop: Stop,
    pub(super) x: usize,
    pub(super) y: usize,
    /// The baseline of the shape in the circle.
    pub(super) mark_y: usize,
    /// The baselines of the two lines of text.
    pub(super) name_y: usize,
    pub(super) text_y: usize,
    pub(super) text_x: usize,
    /// The line that leads here, as the data of an SVG path; empty for the first stop.
    pub(super) line: String,
    /// The name, cut to the width of the drawing.
    pub(super) short: String,
}

/// The distance of stops, and of the trunk and its branches, in units of the drawing.
const STEP: usize = 56;
const TRUNK: usize = 16;
const BRANCH: usize = 44;
/// The maximum number of characters of a name in the drawing; the list beside it has the whole.
const MAX_NAME: usize = 30;

pub(super) fn draw(stops: &[Stop]) -> Drawing {
    let mut marks: Vec<Mark> = Vec::new();
    for (n, stop) in stops.iter().enumerate() {
        let has_sibling = stops.get(n + 1).is_some_and(|next| next.is_beside);
        let is_branch = stop.is_beside || has_sibling;
        let x = if is_branch { BRANCH } else { TRUNK };
        let y = n * STEP + STEP / 2;
        let line = match n {
            0 if is_branch => format!("M{TRUNK} {y} H{x}"),
            0 => String::new(),
            _ => format!("M{TRUNK} {} V{y} H{x}", y - STEP),
        };
        marks.push(Mark {
            x,
            y,
            mark_y: y + 4,
            name_y: y - 3,
            text_y: y + 14,
            text_x: x + 20,
            line,
            short: short(&stop.name),
            stop: stop.clone(),
        });
    }
    Drawing {
        height: stops.len() * STEP,
        marks,
    }
}

fn short(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    let cut: String = name.chars().take(MAX_NAME - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stop(name: &str, is_beside: bool) -> Stop {
        Stop {
            name: name.to_owned(),
            text: String::new(),
            tone: Tone::Off,
            is_beside,
        }
    }

    #[test]
    fn stops_at_the_same_time_are_branches() {
        let stops = [
            stop("a", false),
            stop("b", false),
            stop("c", true),
            stop("d", false),
        ];
        let drawing = draw(&stops);
        let places: Vec<_> = drawing.marks.iter().map(|one| (one.x, one.y)).collect();
        assert_eq!(
            places,
            [(TRUNK, 28), (BRANCH, 84), (BRANCH, 140), (TRUNK, 196)]
        );
        assert_eq!(drawing.marks[0].line, "");
        assert_eq!(drawing.marks[2].line, "M16 84 V140 H44");
        assert_eq!(drawing.height, 224);
        let drawing = draw(&stops[1..]);
        assert_eq!(drawing.marks[0].line, "M16 28 H44");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("ТОО"), "ТОО");
        assert_eq!(short(&"ж".repeat(31)), format!("{}…", "ж".repeat(29)));
    }
}
