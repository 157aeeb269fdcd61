use std::sync::Arc;

use prichal_core::{event::Author, id::WebhookId, patch};
use prichal_store::{Db, Options, event, workspace};
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const HOOK: &str = "a5aad3c1-777b-4ae5-8ca1-60b94c0423e5";
const TICK: &str = "b5aad3c1-777b-4ae5-8ca1-60b94c0423e5";

/// A store with one private integration installed in one workspace.
struct Lab {
    db: Db,
    vault: Arc<Vault>,
    origin: Origin,
    id: IntegrationId,
    _dir: tempfile::TempDir,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prichal.sqlite");
        let (on_commit, on_batch): (prichal_store::OnCommit, prichal_store::OnBatch) =
            (Arc::new(|_| {}), Arc::new(|_| {}));
        let db = Db::open(&Options::Sqlite { path }, &on_commit, &on_batch).unwrap();
        let origin = Origin {
            workspace: WorkspaceId::generate(NOW),
            author: Author::system(),
            at: NOW,
        };
        let lab = Self {
            db,
            vault: Arc::new(Vault::new(&[7; 32])),
            id: IntegrationId::generate(NOW),
            origin,
            _dir: dir,
        };
        let (manifest, vault, origin) = (lab.manifest(), lab.vault.clone(), lab.origin.clone());
        lab.write(move |tx| {
            workspace::insert(tx, &home(&origin))?;
            integration::insert(tx, &manifest)?;
            install(&vault, tx, manifest.clone(), &origin)
        })
        .await;
        lab
    }

    fn manifest(&self) -> Integration {
        Integration {
            id: self.id,
            workspace: self.origin.workspace,
            kind: Kind::Private,
            name: "my".to_owned(),
            version: "1.0".to_owned(),
            base_url: "https://my-integration.ru".to_owned(),
            title: None,
            update_info: UpdateInfo::created(&self.origin),
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    ) -> T {
        self.db.write(self.origin.workspace, work).await.unwrap()
    }

    async fn patch(&self, operations: Value) -> Installed {
        let (vault, origin, id) = (self.vault.clone(), self.origin.clone(), self.id);
        self.write(move |tx| {
            let found = find_for_update(&vault, tx, origin.workspace, id)?.unwrap();
            let operations = patch::parse(&json!({"operations": operations})).unwrap();
            let after = found
                .model
                .patch(&operations, &mut || prichal_core::id::generate(NOW));
            save(&vault, tx, found, after.unwrap(), &origin)
        })
        .await
    }

    async fn set_status(&self, status: Status) {
        let (vault, origin, id) = (self.vault.clone(), self.origin.clone(), self.id);
        self.write(move |tx| set_status(&vault, tx, origin.workspace, id, |_| status, &origin))
            .await;
    }

    async fn switch_off(&self, hook: &str) {
        let key = Key {
            workspace: self.origin.workspace,
            integration: self.id,
            id: WebhookId::parse(hook).unwrap(),
        };
        let (vault, origin) = (self.vault.clone(), self.origin.clone());
        self.write(move |tx| switch_off(&vault, tx, key, &origin))
            .await;
    }

    async fn found(&self) -> Installed {
        let (vault, workspace, id) = (self.vault.clone(), self.origin.workspace, self.id);
        let find = move |conn: &mut Conn| find(&vault, conn, workspace, id);
        self.db.read(find).await.unwrap().unwrap()
    }

    async fn hooks(&self) -> Vec<Webhook> {
        let (workspace, id) = (self.origin.workspace, self.id);
        let list = move |conn: &mut Conn| webhook::list(conn, workspace, id);
        self.db.read(list).await.unwrap()
    }

    /// The number of the last event, and its content.
    async fn last_event(&self) -> (i64, Value) {
        let workspace = self.origin.workspace;
        let read = move |conn: &mut Conn| {
            let last = event::last(conn, workspace)?;
            event::find(conn, workspace, last).map(|event| (last, event))
        };
        let (last, event) = self.db.read(read).await.unwrap();
        (last, serde_json::from_str(&event.unwrap().body).unwrap())
    }
}

fn home(origin: &Origin) -> workspace::Workspace {
    workspace::Workspace {
        id: origin.workspace,
        name: "home".to_owned(),
        title: None,
        bin: None,
        company_name: None,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn hooks() -> Value {
    json!([
        {"op": "add", "path": "/webHooks", "value": {"id": HOOK, "relativeUrl": "x", "triggerType": "entityEvent"}},
        {"op": "add", "path": "/webHooks", "value": {"id": TICK, "relativeUrl": "/setup/upgrade", "triggerType": "schedule", "schedule": {"period": "00:05:00"}}},
    ])
}

#[tokio::test]
async fn every_change_is_an_event_without_secrets() {
    let lab = Lab::new().await;
    let (first, event) = lab.last_event().await;
    assert_eq!((first, &event["changeData"]["type"]), (1, &json!("create")));
    let secret =
        json!([{"op": "add", "path": "/secrets", "value": {"id": "token", "value": "hunter2"}}]);
    let saved = lab.patch(secret.clone()).await;
    assert!(
        !saved
            .row
            .secrets
            .unwrap()
            .windows(7)
            .any(|part| part == b"hunter2")
    );
    let (second, event) = lab.last_event().await;
    assert_eq!(second, 2);
    assert_eq!(event["changeData"]["new"]["secrets"][0]["value"], "***");
    assert!(!event.to_string().contains("hunter2"));
    assert_eq!(lab.found().await.model.secrets[0].value, "hunter2");
    lab.patch(json!([])).await;
    lab.set_status(Status::Active).await;
    assert_eq!(lab.last_event().await.0, 2, "no change, no event");
}

#[tokio::test]
async fn a_webhook_begins_at_the_end_of_the_log_again_and_again() {
    let lab = Lab::new().await;
    lab.patch(hooks()).await;
    let rows = lab.hooks().await;
    assert_eq!(
        (rows[0].cursor, rows[0].live, rows[0].next_tick),
        (2, true, None)
    );
    let period = Duration::from_mins(5);
    assert_eq!(rows[1].next_tick, Some(NOW + period));

    lab.patch(
        json!([{"op": "replace", "path": format!("/webHooks/{HOOK}/relativeUrl"), "value": "y"}]),
    )
    .await;
    assert_eq!(lab.hooks().await[0].cursor, 2, "still the same webhook");

    lab.set_status(Status::Paused).await;
    assert!(lab.hooks().await.iter().all(|row| !row.live));
    lab.set_status(Status::Active).await;
    let rows = lab.hooks().await;
    assert!(rows.iter().all(|row| row.live));
    assert_eq!(rows[0].cursor, lab.last_event().await.0);

    lab.patch(json!([{"op": "remove", "path": format!("/webHooks/{HOOK}")}]))
        .await;
    assert_eq!(lab.hooks().await.len(), 1);
}

#[tokio::test]
async fn a_webhook_that_is_switched_off_can_be_enabled_again() {
    let lab = Lab::new().await;
    lab.patch(hooks()).await;
    lab.switch_off(HOOK).await;
    let found = lab.found().await;
    assert_eq!(found.model.status, Status::Failed);
    let disabled: Vec<bool> = found
        .model
        .webhooks
        .iter()
        .map(|hook| hook.disabled)
        .collect();
    assert_eq!(disabled, [true, false]);
    let live: Vec<bool> = lab.hooks().await.iter().map(|row| row.live).collect();
    assert_eq!(live, [false, true]);
    lab.patch(
        json!([{"op": "replace", "path": format!("/webHooks/{HOOK}/disabled"), "value": false}]),
    )
    .await;
    let rows = lab.hooks().await;
    assert_eq!(
        (rows[0].live, rows[0].cursor),
        (true, lab.last_event().await.0)
    );
}

#[tokio::test]
async fn another_version_is_due_at_once() {
    let lab = Lab::new().await;
    lab.patch(hooks()).await;
    let before = lab.manifest();
    let after = Integration {
        version: "1.1".to_owned(),
        ..before.clone()
    };
    let (vault, origin) = (lab.vault.clone(), lab.origin.clone());
    let last = lab.last_event().await.0;
    lab.write(move |tx| {
        integration::update(tx, &after)?;
        apply_manifest(&vault, tx, &before, &origin)
    })
    .await;
    let rows = lab.hooks().await;
    assert_eq!((rows[0].next_tick, rows[1].next_tick), (None, Some(NOW)));
    assert_eq!(lab.last_event().await.0, last, "the instance is as it was");
}

#[tokio::test]
async fn an_uninstalled_instance_keeps_its_secrets_and_no_webhook() {
    let lab = Lab::new().await;
    lab.patch(json!([{"op": "add", "path": "/secrets", "value": {"id": "token", "value": "x"}}]))
        .await;
    lab.patch(hooks()).await;
    let (vault, origin, id) = (lab.vault.clone(), lab.origin.clone(), lab.id);
    let ended = lab
        .write(move |tx| {
            let found = find_for_update(&vault, tx, origin.workspace, id)?.unwrap();
            uninstall(&vault, tx, found, &origin)
        })
        .await;
    assert_eq!(ended.round, 1);
    assert!(lab.hooks().await.is_empty());
    assert_eq!(lab.found().await.model.status, Status::NotConfigured);
    let (vault, origin, manifest) = (lab.vault.clone(), lab.origin.clone(), lab.manifest());
    let again = lab
        .write(move |tx| install(&vault, tx, manifest.clone(), &origin))
        .await;
    assert_eq!((again.row.round, again.model.status), (2, Status::Active));
    assert_eq!(again.model.secrets.len(), 1);
    assert!(again.model.webhooks.is_empty());
}
