//! The reader of revocation lists.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = prichal_sign::Crl::read(input);
});
