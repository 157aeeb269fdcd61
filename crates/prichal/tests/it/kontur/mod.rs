//! The dialect of Kontur: integrations, entities, files, the feed, telephony.

mod authorization;
mod description;
mod entities;
mod event_log;
mod events;
mod examples;
mod feed;
mod files;
mod integrations;
mod stream;
mod telephony;
