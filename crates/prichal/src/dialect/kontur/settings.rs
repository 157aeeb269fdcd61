//! `/api/v1/{ws}/settings`: the custom fields of a workspace's entities, and its phone region.

use axum::{http::StatusCode, response::Response};
use prichal_core::{
    custom_field::{SETTINGS, phone_region},
    entity, patch,
    schema::{Object, complete},
};
use prichal_store::{Tx, setting};

use super::{
    caller::{Admin, Member},
    openapi::PatchEnvelope,
};
use crate::{
    dialect::openapi::schema::{described, model},
    domain::telephony::rekey,
    error::{Code, Error, Result},
    http::{answer::json_text, body::Json},
    platform::{
        security::{self, Event},
        settings,
    },
};

described! {
    /// The settings of a workspace.
    Settings = model(SETTINGS);
}

/// Read the settings of the workspace.
#[utoipa::path(get, path = "/api/v1/{ws}/settings", tag = "settings", params(Member),
    responses((status = 200, body = Settings)))]
pub(super) async fn get_settings(member: Member) -> Result<Response> {
    let settings = settings::of(&member.app, member.workspace_id()).await?;
    Ok(answer((*settings).clone()))
}

/// The refusal of settings that have grown too long patch by patch. A single body is bounded anyway.
fn too_long() -> Error {
    let message = format!("The settings are longer than {} bytes.", entity::MAX_TEXT);
    Error::refused(Code::InvalidValue, message)
}

fn answer(settings: Object) -> Response {
    let settings = serde_json::Value::Object(complete(SETTINGS, settings));
    json_text(StatusCode::OK, settings.to_string())
}

/// Change the settings: `add /customFields/company` declares a custom field of companies.
#[utoipa::path(patch, path = "/api/v1/{ws}/settings", tag = "settings", params(Admin),
    request_body(content = PatchEnvelope, example = json!({"operations": [
        {"op": "add", "path": "/customFields/company", "value": {"id": "segment", "name": "Segment", "type": "text"}}]})), responses((status = 200, body = Settings)))]
pub(super) async fn patch_settings(Admin(member): Admin, Json(body): Json) -> Result<Response> {
    let operations = patch::parse(&body)?;
    let (workspace, now) = (member.workspace_id(), member.now);
    let write = move |tx: &mut Tx<'_>| {
        let text = setting::find_for_update(tx, workspace)?;
        let settings = text
            .and_then(|text| serde_json::from_str::<Object>(&text).ok())
            .unwrap_or_default();
        let mut settings = complete(SETTINGS, settings);
        let region = phone_region(&settings);
        let new_id = &mut || prichal_core::id::generate(now);
        patch::apply(SETTINGS, &mut settings, &operations, new_id).map_err(Error::PatchRefused)?;
        let text = entity::to_text(&settings).map_err(|_| too_long())?;
        setting::set(tx, workspace, &text, now)?;
        if phone_region(&settings) != region {
            rekey::begin(tx, workspace, phone_region(&settings))?;
        }
        Ok::<_, Error>(settings)
    };
    let settings = member.app.db.write(workspace, write).await?;
    security::record(Event::SettingsChanged, Some(workspace), "workspace");
    member.app.settings.forget(workspace);
    member.app.telephony.rekey.notify_one();
    Ok(answer(settings))
}
