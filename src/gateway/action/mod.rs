//! The systems that actions run against: one file per kind.

pub mod http;
pub mod pretend;
