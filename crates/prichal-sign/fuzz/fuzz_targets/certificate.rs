//! The readers of certificates, and what is read out of them.
#![no_main]

use prichal_sign::Certificate;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = Certificate::read_all(input);
    if let Ok(certificate) = Certificate::read(input) {
        let _ = certificate.public_key();
        assert!(!certificate.raw().is_empty());
    }
});
