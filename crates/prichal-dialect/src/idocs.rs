//! iDocs: the e-document exchange.

pub mod document;
pub mod event;
pub mod header;
pub mod words;
