//! What is done to an integration's instance in a workspace.

use prichal_core::{
    event::Origin,
    id::{IntegrationId, WorkspaceId},
    integration::Status,
};
use prichal_store::{Tx, integration::Instance, webhook::Key};

use crate::{app::App, error::Result, outgoing::signature::SigningKey};

pub fn signing_keys(_app: &App, _instance: &Instance) -> Vec<SigningKey> {
    Vec::new()
}

pub fn set_status(
    _tx: &mut Tx<'_>,
    _workspace: WorkspaceId,
    _integration: IntegrationId,
    _change: impl Fn(Status) -> Status,
    _origin: &Origin,
) -> Result<()> {
    Ok(())
}

pub fn switch_off(_tx: &mut Tx<'_>, _key: Key, _origin: &Origin) -> Result<()> {
    Ok(())
}
