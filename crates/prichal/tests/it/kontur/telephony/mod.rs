//! Telephony: calls, and what users do with them.

mod calls;
mod live_cards;
mod messages;
mod phone_numbers;
mod reused_ids;
mod system_calls;
