//! The program itself: its settings, its verbs, and how it starts, stops and dies.

mod commands;
mod confinement;
mod kills;
mod settings;
mod verify;
