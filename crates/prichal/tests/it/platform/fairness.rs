//! Fairness: the load of one workspace does not hold up others.

use std::sync::mpsc::Sender;

use prichal_core::id::WorkspaceId;
use prichal_store::{Conn, Engine, Error, tenant};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};
use uuid::Uuid;

use crate::harness::{
    channel_workspace::ChannelWorkspace,
    hub::{Hub, eventually},
    integration::company,
};

/// Reads of a workspace that do not end before this is dropped.
struct Held {
    _gates: Vec<Sender<()>>,
}

/// Takes all concurrent reads of a workspace, so that its next read is refused.
async fn fill(hub: &Hub, of: WorkspaceId) -> Held {
    let at_once = match hub.app.db.engine() {
        Engine::Sqlite => 2,
        Engine::Postgres => 4,
    };
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (mut gates, mut reads) = (Vec::new(), JoinSet::new());
    let mut read = |begun: mpsc::UnboundedSender<()>| {
        let (gate, opens) = std::sync::mpsc::channel::<()>();
        gates.push(gate);
        let db = hub.app.db.clone();
        let work = async move {
            let read = move |_: &mut Conn| {
                let _ = begun.send(());
                let _ = opens.recv();
                Ok::<_, Error>(())
            };
            db.read(read).await
        };
        reads.spawn(tenant::scope(Some(of), work));
    };
    (0..at_once).for_each(|_| read(begun.clone()));
    for _ in 0..at_once {
        begins.recv().await.expect("it has begun");
    }
    (0..1100).for_each(|_| read(begun.clone()));
    let refused = reads.join_next().await.expect("a read").expect("no panic");
    assert!(matches!(refused, Err(Error::Busy)), "{refused:?}");
    reads.detach_all();
    Held { _gates: gates }
}

#[tokio::test]
async fn reads_of_one_workspace_are_its_own_on_every_face() {
    let era = ChannelWorkspace::new().await;
    let hub = &era.hub;
    let other = hub.workspace("other").await;
    let theirs = company(&other, "theirs").await;
    let ours = company(&era.space, "ours").await;
    let channel = era.channel("c", json!({})).await;
    let id = hub.admin().get("/admin/v1/workspaces/acme").await.ok();
    let id = WorkspaceId(Uuid::try_parse(&id.str("id")).expect("an id"));
    let held = fill(hub, id).await;
    let ours = format!("/companies/{ours}");
    let channel = format!(
        "{}/{}",
        crate::harness::channel_workspace::POINTS,
        channel.id
    );
    assert_eq!(era.space.get(&ours).await.status, 503);
    assert_eq!(era.space.get("/companies").await.status, 503);
    assert_eq!(era.rest.get(&channel).await.status, 503);
    assert_eq!(
        era.rest
            .get(crate::harness::channel_workspace::POINTS)
            .await
            .status,
        503
    );
    other.get(&format!("/companies/{theirs}")).await.ok();
    other.get("/companies").await.ok();
    other
        .at("")
        .get(crate::harness::channel_workspace::POINTS)
        .await
        .ok();
    assert_eq!(hub.anonymous().get("/readyz").await.status, 200);
    drop(held);
    eventually("ours are read again", || async {
        (era.space.get(&ours).await.status == 200).then_some(())
    })
    .await;
}
