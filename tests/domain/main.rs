//! The pure domain, through its public functions: tables of decisions, what follows by itself, what `check` says,
//! and properties over any sequence of commands.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod amend;
mod backups;
mod checks;
mod course;
mod decisions;
mod digests;
mod docs;
mod environment;
mod freezes;
mod history;
mod names;
mod paper;
mod properties;
mod rehearsal;
mod schedule;
mod schema;
mod shape;
mod support;
mod timeline;
mod window;
mod words;
