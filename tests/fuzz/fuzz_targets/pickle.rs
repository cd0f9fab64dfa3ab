//! libFuzzer target `pickle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fusebox_fuzz::pickle::run(data));
