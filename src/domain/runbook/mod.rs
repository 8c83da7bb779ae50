//! The runbook: YAML as written, checked, and the validated model a rollout runs on.

pub mod check;
mod format;
pub mod model;
pub mod names;
pub mod step;

pub use self::format::{Destinations, read_address};
