//! E-documents: what is done to them, by requests and by bulk calls alike.

pub mod archive;
pub mod bulk;
pub mod check;
pub mod evidence;
pub mod print;
pub mod recheck;
pub mod record;
pub mod zip;
