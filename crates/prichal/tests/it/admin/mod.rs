//! The administration of a server: workspaces, quotas, keys, the security log, quarantine.

mod audit;
mod backups;
mod event_retention;
mod nodes;
mod quarantine;
mod quotas;
mod request_rate;
mod retention;
mod rotation;
mod security_log;
mod workspaces;
