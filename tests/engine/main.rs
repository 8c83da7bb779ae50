//! The engine between a journal that can fail and an outside that can do everything wrong.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod asleep;
mod backups;
mod clock_back;
mod counting;
mod decision;
mod digests;
mod family;
mod faults;
mod history;
mod outside;
mod pretended;
#[cfg(unix)]
mod real;
mod rehearsal;
mod replay;
mod rooms;
mod stage;
mod starting;
