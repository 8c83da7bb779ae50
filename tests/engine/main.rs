//! The engine between a journal that can fail and an outside that can do everything wrong.

mod faults;
mod outside;
mod stage;
