//! The delivery log: bounded searches, and the removal of its oldest part.

use prichal_core::{
    event::{ChangeType, Entities, EntityKind, EventHead, EventType},
    id::{EventId, IntegrationId, WebhookId, generate},
};
use prichal_store::{
    Db, Error, Tx,
    delivery::{
        self, Attempt, Deferred, Exchange, Lane, dead_letter,
        log::{self, Details, Filter, HttpStatus, Logged, Source},
        text::Text,
    },
    usage,
    webhook::Key,
};
use uuid::Uuid;

use crate::test_store::{TestStore, at, workspace};

const HOOK: u128 = 5;

fn integration() -> IntegrationId {
    IntegrationId(Uuid::from_u128(9))
}

/// A call for event `seq`, about an entity with that number.
fn call(seq: i64, status: &'static str) -> Attempt {
    let now = at(1_700_000_000 + seq);
    let entity = (
        EntityKind::Company,
        Uuid::from_u128(u128::from(seq.unsigned_abs())),
    );
    Attempt {
        id: generate(now),
        webhook: WebhookId(Uuid::from_u128(HOOK)),
        event: EventId::generate(now),
        seq,
        about: Some(EventHead::new(
            EventType::Change(ChangeType::Create),
            Entities::one(entity),
        )),
        attempt: 1,
        status,
        http_status: Some(if status == "delivered" { 200 } else { 500 }),
        duration_ms: 1,
        error: None,
        answer: Some("0123456789".repeat(10)),
        started_at: now,
        is_replay: false,
        exchange: Exchange::default(),
    }
}

async fn insert(db: &Db, calls: Vec<Attempt>) {
    let write = db.write(workspace(1), move |tx| {
        log::insert(tx, workspace(1), integration(), &calls);
        Ok::<_, Error>(())
    });
    write.await.expect("written");
}

async fn list(db: &Db, filter: Filter, limit: i64, max_rows: usize) -> log::Page {
    db.read(move |conn| {
        log::list(
            conn,
            workspace(1),
            &filter,
            Details::OfFailures,
            limit,
            max_rows,
        )
    })
    .await
    .expect("a page")
}

#[tokio::test]
async fn a_search_for_little_ends_and_goes_on() {
    let store = TestStore::open();
    for some in 0..12 {
        let calls = (1..=100).map(|n| call(some * 100 + n, "deferred"));
        insert(&store.db, calls.collect()).await;
    }
    let mut filter = Filter {
        entity: Some(Uuid::from_u128(7)),
        ..Filter::default()
    };
    let (mut pages, mut found) = (0, Vec::new());
    loop {
        let page = list(&store.db, filter.clone(), 50, 100).await;
        found.extend(page.items.iter().map(|one| one.attempt.seq));
        pages += 1;
        let Some(next) = page.next else { break };
        filter.before = Some(next);
    }
    assert_eq!(found, [7]);
    assert!(
        (4..=13).contains(&pages),
        "{pages} pages of about 100 of 1200 rows"
    );
    for (integration_only, status) in [(false, "deferred"), (true, "deferred"), (true, "exhausted")]
    {
        let filter = Filter {
            integration: integration_only.then(integration),
            status: Some(status.to_owned()),
            ..Filter::default()
        };
        let found = list(&store.db, filter, 5, 100).await.items;
        let seqs: Vec<i64> = found.iter().map(|one| one.attempt.seq).collect();
        let expected: &[i64] = if status == "deferred" {
            &[1200, 1199, 1198, 1197, 1196]
        } else {
            &[]
        };
        assert_eq!(seqs, expected, "{integration_only} {status}");
    }
}

/// The numbers of the calls with a text, collected page by page, and the number of pages.
async fn with_text(db: &Db, text: &str, status: Option<&str>, limit: i64) -> (Vec<i64>, usize) {
    let mut filter = Filter {
        text: Some(Text::new(text, |_, event, _| Some(event.body.clone()))),
        status: status.map(str::to_owned),
        ..Filter::default()
    };
    let (mut seqs, mut pages) = (Vec::new(), 0);
    loop {
        let page = list(db, filter.clone(), limit, 4096).await;
        assert!(i64::try_from(page.items.len()).expect("a number") <= limit);
        seqs.extend(page.items.iter().map(|one| one.attempt.seq));
        pages += 1;
        let Some(next) = page.next else {
            return (seqs, pages);
        };
        assert!(
            filter.before.is_none_or(|before| next < before),
            "it goes on"
        );
        filter.before = Some(next);
    }
}

#[tokio::test]
async fn a_search_for_a_text_is_done_in_parts() {
    let store = TestStore::open();
    for some in 0..10 {
        let calls = (1..=1000).map(|n| {
            let n = some * 1000 + n;
            let status = if n % 5 == 0 { "exhausted" } else { "delivered" };
            let mut call = call(n, status);
            match n {
                7 | 9_990 => call.answer = Some("Причина: НЕТ денег".to_owned()),
                5 | 8_000 => call.error = Some("no answer: нет ответа".to_owned()),
                3 => call.exchange.body = Some("{\"name\":\"Нет\"}".into()),
                _ => {}
            }
            call
        });
        insert(&store.db, calls.collect()).await;
    }
    let expected = [9_990, 8_000, 7, 5, 3];
    for limit in [1, 2, 3, 1000] {
        let (mut seqs, pages) = with_text(&store.db, "нет", None, limit).await;
        // The calls of a write are grouped by their outcome.
        seqs.sort_unstable_by(|one, next| next.cmp(one));
        assert_eq!(seqs, expected, "pages of {limit}");
        assert!(
            (5..=10).contains(&pages),
            "{pages} pages of about 2048 of 10 000 calls"
        );
    }
    let exhausted = with_text(&store.db, "Нет", Some("exhausted"), 10).await;
    assert_eq!(exhausted.0, [9_990, 8_000, 5]);
    let nothing = with_text(&store.db, "нету", None, 10).await.0;
    assert!(nothing.is_empty(), "{nothing:?}");
}

#[tokio::test]
async fn calls_of_one_write_are_found_one_by_one() {
    let store = TestStore::open();
    let statuses = ["delivered", "delivered", "exhausted", "delivered"];
    let calls = (1..=600).map(|n| call(n, statuses[usize::try_from(n).expect("a number") % 4]));
    insert(&store.db, calls.collect()).await;
    let all = list(&store.db, Filter::default(), 1000, usize::MAX).await;
    assert!(all.next.is_none());
    let mut ids: Vec<Uuid> = all.items.iter().map(|one| one.attempt.id).collect();
    assert_eq!(ids.len(), 600);
    assert!(
        ids.is_sorted_by(|one, next| one > next),
        "each id once, newest first"
    );
    let mut seqs: Vec<i64> = all.items.iter().map(|one| one.attempt.seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=600).collect::<Vec<_>>());
    ids.truncate(40);
    for (id, one) in ids.into_iter().zip(&all.items) {
        let find = move |conn: &mut prichal_store::Conn| log::find(conn, workspace(1), id);
        let found = store
            .db
            .read(find)
            .await
            .expect("a look")
            .expect("the call");
        assert_eq!(found.attempt.seq, one.attempt.seq);
        let find = move |conn: &mut prichal_store::Conn| log::find(conn, workspace(2), id);
        assert!(
            store.db.read(find).await.expect("a look").is_none(),
            "another workspace"
        );
    }
}

const KINDS: [EventType; 3] = [
    EventType::Change(ChangeType::Create),
    EventType::Change(ChangeType::Patch),
    EventType::Link,
];

/// Logs 90 calls of each source: a webhook, a document hook, and a channel.
async fn insert_of_each_source(db: &Db) {
    let sources = [integration().0, Uuid::nil(), Uuid::from_u128(HOOK)];
    for (n, source) in (0..).zip(sources) {
        let calls = (1..=90).map(|k| {
            let of = |length: usize| usize::try_from(k).expect("a number") % length;
            let status = delivery::STATUSES[of(5).saturating_sub(2)];
            let mut call = call(n * 100 + k, status);
            let about = call.about.as_mut().expect("an event");
            about.kind = KINDS[of(3)];
            if k % 7 == 0 {
                about.entities = Entities::one((EntityKind::Deal, Uuid::from_u128(7)));
            }
            call.http_status = [Some(200), Some(204), Some(500), None][of(4)];
            call.error = (status != "delivered").then(|| format!("error {k}"));
            call
        });
        let calls: Vec<Attempt> = calls.collect();
        let write = db.write(workspace(1), move |tx| {
            for some in calls.chunks(30) {
                log::insert(tx, workspace(1), IntegrationId(source), some);
            }
            Ok::<_, Error>(())
        });
        write.await.expect("written");
    }
}

fn wants(filter: &Filter, one: &Logged) -> bool {
    let call = &one.attempt;
    let about = call.about.as_ref().expect("an event");
    let (kind, entity) = about.entities.iter().next().expect("an entity");
    let source = Source::of(one.integration, call.webhook);
    filter.source.is_none_or(|wanted| wanted == source)
        && filter.integration.is_none_or(|id| id == one.integration)
        && filter.webhook.is_none_or(|id| id == call.webhook)
        && filter.before.is_none_or(|before| call.id < before)
        && filter.status.iter().all(|wanted| wanted == call.status)
        && filter.types.iter().all(|types| types.contains(&about.kind))
        && filter.entity_kind.is_none_or(|wanted| wanted == *kind)
        && filter.entity.is_none_or(|wanted| wanted == *entity)
        && filter.http_status.is_none_or(|wanted| match wanted {
            HttpStatus::Absent => call.http_status.is_none(),
            HttpStatus::Between(first, last) => call
                .http_status
                .is_some_and(|found| (first..=last).contains(&found)),
        })
}

#[tokio::test]
async fn each_filter_finds_its_calls_among_all() {
    let store = TestStore::open();
    insert_of_each_source(&store.db).await;
    let all = list(&store.db, Filter::default(), 1000, usize::MAX)
        .await
        .items;
    assert_eq!(all.len(), 270);
    for call in all.iter().map(|one| &one.attempt) {
        let is_failure = call.status != "delivered";
        assert_eq!(call.error.is_some(), is_failure, "{call:?}");
        assert_eq!(call.answer.is_some(), is_failure, "{call:?}");
    }
    let base = Filter {
        before: Some(all[20].attempt.id),
        ..Filter::default()
    };
    let mut filters = Vec::new();
    let mut add = |change: &dyn Fn(&mut Filter)| {
        let mut filter = base.clone();
        change(&mut filter);
        filters.push(filter);
    };
    for source in Source::ALL {
        add(&|filter| filter.source = Some(source));
    }
    for status in delivery::STATUSES {
        add(&|filter| filter.status = Some(status.to_owned()));
        add(&|filter| {
            filter.status = Some(status.to_owned());
            filter.integration = Some(integration());
        });
    }
    add(&|filter| filter.types = Some(KINDS[1..].to_vec()));
    add(&|filter| filter.entity_kind = Some(EntityKind::Deal));
    add(&|filter| filter.entity = Some(Uuid::from_u128(65)));
    for wanted in [
        HttpStatus::Absent,
        HttpStatus::Between(204, 204),
        HttpStatus::Between(201, 599),
    ] {
        add(&|filter| filter.http_status = Some(wanted));
    }
    for filter in filters {
        let expected = all.iter().filter(|one| wants(&filter, one));
        let expected: Vec<Uuid> = expected.map(|one| one.attempt.id).collect();
        assert!((1..240).contains(&expected.len()), "{filter:?}");
        let page = list(&store.db, filter.clone(), 1000, usize::MAX).await;
        let found: Vec<Uuid> = page.items.iter().map(|one| one.attempt.id).collect();
        assert_eq!((found, page.next), (expected, None), "{filter:?}");
    }
    let nothing = Filter {
        webhook: Some(WebhookId(Uuid::from_u128(HOOK + 1))),
        ..base
    };
    let page = list(&store.db, nothing, 1000, usize::MAX).await;
    assert!(page.items.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn the_oldest_part_goes_by_time_and_by_size() {
    let store = TestStore::open();
    for n in 1..=50 {
        insert(&store.db, vec![call(n, "exhausted")]).await;
    }
    let sizes = |bytes: i64| {
        let db = store.db.clone();
        async move {
            let read = move |conn: &mut prichal_store::Conn| {
                let larger = log::larger_than(conn, bytes, 10)?;
                Ok::<_, Error>((larger, log::start_of_newest(conn, workspace(1), bytes)?))
            };
            db.read(read).await.expect("a look")
        }
    };
    assert_eq!(sizes(1 << 20).await, (Vec::new(), None));
    let (larger, last) = sizes(2000).await;
    assert_eq!(larger, [workspace(1)]);
    let last = last.expect("the end of the oldest part");
    let forget = move |tx: &mut Tx<'_>| log::forget(tx, workspace(1), last, 1000);
    let gone = store.db.write(workspace(1), forget).await.expect("removed");
    let left = list(&store.db, Filter::default(), 100, usize::MAX)
        .await
        .items;
    assert_eq!(left.len(), 50 - usize::try_from(gone).expect("a number"));
    assert!(
        !left.is_empty() && left[0].attempt.seq == 50,
        "the newest stay"
    );
    assert_eq!(sizes(2000).await, (Vec::new(), None));

    let before = at(1_700_000_000 + 50);
    let read = move |conn: &mut prichal_store::Conn| log::with_rows_before(conn, before, 10);
    assert_eq!(store.db.read(read).await.expect("a look"), [workspace(1)]);
    let last = log::last_before(before);
    let forget = move |tx: &mut Tx<'_>| log::forget(tx, workspace(1), last, 1000);
    store.db.write(workspace(1), forget).await.expect("removed");
    let left = list(&store.db, Filter::default(), 100, usize::MAX)
        .await
        .items;
    assert_eq!(left.len(), 1, "the last one is not older");
    assert!(store.db.read(read).await.expect("a look").is_empty());
}

async fn records(db: &Db) -> i64 {
    let find = |conn: &mut prichal_store::Conn| usage::find(conn, workspace(1));
    let found = db.read(find).await.expect("the usage");
    found.used.get(usage::Kind::Records)
}

fn key() -> Key {
    Key {
        workspace: workspace(1),
        integration: integration(),
        id: WebhookId(Uuid::from_u128(HOOK)),
    }
}

#[tokio::test]
async fn dead_letters_count_until_they_are_settled() {
    let store = TestStore::open();
    let note = async |calls: Vec<Attempt>| {
        let write = move |tx: &mut Tx<'_>| dead_letter::note(tx, key(), &calls);
        store.db.write(workspace(1), write).await.expect("noted");
    };
    let replay = |seq| Attempt {
        is_replay: true,
        ..call(seq, "delivered")
    };
    note((1..=100).map(|n| call(n, "exhausted")).collect()).await;
    let all = records(&store.db).await;
    assert!(all >= 100 * 100, "{all}");
    note((1..=100).map(|n| call(n, "exhausted")).collect()).await;
    assert_eq!(records(&store.db).await, all, "given up again");
    note((1..=70).map(replay).collect()).await;
    note(vec![
        replay(71),
        call(71, "exhausted"),
        replay(99),
        call(98, "exhausted"),
        replay(98),
    ])
    .await;
    assert_eq!(records(&store.db).await, all / 100 * 28);
    let page = |conn: &mut prichal_store::Conn| {
        let of_hook = Filter {
            integration: Some(integration()),
            webhook: Some(key().id),
            ..Filter::default()
        };
        dead_letter::list(conn, workspace(1), &of_hook, 100, 100)
    };
    let letters = store.db.read(page).await.expect("a page").items;
    assert_eq!(letters.len(), 28);
    let own = letters[0].id;
    let dismiss = move |tx: &mut Tx<'_>| dead_letter::dismiss(tx, workspace(1), own, None);
    assert!(store.db.write(workspace(1), dismiss).await.expect("gone"));
    let forget = |tx: &mut Tx<'_>| dead_letter::forget(tx, None, at(1_800_000_000), 100);
    let gone = store.db.write(workspace(1), forget).await.expect("gone");
    assert_eq!((gone, records(&store.db).await), (27, 0));
}

#[tokio::test]
async fn deferred_events_count_until_they_are_delivered() {
    let store = TestStore::open();
    let change = async |changes: Vec<(Lane, i64, bool)>| {
        let write = move |tx: &mut Tx<'_>| {
            delivery::count_changes(tx, key(), changes.iter().copied())?;
            for (lane, seq, stays) in &changes {
                if *stays {
                    let deferred = Deferred {
                        lane: *lane,
                        seq: *seq,
                        attempts: 1,
                        due_at: at(1),
                        in_flight: false,
                    };
                    delivery::defer(tx, key(), &deferred)?;
                } else {
                    delivery::complete_deferred(tx, key(), *lane, *seq)?;
                }
            }
            Ok::<_, Error>(())
        };
        store.db.write(workspace(1), write).await.expect("changed");
        records(&store.db).await
    };
    let all = |stays| {
        (1..=150)
            .map(|seq| (Lane::Main, seq, stays))
            .collect::<Vec<_>>()
    };
    assert_eq!(change(all(true)).await, 15_000);
    assert_eq!(change(all(true)).await, 15_000, "deferred again");
    let both = vec![
        (Lane::Main, 1, false),
        (Lane::Replay, 2, true),
        (Lane::Replay, 3, false),
        (Lane::Main, 151, true),
        (Lane::Main, 151, false),
    ];
    assert_eq!(change(both).await, 15_000);
    assert_eq!(change(all(false)).await, 100, "one replay is left");
}
