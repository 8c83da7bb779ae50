//! What people can say and what they are answered, the same on every platform.

pub mod form;
