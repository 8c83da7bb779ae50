//! `cargo fuzz run http`: see `src/http.rs`.
#![no_main]

mod bounded;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| bounded::one(bytes, tminus_fuzz::http::run));
