//! The administration of a server: workspaces, quotas, keys, the security log, quarantine.

mod nodes;
mod quarantine;
mod quotas;
mod rotation;
mod security_log;
mod workspaces;
