//! The document hook of a company: its signing secrets, and the webhook by which it is delivered.

use std::time::Duration;

use prichal_core::{
    delivery_settings::DeliverySettings,
    event::{ChangeType, EntityKind, EventKind},
    filter::{Filter, FilterItem},
    health::Streak,
    id::WorkspaceId,
    integration::{Trigger, Webhook as Definition},
    time::Timestamp,
};
use prichal_store::{
    sealed::Column,
    webhook::{Key, Webhook},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    platform::vault::{CellRef, Vault, random_token},
};

/// The time for which a previous secret still signs in addition to the newest one, and the maximum number of such
/// secrets.
const PREVIOUS_SECRET_TTL: Duration = Duration::from_hours(24);
const MAX_PREVIOUS_SECRETS: usize = 2;

/// The signing secrets, in the form in which they are sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    pub value: String,
    /// The newest first.
    previous: Vec<Previous>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Previous {
    value: String,
    /// In seconds since 1970.
    until: i64,
}

impl Secrets {
    pub fn generate() -> Self {
        Self {
            value: random_token(),
            previous: Vec::new(),
        }
    }

    /// Makes a new secret and keeps previous ones. A client that has lost the answer rotates again, and its receiver
    /// may already have the secret of the first rotation.
    pub fn rotate(&mut self, now: Timestamp) {
        self.previous.retain(|one| now.secs() < one.until);
        let before = Previous {
            value: std::mem::replace(&mut self.value, random_token()),
            until: (now + PREVIOUS_SECRET_TTL).secs(),
        };
        self.previous.insert(0, before);
        self.previous.truncate(MAX_PREVIOUS_SECRETS);
    }

    /// The secrets that sign at `now`, the newest first.
    pub fn valid_at(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let previous = self.previous.iter();
        let previous = previous.filter(move |one| now.secs() < one.until);
        std::iter::once(self.value.as_str()).chain(previous.map(|one| one.value.as_str()))
    }

    pub fn open(vault: &Vault, workspace: WorkspaceId, sealed: &[u8]) -> Result<Self> {
        let text = vault.open(&cell(workspace), sealed).ok_or_else(|| {
            Error::internal("the secrets of a document hook were sealed with another master key")
        })?;
        serde_json::from_slice(&text).map_err(Error::internal)
    }

    pub fn seal(&self, vault: &Vault, workspace: WorkspaceId) -> Result<Vec<u8>> {
        let text = serde_json::to_vec(self).map_err(Error::internal)?;
        Ok(vault.seal(&cell(workspace), &text))
    }
}

/// The cell that the secrets of a workspace's hook are sealed for.
fn cell(workspace: WorkspaceId) -> CellRef {
    CellRef::new(Column::DocumentHookSecrets.name(), &[&workspace])
}

/// The webhook by which a document hook is delivered.
pub fn webhook(key: Key) -> Webhook {
    let items = [ChangeType::Create, ChangeType::Patch].map(|change| FilterItem {
        event_type: Some(EventKind::Change),
        entity_type: Some(EntityKind::Document),
        change_type: Some(change),
        ..FilterItem::default()
    });
    let definition = Definition {
        id: key.id,
        // The URL is looked up for each call.
        relative_url: "/".to_owned(),
        trigger: Trigger::EntityEvent(Filter::new(&items)),
        items: items.to_vec(),
        period: None,
        disabled: false,
        settings: DeliverySettings::default(),
    };
    Webhook {
        key,
        definition: definition.kept().to_string(),
        position: 0,
        live: true,
        cursor: 0,
        owner: None,
        fence: 0,
        streak: Streak::default(),
        next_tick: None,
        secrets: None,
    }
}

#[cfg(test)]
mod tests {
    use prichal_core::{
        event::{Entities, EventHead, EventType},
        id::{WebhookId, WorkspaceId},
    };
    use prichal_store::document_hook::INTEGRATION;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_webhook_matches_status_events() {
        let key = Key {
            workspace: WorkspaceId(Uuid::from_u128(1)),
            integration: INTEGRATION,
            id: WebhookId(Uuid::from_u128(2)),
        };
        let kept = serde_json::from_str(&webhook(key).definition).expect("JSON");
        let definition = Definition::from_kept(&kept).expect("a webhook");
        let wants = |change, kind| {
            let entities = Entities::one((kind, Uuid::from_u128(3)));
            definition.wants(&EventHead::new(EventType::Change(change), entities))
        };
        assert!(wants(ChangeType::Create, EntityKind::Document));
        assert!(wants(ChangeType::Patch, EntityKind::Document));
        assert!(!wants(ChangeType::Delete, EntityKind::Document));
        assert!(!wants(ChangeType::Create, EntityKind::Company));
    }

    #[test]
    fn the_old_secret_signs_for_a_day() {
        let now = Timestamp::from_micros(0);
        let mut secrets = Secrets::generate();
        let old = secrets.value.clone();
        secrets.rotate(now);
        assert_ne!(secrets.value, old);
        assert_eq!(
            secrets.valid_at(now).collect::<Vec<_>>(),
            [secrets.value.as_str(), &old]
        );
        let late = now + PREVIOUS_SECRET_TTL;
        assert_eq!(secrets.valid_at(late).collect::<Vec<_>>(), [&secrets.value]);
    }
}
