//! The program itself: settings, verbs, start, stop and kill.

mod commands;
mod confinement;
mod delivery_kills;
mod demo;
mod guides;
mod kills;
mod settings;
mod verify;
