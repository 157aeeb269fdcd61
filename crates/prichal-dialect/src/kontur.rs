//! Kontur: entities, integrations and telephony under `/api/v1`.

pub mod call;
pub mod communication;
pub mod fault;
pub mod header;
pub mod instance;
pub mod patch;
pub mod system_call;
pub mod update_info;
