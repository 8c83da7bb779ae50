//! `cargo fuzz run store`: see `src/store.rs`.
#![no_main]

mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::one(bytes, tminus_fuzz::store::run));
