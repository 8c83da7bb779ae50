//! OUTSIDE: commands in, effects out. Siblings in here do not use each other; `cli/serve.rs` joins them.

pub mod action;
pub mod chat;
pub mod picture;
pub mod web;
