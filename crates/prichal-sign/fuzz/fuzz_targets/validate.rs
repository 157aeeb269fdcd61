//! The whole validator, time-stamps and embedded evidence included: nobody is trusted, so nothing passes.
#![no_main]

use prichal_sign::{Material, Policy, Request, Time, Verdict, validate};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let at = Time::from_unix(1_780_315_200);
    for policy in [Policy::test(), Policy::kz(), Policy::ru()] {
        let mut request = Request::new(input, &policy, at);
        request.content = Some(b"content");
        let report = validate(&request, &Material::default());
        assert_ne!(report.verdict, Verdict::TotalPassed);
    }
});
