//! The dialect of Era: channels, hooks, scripts, messages, websockets.

mod channels;
mod hooks;
mod messages;
mod scripts;
mod websocket;
