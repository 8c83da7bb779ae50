//! What people can say and what they are answered, the same on every platform.

pub mod answer;
pub mod button;
pub mod digest;
pub mod form;
pub mod grammar;
pub mod line;
pub mod log;
pub mod rehearsal;
pub mod voice;
pub mod window;
