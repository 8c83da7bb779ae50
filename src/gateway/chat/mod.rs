//! The platforms that host the conversation.

pub mod local;
