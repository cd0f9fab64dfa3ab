//! libFuzzer target `artifact`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fusebox_fuzz::artifact::run(data));
