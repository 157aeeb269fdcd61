//! The events that a client has subscribed to.

use prichal_core::{
    event::{ChangeType, EntityKind, EventType},
    id::{EntityId, UserId},
    schema::Object,
};
use prichal_store::{Conn, entity, event};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::{Closed, End, Session, Socket, deliver, out_of_memory};
use crate::{
    dialect::era::websocket::subscriptions::Subscriptions,
    domain::document,
    error::{Error, Result},
    platform::memory::Use,
};

/// The maximum number of events that a statement reads.
const MAX_EVENTS_PER_READ: i64 = 256;

impl Session {
    /// True if the channel has a user who is not deleted.
    async fn has_user(&self) -> Result<bool> {
        let Some(id) = self.handle.channel.user() else {
            return Ok(false);
        };
        let (workspace, kind, id) = (self.handle.workspace, EntityKind::User, EntityId(id));
        let read = move |conn: &mut Conn| entity::find(conn, workspace, kind, id);
        let found = self.app.db.read(read).await?;
        Ok(found.is_some_and(|user| user.deleted_at.is_none()))
    }

    pub(super) async fn subscribe(&mut self, asked: &Object) -> Result<()> {
        let workspace = self.handle.workspace;
        if !self.has_user().await? {
            return Err(Error::Forbidden(
                "The channel has no user whose rights a subscription could have",
            ));
        }
        if self.news.is_none() {
            // The listener precedes the read of the log's end, so that no event between them is missed.
            let news = self.app.channels.sockets.logs.listen(workspace);
            let read = move |conn: &mut Conn| event::last(conn, workspace);
            self.seen = self.app.db.read(read).await?;
            self.news = Some(news);
        }
        let changed = self.subscriptions.change(asked, self.app.clock.now());
        if self.subscriptions.is_empty() {
            self.news = None;
        }
        changed
    }

    /// Sends the events since the last one sent.
    pub(super) async fn send_events(
        &mut self,
        socket: &mut Socket,
        close: &mut Closed,
    ) -> Result<(), End> {
        if self.refresh_rights().await.is_err() {
            // The next event leads here again.
            return Ok(());
        }
        let workspace = self.handle.workspace;
        while self.news.is_some() {
            let after = self.seen;
            let user = self.handle.channel.user();
            let read = move |conn: &mut Conn| {
                let mut events = event::list(conn, workspace, after, MAX_EVENTS_PER_READ)?;
                let last = events.last().map(|last| last.seq);
                document::hide_events(conn, workspace, user.map(UserId), &mut events)?;
                Ok::<_, Error>((events, last))
            };
            let Ok((events, last)) = self.app.db.read(read).await else {
                // The next event leads here again.
                return Ok(());
            };
            let Some(last) = last else {
                return Ok(());
            };
            self.seen = last;
            let mut hold = self.payer.hold(Use::Frame);
            let bytes = events.iter().map(|event| event.body.len()).sum();
            if hold.grow(bytes).await.is_err() {
                return Err(out_of_memory());
            }
            let now = self.app.clock.now();
            let user = user.map(|id| (EntityKind::User, id));
            for event in &events {
                let is_deleted = event.head.kind == EventType::Change(ChangeType::Delete);
                if is_deleted && event.entities().first().copied() == user {
                    // Without its user the channel has no right to events.
                    self.subscriptions = Subscriptions::default();
                    self.news = None;
                    return Ok(());
                }
                for frame in self.subscriptions.frames(event, now) {
                    if !deliver(socket, close, Message::text(frame)).await {
                        return Err(End::Gone);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Waits for new events in the log; forever if there is no subscription.
pub(super) async fn wait_for_news(news: Option<&mut watch::Receiver<u64>>) {
    let is_news = match news {
        Some(news) => news.changed().await.is_ok(),
        None => false,
    };
    if !is_news {
        std::future::pending::<()>().await;
    }
}
