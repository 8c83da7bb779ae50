//! `cargo fuzz run config`: see `src/config.rs`.
#![no_main]

mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::one(bytes, tminus_fuzz::config::run));
