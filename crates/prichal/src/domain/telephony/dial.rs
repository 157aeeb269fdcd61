//! System calls: a user's wish to call, or to hang up, passed on to an integration
//! (`docs/contracts/kontur.md §4.4`).

use prichal_core::{
    call::{Dial, Failure, HangUp, Message, Moment},
    event::{EntityKind, Origin},
    id::{EntityId, IntegrationId, WorkspaceId},
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
    group_of, living, not_found,
    record::{self, Exchange, Found},
};
use crate::{
    domain::Domain,
    error::{Error, Refusal, Result},
    platform::outgoing::post::Outcome,
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

/// Remembers what came of a wish, so that the same wish sent again calls nobody a second time.
pub trait Memory: Clone + Send + Sync + 'static {
    fn find(&self, conn: &mut Conn) -> Result<Option<String>>;
    /// Together with the record.
    fn keep(&self, tx: &mut Tx<'_>, text: &str) -> Result<()>;
    /// Once there is more to say.
    fn fill(&self, tx: &mut Tx<'_>, text: &str) -> Result<()>;
}

/// What is remembered.
#[derive(Serialize, Deserialize)]
struct Wished {
    id: EntityId,
    became: Became,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Became {
    /// The integration was asked. Also what is left when the server was killed meanwhile: it may have
    /// dialled, so it is not asked again.
    Asked,
    Taken,
    Refused(String),
}

impl Wished {
    fn find(memory: Option<&impl Memory>, conn: &mut Conn) -> Result<Option<Dialled>> {
        let found = memory.map(|memory| memory.find(conn)).transpose()?;
        let Some(text) = found.flatten() else {
            return Ok(None);
        };
        let wished: Self = serde_json::from_str(&text).map_err(Error::internal)?;
        Ok(Some(wished.dialled()))
    }

    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(Error::internal)
    }

    fn dialled(self) -> Dialled {
        let Self { id, became } = self;
        let refused = match became {
            Became::Taken => None,
            Became::Asked => Some(Error::refused(
                "notAnswered",
                format!("The integration has not answered yet, see communication {id}"),
            )),
            Became::Refused(why) => Some(Error::refused(
                "integrationError",
                format!("The integration did not take the call: {why}"),
            )),
        };
        Dialled { id, refused }
    }
}

/// The way to an integration's exchange, in the words of its dialect.
pub trait Exchanges: Sync {
    /// Asks an integration to make the call of a record.
    fn dial(
        &self,
        instance: Instance,
        id: EntityId,
        wish: &Dial,
    ) -> impl Future<Output = Outcome> + Send;

    /// Asks an integration to end the call of a record.
    fn hang_up(
        &self,
        instance: Instance,
        id: EntityId,
        wish: &HangUp,
    ) -> impl Future<Output = Outcome> + Send;
}

/// Calls: the record first, so that the exchange's messages find it, then the integration.
pub async fn dial(
    app: &Domain,
    exchanges: &impl Exchanges,
    origin: &Origin,
    id: Option<Uuid>,
    wish: Dial,
    memory: Option<impl Memory>,
) -> Result<Dialled> {
    let (workspace, user) = (origin.workspace, wish.from_user_id);
    let known = memory.clone();
    let look = move |conn: &mut Conn| match Wished::find(known.as_ref(), conn)? {
        Some(first) => Ok(Err(first)),
        None => Ok::<_, Error>(Ok(choose(conn, workspace, user)?)),
    };
    let chosen = match app.db.read(look).await? {
        Err(first) => return Ok(first),
        Ok(chosen) => chosen,
    };
    let chosen = chosen.ok_or_else(|| {
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
    let made = make_record(app, origin, id, exchange, wish.clone(), memory.clone());
    if let Some(first) = made.await? {
        return Ok(first);
    }
    let outcome = exchanges.dial(chosen, id, &wish).await;
    let became = failure(outcome).map_or(Became::Taken, Became::Refused);
    finish(app, origin, Wished { id, became }, memory).await
}

/// Makes the record; or says what became of the same wish before.
async fn make_record(
    app: &Domain,
    origin: &Origin,
    id: EntityId,
    exchange: Exchange,
    wish: Dial,
    memory: Option<impl Memory>,
) -> Result<Option<Dialled>> {
    let (at, origin) = (app.clone(), origin.clone());
    let asked = Wished {
        id,
        became: Became::Asked,
    };
    let asked = asked.text()?;
    app.db
        .write(origin.workspace, move |tx| {
            if let Some(first) = Wished::find(memory.as_ref(), tx.conn()?)? {
                return Ok(Some(first));
            }
            let start = record::new(&origin, &exchange, id);
            let made = record::create(&at, tx, &origin, start, Message::Dialled(wish.clone()))?;
            if made.is_none() {
                return Err(Error::refused(
                    "alreadyExists",
                    format!("Communication {id} is there already"),
                ));
            }
            if let Some(memory) = &memory {
                memory.keep(tx, &asked)?;
            }
            Ok(None)
        })
        .await
}

/// Writes what the integration has said: into the record when the wish came to nothing, and where it is
/// remembered.
async fn finish(
    app: &Domain,
    origin: &Origin,
    wished: Wished,
    memory: Option<impl Memory>,
) -> Result<Dialled> {
    let (id, text) = (wished.id, wished.text()?);
    let why = match &wished.became {
        Became::Refused(why) => Some(why.clone()),
        Became::Asked | Became::Taken => None,
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
    Ok(wished.dialled())
}

/// The wish came to nothing: the record says so.
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
    let after = Found {
        call,
        row: found.row.clone(),
    };
    record::change(app, tx, origin, found, after)?;
    Ok(())
}

/// Hangs up. Without an id, the call is the one with that leg.
pub async fn hang_up(
    app: &Domain,
    exchanges: &impl Exchanges,
    workspace: WorkspaceId,
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
    match failure(exchanges.hang_up(instance, found.row.id, &wish).await) {
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

/// Why a call did not reach the integration; nothing when it did.
fn failure(outcome: Outcome) -> Option<String> {
    (!outcome.reply.is_success()).then(|| {
        outcome
            .error
            .unwrap_or_else(|| "it did not answer as expected".to_owned())
    })
}
