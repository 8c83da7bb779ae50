//! The pure domain, through its public functions: tables of decisions, what follows by itself, what `check` says,
//! and properties over any sequence of commands.

mod checks;
mod decisions;
mod properties;
mod support;
