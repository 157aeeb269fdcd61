//! System calls: a user's request to call or to hang up, passed on to an integration (`docs/contracts/kontur.md §4.4`).

use prichal_core::{
    call::{Dial, Failure, HangUp, Message, Moment},
    event::{EntityKind, Origin},
    id::{EntityId, IntegrationId, UserId, WorkspaceId},
    integration::{Features, Status},
};
use prichal_store::{
    Conn, Tx, communication,
    integration::{self, Instance},
    ui_setting,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{
    group_of, living, not_found, own_calls,
    record::{self, CallRecord, Exchange},
};
use crate::{
    domain::Domain,
    error::{Code, Error, Refusal, Result},
    platform::outgoing::post::Outcome,
};

/// The key of the setting that names the integration for outgoing calls.
pub const MAIN_TELEPHONY: &str = "@main-telephony-settings";
/// The maximum number of active calls that are searched for a leg.
const MAX_ACTIVE_CALLS: i64 = 1000;

/// The outcome of a request to call: its record, and the refusal if there was one.
pub struct Dialled {
    pub id: EntityId,
    pub refused: Option<Error>,
}

/// The memory of requests to call, so that a repeated request does not call a second time.
pub trait Memory: Clone + Send + Sync + 'static {
    fn find(&self, conn: &mut Conn) -> Result<Option<String>>;
    /// Stores the request, together with the call's record.
    fn keep(&self, tx: &mut Tx<'_>, text: &str) -> Result<()>;
    /// Stores the outcome.
    fn fill(&self, tx: &mut Tx<'_>, text: &str) -> Result<()>;
}

/// The stored form of a request and its outcome.
#[derive(Serialize, Deserialize)]
struct StoredDial {
    id: EntityId,
    became: DialState,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum DialState {
    /// The integration was asked, and the outcome is not known yet. After a crash this stays: the integration may have
    /// dialled, so it is not asked again.
    Asked,
    Taken,
    Refused(String),
}

impl StoredDial {
    fn find(memory: Option<&impl Memory>, conn: &mut Conn) -> Result<Option<Dialled>> {
        let found = memory.map(|memory| memory.find(conn)).transpose()?;
        let Some(text) = found.flatten() else {
            return Ok(None);
        };
        let stored: Self = serde_json::from_str(&text).map_err(Error::internal)?;
        Ok(Some(stored.dialled()))
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }

    fn dialled(self) -> Dialled {
        let Self { id, became } = self;
        let refused = match became {
            DialState::Taken => None,
            DialState::Asked => Some(Error::refused(
                Code::NotAnswered,
                format!("The integration has not answered yet, see communication {id}"),
            )),
            DialState::Refused(why) => Some(Error::refused(
                Code::IntegrationFailed,
                format!("The integration did not take the call: {why}"),
            )),
        };
        Dialled { id, refused }
    }
}

/// Requests to the exchanges of integrations, in their dialect.
pub trait Exchanges: Sync {
    /// Asks an integration to make the call of a record.
    fn dial(
        &self,
        instance: Instance,
        id: EntityId,
        request: &Dial,
    ) -> impl Future<Output = Outcome> + Send;

    /// Asks an integration to end the call of a record.
    fn hang_up(
        &self,
        instance: Instance,
        id: EntityId,
        request: &HangUp,
    ) -> impl Future<Output = Outcome> + Send;
}

/// Makes a call: first its record, so that the exchange's messages find it, then the request to the integration.
pub async fn dial(
    app: &Domain,
    exchanges: &impl Exchanges,
    origin: &Origin,
    id: Option<Uuid>,
    request: Dial,
    memory: Option<impl Memory>,
) -> Result<Dialled> {
    let (workspace, user) = (origin.workspace, request.from_user_id);
    let known = memory.clone();
    let look = move |conn: &mut Conn| match StoredDial::find(known.as_ref(), conn)? {
        Some(first) => Ok(Err(first)),
        None => Ok::<_, Error>(Ok(choose(conn, workspace, user)?)),
    };
    let chosen = match app.db.read(look).await? {
        Err(first) => return Ok(first),
        Ok(chosen) => chosen,
    };
    let chosen = chosen.ok_or_else(|| {
        // A refused call is answered with empty lists, a refused hang-up without them.
        Error::Refused(Refusal {
            code: Code::NotSupported,
            message: not_supported("Call"),
            constraints: serde_json::Map::new(),
            quota: None,
            with_lists: true,
        })
    })?;
    let id = id.map_or_else(|| EntityId::generate(origin.at), EntityId);
    let exchange = exchange_of(&chosen);
    let made = make_record(app, origin, id, exchange, request.clone(), memory.clone());
    if let Some(first) = made.await? {
        return Ok(first);
    }
    let outcome = exchanges.dial(chosen, id, &request).await;
    let became = failure(outcome).map_or(DialState::Taken, DialState::Refused);
    finish(app, origin, StoredDial { id, became }, memory).await
}

/// Makes the record, or returns the outcome of an earlier equal request.
async fn make_record(
    app: &Domain,
    origin: &Origin,
    id: EntityId,
    exchange: Exchange,
    request: Dial,
    memory: Option<impl Memory>,
) -> Result<Option<Dialled>> {
    let (at, origin) = (app.clone(), origin.clone());
    let asked = StoredDial {
        id,
        became: DialState::Asked,
    };
    let asked = asked.text()?;
    app.db
        .write(origin.workspace, move |tx| {
            if let Some(first) = StoredDial::find(memory.as_ref(), tx.conn()?)? {
                return Ok(Some(first));
            }
            let start = record::new(&origin, &exchange, id);
            let made = record::create(&at, tx, &origin, start, Message::Dialled(request.clone()))?;
            if made.is_none() {
                return Err(Error::refused(
                    Code::AlreadyExists,
                    format!("Communication {id} exists already"),
                ));
            }
            if let Some(memory) = &memory {
                memory.keep(tx, &asked)?;
            }
            Ok(None)
        })
        .await
}

/// Writes the integration's answer: into the record if it has refused, and into the memory.
async fn finish(
    app: &Domain,
    origin: &Origin,
    stored: StoredDial,
    memory: Option<impl Memory>,
) -> Result<Dialled> {
    let (id, text) = (stored.id, stored.text()?);
    let why = match &stored.became {
        DialState::Refused(why) => Some(why.clone()),
        DialState::Asked | DialState::Taken => None,
    };
    if why.is_some() || memory.is_some() {
        let (at, workspace) = (app.clone(), origin.workspace);
        let origin = Origin {
            at: app.clock.now(),
            ..origin.clone()
        };
        let write = move |tx: &mut Tx<'_>| {
            if let Some(why) = &why {
                fail(&at, tx, &origin, id, why)?;
            }
            match &memory {
                Some(memory) => memory.fill(tx, &text),
                None => Ok(()),
            }
        };
        app.db.write(workspace, write).await?;
    }
    Ok(stored.dialled())
}

/// Records that the call was not made.
fn fail(app: &Domain, tx: &mut Tx<'_>, origin: &Origin, id: EntityId, why: &str) -> Result<()> {
    let Some(found) = record::find_for_update(tx, origin, id)? else {
        return Ok(());
    };
    let failure = Failure {
        at: Some(Moment::from(origin.at)),
        reason: Some(why.to_owned()),
    };
    let call = found
        .call
        .with(Message::Failed(failure))
        .map_err(Error::internal)?;
    let after = CallRecord {
        call,
        row: found.row.clone(),
    };
    record::change(app, tx, origin, found, after)?;
    Ok(())
}

/// Hangs up, for a caller who may see only the calls of a user `own`. Without an id, the call is found by its leg.
pub async fn hang_up(
    app: &Domain,
    exchanges: &impl Exchanges,
    (workspace, own): (WorkspaceId, Option<UserId>),
    id: Option<EntityId>,
    request: HangUp,
) -> Result<()> {
    let leg = request.realtime_call_item_id.clone();
    let found = app
        .db
        .read(move |conn| find_to_hang_up(conn, (workspace, own), id, &leg))
        .await?;
    let integration = found.row.integration;
    let instance = app
        .db
        .read(move |conn| integration::find_instance(conn, workspace, integration))
        .await?;
    let instance = instance
        .filter(|instance| can(instance, |features| features.hangup))
        .ok_or_else(|| Error::refused(Code::NotSupported, not_supported("Hangup")))?;
    match failure(exchanges.hang_up(instance, found.row.id, &request).await) {
        None => Ok(()),
        Some(why) => Err(Error::refused(
            Code::IntegrationFailed,
            format!("The integration did not hang up: {why}"),
        )),
    }
}

fn find_to_hang_up(
    conn: &mut Conn,
    (workspace, own): (WorkspaceId, Option<UserId>),
    id: Option<EntityId>,
    leg: &str,
) -> Result<CallRecord> {
    let Some(id) = id else {
        let active = communication::list_active(conn, workspace, MAX_ACTIVE_CALLS)?;
        let mut found = record::all_of(active)?;
        found.retain(|found| !leg.is_empty() && found.call.has_realtime_leg(leg));
        if let Some(user) = own {
            own_calls::retain(conn, workspace, user, &mut found, |found| {
                Some(found.row.id.0)
            })?;
        }
        return found.into_iter().next().ok_or_else(|| not_found(leg));
    };
    let found = record::find(conn, workspace, id)?;
    let is_shown = own_calls::shows(conn, workspace, own, id)?;
    let found = found.filter(|_| is_shown);
    let found = found.ok_or_else(|| not_found(&id.to_string()))?;
    if !leg.is_empty() && !found.call.has_realtime_leg(leg) {
        return Err(not_found(&id.to_string()));
    }
    Ok(found)
}

/// The integration that a user calls with: the main telephony of the user, else of the group, else of the workspace,
/// else the oldest that supports calls.
fn choose(conn: &mut Conn, workspace: WorkspaceId, user: Option<Uuid>) -> Result<Option<Instance>> {
    let group = match user {
        Some(user) => living(conn, workspace, EntityKind::User, user)?
            .and_then(|(members, _)| group_of(&members)),
        None => None,
    };
    let settings = ui_setting::list_for(conn, workspace, MAIN_TELEPHONY, user, group)?;
    for setting in settings {
        let Some(id) = prichal_core::id::parse(&setting.value) else {
            continue;
        };
        let instance = integration::find_instance(conn, workspace, IntegrationId(id))?;
        if let Some(instance) = instance.filter(|instance| can(instance, |f| f.call)) {
            return Ok(Some(instance));
        }
    }
    let (_, mut all) = integration::list_instances(conn, workspace, None, (0, 1000))?;
    all.retain(|instance| can(instance, |features| features.call));
    all.sort_by_key(|instance| instance.update_info.created_at);
    Ok(all.into_iter().next())
}

/// True if an instance can take a system call.
fn can(instance: &Instance, feature: impl Fn(&Features) -> bool) -> bool {
    // A few failed webhooks do not prevent calls.
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

/// The reason why the integration did not take a call. `None` if it did.
fn failure(outcome: Outcome) -> Option<String> {
    (!outcome.reply.is_success()).then(|| {
        outcome
            .error
            .unwrap_or_else(|| "it did not answer as expected".to_owned())
    })
}
