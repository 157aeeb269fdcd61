use proptest::{prelude::*, test_runner::Config};
use serde_json::{Value, json};

use super::*;
use crate::time::Timestamp;

fn at(second: i64) -> Moment {
    Moment::from(Timestamp::from_micros(
        1_650_000_000_000_000 + second * 1_000_000,
    ))
}

fn user(n: u128) -> Party {
    Party {
        kind: PartyType::User,
        user_id: Some(Uuid::from_u128(n)),
    }
}

fn client() -> Party {
    Party {
        kind: PartyType::Client,
        user_id: None,
    }
}

fn event(leg: &str, kind: EventType, second: i64, from: Party, to: Party) -> Message {
    Message::Event(Event {
        external_call_item_id: leg.to_owned(),
        realtime_call_item_id: format!("rt-{leg}"),
        timestamp: at(second),
        kind,
        from,
        to,
    })
}

fn inbound(leg: &str, kind: EventType, second: i64) -> Message {
    event(leg, kind, second, client(), user(1))
}

fn notice(second: i64) -> Notice {
    Notice {
        timestamp: at(second),
        direction: Some(Direction::Inbound),
        client_phone: "79997775533".to_owned(),
        external_vats_phone: "79229929292".to_owned(),
    }
}

fn recorded(leg: &str, file: u128, is_history: bool) -> LegRecording {
    LegRecording {
        is_history,
        external_call_item_id: leg.to_owned(),
        realtime_call_item_id: String::new(),
        recording: Recording {
            file_id: Uuid::from_u128(file),
            file_name: "talk.mp3".to_owned(),
            content_type: "audio/mpeg".to_owned(),
            content_length: 9216,
        },
    }
}

fn history_leg(id: &str, started: Option<i64>, finished: Option<i64>) -> HistoryLeg {
    HistoryLeg {
        id: id.to_owned(),
        from: client(),
        to: user(1),
        started_at: started.map(at),
        finished_at: finished.map(at),
    }
}

fn history(items: Vec<HistoryLeg>) -> History {
    History {
        direction: Direction::Inbound,
        client_phone: "79997775533".to_owned(),
        external_vats_phone: String::new(),
        external_created_at: Some(at(0)),
        items,
    }
}

fn call(messages: impl IntoIterator<Item = Message>) -> Call {
    let add = |call: Call, message| call.with(message).unwrap();
    messages.into_iter().fold(Call::default(), add)
}

fn times(call: &Call) -> Vec<(String, Option<Moment>, Option<Moment>)> {
    let legs = call.legs().into_iter();
    legs.map(|leg| (leg.id, leg.started_at, leg.finished_at))
        .collect()
}

use EventType::{Appeared, Connected, Disconnected, Finished, Paused};

#[test]
fn an_answered_call() {
    let call = call([
        Message::Started(notice(0)),
        inbound("1", Appeared, 1),
        inbound("1", Connected, 4),
        inbound("1", Paused, 10),
        inbound("1", Connected, 15),
        inbound("1", Disconnected, 34),
        Message::Finished(notice(35)),
    ]);
    assert_eq!(times(&call), [("1".to_owned(), Some(at(4)), Some(at(34)))]);
    let facts = call.facts();
    assert_eq!(
        (
            facts.answered,
            facts.missed,
            facts.wait_ms,
            facts.talk_ms,
            facts.hold_ms
        ),
        (true, false, Some(3000), 25_000, 5000)
    );
    assert_eq!(facts.responsible_user_id, Some(Uuid::from_u128(1)));
    assert_eq!(call.status(), Status::Sealed);
}

#[test]
fn a_missed_leg_has_no_start() {
    let call = call([
        Message::Started(notice(0)),
        inbound("1", Appeared, 1),
        inbound("1", Disconnected, 20),
        Message::Finished(notice(20)),
    ]);
    assert_eq!(times(&call), [("1".to_owned(), None, Some(at(20)))]);
    assert!(call.facts().missed);
    assert_eq!(call.facts().wait_ms, Some(19_000));
}

#[test]
fn an_answer_that_comes_late_is_an_answer() {
    let late = call([
        Message::Started(notice(0)),
        inbound("1", Appeared, 1),
        inbound("1", Disconnected, 20),
        Message::Finished(notice(20)),
        inbound("1", Connected, 5),
    ]);
    assert!(late.facts().answered);
    assert_eq!(times(&late), [("1".to_owned(), Some(at(5)), Some(at(20)))]);
}

#[test]
fn the_state_follows_the_events() {
    let mut seen = Vec::new();
    let mut now = call([Message::Started(notice(0))]);
    for message in [
        inbound("1", Appeared, 1),
        inbound("1", Connected, 2),
        inbound("1", Paused, 3),
        inbound("1", Connected, 4),
        inbound("1", Disconnected, 5),
    ] {
        seen.push(now.state().name());
        now = now.with(message).unwrap();
    }
    seen.push(now.state().name());
    assert_eq!(
        seen,
        [
            "ringing", "ringing", "talking", "onHold", "talking", "ended"
        ]
    );
    assert_eq!(now.give_up_after(), Some(Duration::from_secs(150)));
    assert!(now.users_on_line().is_empty());
}

#[test]
fn finished_ends_every_leg_of_its_realtime_id() {
    let shared = |leg: &str, kind, second| match inbound(leg, kind, second) {
        Message::Event(event) => Message::Event(Event {
            realtime_call_item_id: "rt".to_owned(),
            ..event
        }),
        other => other,
    };
    let call = call([
        Message::Started(notice(0)),
        shared("1", Appeared, 1),
        shared("2", Appeared, 1),
        shared("2", Connected, 3),
        shared("2", Finished, 9),
    ]);
    assert_eq!(
        times(&call),
        [
            ("1".to_owned(), None, Some(at(9))),
            ("2".to_owned(), Some(at(3)), Some(at(9)))
        ]
    );
}

#[test]
fn a_leg_is_known_by_either_of_its_ids() {
    let by_realtime = |kind, second| match inbound("1", kind, second) {
        Message::Event(event) => Message::Event(Event {
            external_call_item_id: String::new(),
            ..event
        }),
        other => other,
    };
    let call = call([
        Message::Started(notice(0)),
        by_realtime(Connected, 3),
        inbound("1", Appeared, 1),
        by_realtime(Disconnected, 9),
    ]);
    assert_eq!(times(&call), [("1".to_owned(), Some(at(3)), Some(at(9)))]);
}

#[test]
fn the_user_who_answers_keeps_the_card() {
    let ring = |leg: &str, kind, second, n| event(leg, kind, second, client(), user(n));
    let mut call = call([
        Message::Started(notice(0)),
        ring("1", Appeared, 1, 1),
        ring("2", Appeared, 1, 2),
    ]);
    let users = |ids: &[u128]| {
        ids.iter()
            .map(|id| Uuid::from_u128(*id))
            .collect::<Vec<_>>()
    };
    assert_eq!(call.users_on_line(), users(&[1, 2]));
    call = call.with(ring("1", Connected, 3, 1)).unwrap();
    assert_eq!(call.users_on_line(), users(&[1]));
    // A transfer rings later.
    call = call.with(ring("3", Appeared, 5, 3)).unwrap();
    assert_eq!(call.users_on_line(), users(&[1, 3]));
}

#[test]
fn call_finished_ends_open_legs() {
    let call = call([
        Message::Started(notice(0)),
        inbound("1", Connected, 3),
        Message::Finished(notice(30)),
        Message::Finished(notice(20)),
    ]);
    assert_eq!(times(&call), [("1".to_owned(), Some(at(3)), Some(at(30)))]);
}

#[test]
fn history_is_final_for_the_legs_it_names() {
    let live = [
        Message::Started(notice(0)),
        inbound("1", Appeared, 1),
        inbound("1", Connected, 4),
        event("2", Appeared, 1, client(), user(2)),
        event("2", Disconnected, 5, client(), user(2)),
    ];
    let shared = call(live.clone().into_iter().chain([Message::History(
        history(vec![history_leg("1", Some(5), Some(40))]),
        Vec::new(),
    )]));
    assert_eq!(
        times(&shared),
        [
            ("1".to_owned(), Some(at(5)), Some(at(40))),
            ("2".to_owned(), None, Some(at(5)))
        ]
    );
    let renumbered = call(live.into_iter().chain([
        Message::Recorded(recorded("1", 7, false)),
        Message::History(
            history(vec![
                history_leg("a", None, Some(3)),
                history_leg("b", Some(5), Some(40)),
            ]),
            Vec::new(),
        ),
    ]));
    let legs = renumbered.legs();
    let ids: Vec<&str> = legs.iter().map(|leg| leg.id.as_str()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        legs[1].recordings.len(),
        1,
        "it moved to the leg of that time"
    );
}

#[test]
fn history_of_a_call_that_goes_on_does_not_seal_it() {
    let running = call([Message::History(
        history(vec![history_leg("1", Some(5), None)]),
        Vec::new(),
    )]);
    assert_eq!(running.status(), Status::Active);
    assert_eq!(running.state(), State::Talking);
    let without_legs = call([Message::History(history(Vec::new()), Vec::new())]);
    assert_eq!(without_legs.status(), Status::Sealed);
}

#[test]
fn messages_about_unknown_legs_are_refused_and_repeats_change_nothing() {
    let started = call([Message::Started(notice(0))]);
    let refused = started.with(Message::Recorded(recorded("1", 7, false)));
    assert_eq!(refused, Err(Refusal::NoSuchLeg));
    let first = started.with(inbound("1", Appeared, 1)).unwrap();
    let later = first.with(inbound("1", Appeared, 9)).unwrap();
    assert_eq!(first, later, "a leg appears once");
    let recording = Message::Recorded(recorded("1", 7, false));
    let recorded = first.with(recording.clone()).unwrap();
    assert_eq!(recorded.with(recording).unwrap(), recorded);
}

#[test]
fn a_call_is_bounded() {
    let mut call = call([Message::Started(notice(0))]);
    let limit = i64::try_from(MAX_LEGS).unwrap();
    for n in 0..limit {
        call = call.with(inbound(&n.to_string(), Appeared, n)).unwrap();
    }
    let one_more = call.with(inbound("more", Appeared, 1));
    assert_eq!(one_more, Err(Refusal::TooManyLegs));
}

#[test]
fn strangers_are_kept_in_events_and_dropped_from_legs() {
    let mut call = call([inbound("1", Appeared, 1)]);
    call.strangers.insert(Uuid::from_u128(1));
    assert_eq!(call.legs()[0].to.user_id, None);
    assert_eq!(call.events[0].to.user_id, Some(Uuid::from_u128(1)));
    assert!(call.participants().is_empty());
}

#[test]
fn calls_without_an_end_are_given_up_and_corrected_later() {
    let dialled = call([Message::Dialled(Dial {
        client_phone: "79997775533".to_owned(),
        from_user_id: Some(Uuid::from_u128(1)),
        to_user_id: None,
    })]);
    assert_eq!(dialled.give_up_after(), Some(Duration::from_mins(1)));
    assert_eq!(dialled.users_on_line(), [Uuid::from_u128(1)]);
    let failed = dialled.with(Message::TimedOut(at(60))).unwrap();
    assert!(failed.failed.is_some());

    let talking = call([Message::Started(notice(0)), inbound("1", Connected, 1)]);
    let sealed = talking.with(Message::TimedOut(at(14_401))).unwrap();
    assert_eq!(
        times(&sealed),
        [("1".to_owned(), Some(at(1)), Some(at(14_401)))]
    );
    let corrected = sealed.with(inbound("1", Disconnected, 100)).unwrap();
    assert_eq!(
        times(&corrected),
        [("1".to_owned(), Some(at(1)), Some(at(100)))]
    );
    assert_eq!(corrected.status(), Status::Sealed);
}

#[test]
fn the_snapshot_as_documented() {
    let call = call([
        Message::Started(Notice {
            timestamp: Moment::parse("2022-03-22T10:38:35.6152798+00:00").unwrap(),
            ..notice(0)
        }),
        Message::Event(Event {
            external_call_item_id: "333".into(),
            realtime_call_item_id: "333".into(),
            timestamp: Moment::parse("2022-03-22T10:38:35.6152798+00:00").unwrap(),
            kind: Appeared,
            from: client(),
            to: Party {
                kind: PartyType::User,
                user_id: None,
            },
        }),
        Message::Event(Event {
            external_call_item_id: "333".into(),
            realtime_call_item_id: "333".into(),
            timestamp: Moment::parse("2022-03-22T10:38:47.1835703+00:00").unwrap(),
            kind: Disconnected,
            from: client(),
            to: Party {
                kind: PartyType::User,
                user_id: None,
            },
        }),
    ]);
    let head = Head {
        id: Uuid::from_u128(5),
        integration: Uuid::from_u128(6),
        external_id: Some("Megafon/333".to_owned()),
        first_seen: Moment::parse("2022-03-22T10:38:35.176007+00:00").unwrap(),
        group: None,
    };
    let shown: Value = serde_json::from_str(&snapshot(&call, &head)).unwrap();
    let expected = json!({
        "id": Uuid::from_u128(5),
        "externalId": "Megafon/333",
        "externalCreatedAt": "2022-03-22T10:38:35.176007+00:00",
        "type": "call", "direction": "inbound", "status": "active",
        "integrationId": Uuid::from_u128(6),
        "data": { "call": {
            "clientPhone": "79997775533", "externalVatsPhone": "79229929292",
            "items": [{
                "id": "333", "from": {"type": "client"}, "to": {"type": "user"},
                "recordings": [], "finishedAt": "2022-03-22T10:38:47.1835703+00:00"
            }],
            "events": [
                { "externalCallItemId": "333", "realtimeCallItemId": "333",
                  "timestamp": "2022-03-22T10:38:35.6152798+00:00", "type": "appeared",
                  "from": {"type": "client"}, "to": {"type": "user"} },
                { "externalCallItemId": "333", "realtimeCallItemId": "333",
                  "timestamp": "2022-03-22T10:38:47.1835703+00:00", "type": "disconnected",
                  "from": {"type": "client"}, "to": {"type": "user"} },
            ],
        }},
        "assignedToGroupId": Uuid::nil(),
    });
    assert_eq!(shown, expected);
}

#[test]
fn the_evidence_survives_the_store() {
    let before = call([
        Message::Started(notice(0)),
        inbound("1", Connected, 1),
        Message::Recorded(recorded("1", 7, false)),
        Message::History(
            history(vec![history_leg("1", Some(1), Some(9))]),
            Vec::new(),
        ),
    ]);
    let text = serde_json::to_string(&before).unwrap();
    assert_eq!(serde_json::from_str::<Call>(&text).unwrap(), before);
}

#[test]
fn the_user_who_talked_has_answered_whatever_the_ids() {
    let by = |leg: &str, n, kind, second| event(leg, kind, second, client(), user(n));
    for (one, other) in [("1", "2"), ("2", "1"), ("a", "B"), ("B", "a")] {
        // Two pick up at once; one of them drops out.
        let race = [
            Message::Started(notice(0)),
            by(one, 1, Appeared, 1),
            by(other, 2, Appeared, 1),
            by(one, 1, Connected, 3),
            by(other, 2, Connected, 3),
            by(one, 1, Disconnected, 4),
            by(other, 2, Disconnected, 60),
        ];
        assert_eq!(
            call(race.clone()).facts().responsible_user_id,
            Some(Uuid::from_u128(2))
        );
        assert_eq!(
            call(race.into_iter().rev()).facts().responsible_user_id,
            Some(Uuid::from_u128(2))
        );
        // While both still talk, who rang first.
        let both = call([
            Message::Started(notice(0)),
            by(one, 1, Appeared, 2),
            by(other, 2, Appeared, 1),
            by(one, 1, Connected, 3),
            by(other, 2, Connected, 3),
        ]);
        assert_eq!(both.facts().responsible_user_id, Some(Uuid::from_u128(2)));
        // Both are told to go on until the call is over: who was faster.
        let ended = call([
            Message::Started(notice(0)),
            by(one, 1, Appeared, 1),
            by(other, 2, Appeared, 1),
            by(one, 1, Connected, 4),
            by(other, 2, Connected, 3),
            Message::Finished(notice(60)),
        ]);
        assert_eq!(ended.facts().responsible_user_id, Some(Uuid::from_u128(2)));
        // A moment later than the other, and over at once.
        let late = call([
            by(other, 2, Connected, 3),
            by(one, 1, Connected, 4),
            by(one, 1, Disconnected, 5),
            by(other, 2, Disconnected, 60),
        ]);
        assert_eq!(late.facts().responsible_user_id, Some(Uuid::from_u128(2)));
        // A transfer: the second one talked last.
        let transfer = call([
            by(other, 2, Connected, 3),
            by(other, 2, Disconnected, 30),
            by(one, 1, Connected, 30),
            by(one, 1, Disconnected, 40),
        ]);
        assert_eq!(
            transfer.facts().responsible_user_id,
            Some(Uuid::from_u128(1))
        );
        // History says who talked when live messages do not.
        let mut told = history(vec![
            HistoryLeg {
                to: user(1),
                ..history_leg(one, Some(3), Some(4))
            },
            HistoryLeg {
                to: user(2),
                ..history_leg(other, Some(3), Some(60))
            },
        ]);
        told.items.sort_by(|a, b| a.id.cmp(&b.id));
        let told = call([Message::History(told, Vec::new())]);
        assert_eq!(told.facts().responsible_user_id, Some(Uuid::from_u128(2)));
    }
}

#[test]
fn legs_that_ring_under_one_id_are_distinguished_by_their_participants() {
    let shared = |leg: &str, n, kind, second| {
        Message::Event(Event {
            external_call_item_id: leg.to_owned(),
            realtime_call_item_id: "rt".to_owned(),
            timestamp: at(second),
            kind,
            from: client(),
            to: user(n),
        })
    };
    let recording = |file| {
        Message::Recorded(LegRecording {
            external_call_item_id: String::new(),
            realtime_call_item_id: "rt".to_owned(),
            ..recorded("", file, false)
        })
    };
    let messages = [
        Message::Started(notice(0)),
        shared("1", 1, Appeared, 1),
        shared("2", 2, Appeared, 1),
        shared("", 2, Connected, 3),
        shared("", 2, Disconnected, 30),
        recording(7),
    ];
    let call = call(messages);
    assert_eq!(call.facts().responsible_user_id, Some(Uuid::from_u128(2)));
    let recordings: Vec<usize> = call.legs().iter().map(|leg| leg.recordings.len()).collect();
    assert_eq!(recordings, [0, 1]);
}

/// The calls that one id of the exchange has come to stand for, the newest first.
#[derive(Default)]
struct Line(Vec<Call>);

impl Line {
    fn identity(message: &Message) -> Identity {
        let mut identity = match message {
            Message::Started(notice) => Identity::of_start(notice),
            Message::Finished(notice) => Identity::of_end(notice),
            Message::Event(event) => Identity::of_event(event),
            Message::History(history, _) => Identity::of_history(history),
            Message::Recorded(told) => {
                Identity::of_recording(&told.external_call_item_id, &told.realtime_call_item_id)
            }
            _ => Identity::default(),
        };
        identity.phone = Some(identity.client_phone.clone()).filter(|phone| phone.len() > 6);
        identity
    }

    /// Takes a message; or says that it has to come again.
    fn take(&mut self, message: &Message) -> bool {
        let phones: Vec<_> = self
            .0
            .iter()
            .map(|call| call.client_phone().to_owned())
            .collect();
        let phones = phones
            .iter()
            .map(|phone| Some(phone.as_str()).filter(|phone| phone.len() > 6));
        let calls: Vec<_> = self.0.iter().zip(phones).collect();
        let chosen = choose_call(&Self::identity(message), &calls);
        if let Some(at) = chosen {
            let taken = self.0[at].with(message.clone());
            return taken.map(|call| self.0[at] = call).is_ok();
        }
        let begins = matches!(message, Message::Started(_) | Message::History(..));
        if begins {
            self.0
                .insert(0, Call::default().with(message.clone()).unwrap());
        }
        begins
    }

    fn deliver(messages: impl IntoIterator<Item = Message>) -> Self {
        let mut line = Self::default();
        let mut left: Vec<Message> = messages.into_iter().collect();
        loop {
            let before = left.len();
            left.retain(|message| !line.take(message));
            if left.len() == before {
                line.0.sort_by_key(|call| call.last_reported_at().cloned());
                return line;
            }
        }
    }
}

/// The same message at another time, of another caller.
fn moved(message: &Message, seconds: i64, phone: &str) -> Message {
    let later = |at: &Moment| {
        Moment::from(Timestamp::from_micros(
            at.timestamp().micros() + seconds * 1_000_000,
        ))
    };
    let notice = |notice: &Notice| Notice {
        timestamp: later(&notice.timestamp),
        direction: Some(Direction::Outbound),
        client_phone: phone.to_owned(),
        ..notice.clone()
    };
    match message {
        Message::Started(told) => Message::Started(notice(told)),
        Message::Finished(told) => Message::Finished(notice(told)),
        Message::Event(told) => Message::Event(Event {
            timestamp: later(&told.timestamp),
            ..told.clone()
        }),
        Message::History(told, recordings) => {
            let mut told = told.clone();
            told.direction = Direction::Outbound;
            told.client_phone = phone.to_owned();
            told.external_created_at = told.external_created_at.as_ref().map(later);
            for leg in &mut told.items {
                leg.started_at = leg.started_at.as_ref().map(later);
                leg.finished_at = leg.finished_at.as_ref().map(later);
            }
            Message::History(told, recordings.clone())
        }
        other => other.clone(),
    }
}

const DAY: i64 = 86_400;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn a_report_that_contradicts_a_call_that_is_over_is_another_call() {
    let over = call([
        Message::Started(notice(0)),
        inbound("1", Appeared, 1),
        inbound("1", Connected, 2),
        Message::Finished(notice(30)),
    ]);
    let open = call([Message::Started(notice(0)), inbound("1", Connected, 2)]);
    let told = call([Message::History(
        history(vec![history_leg("1", Some(2), Some(30))]),
        Vec::new(),
    )]);
    let other = "79990000000";
    let start = |second, phone: &str| {
        Message::Started(Notice {
            client_phone: phone.to_owned(),
            ..notice(second)
        })
    };
    let outbound = |second| {
        Message::Started(Notice {
            direction: Some(Direction::Outbound),
            ..notice(second)
        })
    };
    let end = |second, phone: &str| {
        Message::Finished(Notice {
            client_phone: phone.to_owned(),
            ..notice(second)
        })
    };
    let register = |second: i64, phone: &str| {
        let told = history(vec![history_leg("1", Some(second + 2), Some(second + 30))]);
        moved_history(told, second, phone)
    };
    let own = "79997775533";
    for (what, call, message, same) in [
        ("a repeated start", &over, start(0, own), true),
        (
            "a start that is sent again with the time of sending",
            &over,
            start(90, own),
            true,
        ),
        ("a hidden number", &over, start(0, ""), true),
        (
            "another spelling of the start, corrected",
            &over,
            start(0, other),
            true,
        ),
        ("another number later", &over, start(600, other), false),
        ("another direction later", &over, outbound(600), false),
        (
            "the same number an hour later",
            &over,
            start(3600, own),
            false,
        ),
        ("the next day", &over, start(DAY, own), false),
        ("the day before", &over, start(-DAY, own), false),
        ("a late event", &over, inbound("1", Disconnected, 29), true),
        (
            "an event that is late by hours",
            &over,
            inbound("1", Disconnected, 7200),
            true,
        ),
        (
            "an event of the next day",
            &over,
            inbound("1", Disconnected, DAY),
            false,
        ),
        ("a second end", &over, end(40, own), true),
        (
            "an end with another number later",
            &over,
            end(600, other),
            false,
        ),
        ("history of the same times", &over, register(0, own), true),
        (
            "history corrects the number",
            &over,
            register(0, other),
            true,
        ),
        (
            "history in local time",
            &over,
            register(3 * 3600, own),
            true,
        ),
        ("history of the next day", &over, register(DAY, own), false),
        (
            "history of another number later",
            &over,
            register(600, other),
            false,
        ),
        ("history twice", &told, register(0, own), true),
        (
            "a later history of the same number",
            &told,
            register(3600, own),
            false,
        ),
        (
            "an open call's number may change",
            &open,
            start(20, other),
            true,
        ),
        (
            "an open call's end has another number",
            &open,
            end(600, other),
            true,
        ),
        (
            "an open call's event of whatever time",
            &open,
            inbound("1", Disconnected, DAY),
            true,
        ),
        (
            "a start of the next day, though the call is open",
            &open,
            start(DAY, own),
            false,
        ),
    ] {
        let phone = Some(call.client_phone());
        let chosen = choose_call(&Line::identity(&message), &[(call, phone)]);
        assert_eq!(chosen.is_some(), same, "{what}");
    }
}

fn moved_history(told: History, second: i64, phone: &str) -> Message {
    Message::History(
        History {
            client_phone: phone.to_owned(),
            external_created_at: Some(at(second)),
            ..told
        },
        Vec::new(),
    )
}

#[test]
fn a_recording_goes_to_the_newest_call_that_can_have_it() {
    let old = call([
        Message::Started(notice(0)),
        inbound("1", Connected, 1),
        Message::Finished(notice(9)),
    ]);
    let ringing = call([Message::Started(notice(DAY))]);
    let over = ringing.with(Message::Finished(notice(DAY + 9))).unwrap();
    let talked = over.with(inbound("1", Connected, DAY + 1)).unwrap();
    let recording = Identity::of_recording("1", "");
    for (newest, chosen) in [(&ringing, 0), (&over, 1), (&talked, 0)] {
        assert_eq!(
            choose_call(&recording, &[(newest, None), (&old, None)]),
            Some(chosen)
        );
    }
}

fn parties() -> impl Strategy<Value = (Party, Party)> {
    prop_oneof![
        (0_u128..4).prop_map(|n| (client(), user(n))),
        (0_u128..4).prop_map(|n| (user(n), client())),
        (0_u128..4, 4_u128..6).prop_map(|(a, b)| (user(a), user(b))),
    ]
}

fn some_event() -> impl Strategy<Value = Message> {
    let kind = prop::sample::select(EventType::ALL);
    // Few legs and few moments, so that ties and contradictions are frequent.
    (0_u8..4, 0_u8..3, kind, 0_i64..12, parties()).prop_map(
        |(leg, realtime, kind, second, (from, to))| {
            Message::Event(Event {
                // Some name their leg only by the id that it has while it lasts.
                external_call_item_id: if leg == 3 {
                    String::new()
                } else {
                    format!("leg{leg}")
                },
                realtime_call_item_id: format!("rt{realtime}"),
                timestamp: at(second),
                kind,
                from,
                to,
            })
        },
    )
}

fn some_notice() -> impl Strategy<Value = Notice> {
    let direction = prop::option::of(prop::sample::select(Direction::ALL));
    (0_i64..12, direction, "7?|7999777553[0-9]").prop_map(|(second, direction, phone)| Notice {
        timestamp: at(second),
        direction,
        client_phone: phone.clone(),
        external_vats_phone: phone,
    })
}

fn some_history() -> impl Strategy<Value = Message> {
    let leg = |prefix: &'static str| {
        let end = prop::option::of(6_i64..12);
        (0_u8..4, parties(), prop::option::of(0_i64..6), end).prop_map(
            move |(n, (from, to), started, finished)| HistoryLeg {
                id: format!("{prefix}{n}"),
                from,
                to,
                started_at: started.map(at),
                finished_at: finished.map(at),
            },
        )
    };
    let legs = prop_oneof![
        prop::collection::vec(leg("leg"), 0..4),
        prop::collection::vec(leg("other"), 0..4),
    ];
    (legs, prop::collection::vec(20_u128..24, 0..3)).prop_map(|(mut legs, files)| {
        legs.sort_by(|a, b| a.id.cmp(&b.id));
        legs.dedup_by(|a, b| a.id == b.id);
        let recordings = legs
            .iter()
            .zip(files)
            .map(|(leg, file)| recorded(&leg.id, file, true))
            .collect();
        Message::History(history(legs), recordings)
    })
}

fn some_call() -> impl Strategy<Value = Vec<Message>> {
    let recording = (0_u8..4, 18_u128..24)
        .prop_map(|(leg, file)| Message::Recorded(recorded(&format!("leg{leg}"), file, false)));
    (
        prop::collection::vec(some_notice().prop_map(Message::Started), 0..3),
        prop::collection::vec(some_event(), 0..14),
        prop::collection::vec(some_notice().prop_map(Message::Finished), 0..3),
        prop::option::of(some_history()),
        prop::collection::vec(recording, 0..3),
    )
        .prop_map(|(started, events, finished, history, recordings)| {
            let all = started.into_iter().chain(events).chain(finished);
            all.chain(history).chain(recordings).collect()
        })
}

/// Delivers in this order; what is refused comes again at the end, until nothing more is taken.
fn deliver(messages: &[Message]) -> Call {
    let mut call = Call::default();
    let mut left: Vec<Message> = messages.to_vec();
    loop {
        let before = left.len();
        left.retain(|message| match call.with(message.clone()) {
            Ok(after) => {
                call = after;
                false
            }
            Err(_) => true,
        });
        if left.len() == before {
            return call;
        }
    }
}

proptest! {
    #![proptest_config(Config { cases: 10_000, ..Config::default() })]

    /// Any order and any repetition of a call's messages gives the same call.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (messages, shuffled) in some_call().prop_flat_map(|messages| {
            let twice: Vec<Message> = messages.iter().chain(&messages).cloned().collect();
            (Just(messages), Just(twice).prop_shuffle())
        })
    ) {
        let (one, other) = (deliver(&messages), deliver(&shuffled));
        prop_assert_eq!(&one, &other);
        let head = Head {
            id: Uuid::nil(),
            integration: Uuid::nil(),
            external_id: None,
            first_seen: at(0),
            group: None,
        };
        prop_assert_eq!(snapshot(&one, &head), snapshot(&other, &head));
        // And what was taken once changes nothing when it comes again.
        for message in &messages {
            if let Ok(again) = one.with(message.clone()) {
                prop_assert_eq!(&again, &one);
            }
        }
    }

    /// No leg is answered after it ended, and none of a call that is over goes on.
    #[test]
    fn legs_are_consistent(messages in some_call()) {
        let call = deliver(&messages);
        let legs = call.legs();
        let mut ids: Vec<&str> = legs.iter().map(|leg| leg.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), legs.len());
        for leg in &legs {
            if let (Some(started), Some(finished)) = (&leg.started_at, &leg.finished_at) {
                prop_assert!(started <= finished, "{:?}", leg);
            }
        }
        let facts = call.facts();
        prop_assert!(facts.talk_ms >= 0 && facts.hold_ms >= 0);
        prop_assert!(!(facts.missed && facts.answered));
    }
}

proptest! {
    #![proptest_config(Config { cases: 3_000, ..Config::default() })]

    /// Two calls of one id, a day apart, do not mix: neither where both have begun and then everything comes in
    /// any order and twice, nor where the second one begins in any order after the first one's end.
    #[test]
    fn calls_that_share_an_id_do_not_mix(
        (first, second, shuffled, later) in (some_call(), some_call()).prop_flat_map(|(first, second)| {
            let plain = |call: Vec<Message>, day, phone: &str| -> Vec<Message> {
                let own = call.into_iter().filter(|message| !matches!(message, Message::Recorded(_)));
                own.map(|message| moved(&message, day * DAY, phone)).collect()
            };
            let start = |day: i64| moved(&Message::Started(notice(0)), day * DAY, "79990000000");
            let end = |day: i64| moved(&Message::Finished(notice(11)), day * DAY, "79990000000");
            let (first, second) = (plain(first, 0, "79990000000"), plain(second, 1, "77010000000"));
            let first: Vec<Message> = [start(0)].into_iter().chain(first).chain([end(0)]).collect();
            let begin = moved(&Message::Started(notice(0)), DAY, "77010000000");
            let second: Vec<Message> = [begin].into_iter().chain(second).collect();
            let both: Vec<Message> = first.iter().chain(&second).chain(&first).cloned().collect();
            let again: Vec<Message> = second.iter().chain(&second).chain(&first).cloned().collect();
            (Just(first), Just(second), Just(both).prop_shuffle(), Just(again).prop_shuffle())
        })
    ) {
        let apart = |messages: &[Message]| deliver(messages);
        let expected = [apart(&first), apart(&second)];
        let begun = [first[0].clone(), second[0].clone()];
        let mixed = Line::deliver(begun.into_iter().chain(shuffled));
        prop_assert_eq!(&mixed.0[..], &expected[..]);
        let one_after_the_other = Line::deliver(first.iter().cloned().chain(later));
        prop_assert_eq!(&one_after_the_other.0[..], &expected[..]);
    }
}
