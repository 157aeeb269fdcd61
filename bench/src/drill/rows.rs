//! The writes of a bulk call through the store alone: no HTTP, no JSON, no look-up of the employee. This is the only
//! code here that uses the server's crates.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use prichal_core::{
    document::{
        Document, Group, Kind, Party, Status,
        snapshot::{ChangeAuthor, snapshot},
    },
    event::{Author, EntityKind, NewEvent, Origin},
    id::{EventId, UserId, WorkspaceId, generate},
    time::Timestamp,
};
use prichal_store::{
    Db, Error, OnBatch, OnCommit, Options, Tx,
    bulk::{self, Element},
    document,
};
use uuid::Uuid;

use crate::{clock, database::Engine, lab::Lab, server::Home};

/// The number of elements in progress at once, as in the server.
const MAX_IN_PROGRESS: usize = 128;

/// The smallest number of elements of a claim, as in the server.
const MIN_CLAIM: i64 = 64;

/// Writes the rows of `count` elements and returns the time it took.
pub(super) fn write(lab: &Lab, engine: &Engine, count: u64) -> Result<Duration> {
    let home = Home::new(lab, engine)?;
    let options = match home.database_url() {
        Some(url) => Options::Postgres {
            url: url.to_owned(),
            tls: None,
        },
        None => Options::Sqlite {
            path: home.folder().join("rows.sqlite"),
        },
    };
    let on_commit: OnCommit = Arc::new(|_| ());
    let on_batch: OnBatch = Arc::new(|_| ());
    let db = Db::open(&options, &on_commit, &on_batch)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    // The first elements warm up the store, as in the server.
    runtime.block_on(all(&db, count))?;
    let begun = Instant::now();
    runtime.block_on(all(&db, count))?;
    Ok(begun.elapsed())
}

async fn all(db: &Db, count: u64) -> Result<()> {
    let company = WorkspaceId(Uuid::from_u128(1));
    let node = Uuid::from_u128(2);
    let now = now();
    db.write(company, move |tx| {
        (0..count).for_each(|_| bulk::insert(tx, &element(company, now)));
        Ok::<_, Error>(())
    })
    .await?;
    let mut work = tokio::task::JoinSet::new();
    loop {
        let free = i64::try_from(MAX_IN_PROGRESS - work.len()).unwrap_or(1);
        let claimed = if free >= MIN_CLAIM {
            let capacity = bulk::Capacity {
                free,
                max_per_workspace: free,
                in_progress: HashMap::new(),
                after: company,
                over: Vec::new(),
            };
            let claim = db.write(company, move |tx| {
                bulk::claim(tx, node, now.secs(), "InProcessing", &capacity)
            });
            claim.await?.elements
        } else {
            Vec::new()
        };
        if claimed.is_empty() && work.is_empty() {
            return Ok(());
        }
        for element in claimed {
            let db = db.clone();
            work.spawn(async move {
                db.write(company, move |tx| one(tx, node, &element, now))
                    .await
            });
        }
        if let Some(done) = work.join_next().await {
            done??;
        }
    }
}

/// One element: the document, the company's view of it, the event, and the element's completion.
fn one(tx: &mut Tx<'_>, node: Uuid, element: &Element, now: Timestamp) -> Result<(), Error> {
    let company = element.workspace;
    let employee = UserId(Uuid::from_u128(3));
    let created = Document {
        id: generate(now),
        kind: Kind::External,
        sender: Party {
            company,
            bin: "971240001315".into(),
        },
        name: "bench".into(),
        number: "1".into(),
        date: 1_600_000_000,
        group: Group::Legal,
        author: employee,
        created_on: now.secs(),
        contents: vec![Uuid::from_u128(4)],
        route: None,
        fate: None,
    };
    document::insert(tx, &created)?;
    let by = ChangeAuthor {
        bin: created.sender.bin.clone(),
        employee: employee.0,
    };
    let shown = snapshot(&created, company, Status::Draft, Some(&by), None);
    let origin = Origin {
        workspace: company,
        author: Author::web_app(Some(employee)),
        at: now,
    };
    tx.append(NewEvent::create(
        EventId(generate(now)),
        &origin,
        (EntityKind::Document, created.id),
        shown.clone(),
    ));
    let done = Element {
        status: "CompletedWithOk".into(),
        result: Some(shown),
        completed_on: Some(now.secs()),
        ..element.clone()
    };
    bulk::complete(tx, node, &done)?;
    Ok(())
}

fn element(workspace: WorkspaceId, now: Timestamp) -> Element {
    let data = r#"{"documentMetadata":{"documentName":"bench","documentNumber":"1","documentDate":1600000000,"documentGroup":"Legal"},"documentBinaryContents":[{"blobId":"0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7"}]}"#;
    Element {
        workspace,
        id: generate(now),
        path: "outbox/document/create".into(),
        caller: r#"{"token":"0193f6d2-7c1a-7b3e-9f00-5d2c8a41e6b7","user":null,"admin":true,"language":"ru"}"#.into(),
        data: data.into(),
        status: "Created".into(),
        result: None,
        errors: None,
        tries: 0,
        created_on: now.secs(),
        completed_on: None,
    }
}

fn now() -> Timestamp {
    let seconds = i64::try_from(clock::unix_seconds()).unwrap_or(0);
    Timestamp::from_micros(seconds * 1_000_000)
}
