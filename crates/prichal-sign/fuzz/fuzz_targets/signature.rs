//! The reader of signatures.
#![no_main]

use prichal_sign::{Limits, SignedData};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = SignedData::read(input, &Limits::SIGNATURE);
});
