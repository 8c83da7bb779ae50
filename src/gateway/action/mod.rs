//! The systems that actions run against: one file per kind.

#[cfg(unix)]
pub mod command;
pub mod http;
pub mod pretend;
