//! What the benches share: the machine's facts, figures and goals, a house full of rollouts, the real program, its load.

#![allow(dead_code, reason = "every bench is a program of its own, and uses its part of this")]

pub mod figures;
pub mod fixture;
pub mod fleet;
pub mod house;
pub mod load;
pub mod machine;
pub mod play;
pub mod process;

/// What a bench ends with when something did not work; a missed goal is no such thing.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
