//! libFuzzer target `wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fusebox_fuzz::wire::run(data));
