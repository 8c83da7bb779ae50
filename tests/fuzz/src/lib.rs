//! What the fuzz targets do with their bytes: one module each, one function `run` that panics where something is wrong. The targets
//! call it under `cargo fuzz`, and `tests/fuzz_corpus.rs` calls it with everything that stands in `corpus/`.

pub mod bounds;
pub mod commands;
pub mod config;
pub mod http;
pub mod markup;
pub mod records;
pub mod stage;
pub mod store;
pub mod templates;
