//! `cargo fuzz run commands`: see `src/commands.rs`.
#![no_main]

mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::one(bytes, tminus_fuzz::commands::run));
