//! Assembly of the server: platform, domain and delivery, each over the one before.

use std::sync::Arc;

use anyhow::Context as _;
use prichal_dialect::{fault, kontur};
use prichal_store::OnCommit;
use tokio::sync::Notify;

use crate::{
    config::Config,
    delivery::Dispatch,
    domain::{
        Domain,
        channel::{Channels, Wording},
        journal::{Journal, slots::PreviousJournal},
        mail, rotation,
        script::Scripts,
        stream::Streams,
        telephony::{Telephony, call_stream::is_call},
    },
    platform::{Platform, clock::Clock},
};

pub use crate::delivery::Delivery as App;

/// Opens the store, the blobs and the bus. Starts no task: that is [`crate::lifecycle`]'s part.
pub async fn open(config: Config, clock: Clock) -> anyhow::Result<App> {
    let telephony = Arc::new(Telephony::default());
    let channels = Arc::new(Channels::new(Wording {
        faults: fault::texts,
        refused_operations: kontur::patch::summary,
    }));
    let streams = Arc::new(Streams::default());
    let outbox = Arc::new(Notify::new());
    let sends_mails = config.smtp_url.is_some();
    let mut dispatch = None;
    let platform = Platform::open(config, clock.clone(), |bus, access| {
        let dispatch = dispatch
            .insert(Arc::new(Dispatch::new(bus.clone())))
            .clone();
        let (telephony, channels) = (telephony.clone(), channels.clone());
        let streams = streams.clone();
        let (access, outbox) = (access.clone(), outbox.clone());
        let on_commit: OnCommit = Arc::new(move |events| {
            telephony.call_streams.committed(&events, is_call);
            channels.sockets.committed(&events);
            access.committed(&events);
            streams.committed(&events);
            if sends_mails {
                mail::committed(&outbox, &events);
            }
            dispatch.committed(events);
        });
        on_commit
    });
    let platform = platform.await?;
    // The path of this program, even if its file was replaced since.
    let program = platform.config.script_worker.clone();
    let program = program.unwrap_or_else(|| "/proc/self/exe".into());
    let scripts = Scripts::new(program, clock);
    let previous = PreviousJournal::open(platform.data_dir.journal());
    let journal = Journal::new(previous.context("cannot read the journal of work in progress")?);
    let domain = Domain::new(
        platform, telephony, channels, streams, scripts, journal, outbox,
    );
    let dispatch = dispatch.unwrap_or_else(|| Arc::new(Dispatch::new(domain.bus.clone())));
    rotation::check_master_key(&domain).await?;
    Ok(App { domain, dispatch })
}
