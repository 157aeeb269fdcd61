//! The rights of a connection while it lasts, and the client as the security log names it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{CurrentRights, Session, may};
use crate::{
    app::App,
    dialect::era::websocket::{rights::Rights, subscriptions::Subscriptions},
    domain::channel,
    error::Result,
    platform::{
        access::{Caller, ChannelHandle},
        security::{self, Actor},
    },
};

/// The time after which rights are read again, because another node may have changed them.
const RIGHTS_TTL: Duration = Duration::from_secs(1);

impl Session {
    /// Reads the rights again if they may have changed, and closes the capabilities that they no longer open.
    pub(super) async fn refresh_rights(&mut self) -> Result<()> {
        let again = self
            .standing
            .read_again(&self.app, &self.handle, self.address);
        let Some((found, standing)) = again.await? else {
            return Ok(());
        };
        if let Some(found) = found {
            self.handle = found;
        }
        let may = |capability: &str| may(&self.handle, &standing.rights, capability);
        self.open.retain(|capability| may(capability));
        let sockets = &self.app.channels.sockets;
        sockets.set_receives_broadcasts(self.handle.lane(), self.id, may("msg"));
        if !self.open.contains("subscr") || self.handle.channel.user().is_none() {
            self.subscriptions = Subscriptions::default();
            self.news = None;
        }
        self.standing = standing;
        Ok(())
    }
}

impl CurrentRights {
    /// The channel and its rights as they are now. `None` if they were read a short time ago and nothing tells of a
    /// change since. There is no channel if it was deleted, or no longer admits the address.
    pub(super) async fn read_again(
        &self,
        app: &App,
        handle: &ChannelHandle,
        address: Option<IpAddr>,
    ) -> Result<Option<(Option<Arc<ChannelHandle>>, Self)>> {
        let (version, now) = (app.channels.sockets.rights(), app.clock.now());
        if version == self.version && now.since(self.looked_at) < RIGHTS_TTL {
            return Ok(None);
        }
        let found = channel::by_id_uncached(app, handle.lane()).await?;
        let found = found
            .filter(|found| address.is_none_or(|address| found.channel.admits(address)))
            .map(|found| {
                Arc::new(ChannelHandle {
                    // The connection remains one of its own token.
                    token_hash: handle.token_hash.clone(),
                    ..Arc::unwrap_or_clone(found)
                })
            });
        let rights = match &found {
            Some(found) => Rights::of(app, found).await?,
            None => Rights::default(),
        };
        let standing = Self {
            rights,
            version,
            looked_at: now,
        };
        Ok(Some((found, standing)))
    }
}

/// The client as the security log and the limit of guesses name it. Each frame counts as a request.
pub(super) struct Attribution {
    app: App,
    address: Option<IpAddr>,
    actor: Actor,
}

impl Attribution {
    pub(super) fn of(app: &App, address: Option<IpAddr>, handle: &Arc<ChannelHandle>) -> Self {
        Self {
            app: app.clone(),
            address,
            actor: Actor::from(&Caller::Channel(handle.clone())),
        }
    }

    pub(super) fn by<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        security::by(&self.app, self.address, Some(self.actor), None, work)
    }
}
