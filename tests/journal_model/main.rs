//! What the journals promise: a model they must agree with, what concurrency and faults may do, and what damage to
//! the disk must never do.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod concurrency;
mod damage;
mod export;
mod faults;
mod layout;
mod limits;
mod model;
mod power;
mod scratch;
mod support;
