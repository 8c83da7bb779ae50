//! PURE.
pub mod catalogue;
pub mod conversation;
pub mod message;
pub mod people;
pub mod problem;
pub mod registry;
pub mod rollout;
pub mod runbook;
pub mod section;
pub mod time;
pub mod yaml;
