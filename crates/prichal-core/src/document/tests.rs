use proptest::prelude::*;

use super::*;
use crate::id::{UserId, WorkspaceId};

const SENDER: WorkspaceId = WorkspaceId(Uuid::from_u128(1));
const ALICE: UserId = UserId(Uuid::from_u128(101));
const BORIS: UserId = UserId(Uuid::from_u128(102));

fn company(n: u128) -> WorkspaceId {
    WorkspaceId(Uuid::from_u128(n))
}

fn by(company: WorkspaceId) -> Actor {
    Actor {
        company,
        employee: ALICE,
    }
}

fn draft(kind: Kind) -> Document {
    Document {
        id: Uuid::from_u128(7),
        kind,
        sender: Party {
            company: SENDER,
            bin: "971240001315".to_owned(),
        },
        name: "Contract".to_owned(),
        number: "1".to_owned(),
        date: 0,
        group: Group::Legal,
        author: ALICE,
        created_on: 0,
        contents: vec![Uuid::from_u128(9)],
        route: None,
        fate: None,
    }
}

fn recipient(n: u128, order: i32, sign_required: bool) -> Recipient {
    Recipient {
        order,
        party: Party {
            company: company(n),
            bin: format!("{n:012}"),
        },
        comment: None,
        individual: false,
        emails: Vec::new(),
        sign_required,
        org_unit: None,
        signed: false,
        state: NodeState::default(),
        internal: None,
    }
}

fn node(order: i32, employee: UserId, action: Action) -> ActionNode {
    ActionNode {
        order,
        employee,
        action,
        state: NodeState::default(),
    }
}

fn internal(ordering: Ordering, nodes: &[ActionNode]) -> Internal {
    Internal {
        ordering,
        nodes: nodes.to_vec(),
    }
}

fn route(recipients: &[Recipient]) -> NewRoute {
    NewRoute {
        ordering: Ordering::Sequential,
        sign_by_sender: true,
        recipients: recipients.to_vec(),
        internal: None,
    }
}

/// Does it and says what every viewer sees.
#[track_caller]
fn then(document: &mut Document, actor: Actor, operation: Operation) -> Vec<(u128, &'static str)> {
    document.apply(actor, operation, 5).unwrap();
    let status =
        |viewer: WorkspaceId| (viewer.0.as_u128(), document.status(viewer).unwrap().name());
    document.viewers().map(status).collect()
}

#[test]
fn the_happy_path_of_the_guide() {
    let mut document = draft(Kind::External);
    assert_eq!(document.status(SENDER), Some(Status::Draft));
    let one = route(&[recipient(2, 0, true)]);
    assert_eq!(
        document.apply(by(SENDER), Operation::Sign(Direction::Outbox), 1),
        Err(Refusal::wrong_status(Status::Draft)),
        "the route comes first"
    );
    assert_eq!(
        then(&mut document, by(SENDER), Operation::QuickRoute(one)),
        [(1, "DRAFT")]
    );
    assert_eq!(document.status(company(2)), None);
    assert_eq!(
        then(
            &mut document,
            by(SENDER),
            Operation::Sign(Direction::Outbox)
        ),
        [(1, "SENT_BY_SENDER"), (2, "IN_NEW")]
    );
    assert_eq!(
        then(
            &mut document,
            by(company(2)),
            Operation::Sign(Direction::Inbox)
        ),
        [(1, "FINISHED"), (2, "FINISHED")]
    );
    let cases: [(Operation, &'static [Status]); 3] = [
        (Operation::Recall { reason: None }, &[Status::SentBySender]),
        (Operation::Sign(Direction::Outbox), &[]),
        (
            Operation::Decline { reason: None },
            &[Status::WaitingForSender],
        ),
    ];
    for (operation, allowed) in cases {
        let refused = document.apply(by(SENDER), operation, 9);
        let status = Status::Finished;
        assert_eq!(refused, Err(Refusal::WrongStatus { status, allowed }));
    }
}

#[test]
fn a_second_draft_route_replaces_the_first() {
    let mut document = draft(Kind::External);
    then(
        &mut document,
        by(SENDER),
        Operation::QuickRoute(route(&[recipient(2, 0, true)])),
    );
    then(
        &mut document,
        by(SENDER),
        Operation::QuickRoute(route(&[recipient(3, 0, true)])),
    );
    assert_eq!(document.recipients()[0].party.company, company(3));
}

#[test]
fn recipients_in_sequence_get_it_one_after_the_other() {
    let mut document = draft(Kind::External);
    let all = [
        recipient(2, 1, true),
        recipient(3, 0, true),
        recipient(4, 1, false),
    ];
    then(
        &mut document,
        by(SENDER),
        Operation::QuickRoute(route(&all)),
    );
    assert_eq!(
        then(
            &mut document,
            by(SENDER),
            Operation::Sign(Direction::Outbox)
        ),
        [(1, "SENT_BY_SENDER"), (3, "IN_NEW")]
    );
    assert_eq!(
        document.apply(by(company(2)), Operation::Sign(Direction::Inbox), 1),
        Err(Refusal::NotVisible)
    );
    assert_eq!(
        then(
            &mut document,
            by(company(3)),
            Operation::Sign(Direction::Inbox)
        ),
        [
            (1, "SENT_BY_SENDER"),
            (2, "IN_NEW"),
            (3, "FINISHED_BY_COMPANY"),
            (4, "FINISHED_BY_COMPANY")
        ]
    );
    let reason = Some("wrong sum".to_owned());
    assert_eq!(
        then(&mut document, by(company(2)), Operation::Reject { reason }),
        [
            (1, "REJECTED_BY_RECIPIENT"),
            (2, "REJECTED_BY_RECIPIENT"),
            (3, "REJECTED_BY_COMPANY"),
            (4, "REJECTED_BY_COMPANY")
        ]
    );
    assert_eq!(document.fate.unwrap().reason(), Some("wrong sum"));
}

#[test]
fn a_full_route_goes_through_the_senders_employees_first() {
    let mut document = draft(Kind::External);
    let mut new = route(&[recipient(2, 0, true)]);
    new.internal = Some(internal(
        Ordering::Sequential,
        &[
            node(0, ALICE, Action::Inform),
            node(1, BORIS, Action::Approve),
            node(2, ALICE, Action::Sign),
        ],
    ));
    assert_eq!(
        then(&mut document, by(SENDER), Operation::Route(new)),
        [(1, "IN_PROCESS_BY_SENDER")]
    );
    let act = |action| Operation::Act {
        action,
        reason: None,
    };
    assert_eq!(
        document.apply(by(SENDER), act(Action::Sign), 1),
        Err(Refusal::NotYourTurn)
    );
    let boris = Actor {
        company: SENDER,
        employee: BORIS,
    };
    assert_eq!(
        document.apply(boris, act(Action::Sign), 1),
        Err(Refusal::WrongAction(Action::Approve))
    );
    then(&mut document, boris, act(Action::Approve));
    // Her signature is the company's, so nothing is due from the sender at the end.
    assert_eq!(
        then(
            &mut document,
            by(SENDER),
            Operation::Sign(Direction::Outbox)
        ),
        [(1, "SENT_BY_SENDER"), (2, "IN_NEW")]
    );
    assert_eq!(
        then(
            &mut document,
            by(company(2)),
            Operation::Sign(Direction::Inbox)
        ),
        [(1, "FINISHED"), (2, "FINISHED")]
    );
}

#[test]
fn a_full_route_without_nodes_waits_for_the_sender_at_the_end() {
    let sent = || {
        let mut document = draft(Kind::External);
        let seen = then(
            &mut document,
            by(SENDER),
            Operation::Route(route(&[recipient(2, 0, true)])),
        );
        assert_eq!(seen, [(1, "SENT_BY_SENDER"), (2, "IN_NEW")]);
        let seen = then(
            &mut document,
            by(company(2)),
            Operation::Sign(Direction::Inbox),
        );
        assert_eq!(
            seen,
            [(1, "WAITING_FOR_SENDER"), (2, "FINISHED_BY_COMPANY")]
        );
        document
    };
    assert_eq!(
        then(&mut sent(), by(SENDER), Operation::Sign(Direction::Outbox)),
        [(1, "FINISHED"), (2, "FINISHED")]
    );
    assert_eq!(
        then(&mut sent(), by(SENDER), Operation::Decline { reason: None }),
        [(1, "REJECTED_BY_SENDER"), (2, "REJECTED_BY_SENDER")]
    );
}

#[test]
fn a_document_without_required_signatures_is_finished() {
    let mut document = draft(Kind::External);
    let mut new = route(&[recipient(2, 0, false), recipient(3, 1, false)]);
    new.sign_by_sender = false;
    let changes = document
        .apply(by(SENDER), Operation::Route(new), 5)
        .unwrap();
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                change.viewer.0.as_u128(),
                change.previous.map(Status::name),
                change.status.name(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, Some("DRAFT"), "SENT_BY_SENDER"),
            (2, None, "IN_NEW"),
            (2, Some("IN_NEW"), "FINISHED_BY_COMPANY"),
            (3, None, "IN_NEW"),
            (1, Some("SENT_BY_SENDER"), "FINISHED"),
            (2, Some("FINISHED_BY_COMPANY"), "FINISHED"),
            (3, Some("IN_NEW"), "FINISHED"),
        ]
    );
}

#[test]
fn a_recipients_employees_look_first() {
    let sent = || {
        let mut document = draft(Kind::External);
        then(
            &mut document,
            by(SENDER),
            Operation::QuickRoute(route(&[recipient(2, 0, true)])),
        );
        then(
            &mut document,
            by(SENDER),
            Operation::Sign(Direction::Outbox),
        );
        document
    };
    let act = |action| Operation::Act {
        action,
        reason: None,
    };
    let (mut document, them) = (sent(), by(company(2)));
    let approve = internal(Ordering::None, &[node(0, ALICE, Action::Approve)]);
    assert_eq!(
        then(&mut document, them, Operation::InboxRoute(approve.clone())),
        [(1, "SENT_BY_SENDER"), (2, "IN_PROCESS_BY_RECIPIENT")]
    );
    let boris = Actor {
        employee: BORIS,
        ..them
    };
    assert_eq!(
        document.apply(boris, Operation::Sign(Direction::Inbox), 1),
        Err(Refusal::InternalFirst)
    );
    assert_eq!(
        then(&mut document, them, act(Action::Approve))[1],
        (2, "IN_PROCESS_BY_RECIPIENT"),
        "approved, not signed"
    );
    assert_eq!(
        then(&mut document, boris, Operation::Sign(Direction::Inbox)),
        [(1, "FINISHED"), (2, "FINISHED")]
    );

    let mut document = sent();
    then(&mut document, them, Operation::InboxRoute(approve));
    assert_eq!(
        then(&mut document, them, act(Action::Reject)),
        [(1, "SENT_BY_SENDER"), (2, "REJECTED_BY_RECIPIENT_EMPLOYEE")]
    );
    let refused = document.apply(them, Operation::Sign(Direction::Inbox), 1);
    assert_eq!(
        refused,
        Err(Refusal::wrong_status(Status::RejectedByRecipientEmployee))
    );
    then(&mut document, them, Operation::Reject { reason: None });

    let mut document = sent();
    let sign = internal(
        Ordering::Parallel,
        &[
            node(0, ALICE, Action::Sign),
            node(0, BORIS, Action::Approve),
        ],
    );
    then(&mut document, them, Operation::InboxRoute(sign));
    assert_eq!(
        then(&mut document, them, act(Action::Sign))[1],
        (2, "IN_PROCESS_BY_RECIPIENT")
    );
    let recalled = document.apply(by(SENDER), Operation::Recall { reason: None }, 1);
    assert_eq!(
        recalled,
        Err(Refusal::wrong_status(Status::SentBySender)),
        "somebody has signed"
    );
    assert_eq!(
        then(&mut document, boris, act(Action::Approve))[1],
        (2, "FINISHED")
    );
}

#[test]
fn internal_documents_stay_inside() {
    let mut document = draft(Kind::Internal);
    let refused = document.apply(by(SENDER), Operation::QuickRoute(route(&[])), 1);
    assert_eq!(refused, Err(Refusal::WrongKind(Kind::External)));
    let nodes = internal(
        Ordering::Sequential,
        &[node(0, ALICE, Action::Sign), node(1, BORIS, Action::Inform)],
    );
    assert_eq!(
        then(
            &mut document.clone(),
            by(SENDER),
            Operation::InternalRoute(nodes.clone())
        ),
        [(1, "IN_PROCESS")]
    );
    then(&mut document, by(SENDER), Operation::InternalRoute(nodes));
    let act = |action| Operation::Act {
        action,
        reason: None,
    };
    assert_eq!(
        then(&mut document.clone(), by(SENDER), act(Action::Sign)),
        [(1, "FINISHED_BY_COMPANY")]
    );
    assert_eq!(
        then(&mut document, by(SENDER), act(Action::Reject)),
        [(1, "REJECTED_BY_EMPLOYEE")]
    );
}

#[test]
fn a_stored_document_is_read_back_unchanged() {
    let mut document = draft(Kind::External);
    let mut new = route(&[recipient(2, 0, true)]);
    new.internal = Some(internal(Ordering::None, &[node(0, ALICE, Action::Approve)]));
    then(&mut document, by(SENDER), Operation::Route(new));
    then(
        &mut document,
        by(SENDER),
        Operation::Act {
            action: Action::Reject,
            reason: Some("no".to_owned()),
        },
    );
    let text = serde_json::to_string(&document).unwrap();
    assert_eq!(serde_json::from_str::<Document>(&text).unwrap(), document);
}

// ---- The model: random operations against the table.

/// The statuses that the sender may see next (`docs/contracts/idocs.md §2.2`); a creation has no status before it.
const SENDER_MOVES: &[(Status, &[Status])] = &[
    (
        Status::Draft,
        &[
            Status::SentBySender,
            Status::InProcessBySender,
            Status::InProcess,
        ],
    ),
    (
        Status::InProcessBySender,
        &[Status::SentBySender, Status::RejectedBySenderEmployee],
    ),
    (
        Status::SentBySender,
        &[
            Status::RecalledBySender,
            Status::Finished,
            Status::WaitingForSender,
            Status::RejectedByRecipient,
        ],
    ),
    (
        Status::WaitingForSender,
        &[Status::Finished, Status::RejectedBySender],
    ),
    (
        Status::InProcess,
        &[Status::FinishedByCompany, Status::RejectedByEmployee],
    ),
];

/// The same for a recipient.
const RECIPIENT_MOVES: &[(Status, &[Status])] = &[
    (
        Status::InNew,
        &[
            Status::InProcessByRecipient,
            Status::FinishedByCompany,
            Status::Finished,
            Status::RecalledBySender,
            Status::RejectedByRecipient,
            Status::RejectedByCompany,
        ],
    ),
    (
        Status::InProcessByRecipient,
        &[
            Status::RejectedByRecipientEmployee,
            Status::FinishedByCompany,
            Status::Finished,
            Status::RecalledBySender,
            Status::RejectedByRecipient,
            Status::RejectedByCompany,
        ],
    ),
    (
        Status::RejectedByRecipientEmployee,
        &[
            Status::RejectedByRecipient,
            Status::RejectedByCompany,
            Status::RecalledBySender,
        ],
    ),
    (
        Status::FinishedByCompany,
        &[
            Status::Finished,
            Status::RejectedByCompany,
            Status::RejectedBySender,
            Status::RecalledBySender,
        ],
    ),
];

/// The statuses of a recipient that go with one of the sender's.
fn agree(sender: Status, recipient: Status) -> bool {
    use Status as S;
    match sender {
        S::SentBySender => matches!(
            recipient,
            S::InNew
                | S::InProcessByRecipient
                | S::RejectedByRecipientEmployee
                | S::FinishedByCompany
        ),
        S::WaitingForSender => recipient == S::FinishedByCompany,
        S::Finished => recipient == S::Finished,
        S::RecalledBySender => recipient == S::RecalledBySender,
        S::RejectedBySender => recipient == S::RejectedBySender,
        S::RejectedByRecipient => {
            matches!(recipient, S::RejectedByRecipient | S::RejectedByCompany)
        }
        // Nobody else has it.
        _ => false,
    }
}

fn orderings() -> impl Strategy<Value = Ordering> {
    prop::sample::select(Ordering::ALL.to_vec())
}

fn employees() -> impl Strategy<Value = UserId> {
    prop_oneof![Just(ALICE), Just(BORIS)]
}

fn internals(least: usize) -> impl Strategy<Value = Internal> {
    let actions = prop::sample::select(vec![Action::Sign, Action::Approve, Action::Inform]);
    let nodes = (0..3, employees(), actions)
        .prop_map(|(order, employee, action)| node(order, employee, action));
    (orderings(), prop::collection::vec(nodes, least..4))
        .prop_map(|(ordering, nodes)| Internal { ordering, nodes })
}

fn routes() -> impl Strategy<Value = NewRoute> {
    let recipients = prop::collection::vec((0..3, any::<bool>()), 1..4);
    (
        orderings(),
        any::<bool>(),
        recipients,
        prop::option::of(internals(0)),
    )
        .prop_map(
            |(ordering, sign_by_sender, recipients, internal)| NewRoute {
                ordering,
                sign_by_sender,
                recipients: (2..)
                    .zip(recipients)
                    .map(|(n, (order, sign))| recipient(n, order, sign))
                    .collect(),
                internal,
            },
        )
}

fn operations() -> impl Strategy<Value = Operation> {
    let reason = || prop::option::of(Just("because".to_owned()));
    let acts = prop::sample::select(Action::ALL.to_vec());
    prop_oneof![
        1 => routes().prop_map(|new| Operation::QuickRoute(NewRoute { internal: None, ..new })),
        1 => routes().prop_map(Operation::Route),
        1 => internals(1).prop_map(Operation::InternalRoute),
        2 => internals(1).prop_map(Operation::InboxRoute),
        2 => Just(Operation::Sign(Direction::Outbox)),
        4 => Just(Operation::Sign(Direction::Inbox)),
        6 => (acts, reason()).prop_map(|(action, reason)| Operation::Act { action, reason }),
        1 => reason().prop_map(|reason| Operation::Recall { reason }),
        1 => reason().prop_map(|reason| Operation::Reject { reason }),
        1 => reason().prop_map(|reason| Operation::Decline { reason }),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(u128, UserId, Operation)>> {
    prop::collection::vec((1..6_u128, employees(), operations()), 1..40)
}

/// True for a change of the table.
fn is_in_table(change: &Change) -> bool {
    let sender = change.viewer == SENDER;
    let Some(previous) = change.previous else {
        return !sender && change.status == Status::InNew;
    };
    let moves = if sender {
        SENDER_MOVES
    } else {
        RECIPIENT_MOVES
    };
    let mut rows = moves.iter().filter(|(from, _)| *from == previous);
    rows.any(|(_, to)| to.contains(&change.status))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn only_transitions_of_the_table_are_possible(kind in any::<bool>(), steps in steps()) {
        let kind = if kind { Kind::External } else { Kind::Internal };
        let mut document = draft(kind);
        // The last status that each company was told, in the feed and in the history.
        let mut told = vec![(SENDER, Status::Draft)];
        for (n, employee, operation) in steps {
            let before = document.clone();
            let actor = Actor { company: company(n), employee };
            match document.apply(actor, operation.clone(), 5) {
                Err(_) => prop_assert_eq!(&document, &before, "a refusal changes nothing"),
                Ok(changes) => {
                    prop_assert!(before.status(actor.company).is_some(), "only who sees it may act");
                    for change in changes {
                        prop_assert!(is_in_table(&change), "{:?} after {:?}", change, operation);
                        let known = told.iter_mut().find(|(viewer, _)| *viewer == change.viewer);
                        let last = known.as_ref().map(|(_, last)| *last);
                        prop_assert_eq!(last, change.previous);
                        match known {
                            Some(known) => known.1 = change.status,
                            None => told.push((change.viewer, change.status)),
                        }
                    }
                }
            }
            let mut now: Vec<_> = document.viewers().map(|viewer| (viewer, document.status(viewer).unwrap())).collect();
            let sender = now[0].1;
            for (_, recipient) in &now[1..] {
                prop_assert!(agree(sender, *recipient), "{:?} and {:?}", sender, recipient);
            }
            now.sort();
            told.sort();
            prop_assert_eq!(&told, &now, "what was told is what is");
        }
    }
}

proptest! {
    /// A step is offered exactly if the operation behind it would be accepted.
    #[test]
    fn offered_steps_are_accepted(
        sequence in prop::collection::vec(0_usize..6, 0..6),
        second in any::<bool>(),
        sign_required in any::<bool>(),
    ) {
        let mut document = draft(Kind::External);
        let parties = [SENDER, company(2)];
        for n in sequence {
            let recipients = [recipient(2, 0, sign_required)];
            let operation = match n {
                0 => Operation::QuickRoute(route(&recipients)),
                1 => Operation::Route(NewRoute {
                    internal: Some(internal(Ordering::Parallel, &[node(0, ALICE, Action::Approve)])),
                    ..route(&recipients)
                }),
                2 => Operation::Sign(Direction::Outbox),
                3 => Operation::Sign(Direction::Inbox),
                4 => Operation::Act { action: Action::Approve, reason: None },
                _ => Operation::InboxRoute(internal(Ordering::None, &[node(0, ALICE, Action::Sign)])),
            };
            let side = usize::from(matches!(n, 3 | 5));
            // Refused operations change nothing.
            let _ = document.apply(by(parties[side]), operation, 1);
        }
        let actor = by(parties[usize::from(second)]);
        let reason = None;
        let offered = document.steps(actor);
        let accepted = |operation: Operation| document.clone().apply(actor, operation, 2).is_ok();
        let sides = [Direction::Outbox, Direction::Inbox];
        let pairs = [
            (Step::Sign, accepted(Operation::Sign(sides[usize::from(second)]))),
            (Step::Approve, accepted(Operation::Act { action: Action::Approve, reason: None })),
            (Step::Refuse, accepted(Operation::Act { action: Action::Reject, reason: None })),
            (Step::Reject, accepted(Operation::Reject { reason: reason.clone() })),
            (Step::Decline, accepted(Operation::Decline { reason: reason.clone() })),
            (Step::Recall, accepted(Operation::Recall { reason })),
            (Step::Route, accepted(Operation::QuickRoute(route(&[recipient(2, 0, true)])))),
        ];
        for (step, is_accepted) in pairs {
            prop_assert_eq!(offered.contains(&step), is_accepted, "{:?}", step);
        }
    }
}

#[test]
fn documents_are_found_by_their_names_and_companies() {
    let mut document = draft(Kind::External);
    document.name = "Договор поставки".to_owned();
    document.number = "17/A".to_owned();
    let one = route(&[recipient(2, 0, true)]);
    document
        .apply(by(SENDER), Operation::QuickRoute(one), 1)
        .unwrap();
    for (text, is_found) in [
        ("ДОГОВОР", true),
        ("17/a", true),
        ("971240001315", true),
        ("000000000002", true),
        ("0002", false),
        ("накладная", false),
    ] {
        assert_eq!(document.mentions(text), is_found, "{text}");
    }
    assert!(document.is_with("000000000002", SENDER));
    assert!(!document.is_with("971240001315", SENDER));
    assert!(document.is_with("971240001315", company(2)));
}
