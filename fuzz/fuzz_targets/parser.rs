//! One target under libFuzzer: the one that `PRICHAL_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use prichal_fuzz::{Target, find};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("PRICHAL_FUZZ_TARGET").expect("PRICHAL_FUZZ_TARGET names a target");
    find(&name).unwrap_or_else(|| panic!("there is no target {name}"))
});

libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
