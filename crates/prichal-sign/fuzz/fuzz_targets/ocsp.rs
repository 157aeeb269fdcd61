//! The reader of OCSP responses.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = prichal_sign::Ocsp::read(input);
});
