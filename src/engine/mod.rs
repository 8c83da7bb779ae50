//! DURABLE: owns order and memory.
pub mod clock;
pub mod conductor;
pub mod journal;
pub mod outbox;
pub mod ports;
pub mod scratch;
