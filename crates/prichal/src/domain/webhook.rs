//! The secrets of a webhook: the values of its secret headers, its key pairs, and the key of its client certificate. They
//! are sealed in one cell of its row.

pub mod script;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prichal_core::{
    delivery_settings::{DeliverySettings, SignatureVersion},
    integration::Webhook as Definition,
};
use prichal_store::{
    Conn, Tx,
    sealed::Column,
    webhook::{self, Key, Webhook},
};
use serde::{Deserialize, Serialize};

use crate::{
    domain::Domain,
    error::{Error, Result},
    platform::{
        outgoing::signature::KeyPair,
        vault::{CellRef, Vault, fill_random},
    },
};

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The seed of the Ed25519 key pair, in base64.
    #[serde(default)]
    seed: Option<String>,
    /// The key of the client certificate, in PEM.
    #[serde(default)]
    client_key: Option<String>,
}

impl Secrets {
    pub fn open(vault: &Vault, row: &Webhook) -> Result<Self> {
        let Some(sealed) = &row.secrets else {
            return Ok(Self::default());
        };
        let text = vault.open(&cell(row.key), sealed).ok_or_else(|| {
            Error::internal("the secrets of a webhook were sealed with another master key")
        })?;
        serde_json::from_slice(&text).map_err(Error::internal)
    }

    /// `None` if there are none.
    pub fn seal(&self, vault: &Vault, key: Key) -> Result<Option<Vec<u8>>> {
        if *self == Self::default() {
            return Ok(None);
        }
        let text = serde_json::to_vec(self).map_err(Error::internal)?;
        Ok(Some(vault.seal(&cell(key), &text)))
    }

    /// The secrets after a change of the settings. A key pair is made when it is first needed, and stays as long as the
    /// webhook, so that receivers which know its public key can go on.
    #[must_use]
    pub fn after(&self, settings: &DeliverySettings) -> Self {
        let headers = settings.secret_headers();
        let client = settings.client_certificate.as_ref();
        let needs_key = self.seed.is_none() && settings.signs(SignatureVersion::V1a);
        Self {
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            seed: self.seed.clone().or_else(|| needs_key.then(new_seed)),
            client_key: client.map(|client| client.key.clone()),
        }
    }

    /// Puts the secrets in their places in the settings.
    pub fn open_settings(&self, settings: &mut DeliverySettings) {
        settings.open_headers(|name| self.headers.get(name).cloned());
        if let (Some(client), Some(key)) = (&mut settings.client_certificate, &self.client_key) {
            client.key.clone_from(key);
        }
    }

    pub fn key_pair(&self) -> Option<KeyPair> {
        let seed = STANDARD.decode(self.seed.as_ref()?).ok()?;
        KeyPair::from_seed(&seed)
    }
}

/// Settings with their secrets, and all secrets of their webhook.
pub async fn opened(
    app: &Domain,
    key: Key,
    settings: &DeliverySettings,
) -> Result<(DeliverySettings, Secrets)> {
    let row = app.db.read(move |conn: &mut Conn| webhook::find(conn, key));
    let secrets = match row.await? {
        Some(row) => Secrets::open(&app.vault, &row)?,
        None => Secrets::default(),
    };
    let mut settings = settings.clone();
    secrets.open_settings(&mut settings);
    Ok((settings, secrets))
}

/// The definition in a row, with its secrets. `None` if it is damaged.
pub fn definition(vault: &Vault, row: &Webhook) -> Result<Option<Definition>> {
    let kept = serde_json::from_str(&row.definition).ok();
    let Some(mut definition) = kept.and_then(|json| Definition::from_kept(&json)) else {
        return Ok(None);
    };
    if row.secrets.is_some() {
        Secrets::open(vault, row)?.open_settings(&mut definition.settings);
    }
    Ok(Some(definition))
}

/// Stores the settings of a webhook outside of an instance.
pub fn put_settings(
    vault: &Vault,
    tx: &mut Tx<'_>,
    row: &Webhook,
    after: &Definition,
) -> Result<()> {
    let secrets = Secrets::open(vault, row)?.after(&after.settings);
    let row = Webhook {
        definition: after.kept().to_string(),
        secrets: secrets.seal(vault, row.key)?,
        ..row.clone()
    };
    Ok(webhook::update(tx, &row, false)?)
}

fn new_seed() -> String {
    let mut seed = [0; 32];
    fill_random(&mut seed);
    STANDARD.encode(seed)
}

/// The cell that the secrets of a webhook are sealed for.
fn cell(key: Key) -> CellRef {
    let column = Column::WebhookSecrets.name();
    CellRef::new(column, &[&key.workspace, &key.integration, &key.id])
}
