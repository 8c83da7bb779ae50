//! `cargo fuzz run templates`: see `src/templates.rs`.
#![no_main]

mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::one(bytes, tminus_fuzz::templates::run));
