//! Fuzz targets for every parser of outside input, as functions of bytes.
//!
//! A target takes any bytes and must neither panic nor use more stack, memory or time than its input allows. It also
//! asserts the invariants of a result: a refused patch changes nothing, a cleaned name is clean, a byte range is
//! within its file.
//!
//! `scripts/fuzz` runs the targets under libFuzzer for a time. [`mutate`] is the bounded run of the tests. Both start
//! with the inputs of `fuzz/seeds`, one folder for each target, and with generated signatures.

#![forbid(unsafe_code)]

pub mod mutate;
mod print;
mod rules;
mod script;
mod signature;
mod wire;

use std::{fs, io, path::PathBuf};

/// One parser.
pub struct Target {
    /// The name of the target and of its folder of seeds.
    pub name: &'static str,
    /// Parses the bytes and asserts the invariants of the result.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("address", rules::address),
    target("call-message", rules::call_message),
    target("channel", rules::channel),
    target("entity", rules::entity),
    target("event-type", rules::event_type),
    target("filter", rules::filter),
    target("manifest", rules::manifest),
    target("mask", rules::mask),
    target("patch", rules::patch),
    target("phone", rules::phone),
    target("setup", rules::setup),
    target("text-forms", rules::text_forms),
    target("webhook", rules::webhook),
    target("coding", wire::coding),
    target("file-name", wire::file_name),
    target("form", wire::form),
    target("forwarded", wire::forwarded),
    target("json", wire::json),
    target("manifest-zip", wire::manifest_zip),
    target("multipart", wire::multipart),
    target("path", wire::path),
    target("range", wire::range),
    target("websocket-frame", wire::websocket_frame),
    target("print", print::form),
    target("script-answer", script::answer),
    target("worker-frame", script::worker_frame),
    target("certificate", signature::certificate),
    target("crl", signature::crl),
    target("ocsp", signature::ocsp),
    target("signature", signature::signature),
    target("validate", signature::validate),
];

/// Finds a target by its name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The initial inputs of a target: the files of its folder, and generated signatures.
///
/// Fails if the folder cannot be read. A target without a folder has generated inputs only.
pub fn seeds(target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../../fuzz/seeds", target.name]
        .iter()
        .collect();
    let mut seeds = signature::seeds(target.name);
    if !folder.exists() {
        return Ok(seeds);
    }
    let mut files = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.sort();
    for file in files {
        seeds.push(fs::read(file)?);
    }
    Ok(seeds)
}
