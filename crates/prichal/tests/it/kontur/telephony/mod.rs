//! Telephony: messages of exchanges, calls, system calls, live cards.

mod calls;
mod live_cards;
mod messages;
mod phone_numbers;
mod reused_ids;
mod system_calls;
