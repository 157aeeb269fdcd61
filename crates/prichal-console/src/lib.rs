//! The console: pages in a browser that show what happened in a workspace, and act on it.
//!
//! A page is a pure function of a view model (`templates/`, `pages/`), and works without JavaScript. The server is known
//! by the trait [`Backend`] only: it finds sessions and calls the API with their rights. So the console has no SQL and no
//! authorization of its own, and shows nothing that the API does not show.

#![forbid(unsafe_code)]
#![expect(
    clippy::struct_field_names,
    reason = "members are named as the API names them"
)]

mod answer;
pub mod api;
mod assets;
mod backend;
mod chart;
pub mod check;
mod diff;
mod facts;
mod form;
mod language;
mod moment;
mod page;
mod pages;
mod parts;
mod reasons;
mod seen;
mod state;
#[cfg(test)]
mod testing;
mod upload;
mod visit;
mod words;

pub use answer::missing;
pub use backend::{
    AtProvider, Backend, Beat, Client, Counters, Refusal, Role, Session, SignIn, SignedIn, TOPICS,
    Unavailable, Workspace,
};
pub use jiff::tz::TimeZone;
pub use language::Language;
pub use pages::router;
