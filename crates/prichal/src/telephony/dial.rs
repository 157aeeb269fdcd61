//! System calls: a user's wish to call, or to hang up, passed on to an integration
//! (`reference/kontur.md` §4.4).

use bytes::Bytes;
use prichal_core::{
    call::{Dial, Failure, HangUp, Message, Moment},
    event::{EntityKind, Origin},
    id::{EntityId, IntegrationId, WorkspaceId, generate},
    integration::{Features, Status},
};
use prichal_store::{
    Conn, communication,
    integration::{self, Instance},
    ui_setting,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    group_of, living, not_found,
    record::{self, Exchange, Found},
};
use crate::{
    app::App,
    dispatch::call::{Outcome, Payload, Receiver, call},
    error::{Error, Refusal, Result},
    outgoing::connections::Connections,
};

/// Names the integration that calls are made with.
pub const MAIN_TELEPHONY: &str = "@main-telephony-settings";
/// How many calls that go on are looked through for a leg.
const ACTIVE: i64 = 1000;

/// What came of a wish to call: the record there is, and whether the exchange has taken it.
pub struct Dialled {
    pub id: EntityId,
    pub refused: Option<Error>,
}

/// Calls: the record first, so that the exchange's messages find it, then the integration.
pub async fn dial(
    app: &App,
    origin: &Origin,
    workspace_name: &str,
    id: Option<Uuid>,
    wish: Dial,
) -> Result<Dialled> {
    let (workspace, user) = (origin.workspace, wish.from_user_id);
    let chosen = app
        .db
        .read(move |conn| choose(conn, workspace, user))
        .await?
        .ok_or_else(|| {
            // The vendor's answer has its empty lists here, and not where a hang-up is refused.
            Error::Refused(Refusal {
                status: "notSupported",
                message: not_supported("Call"),
                constraints: serde_json::Map::new(),
                with_lists: true,
            })
        })?;
    let id = id.map_or_else(|| EntityId::generate(origin.at), EntityId);
    let exchange = exchange_of(&chosen);
    make_record(app, origin, id, exchange, wish.clone()).await?;
    let mut body = json!({ "communicationId": id });
    let members = [
        ("fromUserId", wish.from_user_id.map(|user| user.to_string())),
        ("toUserId", wish.to_user_id.map(|user| user.to_string())),
        (
            "clientPhone",
            Some(wish.client_phone).filter(|phone| !phone.is_empty()),
        ),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    let path = format!("api/v1/{workspace_name}/communications/call");
    let outcome = send(app, chosen, &path, &body).await;
    let refused = match failure(outcome) {
        None => None,
        Some(why) => {
            fail(app, origin, id, &why).await?;
            Some(Error::refused(
                "integrationError",
                format!("The integration did not take the call: {why}"),
            ))
        }
    };
    Ok(Dialled { id, refused })
}

async fn make_record(
    app: &App,
    origin: &Origin,
    id: EntityId,
    exchange: Exchange,
    wish: Dial,
) -> Result<()> {
    let (at, origin) = (app.clone(), origin.clone());
    app.db
        .write(origin.workspace, move |tx| {
            let start = record::new(&origin, &exchange, id, None);
            let made = record::create(&at, tx, &origin, start, Message::Dialled(wish.clone()))?;
            made.map(|_| ()).ok_or_else(|| {
                Error::refused(
                    "alreadyExists",
                    format!("Communication {id} is there already"),
                )
            })
        })
        .await
}

/// The wish came to nothing: the record says so.
async fn fail(app: &App, origin: &Origin, id: EntityId, why: &str) -> Result<()> {
    let (at, reason) = (app.clone(), why.to_owned());
    let origin = Origin {
        at: app.clock.now(),
        ..origin.clone()
    };
    app.db
        .write(origin.workspace, move |tx| {
            let Some(found) = record::find_for_update(tx, &origin, id)? else {
                return Ok(());
            };
            let failure = Failure {
                at: Some(Moment::from(origin.at)),
                reason: Some(reason.clone()),
            };
            let call = found
                .call
                .with(Message::Failed(failure))
                .map_err(Error::internal)?;
            let after = Found {
                call,
                row: found.row.clone(),
            };
            record::change(&at, tx, &origin, found, after)?;
            Ok(())
        })
        .await
}

/// Hangs up. Without an id, the call is the one with that leg.
pub async fn hang_up(
    app: &App,
    workspace: WorkspaceId,
    workspace_name: &str,
    id: Option<EntityId>,
    wish: HangUp,
) -> Result<()> {
    let leg = wish.realtime_call_item_id.clone();
    let found = app
        .db
        .read(move |conn| find_to_hang_up(conn, workspace, id, &leg))
        .await?;
    let integration = found.row.integration;
    let instance = app
        .db
        .read(move |conn| integration::find_instance(conn, workspace, integration))
        .await?;
    let instance = instance
        .filter(|instance| can(instance, |features| features.hangup))
        .ok_or_else(|| Error::refused("notSupported", not_supported("Hangup")))?;
    let mut body = json!({ "realtimeCallItemId": wish.realtime_call_item_id });
    if let Some(user) = wish.user {
        body["userId"] = user.to_string().into();
    }
    let path = format!(
        "api/v1/{workspace_name}/communications/{}/hangup",
        found.row.id
    );
    match failure(send(app, instance, &path, &body).await) {
        None => Ok(()),
        Some(why) => Err(Error::refused(
            "integrationError",
            format!("The integration did not hang up: {why}"),
        )),
    }
}

fn find_to_hang_up(
    conn: &mut Conn,
    workspace: WorkspaceId,
    id: Option<EntityId>,
    leg: &str,
) -> Result<Found> {
    let Some(id) = id else {
        let active = communication::list_active(conn, workspace, ACTIVE)?;
        let mut found = record::all_of(active)?.into_iter();
        return found
            .find(|found| !leg.is_empty() && found.call.has_realtime_leg(leg))
            .ok_or_else(|| not_found(leg));
    };
    let found = record::find(conn, workspace, id)?.ok_or_else(|| not_found(&id.to_string()))?;
    if !leg.is_empty() && !found.call.has_realtime_leg(leg) {
        return Err(not_found(&id.to_string()));
    }
    Ok(found)
}

/// The integration that a user calls with: the main telephony of the user, the group, the workspace;
/// else the oldest that can.
fn choose(conn: &mut Conn, workspace: WorkspaceId, user: Option<Uuid>) -> Result<Option<Instance>> {
    let group = match user {
        Some(user) => living(conn, workspace, EntityKind::User, user)?
            .and_then(|(members, _)| group_of(&members)),
        None => None,
    };
    let mut settings = ui_setting::list(conn, workspace, MAIN_TELEPHONY)?;
    let rank = |setting: &ui_setting::UiSetting| match (setting.user, setting.group) {
        (Some(of), _) => (Some(of) == user).then_some(0),
        (None, Some(of)) => (Some(of) == group).then_some(1),
        (None, None) => Some(2),
    };
    settings.retain(|setting| rank(setting).is_some());
    settings.sort_by_key(|setting| rank(setting));
    for setting in settings {
        let Some(id) = prichal_core::id::parse(&setting.value) else {
            continue;
        };
        let instance = integration::find_instance(conn, workspace, IntegrationId(id))?;
        if let Some(instance) = instance.filter(|instance| can(instance, |f| f.call)) {
            return Ok(Some(instance));
        }
    }
    let (_, mut all) = integration::list_instances(conn, workspace, 0, 1000)?;
    all.retain(|instance| can(instance, |features| features.call));
    all.sort_by_key(|instance| instance.update_info.created_at);
    Ok(all.into_iter().next())
}

/// Whether an instance can be sent a system call.
fn can(instance: &Instance, feature: impl Fn(&Features) -> bool) -> bool {
    // A few failed webhooks do not keep it from calling.
    let works = matches!(instance.status, Status::Active | Status::HasErrors);
    let features: Option<Value> = serde_json::from_str(&instance.features).ok();
    let features = features.map(|features| Features::from_json(&features));
    instance.installed && works && features.is_some_and(|features| feature(&features))
}

fn exchange_of(instance: &Instance) -> Exchange {
    Exchange {
        integration: instance.integration.id,
        name: instance.integration.name.clone(),
    }
}

fn not_supported(feature: &str) -> String {
    format!("Feature {feature} is not supported by any integration")
}

async fn send(app: &App, instance: Instance, path: &str, body: &Value) -> Outcome {
    let receiver = Receiver::of(app, instance, path);
    let payload = Payload {
        id: generate(app.clock.now()),
        body: Bytes::from(body.to_string()),
        replay: false,
    };
    call(app, &receiver, &Connections::new(1), payload).await
}

/// Why a call did not reach the integration; nothing when it did.
fn failure(outcome: Outcome) -> Option<String> {
    (!outcome.reply.is_success()).then(|| {
        outcome
            .error
            .unwrap_or_else(|| "it did not answer as expected".to_owned())
    })
}
