//! Documents: the count of every list equals the number of its documents, for every filter.

use prichal_core::{
    document::{Document, Group, Kind, Party, Status},
    id::UserId,
};
use prichal_store::{
    Error,
    document::{self, Filter, Side},
};
use uuid::Uuid;

use crate::test_store::{TestStore, workspace};

const DAY: i64 = 86_400;

fn draft(n: u128, date: i64) -> Document {
    Document {
        id: Uuid::from_u128(n + 1),
        kind: Kind::External,
        sender: Party {
            company: workspace(7),
            bin: "971240001315".to_owned(),
        },
        name: "n".to_owned(),
        number: "n".to_owned(),
        date,
        group: Group::Legal,
        author: UserId(Uuid::from_u128(1 + n % 2)),
        created_on: 0,
        contents: Vec::new(),
        route: None,
        fate: None,
    }
}

#[tokio::test]
async fn counts_and_pages_match_the_documents() {
    let store = TestStore::open();
    // Dates around the edges of days, with several on some days.
    let dates: Vec<i64> = (0..60)
        .map(|n: i64| {
            (n % 7) * DAY + [0, 1, DAY - 1, DAY / 2][usize::try_from(n % 4).expect("small")]
        })
        .collect();
    let all: Vec<Document> = (0..).zip(&dates).map(|(n, date)| draft(n, *date)).collect();
    let written = all.clone();
    store
        .db
        .write(workspace(7), move |tx| {
            for one in &written {
                document::insert(tx, one)?;
            }
            Ok::<_, Error>(())
        })
        .await
        .expect("written");
    // A third of the documents is deleted.
    let (gone, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.id.as_u128() % 3 == 0);
    store
        .db
        .write(workspace(7), move |tx| {
            gone.iter()
                .try_for_each(|one| document::delete_draft(tx, one))
        })
        .await
        .expect("deleted");

    let bounds = [
        None,
        Some(0),
        Some(1),
        Some(DAY - 1),
        Some(DAY),
        Some(3 * DAY + 5),
        Some(9 * DAY),
    ];
    for from in bounds {
        for to in bounds {
            for author in [None, Some(UserId(Uuid::from_u128(2)))] {
                for statuses in [
                    vec![],
                    vec![Status::Draft],
                    vec![Status::Finished],
                    vec![Status::Draft, Status::Finished],
                ] {
                    let filter = Filter {
                        statuses,
                        from,
                        to,
                        author,
                    };
                    let mut expected: Vec<&Document> = left
                        .iter()
                        .filter(|one| from.is_none_or(|from| one.date >= from))
                        .filter(|one| to.is_none_or(|to| one.date <= to))
                        .filter(|one| author.is_none_or(|author| one.author == author))
                        .filter(|_| filter.statuses != [Status::Finished])
                        .collect();
                    expected.sort_by_key(|one| std::cmp::Reverse((one.date, one.id)));
                    let asked = filter.clone();
                    let (total, page) = store
                        .db
                        .read(move |conn| {
                            document::list(conn, workspace(7), Side::Outbox, &asked, 3, 10)
                        })
                        .await
                        .expect("a page");
                    assert_eq!(
                        total,
                        i64::try_from(expected.len()).expect("small"),
                        "{filter:?}"
                    );
                    let shown: Vec<&Document> = expected.into_iter().skip(3).take(10).collect();
                    assert_eq!(page.iter().collect::<Vec<_>>(), shown, "{filter:?}");
                }
            }
        }
    }
}
