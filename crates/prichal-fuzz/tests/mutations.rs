//! A bounded run of every target over mutated seeds, on a thread with the smallest stack of any request, write or
//! script. The runs are the same on every machine, because the mutations are derived from the target's name.

use std::thread;

use prichal_fuzz::{TARGETS, find, mutate::Mutator, seeds};

/// The stack in bytes. Threads of the runtime and of the store have at least this much.
const STACK_BYTES: usize = 1 << 20;

fn run(name: &str, inputs: usize) {
    let target = find(name).expect("is a target");
    let body = move || {
        let seeds = seeds(target).expect("the seeds can be read");
        seeds.iter().for_each(|seed| (target.run)(seed));
        let mut mutator = Mutator::new(target.name, seeds);
        for _ in 0..inputs {
            (target.run)(&mutator.next_input());
        }
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(body);
    let ended = thread.expect("a thread can be started").join();
    assert!(
        ended.is_ok(),
        "{name} panicked: the message above has the place"
    );
}

macro_rules! runs {
    ($($test:ident: $name:literal, $inputs:literal;)*) => {
        $(#[test]
        fn $test() {
            run($name, $inputs);
        })*

        const NAMES: &[&str] = &[$($name),*];
    };
}

runs! {
    address: "address", 20000;
    call_message: "call-message", 10000;
    channel: "channel", 10000;
    entity: "entity", 5000;
    event_type: "event-type", 5000;
    filter: "filter", 10000;
    manifest: "manifest", 10000;
    mask: "mask", 10000;
    patch: "patch", 5000;
    phone: "phone", 10000;
    setup: "setup", 10000;
    text_forms: "text-forms", 20000;
    webhook: "webhook", 10000;
    coding: "coding", 2000;
    file_name: "file-name", 10000;
    form: "form", 5000;
    forwarded: "forwarded", 10000;
    json: "json", 7500;
    manifest_zip: "manifest-zip", 3000;
    multipart: "multipart", 10000;
    path: "path", 20000;
    range: "range", 20000;
    websocket_frame: "websocket-frame", 10000;
    print: "print", 90;
    script_answer: "script-answer", 300;
    worker_frame: "worker-frame", 7500;
    certificate: "certificate", 5000;
    crl: "crl", 5000;
    ocsp: "ocsp", 5000;
    signature: "signature", 5000;
    validate: "validate", 600;
}

#[test]
fn every_target_is_run() {
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(NAMES, targets);
}
